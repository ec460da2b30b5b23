"""The ends of a process's pipes on an event loop.

Each is served by one asyncio task, ``live``: it awaits the FIFO's descriptor, registers it with the loop, and tells Go
when it is done. No end needs a thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
from collections.abc import Callable
from typing import Any

from .. import errors
from .._streams.direct import StreamCalls
from .._streams.fifo import drain
from .._streams.sinks import typed_end
from ._loop import run

__all__ = ["Input", "Output"]

LEFTOVERS = 4 << 20
"""Bytes of an ended process's output that are read even if the reader is full. Its pipes hold less: more than this
comes from something that the process left behind."""

CHUNK = 1 << 16
"""The most bytes to read at once: a pipe's capacity."""

EARLY = 1 << 16
"""Bytes that may be written to a stdin before its process has opened it; beyond that, the writer must wait."""


class Pipe(io.FileIO):
    """A FIFO's end that a loop closes.

    uvloop closes the descriptor before it closes the file (https://github.com/MagicStack/uvloop/issues/763).
    In between, another thread may have reused the number for a descriptor of its own, which must stay open.
    """

    def __init__(self, descriptor: int, mode: str) -> None:
        super().__init__(descriptor, mode, closefd=False)
        self._identity = _identity(descriptor)

    def close(self) -> None:
        """Closes the descriptor if it still belongs to this FIFO."""
        if self.closed:
            return
        descriptor = self.fileno()
        super().close()
        with contextlib.suppress(OSError):
            if _identity(descriptor) == self._identity:
                os.close(descriptor)


def _identity(descriptor: int) -> tuple[int, int]:
    status = os.fstat(descriptor)
    return status.st_dev, status.st_ino


class Output:
    """The end of stdout or stderr, read when the loop finds it readable.

    Args:
        loop: the event loop.
        take: receives the bytes.
        at_end: called at the end, with the error that caused it, or None.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        take: Callable[[bytes], object],
        at_end: Callable[[Exception | None], object],
    ) -> None:
        self._loop = loop
        self._take = take
        self._at_end = at_end
        self._ended: asyncio.Future[Exception | None] = loop.create_future()
        self._fd = -1  # while it is open
        self._stopped = False
        self._full = False
        self._spare = 0
        self._flooded = False

    async def live(self, calls: StreamCalls) -> None:
        """Serves the FIFO from its opening to its end."""
        failed: Exception | None = None
        try:
            # Go's own file description: a FIFO that is opened now would not notice a writer that has already gone.
            self._fd = await run(calls.opening, None)
            os.set_blocking(self._fd, False)
            self._adjust()
            if self._stopped:
                self.stop()
            failed = await self._ended
        except errors.Error:
            pass  # the process is gone, and has never opened it
        except OSError as error:  # of the loop's, which can't take it
            failed = error
        finally:
            self._close()
            self.end(failed)
        with contextlib.suppress(errors.Error):  # Go has closed it already
            await run(calls.closing, None)

    def end(self, failed: Exception | None = None) -> None:
        """Signals the end of the output."""
        self._at_end(failed)

    def stop(self) -> None:
        """Reads what is left in the pipe, then ends."""
        self._stopped = True
        if self._fd >= 0 and not self._ended.done():
            drain(self._fd, self._move)
            self._finish()

    def flood(self) -> None:
        """Reads the output that an ended process has left, even if the reader is full."""
        if not self._flooded:
            self._flooded = True
            self._spare = LEFTOVERS
            self._adjust()

    # An asyncio.StreamReader calls these two on its transport.

    def pause_reading(self) -> None:
        """asyncio: the reader is full."""
        self._full = True
        self._adjust()

    def resume_reading(self) -> None:
        """asyncio: the reader has room again."""
        self._full = False
        self._adjust()

    def _adjust(self) -> None:
        """Makes the loop wait for bytes, unless the reader is full."""
        if self._fd < 0 or self._ended.done():
            return
        if self._full and self._spare <= 0:
            self._loop.remove_reader(self._fd)
        else:
            self._loop.add_reader(self._fd, self._readable)

    def _readable(self) -> None:
        try:
            moved = self._move(self._fd, CHUNK)
        except BlockingIOError:
            return
        except OSError as error:
            self._finish(error)
            return
        if not moved:
            self._finish()
        elif self._spare > 0:
            self._spare -= moved
            self._adjust()

    def _move(self, fd: int, limit: int) -> int:
        data = os.read(fd, limit)
        if data:
            self._take(data)
        return len(data)

    def _finish(self, failed: Exception | None = None) -> None:
        self._loop.remove_reader(self._fd)
        if not self._ended.done():
            self._ended.set_result(failed)

    def _close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                self._loop.remove_reader(fd)
            os.close(fd)


class _Writing(asyncio.StreamReaderProtocol):
    """The protocol that a StreamWriter needs besides its transport."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(asyncio.StreamReader(loop=loop), loop=loop)
        self.lost: asyncio.Future[None] = loop.create_future()
        self.full = False
        self._held = False  # the writer is, by a buffer that was full

    def pause_writing(self) -> None:
        self.full = True
        if not self._held:
            self._held = True
            super().pause_writing()

    def resume_writing(self) -> None:
        self.full = self._held = False
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.lost.done():
            return
        self.lost.set_result(None)
        if exc is None and self.full:  # an end that loops count as a good one, and drain() would return from
            exc = BrokenPipeError("the process has not read all of its stdin")
        super().connection_lost(exc)


