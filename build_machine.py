"""What a machine has to be, to build and to run pyctd."""

from __future__ import annotations

import sysconfig


def refuse_musl() -> None:
    """Ends a build that could only make a library that nobody can load."""
    for name in ("HOST_GNU_TYPE", "SOABI", "MULTIARCH"):
        if "musl" in (sysconfig.get_config_var(name) or ""):
            raise SystemExit(
                "pyctd does not run on musl (Alpine and its like): Go's shared libraries keep thread-local storage in "
                "a way (initial-exec) that musl refuses to load into a running program. Use a Python on glibc, such "
                "as that of Debian, Ubuntu or Fedora"
            )
