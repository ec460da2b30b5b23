"""Chooses the containerd, shim and runc that an engine runs: from one directory, or from the host's PATH."""

from __future__ import annotations

import os
import shutil
from typing import NamedTuple

from . import _arguments, _programs
from .errors import FailedPreconditionError, InvalidArgumentError
from .types import EngineProgram

__all__ = ["PROGRAMS", "VARIABLE", "Binaries", "choose"]

VARIABLE = "PYCTD_ENGINE_PATH"
PROGRAMS = {"containerd": "--version", "containerd-shim-runc-v2": "-v", "runc": "--version"}
"""An engine's programs, and the option that makes each print its version."""


class Binaries(NamedTuple):
    """Where an engine's programs come from.

    Attributes:
        source: who chose them: ``path``, ``PYCTD_ENGINE_PATH``, ``pyctd-engine`` or ``PATH``.
        search: containerd's PATH; a chosen directory comes first.
    """

    source: str
    search: str

    def find(self, name: str) -> str | None:
        """The path at which containerd finds a program."""
        return shutil.which(name, path=self.search)

    def source_of(self, path: str) -> str:
        """Where the program at a path comes from: PATH, if the chosen directory lacks it (runc, for example)."""
        return self.source if os.path.dirname(path) == self.search.partition(os.pathsep)[0] else "PATH"

    def check(self) -> None:
        """Raises FailedPreconditionError if a program is missing."""
        if self.source != "PATH":
            directory = self.search.partition(os.pathsep)[0]
            if shutil.which("containerd", path=directory) is None:
                raise FailedPreconditionError(f"there is no containerd in {directory}, which {self.source} names")
        for program in ("containerd", "runc"):
            if self.find(program) is None:
                raise FailedPreconditionError(
                    f"{program} is not on PATH: install it (on Debian: apt-get install {program}), "
                    "install an engine for pyctd (pip install 'pyctd[engine]'), "
                    "or give the address of a containerd that runs already"
                )

    def versions(self) -> dict[str, EngineProgram]:
        """The programs that were found, by name."""
        found = {}
        for name, flag in PROGRAMS.items():
            if (path := self.find(name)) is not None:
                _, said = _programs.ask([path, flag])
                found[name] = EngineProgram(_programs.version_in(said), path, self.source_of(path))
        return found


def choose(path: str | os.PathLike[str] | None) -> Binaries:
    """Chooses the programs: from ``path`` or ``PYCTD_ENGINE_PATH`` if given, then from the package pyctd-engine, then
    from PATH.

    Raises:
        InvalidArgumentError: ``PYCTD_ENGINE_PATH`` is a relative path.
    """
    if path is not None:
        return _first(_arguments.directory("path", path), "path")
    if named := os.environ.get(VARIABLE):
        if not os.path.isabs(named):
            raise InvalidArgumentError(f"{VARIABLE} must be an absolute path, not {named!r}")
        return _first(named, VARIABLE)
    try:
        import pyctd_engine
    except ImportError:
        return Binaries("PATH", os.pathsep.join(_programs.places()))
    return _first(os.fspath(pyctd_engine.directory()), "pyctd-engine")


def _first(directory: str, source: str) -> Binaries:
    if os.pathsep in directory:
        raise InvalidArgumentError(f"{directory!r} can't be put into PATH: it contains {os.pathsep!r}")
    return Binaries(source, os.pathsep.join([os.path.normpath(directory), *_programs.places()]))
