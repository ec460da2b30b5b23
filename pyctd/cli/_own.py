"""This program's own streams, or its terminal, for a process: what that writes gets there whole, or it is told."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import threading
from collections.abc import Callable

from .. import stdio
from .._streams.pumps import Pump, Reader
from .._streams.sinks import Descriptor
from ..stdio import DirectIO

__all__ = ["Inherited", "Own", "Terminal"]


class _Output(Descriptor):
    """Writes to a stream of this program's, and to nowhere once that has failed: the process must not stall.

    Args:
        fd: the stream's descriptor.
        unread: called when nobody reads it any more.

    Attributes:
        failure: why it can't be written, unless that is for want of somebody who reads it.
    """

    def __init__(self, fd: int, unread: Callable[[], object]) -> None:
        super().__init__(fd)
        self.failure: OSError | None = None
        self.name = {1: "stdout", 2: "stderr"}.get(fd, f"descriptor {fd}")
        self._unread = unread

    def __call__(self, data: bytes) -> None:
        try:
            super().__call__(data)
        except OSError as error:
            assert self.fd is not None
            hung_up = error.errno == errno.EIO and stat.S_ISCHR(os.fstat(self.fd).st_mode)
            self.fd = None
            if error.errno == errno.EPIPE:
                self._unread()
            elif not hung_up:
                self.failure = error


class Own(stdio._Callback):
    """What the two below share.

    Attributes:
        unread: called when nobody reads the output any more.
        started: set once the process runs.
    """

    def __init__(self, *, stdin: bool) -> None:
        super().__init__(stdin=stdin)  # type: ignore[call-arg]  # of the other base
        self.started = threading.Event()
        self.unread: Callable[[], object] = lambda: None
        self._outputs: list[_Output] = []

    def _pumps(self, dio: DirectIO, opened: contextlib.ExitStack) -> list[Pump]:
        pumps = super()._pumps(dio, opened)
        for pump in pumps:
            if isinstance(pump, Reader) and isinstance(pump.sink, Descriptor) and pump.sink.fd is not None:
                pump.sink = _Output(pump.sink.fd, self.unread)
                self._outputs.append(pump.sink)
        return pumps

    def whole(self) -> None:
        """Waits for all that an ended process wrote. The time that the reader takes does not count."""
        if self._io is not None:
            self._io.drain_patiently()

    def check(self) -> None:
        """Raises OSError if what the process wrote could not be written."""
        for output in self._outputs:
            if output.failure is not None:
                why = os.strerror(output.failure.errno or 0)
                raise OSError(f"{output.name} can't be written, and output is lost: {why}") from output.failure


class Inherited(Own, stdio.inherit):
    """``stdio.inherit``, whole."""


class Terminal(Own, stdio.terminal):
    """``stdio.terminal``, whole."""
