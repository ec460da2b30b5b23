"""Another user of the machine, and what it must not get."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

__all__ = ["NOBODY", "kept", "open_to_all", "replaced", "running", "successor"]

NOBODY = 65534


def kept(directory: Path) -> bool:
    return (directory / "file").read_text() == "precious"


def open_to_all(state: Path) -> None:
    """Makes the directory above a state directory one like /tmp."""
    state.parent.mkdir()
    state.parent.chmod(0o1777)


@contextlib.contextmanager
def replaced(state: Path, elsewhere: Path) -> Iterator[None]:
    """Has another user replace a state directory, as after a clean-up of /tmp, by one whose ``bundles`` is a link."""
    away = state.parent.with_name("away")
    state.rename(away)
    plant = 'mkdir "$1" && ln -s "$2" "$1/bundles"'
    subprocess.run(["/bin/sh", "-c", plant, "sh", state, elsewhere], check=True, user=NOBODY, group=NOBODY)
    try:
        yield
    finally:
        (state / "bundles").unlink()
        state.rmdir()
        away.rename(state)


@contextlib.contextmanager
def running(program: str, args: Sequence[str], cwd: Path, user: int | None) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(args, executable=program, cwd=cwd, user=user, group=user, stdin=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()


@contextlib.contextmanager
def successor(
    number: int, args: Sequence[str] = ("sleep", "600"), user: int | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A process with a number that was another's."""
    for _ in range(100):  # others take numbers, too
        Path("/proc/sys/kernel/ns_last_pid").write_text(str(number - 1))
        with running(f"/bin/{args[0]}", args, Path("/"), user) as process:
            if process.pid == number:
                yield process
                return
    pytest.skip("another process has the number")
