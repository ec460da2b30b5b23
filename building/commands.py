"""setuptools commands, extended for the native parts."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from setuptools import Extension
from setuptools.command.bdist_wheel import bdist_wheel as _bdist_wheel
from setuptools.command.build_ext import build_ext as _build_ext
from setuptools.command.build_py import build_py as _build_py

from . import data, go, machine

ROOT = Path(__file__).resolve().parents[1]
HEADER = ROOT / "gosrc" / "pyctd.h"
GO_LIBRARY = Extension("pyctd.libpyctd", ["gosrc/main.go"])


class build_ext(_build_ext):
    """Gives the Go library the name that linkers look for, and links the CFFI module to it."""

    def get_ext_filename(self, fullname: str) -> str:
        if fullname.rpartition(".")[2] == "libpyctd":
            return os.path.join(*fullname.split(".")) + ".so"
        return super().get_ext_filename(fullname)

    def run(self) -> None:
        machine.check()  # again, for builds without isolation: pip does not ask for their requirements
        go.set_environment()
        super().run()

    def build_extensions(self) -> None:
        # The Go library first: the CFFI module links to it.
        self.extensions.sort(key=lambda ext: ext.name != GO_LIBRARY.name)
        for ext in self.extensions:
            ext.library_dirs.append(os.path.dirname(os.path.abspath(self.get_ext_fullpath(GO_LIBRARY.name))))
        super().build_extensions()
        # cgo writes its own header beside the library; pyctd.h is the one to use.
        Path(self.get_ext_fullpath(GO_LIBRARY.name)).with_suffix(".h").unlink(missing_ok=True)


class build_py(_build_py):
    """Adds the header and the data from Go modules (``data``) to the package."""

    def run(self) -> None:
        super().run()
        go.set_environment()
        # An editable installation uses the checkout, where git ignores these files.
        package = (ROOT if self.editable_mode else Path(self.build_lib)) / "pyctd"
        self.data = data.write(package)
        # For other languages, the header goes beside the library.
        self.data.append(shutil.copy(HEADER, package))

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        return [*super().get_outputs(include_bytecode), *getattr(self, "data", [])]


class bdist_wheel(_bdist_wheel):
    """Tags the wheel for the oldest supported CPython and all later ones.

    A release sets PYCTD_COMPILED_IN to a directory with the Go modules' licences and SBOM, from scripts/licences.py.
    """

    def finalize_options(self) -> None:
        self.py_limited_api = "cp310"
        super().finalize_options()

    def egg2dist(self, egginfo_path: str, distinfo_path: str) -> None:
        super().egg2dist(egginfo_path, distinfo_path)
        if compiled_in := os.environ.get("PYCTD_COMPILED_IN"):
            shutil.copytree(compiled_in, distinfo_path, dirs_exist_ok=True)
