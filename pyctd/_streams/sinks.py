"""Sinks, which take a stream's bytes, and ways to move bytes between descriptors."""

from __future__ import annotations

import os
import select
import stat
from collections.abc import Callable
from typing import BinaryIO

from .. import _arguments

__all__ = ["FileSink", "Sink", "discard", "splice", "splice_target", "typed_end"]

Sink = Callable[[bytes], object]
"""Takes a stream's bytes as they come, on the stream's own thread. While it blocks, the pipe fills, and then the
process blocks."""


def discard(data: bytes) -> None:
    """A sink that discards everything."""


class FileSink:
    """A sink that writes everything to a descriptor.

    The descriptor may be non-blocking: programs that share it can change its flags at any time. The sink then waits,
    like a blocking write.

    Args:
        file: a descriptor, or a binary file that has one. It must stay open.
        on_error: called with the first error. Later bytes are discarded, so that the process does not stall. None: each
            error is raised (a process's stream logs it), and later bytes are written again.
    """

    def __init__(self, file: int | BinaryIO, *, on_error: Callable[[OSError], object] | None = None) -> None:
        _arguments.receiver("on_error", on_error)
        self._file = file  # kept alive: a collected file closes its descriptor
        self._fd = file if isinstance(file, int) else _arguments.descriptor("file", file)
        self._on_error = on_error
        self._failed = False

    def __call__(self, data: bytes) -> None:
        """Writes data.

        Raises:
            OSError: the write failed, and there is no ``on_error``.
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
    """The descriptor that a sink writes to, if the kernel may write to it instead; not that of a regular file. Splice
    does not lock the file position, so two streams that write to one file at once would lose output."""
    if not isinstance(sink, FileSink) or stat.S_ISREG(os.fstat(sink._fd).st_mode):
        return None
    return sink._fd


def splice(source: int, target: int, limit: int) -> int | None:
    """Moves bytes inside the kernel. Returns how many, or None if these descriptors don't support it, such as a
    terminal or a file opened for appending. It returns None for other errors too: reading and writing will report them.

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
    """The bytes that end a terminal's input: one or two Ctrl-Ds. Ctrl-D gives the program the incomplete line. At the
    start of a line that is empty, which means end-of-file.

    As with dockerd, the terminal's stdin stays open: if it is closed, containerd's shim hangs the terminal up.

    Args:
        last: the last byte written, or empty bytes.
    """
    return b"\x04" if last in b"\r\n\x04" else b"\x04\x04"
