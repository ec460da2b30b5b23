"""A containerd that a test starts itself, so that it can kill it, and have another one take its place at once."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyctd

from . import leaks
from .box import eventually

__all__ = ["CONTAINERD_2", "Daemon", "daemon"]

CONTAINERD_2 = Path(__file__).parents[2] / ".venv" / "containerd-2"


class Daemon:
    """A containerd on directories and a socket below one directory; the socket is where an engine with the state ``s``
    there would have it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.address = str(directory / "s" / "containerd.sock")
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Its process id, while it runs."""
        assert self.process
        return self.process.pid

    def start(self, programs: Path | None = None) -> None:
        """Starts the one from PATH, or from a directory with its shim, and returns when it serves."""
        config = self.directory / "containerd.toml"
        config.write_text(
            f'version = 2\nroot = "{self.directory}/r"\nstate = "{self.directory}/s/c"\n'
            f'disabled_plugins = ["io.containerd.grpc.v1.cri"]\n[grpc]\n  address = "{self.address}"\n'
        )
        path = os.environ["PATH"] if programs is None else f"{programs}:{os.environ['PATH']}"
        program = shutil.which("containerd", path=path)
        assert program
        with (self.directory / "log").open("ab") as log:
            command = [program, "--config", str(config), "--log-level", "warn"]
            env = os.environ | {"PATH": path}
            self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd="/", env=env)
        eventually(self._serves, "a containerd that serves")

    def _serves(self) -> bool:
        try:
            self.client(timeout=60).close()
        except (pyctd.UnavailableError, pyctd.DeadlineExceededError):
            return False
        return True

    @property
    def bundles(self) -> Path:
        """Where its clients' bundles live."""
        return self.directory / "bundles" / "moby"

    def client(self, **options: Any) -> pyctd.Client:
        """A client of it."""
        return pyctd.Client(self.address, "moby", self.bundles, **options)

    def stop(self, number: int = signal.SIGTERM) -> None:
        """Ends it by a signal; its shims live on."""
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(timeout=60)
            self.process = None

    def kill(self, meanwhile: Callable[[], object] = lambda: None) -> None:
        """Kills it, whose shims live on, and starts the next."""
        self.stop(signal.SIGKILL)
        meanwhile()
        self.start()


@contextlib.contextmanager
def daemon(directory: Path) -> Iterator[Daemon]:
    """One that is not started yet, and killed at the end."""
    one = Daemon(directory)
    try:
        yield one
    finally:
        one.stop(signal.SIGKILL)
        leaks.remove_cgroups(directory)
