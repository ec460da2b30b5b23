"""Threads that move the bytes of a process's streams."""

from __future__ import annotations

import contextlib
import contextvars
import fcntl
import logging
import math
import os
import select
import threading
import time
from collections.abc import Callable, Sequence

from .. import errors
from .._threads import name_thread
from .._waits import Stop
from .builtin import BuiltInIO, Control
from .direct import Config, DirectIO, Stream, leave, let_go, release
from .sinks import Descriptor, Splice, typed_end

__all__ = [
    "Pump",
    "PumpedIO",
    "Reader",
    "Sink",
    "Writer",
    "grace_end",
    "readers",
    "warn_of_late_end",
    "writers",
]

_log = logging.getLogger("pyctd.stdio")

CHUNK = 1 << 16
"""Bytes that are moved at once: as many as a pipe holds. A larger buffer would be mapped and unmapped for each."""
GRACE = 2.0
"""Seconds that an ended process's output may still take: a child that it left behind can hold its streams open for
ever. dockerd gives as many."""
SETTLING = 0.1
"""Seconds that it may take once more when those are over: containerd closes its side when the process is deleted."""

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
        self._made_in = contextvars.copy_context()
        self._stopping: Stop

    def start(self) -> None:
        """Starts the pump; one that can't be started holds no descriptor."""
        self._stopping = Stop()
        try:
            super().start()
        except Exception:
            self._stopping.close()
            raise

    def stop(self) -> None:
        """Ends the pump once it has moved what is there already."""
        self._stopping.set()

    def run(self) -> None:
        """Moves the bytes: the thread's own."""
        name_thread(self.name)
        try:
            with contextlib.suppress(OSError, ValueError):  # never opened, or its other end is gone
                self._made_in.run(self.pump, self.stream.fileno())
        except Exception:
            _log.exception("%s ended early", self.name)
        finally:
            self._stopping.close()
            self.leave()
            self.at_end(self)

    def leave(self) -> None:
        """Is done with the stream."""
        self.stream.close()

    def ready(self, fd: int, event: int) -> bool:
        """Waits for fd; False when stopped."""
        return self._stopping.ready(fd, event)

    def pump(self, fd: int) -> None:
        """Moves them between fd, the stream's descriptor, and what the kind of pump has at its other end."""
        raise NotImplementedError


class Reader(Pump):
    """Hands what a stream brings to a receiver. While that does not return the stream fills, and then the process
    waits, as with any pipe.

    Attributes:
        sink: the receiver; another one until it is started.
    """

    def __init__(self, stream: Stream, sink: Sink, at_eof: Callable[[], object] = lambda: None) -> None:
        super().__init__(stream)
        self.sink = sink
        self._at_eof = at_eof
        self._taken: tuple[float, float | None] = (0.0, None)  # by the receiver; and since when it has the last bytes

    def pump(self, fd: int) -> None:
        """From fd to the receiver."""
        self._splice = Splice(fd, self.sink.spliceable() if isinstance(self.sink, Descriptor) else None)
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

    def taken(self) -> float:
        """Seconds that the receiver has taken so far for what it was given."""
        seconds, since = self._taken
        return seconds if since is None else seconds + time.monotonic() - since

    def _move(self, fd: int, limit: int) -> int:
        self._taken = (self._taken[0], time.monotonic())  # there is something: what blocks from here is the receiver
        try:
            return self._hand_over(fd, limit)
        finally:
            self._taken = (self.taken(), None)

    def _hand_over(self, fd: int, limit: int) -> int:
        with contextlib.suppress(BlockingIOError):  # which the sink reports, as ever
            moved = self._splice(limit)
            if moved is not None:
                return moved
        data = os.read(fd, limit)
        if data:
            try:
                self.sink(data)
            except Exception:  # the process must not stall because its reader failed
                _log.exception("the receiver of %s raised", self.name)
        return len(data)


class Writer(Pump):
    """Writes bytes, or what a descriptor brings, and then closes the stream, unless a terminal reads it.

    Attributes:
        filter: what a descriptor brings goes through it, where there is one; may block.
        terminal: whether a terminal reads it.
    """

    def __init__(self, stream: Stream, source: bytes | int, terminal: bool = False) -> None:
        super().__init__(stream)
        self.filter: Callable[[bytes], bytes] | None = None
        self.terminal = terminal
        self._source = source
        self._last = b""  # that was written

    def leave(self) -> None:
        """Is done with the stream."""
        if self.terminal:
            leave(self.stream)
        else:
            super().leave()

    def pump(self, fd: int) -> None:
        """From the source to fd."""
        # A description of our own for the same FIFO, so that it can be non-blocking without the caller's becoming so.
        own = os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            if isinstance(self._source, bytes):
                self._write(own, self._source)
            else:
                self._write_all_of(self._source, own)
            if self.terminal:
                self._write(own, typed_end(self._last))
        finally:
            os.close(own)

    def _write_all_of(self, source: int, fd: int) -> None:
        splice = Splice(source, None if self.filter or self.terminal else fd)
        while self.ready(source, select.POLLIN) and self.ready(fd, select.POLLOUT):
            with contextlib.suppress(BlockingIOError):
                moved = splice(CHUNK)
                if moved == 0 or (moved is None and not self._copy(source, fd)):
                    return

    def _copy(self, source: int, fd: int) -> bool:
        data = os.read(source, CHUNK)
        return bool(data) and self._write(fd, self.filter(data) if self.filter else data)

    def _write(self, fd: int, data: bytes) -> bool:
        self._last = data[-1:] or self._last
        rest = memoryview(data)
        while rest:
            if not self.ready(fd, select.POLLOUT):
                return False
            with contextlib.suppress(BlockingIOError):
                rest = rest[os.write(fd, rest[:CHUNK]) :]
        return True


