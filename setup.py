"""The keywords that pyproject.toml has no place for; ``building`` says what is built."""

from setuptools import setup

from building.commands import GO_LIBRARY, bdist_wheel, build_ext, build_py

setup(
    ext_modules=[GO_LIBRARY],
    cffi_modules=["building/ffi.py:ffibuilder"],
    build_golang={"root": "github.com/pyctd/pyctd", "strip": True},
    cmdclass={"build_ext": build_ext, "build_py": build_py, "bdist_wheel": bdist_wheel},
)
