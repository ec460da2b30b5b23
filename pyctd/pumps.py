"""Threads that move the bytes of a process's streams."""

from __future__ import annotations

import contextlib
import logging
import os
import select
import threading
import time
from collections.abc import Callable

from .directio import Config, DirectIO, Stream

__all__ = ["Pump", "PumpedIO", "Reader", "Sink", "Writer", "readers", "write_to", "writers"]

_log = logging.getLogger("pyctd.stdio")

CHUNK = 1 << 20
GRACE = 2.0
"""Seconds that an ended process's output may still take: a child that it left behind can hold its streams open for
ever. dockerd gives as many."""

Sink = Callable[[bytes], object]


class Pump(threading.Thread):
    """Moves one stream's bytes on a thread of its own, and can be stopped at any moment."""

    def __init__(self, stream: Stream) -> None:
        super().__init__(name=f"pyctd-{stream.name}", daemon=True)
        self._stream = stream
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._lock = threading.Lock()
        self._ended = False

    def stop(self) -> None:
        with self._lock:
            if not self._ended:
                os.eventfd_write(self._wake, 1)

    def run(self) -> None:
        try:
            with contextlib.suppress(OSError, ValueError):  # never opened, or its other end is gone
                self.pump(self._stream.fileno())
        except Exception:
            _log.exception("%s ended early", self.name)
        finally:
            with self._lock:
                self._ended = True
                os.close(self._wake)
            self._stream.close()

    def ready(self, fd: int, event: int) -> bool:
        """Waits for fd; False when stopped."""
        poll = select.poll()
        poll.register(fd, event)
        poll.register(self._wake, select.POLLIN)
        return all(ready != self._wake for ready, _ in poll.poll())

    def pump(self, fd: int) -> None:
        raise NotImplementedError


class Reader(Pump):
    def __init__(self, stream: Stream, sink: Sink, at_end: Callable[[], object] = lambda: None) -> None:
        super().__init__(stream)
        self._sink = sink
        self._at_end = at_end

    def pump(self, fd: int) -> None:
        try:
            while self.ready(fd, select.POLLIN):
                data = os.read(fd, CHUNK)
                if not data:
                    return
                self._deliver(data)
        finally:
            self._at_end()

    def _deliver(self, data: bytes) -> None:
        try:
            self._sink(data)
        except Exception:  # the process must not stall because its reader failed
            _log.exception("the receiver of %s raised", self.name)


class Writer(Pump):
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


class PumpedIO:
    """The IO of a process whose streams are pumped."""

    def __init__(self, dio: DirectIO, pumps: list[Pump], opened: contextlib.ExitStack) -> None:
        self._dio = dio
        self._pumps = pumps
        self._opened = opened
        for pump in pumps:
            pump.start()

    def config(self) -> Config:
        return self._dio.config()

    def cancel(self) -> None:
        pass  # Go has cancelled the DirectIO itself, which is what ends a pump that waits for its stream

    def drain(self) -> bool:
        """Waits for the ends of stdout and stderr, at most GRACE seconds; whether they came."""
        until = time.monotonic() + GRACE
        for pump in self._readers():
            pump.join(max(0.0, until - time.monotonic()))
        return not any(pump.is_alive() for pump in self._readers())

    def wait(self) -> None:
        if not self.drain():
            _log.warning(
                "output of an ended process was cut off: something it left behind holds %s", self.config().stdout
            )
            for pump in self._readers():
                pump.stop()

    def _readers(self) -> list[Pump]:
        return [pump for pump in self._pumps if isinstance(pump, Reader) and pump is not threading.current_thread()]

    def close(self) -> None:
        for pump in self._pumps:
            pump.stop()
        for pump in self._pumps:
            if pump is not threading.current_thread():
                pump.join(GRACE)
        self._dio.close()
        self._opened.close()


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