class Input(asyncio.WriteTransport):
    """The end of stdin, as the transport of a StreamWriter.

    It can be written to and closed before the process has opened the FIFO, which only then has a pipe's transport.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._loop = loop
        self._protocol = _Writing(loop)
        self._early = bytearray()
        self._terminal = False
        self._last = b""  # that was written
        self._closing = False
        self._aborted = False
        self._limits: tuple[int | None, int | None] = (None, None)
        self._transport: asyncio.WriteTransport | None = None
        self.writer: asyncio.StreamWriter = asyncio.StreamWriter(self, self._protocol, None, loop)

    async def live(self, calls: StreamCalls, terminal: bool) -> None:
        """Serves the FIFO from its opening to its end, and then closes containerd's end unless a terminal reads it."""
        self._terminal = terminal
        pipe: Pipe | None = None
        try:
            pipe = Pipe(await run(calls.opening, None), "wb")
            transport, _ = await self._loop.connect_write_pipe(lambda: self._protocol, pipe)
            self._opened(transport)
            await self._protocol.lost
        except errors.Error:
            pass  # the process is gone, and has never opened it
        except OSError as error:  # of the loop's, which can't take it
            self._protocol.connection_lost(error)
            if pipe is not None and self._transport is None:
                pipe.close()
        finally:
            if self._transport is None:
                self.end()
            self.abort()
        if not terminal:
            with contextlib.suppress(errors.Error):  # Go has closed it already, or the process has ended by itself
                await run(calls.closing, None)

    def _opened(self, transport: asyncio.WriteTransport) -> None:
        self._transport = transport
        transport.set_write_buffer_limits(*self._limits)
        if self._aborted:
            self.abort()
            return
        held, self._protocol.full = self._protocol.full, False
        if self._early:
            transport.write(self._early)
            self._early = bytearray()
        if held and not self._protocol.full:  # else the transport resumes it, when it has written enough
            self._protocol.resume_writing()
        if self._closing:
            self._close(transport)

    def _close(self, transport: asyncio.WriteTransport) -> None:
        if self._terminal and not transport.is_closing():
            transport.write(typed_end(self._last))
        transport.close()

    def end(self) -> None:
        """Ends a stdin that the process will never read."""
        self._closing = True
        self._early.clear()
        self._protocol.connection_lost(BrokenPipeError("the process has no stdin, or has ended before it opened it"))

    # What a StreamWriter calls.

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """asyncio: writes as soon as possible."""
        self._last = bytes(data[-1:]) or self._last
        if self._transport is not None:
            self._transport.write(data)
        elif not self._closing:
            self._early += data
            if len(self._early) > EARLY and not self._protocol.full:
                self._protocol.pause_writing()

    def close(self) -> None:
        """asyncio: closes once everything is written."""
        self._closing = True
        if self._transport is not None:
            self._close(self._transport)

    def write_eof(self) -> None:
        """asyncio: same as ``close``."""
        self.close()

    def can_write_eof(self) -> bool:
        """asyncio: always true."""
        return True

    def abort(self) -> None:
        """asyncio: closes at once."""
        self._closing = self._aborted = True
        self._early.clear()
        pipe = self._transport
        # asyncio's transport fails if it is aborted while closing with an empty buffer.
        if pipe is not None and not (pipe.is_closing() and pipe.get_write_buffer_size() == 0):
            pipe.abort()

    def is_closing(self) -> bool:
        """asyncio: whether it is closed or closing."""
        return self._closing if self._transport is None else self._transport.is_closing()

    def get_write_buffer_size(self) -> int:
        """asyncio: the number of bytes not yet written."""
        return len(self._early) if self._transport is None else self._transport.get_write_buffer_size()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """asyncio: sets when the writer pauses."""
        self._limits = (high, low)
        if self._transport is not None:
            self._transport.set_write_buffer_limits(high, low)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """asyncio: returns what the transport knows."""
        return default if self._transport is None else self._transport.get_extra_info(name, default)