class PumpedIO(BuiltInIO):
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
        self._forgotten = False
        self._close_stdin: Callable[[], object] | None = None
        self._stdin_ended = False
        self._first_drain: tuple[float, list[float]] | None = None  # when, and what each receiver had taken by then
        if not pumps:
            opened.close()
        for started, pump in enumerate(pumps):
            pump.at_end = self._pump_ended
            try:
                pump.start()
            except Exception:  # there are no more threads, or no more descriptors
                for other in pumps[:started]:
                    other.stop()
                self._leave(len(pumps) - started)
                raise

    def _pump_ended(self, pump: Pump) -> None:
        with self._lock:
            close_stdin = self._close_stdin
            closes = isinstance(pump, Writer) and not pump.terminal
            self._stdin_ended |= closes
        if closes and close_stdin is not None:
            _tell(close_stdin)
        self._leave(1)

    def _leave(self, pumps: int) -> None:
        """So many have no more use for what was opened."""
        with self._lock:
            self._left -= pumps
            last = self._left == 0
            forgotten = self._forgotten
        if last:
            self._opened.close()
            if forgotten:
                release(self._dio)

    def on_forgotten(self) -> None:
        """As ``BuiltInIO.on_forgotten``."""
        with self._lock:
            self._forgotten = True
            over = self._left == 0
        for pump in self._pumps:
            if isinstance(pump, Writer):  # which nobody reads any more
                pump.stop()
        if over:
            release(self._dio)

    def on_started(self, control: Control, *, attached: bool) -> None:
        """libcontainerd tells containerd about the end of a stdin that it made, but not of one that it attached to.

        The caller may be an event loop, so it does not wait for that call.
        """
        if not attached:
            return
        with self._lock:
            self._close_stdin = control.close_stdin
            ended = self._stdin_ended
        if ended:
            telling = threading.Thread(target=_tell, args=(control.close_stdin,), name="pyctd-stdin", daemon=True)
            try:
                telling.start()
            except RuntimeError:  # there are no more threads
                _tell(control.close_stdin)

    def config(self) -> Config:
        """``IO.config``: the DirectIO's own streams."""
        return self._dio.config()

    def cancel(self) -> None:
        """``IO.cancel``: Go has cancelled the DirectIO itself, which is what ends a pump that waits for its stream."""

    @property
    def _readers(self) -> list[Reader]:
        return [pump for pump in self._pumps if isinstance(pump, Reader)]

    def _drain_began(self) -> tuple[float, list[float]]:
        if self._first_drain is None:
            self._first_drain = time.monotonic(), [pump.taken() for pump in self._readers]
        return self._first_drain

    def drain(self, until: float = math.inf) -> bool:
        """Waits for the ends of stdout and stderr, at most GRACE seconds from the first time, and until a moment.
        Whether they came."""
        began, _ = self._drain_began()
        return _join(self._readers, min(began + GRACE, until))

    def drain_patiently(self) -> bool:
        """As ``drain``, but the time that the receivers take does not count."""
        return _join_patiently(self._readers, *self._drain_began())

    def wait(self) -> None:
        """``IO.wait``: as drain, and what did not end is logged."""
        began, _ = self._drain_began()
        if not _join(self._readers, grace_end(began)):
            warn_of_late_end(self.config())

    def close(self) -> None:
        """``IO.close``: stops the pumps and closes the streams."""
        for pump in self._pumps:
            pump.stop()
        began, _ = self._drain_began()
        _join(self._pumps, grace_end(began))  # so that the next client to attach is their only reader
        taken = [pump.stream for pump in self._pumps]
        for stream in (self._dio.stdin, self._dio.stdout, self._dio.stderr):
            if stream is not None and stream not in taken:
                let_go(stream)


def warn_of_late_end(config: Config) -> None:
    """Logs that an ended process's output is not at its end."""
    _log.warning(
        "%s did not end with its process within %g s: something that the process left behind holds it, "
        "or its receiver blocks",
        config.stdout,
        GRACE,
    )


def grace_end(first: float) -> float:
    """Until when the end of an ended process's output is waited for, once more, if that first happened at a moment."""
    return max(time.monotonic() + SETTLING, first + GRACE)


def _join(pumps: Sequence[Pump], until: float) -> bool:
    """Waits for pumps to end, until a moment; whether they did. One whose receiver blocks goes on without us."""
    others = [pump for pump in pumps if pump is not threading.current_thread()]
    for pump in others:
        pump.join(max(0.0, until - time.monotonic()))
    return not any(pump.is_alive() for pump in others)


def _join_patiently(readers: list[Reader], began: float, before: list[float]) -> bool:
    """As _join, GRACE seconds from began, but what the receivers have taken since, beyond before, does not count."""
    for pump, taken in zip(readers, before, strict=True):
        while pump.is_alive() and (left := began + GRACE + pump.taken() - taken - time.monotonic()) > 0:
            pump.join(max(left, GRACE / 10))
    return not any(pump.is_alive() for pump in readers)


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
    return [] if source is None or dio.stdin is None else [Writer(dio.stdin, source, dio.config().terminal)]
