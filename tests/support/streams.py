"""A test's own pipes, used as a process's streams."""

from __future__ import annotations

import os
import threading
from typing import Any

import pyctd

__all__ = ["End", "Streams", "drain", "feed", "join", "pipe"]


class End:
    """One end of a pipe, used as a process's stream."""

    def __init__(self, fd: int) -> None:
        self.name = "test"
        self._fd = fd

    def fileno(self) -> int:
        return self._fd

    def _let_go(self) -> None:
        os.close(self._fd)
        self._fd = -1

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)


class Streams:
    """A DirectIO of such streams."""

    def __init__(self, stdout: Any = None, stderr: Any = None, stdin: Any = None, *, terminal: bool = False) -> None:
        self.stdin, self.stdout, self.stderr = stdin, stdout, stderr
        self._config = pyctd.Config(terminal, "", "", "")

    def config(self) -> pyctd.Config:
        return self._config


def pipe() -> tuple[Any, int]:
    """A stream to read, and the descriptor to write to it."""
    source, target = os.pipe()
    return End(source), target


def feed(fd: int, data: bytes) -> threading.Thread:
    """Writes data on a thread, and then closes the descriptor."""

    def write() -> None:
        with os.fdopen(fd, "wb", buffering=0) as file:
            rest = memoryview(data)
            while rest:
                rest = rest[file.write(rest) or 0 :]

    thread = threading.Thread(target=write)
    thread.start()
    return thread


def drain(fd: int, into: list[bytes]) -> threading.Thread:
    """Reads everything on a thread, and then closes the descriptor."""

    def read() -> None:
        with os.fdopen(fd, "rb") as file:
            into.append(file.read())

    thread = threading.Thread(target=read)
    thread.start()
    return thread


def join(*threads: threading.Thread) -> None:
    """Waits until threads end."""
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
