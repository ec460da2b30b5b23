"""``Fifo``: one end of a process's FIFO. Everything that waits for a FIFO uses it.

On Linux, closing a descriptor does not end another thread's wait for it, and another file may get its number while it
is still in use. So a wait here also polls an eventfd, which ends it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from .. import _native

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

__all__ = ["Fifo", "Stopped", "drain"]

T = TypeVar("T")


class Stopped(ValueError):
    """``Fifo.stop`` or ``Fifo.close`` ended a wait."""


class Fifo:
    """One end of a FIFO. Its reads and writes wait until they can proceed, or until another thread stops them.

    Args:
        mode: ``os.O_RDONLY`` or ``os.O_WRONLY``.
    """

    def __init__(self, mode: int) -> None:
        self._mode = mode
        self._lock = threading.Lock()
        self._users = 0
        self._stopped = False
        self._closing = False
        self._fd = -1
        self._stop_fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def open(self, fd: int) -> None:
        """Opens the FIFO behind a descriptor again, so that only this file description is non-blocking.

        Read before the first wait: a FIFO opened after its last writer has gone does not poll as hung up.
        """
        try:
            self._fd = os.open(f"/proc/self/fd/{fd}", self._mode | os.O_NONBLOCK | os.O_CLOEXEC)
        except BaseException:
            self.close()
            raise

    def fileno(self) -> int:
        """The non-blocking descriptor."""
        return self._fd

    def move(self, once: Callable[..., T], *args: object) -> T:
        """Calls ``once`` with the descriptor and args until it no longer raises BlockingIOError. Returns its result.

        Raises:
            Stopped: another thread stops or has stopped this end.
        """
        with self._lock:
            self._check()
            self._users += 1
        try:
            while True:
                with contextlib.suppress(BlockingIOError):
                    return once(self._fd, *args)
                self.wait()
                self._check()
        finally:
            with self._lock:
                self._users -= 1
                self._give_back()

    def write(self, data: ReadableBuffer) -> int:
        """Writes all of data. Returns its length in bytes. Raises like ``move``."""
        rest = memoryview(data).cast("B")
        length = len(rest)
        while rest:
            rest = rest[self.move(os.write, rest) :]
        return length

    def wait(self, fd: int | None = None, event: int = 0) -> bool:
        """Waits until the FIFO is ready, or another descriptor if given. Returns False if stopped."""
        poll = select.poll()
        if fd is None:
            poll.register(self._fd, select.POLLOUT if self._mode == os.O_WRONLY else select.POLLIN)
        else:
            poll.register(fd, event)
        poll.register(self._stop_fd, select.POLLIN)
        return all(ready != self._stop_fd for ready, _ in poll.poll())

    def stop(self) -> None:
        """Ends current and later waits. In a forked child, it leaves the parent's waits alone."""
        with self._lock:
            self._stopped = True
            if self._stop_fd >= 0 and not _native.forked():
                os.eventfd_write(self._stop_fd, 1)

    def close(self) -> None:
        """Ends the waits, and closes the descriptors once no thread uses them."""
        self.stop()
        with self._lock:
            self._closing = True
            self._give_back()

    def _check(self) -> None:
        if self._stopped:
            raise Stopped("I/O operation on closed file")

    def _give_back(self) -> None:
        if not self._closing or self._users:
            return
        for fd in (self._fd, self._stop_fd):
            if fd >= 0:
                os.close(fd)
        self._fd = self._stop_fd = -1


def drain(fd: int, move: Callable[[int, int], int]) -> None:
    """Moves at most one pipe's capacity out of a FIFO, because its writer may never stop.

    Args:
        fd: the FIFO's non-blocking descriptor.
        move: takes fd and a limit; returns how many bytes it moved, 0 at the end.
    """
    left = fcntl.fcntl(fd, fcntl.F_GETPIPE_SZ)
    with contextlib.suppress(BlockingIOError):  # it is empty
        while left > 0 and (moved := move(fd, left)):
            left -= moved
