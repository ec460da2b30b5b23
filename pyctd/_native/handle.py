"""Handles: what Go makes is a number here, and has an owner that releases it."""

from typing import Any

from .. import errors
from .library import state, usable

__all__ = ["Argument", "Handle", "flatten", "release"]


def release(number: int) -> None:
    """Releases a handle by its number."""
    if usable():
        state.lib.pyctd_release(number)


class Handle:
    """Owns one handle: released by ``close``, or let go when nothing refers to it any more.

    ``close`` releases it at once: the IOs that a client has are closed when it returns, on this thread. The finalizer
    runs no code of Python's, neither its own nor an IO's, which is closed on a thread of Go's a little later. It may
    interrupt any code on any thread, so that a lock which an IO's ``close`` takes may be held by that very thread; and
    what a signal's handler raises in a finalizer is lost.

    Attributes:
        what: what it is, in words.
        container_id: the container that it is, or belongs to; None for others.
        process_id: the process that it is.
    """

    process_id: str | None = None

    def __init__(self, number: int, what: str, container_id: str | None = None) -> None:
        self._number = number
        self.what = what
        self.container_id = container_id
        self._owned = state.ffi.gc(state.ffi.cast("void *", number), state.lib.pyctd_py_release)
        self._closed = False

    @property
    def number(self) -> int:
        """The number to pass to Go. Raises ClosedError when closed."""
        if self._closed:
            raise errors.ClosedError(f"{self.what} is closed")
        return self._number

    @property
    def closed(self) -> bool:
        """Whether it is closed."""
        return self._closed

    def close(self) -> None:
        """Releases the handle; a second time does nothing."""
        self._closed = True
        release(self._number)
        state.ffi.release(self._owned)  # whose finalizer finds it released; where an interrupt came first, it does it

    def disown(self) -> None:
        """Forgets the handle, which Go has released already."""
        self._closed = True
        state.ffi.gc(self._owned, None)


Argument = str | bytes | int | Handle
"""An argument of an export. Strings and bytes are passed with their lengths."""


def flatten(args: tuple[Argument, ...]) -> list[Any]:
    """Arguments as C takes them."""
    flat: list[Any] = []
    for arg in args:
        if isinstance(arg, Handle):
            flat.append(arg.number)
            continue
        if isinstance(arg, str):
            arg = arg.encode()
        if isinstance(arg, bytes):
            flat += (arg, len(arg))
        else:
            flat.append(arg)
    return flat
