"""The environment of a run: a private containerd, a root file system, and the fake event service."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from support.busybox import make_rootfs

import pyctd

GO = Path(__file__).resolve().parents[2] / ".venv" / "bench"
"""The Go side's program, built by ``make bench``."""

_setups = itertools.count(1)


@dataclass(frozen=True)
class Place:
    """The environment that every side uses."""

    engine: pyctd.Engine
    directory: Path
    rootfs: Path

    def setup(self, side: str) -> dict[str, str]:
        """The setup request, the first line to a side's program."""
        return {
            "address": self.engine.address,
            "namespace": f"bench-{side}-{os.getpid()}-{next(_setups)}",  # an ended side may leave things
            "state": str(self.directory / "b"),
            "spec": str(self.directory / "spec.json"),
            "rootfs": str(self.rootfs),
            "events": str(self.directory / "events.sock"),
            "directory": str(self.directory),
        }


@contextlib.contextmanager
def place() -> Iterator[Place]:
    """Sets up the environment, and tears it down."""
    directory = Path(tempfile.mkdtemp(prefix="pb-"))  # short, because of the sockets in it
    try:
        with pyctd.Engine(root=directory / "r", state=directory / "s") as engine:
            rootfs = make_rootfs(directory / "rootfs")
            spec = pyctd.spec.default(rootfs, ["/bin/true"], readonly=True)
            (directory / "spec.json").write_text(json.dumps(spec))
            here = Place(engine, directory, rootfs)
            with _events_service(directory / "events.sock"):
                yield here
            _delete_all(engine.address)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@contextlib.contextmanager
def _events_service(socket: Path) -> Iterator[None]:
    service = subprocess.Popen([GO, "events", "-socket", str(socket)], stdin=subprocess.PIPE)
    try:
        until = time.monotonic() + 10
        while not socket.exists():
            if service.poll() is not None or time.monotonic() > until:
                raise RuntimeError("the events service did not start")
            time.sleep(0.01)
        yield
    finally:
        service.communicate()  # it ends at the end of its stdin


def _ctr(address: str, *args: str) -> list[str]:
    return subprocess.run(["ctr", "--address", address, *args], capture_output=True, text=True).stdout.split()


def _delete_all(address: str) -> None:
    """Deletes everything that the sides left running."""
    for namespace in _ctr(address, "namespaces", "ls", "-q"):
        for id in _ctr(address, "-n", namespace, "tasks", "ls", "-q"):
            _ctr(address, "-n", namespace, "tasks", "rm", "-f", id)
        for id in _ctr(address, "-n", namespace, "containers", "ls", "-q"):
            _ctr(address, "-n", namespace, "containers", "rm", id)
