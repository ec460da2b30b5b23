"""Threads that move the bytes of a process's streams."""

from __future__ import annotations

import contextlib
import contextvars
import errno
import logging
import os
import select
import threading
import time
from collections.abc import Callable
from typing import ClassVar, TypeVar

from .._threads import name_thread
from .direct import DirectIO, Stream, leave, let_go
from .fifo import Fifo, Stopped, drain
from .keys import DetachKeys
from .sinks import Sink, splice, splice_target, typed_end

__all__ = ["Pump", "Reader", "Writer", "readers", "writers"]

_log = logging.getLogger("pyctd.stdio")

T = TypeVar("T")

CHUNK = 1 << 16
"""Bytes to move at once: a pipe's capacity. A larger buffer would be mapped and unmapped for each read."""


class Pump(threading.Thread):
    """Moves one stream's bytes on its own thread, and can be stopped at any moment.

    The pump owns the stream: only the pump closes it, when it ends. So it never uses a descriptor that meanwhile
    belongs to another file.
    """

    MODE: ClassVar[int]

    def __init__(self, stream: Stream) -> None:
        super().__init__(name=f"pyctd-{stream.name}", daemon=True)
        self.stream = stream
        self.at_end: Callable[[Pump], object] = lambda pump: None
        self._made_in = contextvars.copy_context()
        self._fifo: Fifo

    def start(self) -> None:
        """Starts the pump. If that fails, it keeps no descriptor."""
        self._fifo = Fifo(self.MODE)
        try:
            super().start()
        except Exception:
            self._fifo.close()
            raise

    def stop(self) -> None:
        """Ends the pump once it has moved the bytes that are there already."""
        self._fifo.stop()

    def run(self) -> None:
        """Moves the bytes: the body of the thread."""
        name_thread(self.name)
        try:
            self._made_in.run(self._live)
        except Exception:
            _log.exception("%s ended early", self.name)
        finally:
            self._fifo.close()
            self.leave()
            self.at_end(self)

    def _live(self) -> None:
        try:
            fd = self.stream.fileno()
        except (OSError, ValueError):
            return  # the process is gone and never opened it
        try:
            self._fifo.open(fd)
        except OSError as error:
            if error.errno == errno.ENXIO:  # nobody reads it any more
                return
            raise
        let_go(self.stream)  # closes its descriptor: the FIFO has its own
        with contextlib.suppress(OSError, Stopped):  # its other end is gone
            self.pump(self._fifo)

    def leave(self) -> None:
        """Closes the stream when the pump has ended."""
        self.stream.close()

    def pump(self, fifo: Fifo) -> None:
        """Moves the bytes between the FIFO and the pump's sink or source."""
        raise NotImplementedError


class Reader(Pump):
    """Passes a stream's bytes to a sink. While the sink blocks, the stream fills up and then blocks the process, like
    any pipe.

    Attributes:
        sink: takes the bytes.
    """

    MODE = os.O_RDONLY

    def __init__(self, stream: Stream, sink: Sink, at_eof: Callable[[], object] = lambda: None) -> None:
        super().__init__(stream)
        self.sink = sink
        self._at_eof = at_eof
        self._taken: tuple[float, float | None] = (0.0, None)  # total seconds in the sink; start of its current call

    def pump(self, fifo: Fifo) -> None:
        """Moves bytes from the FIFO to the sink."""
        self._splices_to = splice_target(self.sink)
        try:
            while fifo.move(self._move, CHUNK):
                pass
        except Stopped:
            drain(fifo.fileno(), self._move)
        finally:
            self._at_eof()

    def taken(self) -> float:
        """Seconds spent in the sink so far."""
        seconds, since = self._taken
        return seconds if since is None else seconds + time.monotonic() - since

    def _timed(self, give: Callable[..., T], *args: object) -> T:
        self._taken = (self._taken[0], time.monotonic())
        try:
            return give(*args)
        finally:
            self._taken = (self.taken(), None)

    def _move(self, fd: int, limit: int) -> int:
        if self._splices_to is not None:
            # Either end may not be ready. If it is the FIFO, os.read raises too; if it is the sink, the sink waits.
            with contextlib.suppress(BlockingIOError):
                moved = self._timed(splice, fd, self._splices_to, limit)
                if moved is not None:
                    return moved
                self._splices_to = None
        data = os.read(fd, limit)
        if data:
            try:
                self._timed(self.sink, data)
            except Exception:  # the process must not stall because its reader failed
                _log.exception("the receiver of %s raised", self.name)
        return len(data)


class Writer(Pump):
    """Writes bytes, or a descriptor's contents, and then closes the stream, unless the process has a terminal.

    Args:
        stream: the process's stdin.
        source: the input: bytes, or a descriptor to read to its end.
        terminal: whether the stream is a terminal's input.
        keys: the detach keys. They end the input early, without ending that of the terminal.
    """

    MODE = os.O_WRONLY

    def __init__(
        self, stream: Stream, source: bytes | int, terminal: bool = False, keys: DetachKeys | None = None
    ) -> None:
        super().__init__(stream)
        self.terminal = terminal
        self._source = source
        self._keys = keys
        self._last = b""  # the last byte written

    @property
    def detached(self) -> bool:
        """Whether the detach keys have come."""
        return self._keys is not None and self._keys.found

    def leave(self) -> None:
        """Closes the stream, but leaves a terminal's input open for the process."""
        if self.terminal:
            leave(self.stream)
        else:
            super().leave()

    def pump(self, fifo: Fifo) -> None:
        """Moves bytes from the source to the FIFO."""
        if isinstance(self._source, bytes):
            self._write(fifo, self._source)
        else:
            self._write_all_of(self._source, fifo)
        if self.terminal and not self.detached:
            self._write(fifo, typed_end(self._last))

    def _write_all_of(self, source: int, fifo: Fifo) -> None:
        target = None if self.terminal else fifo.fileno()
        while fifo.wait(source, select.POLLIN) and fifo.wait():
            with contextlib.suppress(BlockingIOError):
                moved = None if target is None else splice(source, target, CHUNK)
                if moved is None:
                    target, moved = None, self._copy(source, fifo)
                if moved == 0:
                    return

    def _copy(self, source: int, fifo: Fifo) -> int:
        data = os.read(source, CHUNK)
        if data:
            self._write(fifo, self._keys(data) if self._keys else data)
        return 0 if self.detached else len(data)

    def _write(self, fifo: Fifo, data: bytes) -> None:
        self._last = data[-1:] or self._last
        fifo.write(data)


def readers(dio: DirectIO, out: Sink, err: Sink) -> list[Pump]:
    """Pumps for stdout and stderr, if the process has them."""
    streams = ((dio.stdout, out), (dio.stderr, err))
    return [Reader(stream, sink) for stream, sink in streams if stream is not None]


def writers(dio: DirectIO, source: bytes | int | None, keys: DetachKeys | None = None) -> list[Pump]:
    """A pump for stdin, if the process has one and there is a source: bytes, or a descriptor to read."""
    return [] if source is None or dio.stdin is None else [Writer(dio.stdin, source, dio.config().terminal, keys)]
