"""Checks that this machine can build and run pyctd."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import sysconfig


def refuse_free_threading() -> None:
    """Ends a build for a free-threaded Python. It has no stable ABI, and Go's callbacks are untested there."""
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        sys.exit("pyctd does not support free-threaded CPython: use a build with the GIL.")


def check() -> None:
    """Ends the build at once if it would fail, or be useless, after two minutes of compiling Go."""
    refuse_musl()
    require_compiler()


def require_compiler() -> None:
    """Ends the build if no C compiler is on PATH. Both cgo and the CFFI module need one.

    Without ``CC``, their defaults differ: cgo uses gcc, setuptools the compiler that built Python.
    """
    commands = [os.environ["CC"]] if "CC" in os.environ else ["gcc", sysconfig.get_config_var("CC") or "cc"]
    for command in commands:
        compiler = next(iter(shlex.split(command)), "cc")
        if shutil.which(compiler) is None:
            raise SystemExit(
                f"pyctd needs a C compiler to build, and {compiler!r} is not on PATH: install one "
                "(on Debian: apt-get install gcc libc6-dev python3-dev), or install a wheel instead"
            )


def refuse_musl() -> None:
    """Ends a build for musl, which can't load the library."""
    for name in ("HOST_GNU_TYPE", "SOABI", "MULTIARCH"):
        if "musl" in (sysconfig.get_config_var(name) or ""):
            raise SystemExit(
                "pyctd does not run on musl (Alpine Linux and others): Go's shared libraries use initial-exec "
                "thread-local storage, which musl refuses to load into a running program. Use a Python built for "
                "glibc, such as the one of Debian, Ubuntu or Fedora"
            )
