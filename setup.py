"""The two keywords that pyproject.toml has no place for; build.py says what is built."""

from setuptools import setup

import build

setup(
    ext_modules=[build.GO_LIBRARY],
    cffi_modules=["build.py:ffibuilder"],
    build_golang={"root": "github.com/pyctd/pyctd", "strip": True},
    cmdclass={"build_ext": build.build_ext, "build_py": build.build_py, "bdist_wheel": build.bdist_wheel},
)
