"""Handles: the numbers of Go's objects, each with an owner that releases it."""

from typing import Any

from .. import errors
from .library import state, usable

__all__ = ["Argument", "Handle", "flatten", "release"]


def release(number: int) -> None:
    """Releases a handle by its number."""
    if usable():
        state.lib.pyctd_release(number)


class Handle:
    """Owns one handle, which ``close`` or the finalizer releases.

    ``close`` releases it at once: it closes a client's IOs on this thread before it returns. The finalizer runs no
    Python code, neither its own nor an IO's: a Go thread closes the IOs a little later. A finalizer can interrupt any
    code on any thread, and that thread may hold the very lock that an IO's ``close`` takes. Python also loses what a
    signal handler raises in a finalizer.

    Attributes:
        what: a description of the object.
        container_id: the id of the container that it is or belongs to; None for others.
        process_id: the id of the process that it is.
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
        """The number to pass to Go. Raises ClosedError if the handle is closed."""
        if self._closed:
            raise errors.ClosedError(f"{self.what} is closed")
        return self._number

    @property
    def closed(self) -> bool:
        """Whether the handle is closed."""
        return self._closed

    def close(self) -> None:
        """Releases the handle; a second time does nothing."""
        self._closed = True
        release(self._number)
        state.ffi.release(self._owned)  # its finalizer releases the handle if an interrupt came first

    def disown(self) -> None:
        """Forgets the handle, which Go has released already."""
        self._closed = True
        state.ffi.gc(self._owned, None)


Argument = str | bytes | int | Handle
"""An argument of an export. Strings and bytes are passed with their lengths."""


def flatten(args: tuple[Argument, ...]) -> list[Any]:
    """Converts arguments to those of the C function."""
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
