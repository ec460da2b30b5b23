"""How bytes get from one descriptor to another."""

from __future__ import annotations

import os
import select
import stat
from collections.abc import Callable

__all__ = ["Descriptor", "Sink", "Splice", "typed_end"]

Sink = Callable[[bytes], object]
"""Takes a stream's bytes as they come."""


def typed_end(last: bytes) -> bytes:
    """What ends the input of a terminal: Ctrl-D. It hands a program what has been typed of a line; at the start of a
    line that is nothing, which means the end.

    The terminal's stdin stays open, as with dockerd: when it is closed, containerd's shim hangs the terminal up.

    Args:
        last: the last byte before it, or nothing.
    """
    return b"\x04" if last in b"\r\n\x04" else b"\x04\x04"


class Descriptor:
    """A sink that writes all to a descriptor; to nowhere for None.

    The descriptor may be non-blocking: its flags are shared with other programs, any of which can set them at any time.
    A write then waits as a blocking one does.
    """

    def __init__(self, fd: int | None) -> None:
        self.fd = fd

    def spliceable(self) -> int | None:
        """The descriptor, unless it is a regular file's: splice takes no lock of a file's position, so that what two
        streams write to the same file at once would be lost."""
        return None if self.fd is None or stat.S_ISREG(os.fstat(self.fd).st_mode) else self.fd

    def __call__(self, data: bytes) -> None:
        """Writes data."""
        rest = memoryview(data)
        while self.fd is not None and rest:
            try:
                rest = rest[os.write(self.fd, rest) :]
            except BlockingIOError:
                poll = select.poll()
                poll.register(self.fd, select.POLLOUT)
                poll.poll()


class Splice:
    """Moves bytes inside the kernel, where both ends can: not to files opened for appending, nor terminals."""

    def __init__(self, source: int, target: int | None) -> None:
        self._ends = None if target is None else (source, target)

    def __call__(self, limit: int) -> int | None:
        """How many bytes it has moved; None when they must be read and written, then and from then on.

        Raises:
            BlockingIOError: the target takes nothing now.
        """
        if self._ends is None:
            return None
        try:
            return os.splice(*self._ends, limit)
        except BlockingIOError:
            raise
        except OSError:  # what is wrong, if it is more than that these two can't, reading and writing will tell
            self._ends = None
            return None
