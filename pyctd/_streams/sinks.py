"""What takes a stream's bytes, and how bytes get from one descriptor to another."""

from __future__ import annotations

import os
import select
import stat
from collections.abc import Callable
from typing import BinaryIO

from .. import _arguments

__all__ = ["FileSink", "Sink", "discard", "splice", "splice_target", "typed_end"]

Sink = Callable[[bytes], object]
"""Takes a stream's bytes as they come, on the stream's own thread. While it does not return, the process waits."""


def discard(data: bytes) -> None:
    """A sink that throws everything away."""


class FileSink:
    """A sink that writes everything to a descriptor.

    The descriptor may be non-blocking: other programs share its flags, and any of them can set them at any time. The
    sink then waits, as a blocking write does.

    Args:
        file: a descriptor, or a binary file that has one. It must stay open.
        on_error: called with the first error; what comes after that is thrown away, so that the process does not stall.
            None: each error is raised, which a process's stream logs, and the next bytes are tried again.
    """

    def __init__(self, file: int | BinaryIO, *, on_error: Callable[[OSError], object] | None = None) -> None:
        _arguments.receiver("on_error", on_error)
        self._file = file  # an open file closes its descriptor when it is collected
        self._fd = file if isinstance(file, int) else _arguments.descriptor("file", file)
        self._on_error = on_error
        self._failed = False

    def __call__(self, data: bytes) -> None:
        """Writes data.

        Raises:
            OSError: it can't be written, and there is no ``on_error``.
        """
        if self._failed:
            return
        try:
            self._write(data)
        except OSError as error:
            if self._on_error is None:
                raise
            self._failed = True
            self._on_error(error)

    def _write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[os.write(self._fd, rest) :]
            except BlockingIOError:
                poll = select.poll()
                poll.register(self._fd, select.POLLOUT)
                poll.poll()


def splice_target(sink: Sink) -> int | None:
    """The descriptor that a sink writes to, if the kernel may do it instead. Not a regular file's: splice takes no lock
    of a file's position, so that two streams that write to one file at once would lose output."""
    if not isinstance(sink, FileSink) or stat.S_ISREG(os.fstat(sink._fd).st_mode):
        return None
    return sink._fd


def splice(source: int, target: int, limit: int) -> int | None:
    """Moves bytes inside the kernel. Returns how many, or None if these two can't: to a terminal, say, or to a file
    opened for appending. If something else is wrong, reading and writing will tell.

    Raises:
        BlockingIOError: an end is not ready.
    """
    try:
        return os.splice(source, target, limit)
    except BlockingIOError:
        raise
    except OSError:
        return None


def typed_end(last: bytes) -> bytes:
    """What ends the input of a terminal: Ctrl-D. It hands a program what has been typed of a line; at the start of a
    line that is nothing, which means the end.

    The terminal's stdin stays open, as with dockerd: when it is closed, containerd's shim hangs the terminal up.

    Args:
        last: the last byte before it, or nothing.
    """
    return b"\x04" if last in b"\r\n\x04" else b"\x04\x04"
