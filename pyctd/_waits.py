"""Waits for descriptors that another thread can end. Closing a descriptor does not end a wait for it on Linux, and lets
it become another file's while it is still in use."""

from __future__ import annotations

import contextlib
import os
import select
import threading
from collections.abc import Callable
from typing import TypeVar

from . import _native

__all__ = ["FifoEnd", "Stop"]

T = TypeVar("T")


class Stop:
    """Ends the waits that go through it, now and later."""

    def __init__(self) -> None:
        self._fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._lock = threading.Lock()
        self._closed = False

    def set(self) -> None:
        """Ends the waits. After ``close`` it does nothing, nor does a forked child: the waits are its parent's."""
        with self._lock:
            if not (self._closed or _native.forked()):
                os.eventfd_write(self._fd, 1)

    def ready(self, fd: int, event: int) -> bool:
        """Waits until fd is ready for event; False when stopped."""
        poll = select.poll()
        poll.register(fd, event)
        poll.register(self._fd, select.POLLIN)
        return all(ready != self._fd for ready, _ in poll.poll())

    def close(self) -> None:
        """Gives the descriptor back; nobody may wait any more."""
        with self._lock:
            if not self._closed:
                self._closed = True
                os.close(self._fd)


class FifoEnd:
    """An end of a FIFO whose reads and writes wait, and end when it is closed.

    It is a description of its own for the FIFO behind a descriptor, so that it alone is non-blocking.
    """

    def __init__(self, fd: int, mode: int) -> None:
        self._event = select.POLLOUT if mode == os.O_WRONLY else select.POLLIN
        self._stop = Stop()
        try:
            self._fd = os.open(f"/proc/self/fd/{fd}", mode | os.O_NONBLOCK | os.O_CLOEXEC)
        except BaseException:
            self._stop.close()
            raise
        self._lock = threading.Lock()
        self._users = 0
        self._closed = False

    def move(self, once: Callable[..., T], *args: object) -> T:
        """What once returns for the descriptor and args, when it does not raise BlockingIOError.

        Raises:
            ValueError: it is closed, by another thread perhaps.
        """
        with self._lock:
            self._check()
            self._users += 1
        try:
            while True:
                with contextlib.suppress(BlockingIOError):
                    return once(self._fd, *args)
                self._stop.ready(self._fd, self._event)
                self._check()
        finally:
            with self._lock:
                self._users -= 1
                self._give_back()

    def _check(self) -> None:
        if self._closed:
            raise ValueError("I/O operation on closed file")

    def close(self) -> None:
        """Ends what goes on, and closes the descriptor when nobody uses it any more."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._stop.set()
                self._give_back()

    def _give_back(self) -> None:
        if self._closed and not self._users:
            os.close(self._fd)
            self._stop.close()
