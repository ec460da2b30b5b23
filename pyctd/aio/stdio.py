"""Stdio callbacks for the event loop: a process's streams as asyncio streams, captured, or passed to functions.

Create each on the loop that is to handle the streams, for one process. They need no threads. The callbacks of
``pyctd.stdio`` work as well, and move their bytes on threads.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import logging
import math
import threading
import time
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, cast

from .. import _arguments, errors
from .._calls import operations
from .._native import Handle
from .._streams.builtin import BuiltInCallback, BuiltInIO, Control
from .._streams.direct import Config, DirectIO, Stream, release, take
from .._streams.pumped import GRACE, grace_end, warn_of_late_end
from .._streams.sinks import Sink, discard
from ..errors import InvalidArgumentError
from ..stdio import Capturing
from ._loop import in_thread, run
from ._pipes import Input, Output

__all__ = ["capture", "sinks", "streams"]

_log = logging.getLogger("pyctd.stdio")


class LoopIO(BuiltInIO):
    """The IO of a process whose streams are handled by an event loop.

    containerd's client calls it on Go's threads, which then wait for the loop for a limited time. A call on the loop's
    own thread does not wait.
    """

    def __init__(
        self, dio: DirectIO, loop: asyncio.AbstractEventLoop, thread: int, stdin: Input | None, outputs: list[Output]
    ) -> None:
        self._dio = dio
        self._loop = loop
        self._thread = thread
        self._stdin = stdin
        self._outputs = outputs
        self._reading: set[asyncio.Task[None]] = set()
        self._writing: set[asyncio.Task[None]] = set()
        self._attached: asyncio.Future[Handle | None] = loop.create_future()
        self._first_drain: float | None = None
        loop.call_soon_threadsafe(self._begin)

    def _begin(self) -> None:
        for output, stream in zip(self._outputs, (self._dio.stdout, self._dio.stderr), strict=True):
            if stream is None:
                output.end()
            else:
                self._reading.add(self._loop.create_task(output.live(take(stream))))
        if self._stdin is not None:
            if self._dio.stdin is None:
                self._stdin.end()
            else:
                self._writing.add(self._loop.create_task(self._feed(self._stdin, self._dio.stdin)))

    async def _feed(self, stdin: Input, stream: Stream) -> None:
        terminal = self._dio.config().terminal
        await stdin.live(take(stream), terminal)
        if terminal:
            return
        # libcontainerd closes containerd's end of a stdin that it created, but not of one that it attached to.
        process = await self._attached
        if process is not None:
            with contextlib.suppress(errors.Error):  # the process has already ended by itself
                await run(operations.process_close_stdin(process), None)

    def on_started(self, control: Control, *, attached: bool) -> None:
        """As ``BuiltInIO.on_started``."""
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._resolve, control.process if attached else None)

    def _resolve(self, process: Handle | None) -> None:
        if not self._attached.done():
            self._attached.set_result(process)

    def on_forgotten(self) -> None:
        """As ``BuiltInIO.on_forgotten``."""
        settling = self._settle_at_the_end()
        try:
            asyncio.run_coroutine_threadsafe(settling, self._loop)
        except RuntimeError:  # the loop is closed, and has closed its pipes
            settling.close()
            release(self._dio)

    async def _settle_at_the_end(self) -> None:
        self._resolve(None)
        if self._stdin is not None:  # nobody reads it any more
            self._stdin.abort()
        if tasks := self._reading | self._writing:
            await asyncio.wait(tasks)
        release(self._dio)

    def _drain_began(self) -> float:
        if self._first_drain is None:
            self._first_drain = time.monotonic()
        return self._first_drain

    async def drained(self, until: float = math.inf) -> bool:
        """As ``BuiltInIO.drain``."""
        if asyncio.get_running_loop() is not self._loop:
            return await in_thread(lambda: self.drain(until))
        for output in self._outputs:
            output.flood()
        return await _over(self._reading, min(self._drain_began() + GRACE, until))

    async def _settled(self) -> bool:
        return await self.drained() or await _over(self._reading, grace_end(self._drain_began()))

    async def _stopped(self) -> bool:
        self._resolve(None)
        for output in self._outputs:
            output.stop()
        if self._stdin is not None:
            self._stdin.abort()
        return await _over(self._reading | self._writing, grace_end(self._drain_began()))

    def _on_loop(self, work: Callable[[], Coroutine[Any, Any, bool]]) -> bool:
        coroutine = work()
        try:
            future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        except RuntimeError:  # the loop is closed, and has closed its pipes
            coroutine.close()
            return True
        if threading.get_ident() == self._thread:
            return True
        try:
            return future.result(GRACE + 1)
        except (concurrent.futures.CancelledError, concurrent.futures.TimeoutError):  # the loop ends, or is blocked
            return False

    def drain(self, until: float = math.inf) -> bool:
        """As ``BuiltInIO.drain``."""
        return self._on_loop(lambda: self.drained(until))

    def config(self) -> Config:
        """``IO.config``."""
        return self._dio.config()

    def cancel(self) -> None:
        """``IO.cancel``."""
        # Go has cancelled the DirectIO itself, which ends any stream that is still waiting for its FIFO

    def wait(self) -> None:
        """``IO.wait``: like ``drain``, but logs streams that did not end."""
        if not self._on_loop(self._settled):
            warn_of_late_end(self.config())

    def close(self) -> None:
        """``IO.close``: stops reading and writing, and closes the streams."""
        self._on_loop(self._stopped)
        for stream in (self._dio.stdin, self._dio.stdout, self._dio.stderr):
            if stream is not None:
                stream.close()


async def _over(tasks: set[asyncio.Task[None]], until: float) -> bool:
    """Waits for tasks to end, until a given time. Returns whether they did."""
    return not tasks or not (await asyncio.wait(tasks, timeout=max(0.0, until - time.monotonic())))[1]


class _Callback(BuiltInCallback):
    """What the three callbacks share."""

    def __init__(self, stdin: Input | None, outputs: list[Output]) -> None:
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._input = stdin
        self._outputs = outputs
        self._io: LoopIO | None = None

    def __call__(self, dio: DirectIO) -> LoopIO:
        self.use()
        self._io = LoopIO(dio, self._loop, self._thread, self._input, self._outputs)
        return self._io

    async def wait(self) -> bool:
        """Waits at most 2 seconds for stdout and stderr to end; returns whether they did. Call it after the exit."""
        return self._io is None or await self._io.drained()


class streams(_Callback):
    """A process's streams as asyncio streams. They exist from the start, even before the process does.

    No output is lost: once ``wait()`` or ``delete()`` has returned, the readers have all of it. While the process runs,
    a reader that nobody reads from fills up and blocks the process, as any pipe would.

    Args:
        stdin: whether the process gets a stdin.
        limit: the buffer limit of each reader, as in ``asyncio.StreamReader``.

    Attributes:
        stdin: an ``asyncio.StreamWriter``; None without ``stdin``. Its ``close()`` also tells containerd, so that the
            process sees end of file. With a terminal it sends Ctrl-D instead.
        stdout: an ``asyncio.StreamReader``; with a terminal, for both streams.
        stderr: an ``asyncio.StreamReader``; with a terminal, at its end from the start.
    """

    def __init__(self, *, stdin: bool = False, limit: int = 1 << 16) -> None:
        loop = asyncio.get_running_loop()
        if _arguments.number("limit", limit) <= 0:
            raise InvalidArgumentError(f"limit must be a number of bytes above 0, not {limit!r}")
        self.with_stdin: bool = _arguments.flag("stdin", stdin)
        self.stdout: asyncio.StreamReader = asyncio.StreamReader(limit, loop)
        self.stderr: asyncio.StreamReader = asyncio.StreamReader(limit, loop)
        end = Input(loop) if stdin else None
        self.stdin: asyncio.StreamWriter | None = None if end is None else end.writer
        super().__init__(end, [_into(loop, self.stdout), _into(loop, self.stderr)])


def _into(loop: asyncio.AbstractEventLoop, reader: asyncio.StreamReader) -> Output:
    def at_end(failed: Exception | None) -> None:
        if failed is not None:
            reader.set_exception(failed)
        reader.feed_eof()

    output = Output(loop, reader.feed_data, at_end)
    reader.set_transport(cast("asyncio.Transport", output))
    return output


class capture(Capturing, _Callback):
    """Captures the process's output. ``stdout`` and ``stderr`` are complete once ``wait()`` or ``delete()`` has
    returned.

    It works like ``pyctd.stdio.capture``, but without threads.

    Args:
        stdin: bytes to write to the process's stdin, which is then closed. None: no stdin.
        limit: the most bytes to keep of each stream; the rest is read and discarded. None: no limit.

    Attributes:
        stdout: the output on stdout so far; with a terminal, both streams.
        stderr: the output on stderr so far.
        truncated: whether the limit was exceeded.
    """

    def __init__(self, stdin: bytes | None = None, *, limit: int | None = None) -> None:
        loop = asyncio.get_running_loop()
        Capturing.__init__(self, stdin, limit)
        outputs = [Output(loop, partial(self._keep, which), lambda failed: None) for which in (0, 1)]
        _Callback.__init__(self, _given(loop, self._stdin), outputs)


def _given(loop: asyncio.AbstractEventLoop, stdin: bytes | None) -> Input | None:
    """Makes a stdin that is written and closed as soon as the process has opened it."""
    if stdin is None:
        return None
    end = Input(loop)
    end.write(stdin)
    end.close()
    return end


class sinks(_Callback):
    """Passes the output to sinks as it arrives: functions that take bytes, called on the event loop. They must not
    block.

    An exception from a sink is logged, and the sink is called again with the next bytes. ``pyctd.stdio.sinks`` calls
    its sinks on threads.

    Args:
        stdout: receives stdout; with a terminal, both streams. None: discarded.
        stderr: receives stderr. None: discarded.
        stdin: bytes to write to the process's stdin, which is then closed. None: no stdin.
    """

    def __init__(self, stdout: Sink | None = None, stderr: Sink | None = None, *, stdin: bytes | None = None) -> None:
        loop = asyncio.get_running_loop()
        outputs = []
        for name, sink in (("stdout", stdout), ("stderr", stderr)):
            _arguments.receiver(name, sink)
            outputs.append(Output(loop, partial(_pass_on, name, sink or discard), lambda failed: None))
        self.with_stdin: bool = stdin is not None
        super().__init__(_given(loop, _arguments.stdin(stdin)), outputs)


def _pass_on(name: str, sink: Sink, data: bytes) -> None:
    try:
        sink(data)
    except Exception:
        _log.exception("the receiver of %s raised", name)
