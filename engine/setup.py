"""Packages the programs that build.sh built and put beside this file. build.sh sets the wheel's tags."""

import shutil
from pathlib import Path

from setuptools import Distribution as _Distribution
from setuptools import setup
from setuptools.command.bdist_wheel import bdist_wheel as _bdist_wheel

HERE = Path(__file__).resolve().parent


class Distribution(_Distribution):
    """Makes the wheel platform-specific: setuptools does not know that it contains programs."""

    def has_ext_modules(self) -> bool:
        return True


class bdist_wheel(_bdist_wheel):
    """Adds the licences and bills of materials."""

    def finalize_options(self) -> None:
        if not (HERE / "pyctd_engine" / "bin").is_dir():
            raise SystemExit("the programs are not built: use `make engine` in pyctd's repository")
        super().finalize_options()

    def egg2dist(self, egginfo_path: str, distinfo_path: str) -> None:
        super().egg2dist(egginfo_path, distinfo_path)
        shutil.copytree(HERE / "compiled-in", distinfo_path, dirs_exist_ok=True)


setup(distclass=Distribution, cmdclass={"bdist_wheel": bdist_wheel})
