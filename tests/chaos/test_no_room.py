"""No disk and no write access: a clear error, nothing left, and on it goes."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support import leaks
from support.box import Box
from support.chaos import Fault, much
from support.soak import at_length

import pyctd
from pyctd.stdio import capture

pytestmark = at_length

Harm = contextlib.AbstractContextManager[None]


@contextlib.contextmanager
def mounted(directory: Path, *args: str) -> Iterator[None]:
    """A directory with something mounted on it."""
    directory.mkdir(exist_ok=True)
    subprocess.run(["mount", *args, str(directory)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(directory)], check=True)


@contextlib.contextmanager
def full(directory: Path) -> Iterator[None]:
    """A directory on whose disk nothing can be made any more, neither bytes nor files."""
    filling = directory / "filling"
    with contextlib.suppress(OSError), filling.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(1 << 16))
    more: list[Path] = []
    with contextlib.suppress(OSError):
        while True:
            more.append(directory / f"filling-{len(more)}")
            more[-1].mkdir()
    try:
        yield
    finally:
        filling.unlink()
        for one in more[:-1]:
            one.rmdir()


@contextlib.contextmanager
def read_only(directory: Path) -> Iterator[None]:
    subprocess.run(["mount", "-o", "remount,ro,bind", str(directory)], check=True)
    try:
        yield
    finally:
        subprocess.run(["mount", "-o", "remount,rw,bind", str(directory)], check=True)


def suffer(fault: Fault, client: pyctd.Client, rootfs: Path, words: str, harm: Callable[[Path], Harm]) -> None:
    """A client whose state directory is harmed: before a container is made, and before its task is."""
    state = Path(client.state_dir).parent
    box = Box(client, rootfs)
    box.run("/bin/true")
    for _ in range(fault.tries):
        with harm(state):
            fault.must_fail(words, box.container)
        fault.leaked += [f"bundle {name}" for name in leaks.bundles_of(client)]
        assert box.run("/bin/echo", "again")[1].stdout == b"again\n"
        container = box.container()
        with harm(state):
            fault.must_fail(words, lambda: container.start(attach_stdio=capture(), timeout=60))  # noqa: B023
        with pytest.raises(pyctd.NotFoundError):
            container.task(timeout=60)
        container.start(attach_stdio=capture(), timeout=60).force_delete(timeout=60)
        container.delete(timeout=60)
        fault.leaked += [f"bundle {name}" for name in leaks.bundles_of(client)]
    box.clean()


Elsewhere = Callable[[Path], pyctd.Client]


@pytest.fixture
def elsewhere(engine: pyctd.Engine, namespace: str) -> Elsewhere:
    """Makes a client whose bundles live below another directory."""
    return lambda directory: pyctd.Client(engine.address, namespace, directory / "b", timeout=60)


def test_the_disk_of_the_state_directory_is_full(fault: Fault, elsewhere: Elsewhere, place: Path, rootfs: Path) -> None:
    fault.name, fault.tries = "the state directory's disk is full", much("ROOM", 2)
    with (
        mounted(place / "d", "-t", "tmpfs", "-o", "size=1m,nr_inodes=64,mode=755", "tmpfs"),
        elsewhere(place / "d") as client,
    ):
        suffer(fault, client, rootfs, "no space left on device", full)


def test_the_state_directory_is_read_only(fault: Fault, elsewhere: Elsewhere, place: Path, rootfs: Path) -> None:
    fault.name, fault.tries = "the state directory is read-only", much("ROOM", 2)
    (place / "d").mkdir()
    with mounted(place / "d", "--bind", str(place / "d")), elsewhere(place / "d") as client:
        suffer(fault, client, rootfs, "read-only file system", read_only)


def test_the_disk_of_containerd_is_full(fault: Fault, place: Path, rootfs: Path) -> None:
    fault.name, fault.tries = "containerd's disk is full", much("ROOM", 2)
    with (
        mounted(place / "d", "-t", "tmpfs", "-o", "size=64m,nr_inodes=2k", "tmpfs"),
        pyctd.Engine(root=place / "d" / "r", state=place / "d" / "s") as engine,
        engine.client(timeout=60) as client,
    ):
        box = Box(client, rootfs)
        for _ in range(fault.tries):
            container = box.container()
            with full(place / "d"):
                fault.must_fail("no space left on device", lambda: container.start(timeout=60))  # noqa: B023
            container.start(attach_stdio=capture(), timeout=60).force_delete(timeout=60)
            container.delete(timeout=60)
        fault.leaked += [f"bundle {name}" for name in leaks.bundles_of(client)]
