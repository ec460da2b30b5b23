"""Threads that move the bytes of a process's streams."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import select
import threading
import time
from collections.abc import Callable

from . import errors
from .directio import Config, DirectIO, Made, ReadyIO, Stream

__all__ = ["Pump", "PumpedIO", "Reader", "Sink", "Writer", "readers", "write_to", "writers"]

_log = logging.getLogger("pyctd.stdio")

CHUNK = 1 << 20
GRACE = 2.0
"""Seconds that an ended process's output may still take: a child that it left behind can hold its streams open for
ever. dockerd gives as many."""

Sink = Callable[[bytes], object]


class Pump(threading.Thread):
    """Moves one stream's bytes on a thread of its own, and can be stopped at any moment.

    The stream is the pump's: it closes it when it ends, and nobody else does meanwhile, so that no descriptor is used
    that has become another file's.
    """

    def __init__(self, stream: Stream) -> None:
        super().__init__(name=f"pyctd-{stream.name}", daemon=True)
        self.stream = stream
        self.at_end: Callable[[Pump], object] = lambda pump: None
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._lock = threading.Lock()
        self._ended = False

    def stop(self) -> None:
        """Ends the pump once it has moved what is there already."""
        with self._lock:
            if not self._ended:
                os.eventfd_write(self._wake, 1)

    def run(self) -> None:
        try:
            with contextlib.suppress(OSError, ValueError):  # never opened, or its other end is gone
                self.pump(self.stream.fileno())
        except Exception:
            _log.exception("%s ended early", self.name)
        finally:
            with self._lock:
                self._ended = True
                os.close(self._wake)
            self.stream.close()
            self.at_end(self)

    def ready(self, fd: int, event: int) -> bool:
        """Waits for fd; False when stopped."""
        poll = select.poll()
        poll.register(fd, event)
        poll.register(self._wake, select.POLLIN)
        return all(ready != self._wake for ready, _ in poll.poll())

    def pump(self, fd: int) -> None:
        raise NotImplementedError


class Reader(Pump):
    """Hands what a stream brings to a receiver. While that does not return the stream fills, and then the process
    waits, as with any pipe."""

    def __init__(self, stream: Stream, sink: Sink, at_eof: Callable[[], object] = lambda: None) -> None:
        super().__init__(stream)
        self._sink = sink
        self._at_eof = at_eof

    def pump(self, fd: int) -> None:
        try:
            while self.ready(fd, select.POLLIN):
                if not self._move(fd, CHUNK):
                    return
            self._empty(fd)
        finally:
            self._at_eof()

    def _empty(self, fd: int) -> None:
        """Reads what was in the pipe when the pump was stopped, and no more: whoever holds the other end may write on
        for ever."""
        left = fcntl.fcntl(fd, fcntl.F_GETPIPE_SZ)
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        while left > 0 and poll.poll(0):
            moved = self._move(fd, left)
            if not moved:
                return
            left -= moved

    def _move(self, fd: int, limit: int) -> int:
        data = os.read(fd, limit)
        if data:
            try:
                self._sink(data)
            except Exception:  # the process must not stall because its reader failed
                _log.exception("the receiver of %s raised", self.name)
        return len(data)


class Writer(Pump):
    """Writes bytes, or what a descriptor brings, and then closes the stream."""

    def __init__(self, stream: Stream, source: bytes | int) -> None:
        super().__init__(stream)
        self._source = source

    def pump(self, fd: int) -> None:
        # A description of our own for the same FIFO, so that it can be non-blocking without the caller's becoming so.
        own = os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            if isinstance(self._source, bytes):
                self._write(own, self._source)
                return
            while self.ready(self._source, select.POLLIN):
                data = os.read(self._source, CHUNK)
                if not data or not self._write(own, data):
                    return
        finally:
            os.close(own)

    def _write(self, fd: int, data: bytes) -> bool:
        rest = memoryview(data)
        while rest:
            if not self.ready(fd, select.POLLOUT):
                return False
            with contextlib.suppress(BlockingIOError):
                rest = rest[os.write(fd, rest[:CHUNK]) :]
        return True


class PumpedIO(ReadyIO):
    """The IO of a process whose streams are pumped.

    Args:
        dio: the process's streams.
        pumps: what moves them.
        opened: what the pumps use; closed when the last of them has ended.
    """

    def __init__(self, dio: DirectIO, pumps: list[Pump], opened: contextlib.ExitStack) -> None:
        self._dio = dio
        self._pumps = pumps
        self._opened = opened
        self._lock = threading.Lock()
        self._left = len(pumps)
        self._close_stdin: Callable[[], object] | None = None
        self._stdin_ended = False
        if not pumps:
            opened.close()
        for pump in pumps:
            pump.at_end = self._pump_ended
            pump.start()

    def _pump_ended(self, pump: Pump) -> None:
        with self._lock:
            self._left -= 1
            last = self._left == 0
            close_stdin = self._close_stdin
            self._stdin_ended |= isinstance(pump, Writer)
        if isinstance(pump, Writer) and close_stdin is not None:
            _tell(close_stdin)
        if last:
            self._opened.close()

    def made(self, process: Made, existing: bool) -> None:
        """libcontainerd tells containerd of the end of a stdin that it made, but not of one that it attached to."""
        if not existing:
            return
        with self._lock:
            self._close_stdin = process.close_stdin
            ended = self._stdin_ended
        if ended:
            _tell(process.close_stdin)

    def config(self) -> Config:
        return self._dio.config()

    def cancel(self) -> None:
        pass  # Go has cancelled the DirectIO itself, which is what ends a pump that waits for its stream

    def drain(self) -> bool:
        """Waits for the ends of stdout and stderr, at most GRACE seconds; whether they came."""
        return _join([pump for pump in self._pumps if isinstance(pump, Reader)])

    def wait(self) -> None:
        if not self.drain():
            _log.warning(
                "%s did not end with its process within %g s: something that the process left behind holds it, "
                "or its receiver blocks",
                self.config().stdout,
                GRACE,
            )

    def close(self) -> None:
        for pump in self._pumps:
            pump.stop()
        _join(self._pumps)  # whoever attaches to the streams next is then their only reader
        taken = [pump.stream for pump in self._pumps]
        for stream in (self._dio.stdin, self._dio.stdout, self._dio.stderr):
            if stream is not None and stream not in taken:
                stream.close()


def _join(pumps: list[Pump]) -> bool:
    """Waits for pumps to end, at most GRACE seconds; whether they did. One whose receiver blocks goes on without us."""
    others = [pump for pump in pumps if pump is not threading.current_thread()]
    until = time.monotonic() + GRACE
    for pump in others:
        pump.join(max(0.0, until - time.monotonic()))
    return not any(pump.is_alive() for pump in others)


def _tell(close_stdin: Callable[[], object]) -> None:
    try:
        close_stdin()
    except errors.Error as error:  # containerd answers so when the process has ended by itself
        _log.debug("closing stdin: %s", error)


def readers(dio: DirectIO, out: Sink, err: Sink) -> list[Pump]:
    """Pumps for stdout and stderr, where the process has them."""
    streams = ((dio.stdout, out), (dio.stderr, err))
    return [Reader(stream, sink) for stream, sink in streams if stream is not None]


def writers(dio: DirectIO, source: bytes | int | None) -> list[Pump]:
    """A pump for stdin, where the process has it and there is something to write: bytes, or a descriptor to read."""
    return [] if source is None or dio.stdin is None else [Writer(dio.stdin, source)]


def write_to(fd: int | None) -> Sink:
    """A sink that writes all to fd; to nowhere for None."""

    def write(data: bytes) -> None:
        rest = memoryview(data)
        while fd is not None and rest:
            rest = rest[os.write(fd, rest) :]

    return write
