"""Operations on an event loop: one completion queue for each loop, and its descriptor among the loop's readers.

``run`` and ``in_thread`` are all that ``Client``, ``Container``, ``Task``, ``Process`` and ``Engine`` know of asyncio,
but for handlers that are coroutine functions. Another library's loop takes its place with the same two: trio, say,
awaits ``lowlevel.wait_readable`` on the queue's descriptor in one system task and parks each operation's own, which a
cancellation shields for CLEAN_UP seconds. Only ``stdio`` and ``events`` are asyncio's for good.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import weakref
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from .. import _native
from .._calls import Call, Operation

__all__ = ["Listener", "at_loop_end", "in_thread", "run"]

T = TypeVar("T")

BATCH = 256
"""Completions that are drained at once, at most."""

CLEAN_UP = 1.0
"""Seconds that a cancelled call waits for Go's clean-up, at most."""


class Listener(Protocol):
    """What hears that a loop is closed."""

    def loop_ended(self) -> None:
        """The loop has been closed."""


class LoopQueue:
    """The operations of one event loop that are in flight.

    When the loop is closed they are cancelled, as nobody is left to await them.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        # The loop keeps this object, and not the other way round.
        self._loop = weakref.ref(loop)
        self._queue = _native.Queue(BATCH)
        self._pending: dict[int, asyncio.Future[_native.Completion]] = {}
        self.listeners: weakref.WeakSet[Listener] = weakref.WeakSet()
        self._end_with(loop)

    def _end_with(self, loop: asyncio.AbstractEventLoop) -> None:
        """Makes the loop's ``close`` call ``end``: asyncio has no hook for that."""
        close = loop.close

        def close_and_end() -> None:
            close()
            vars(loop).pop("close", None)  # the loop and this function would keep each other
            if not sys.is_finalizing():
                self.end()

        loop.close = close_and_end  # type: ignore[method-assign]

    def end(self) -> None:
        """The loop is closed."""
        self._queue.close()
        self._pending.clear()  # each refers to the loop, which could then never be collected
        for listener in tuple(self.listeners):
            listener.loop_ended()

    @property
    def open(self) -> bool:
        """Whether its operations can still be heard of."""
        return self._queue.open and _native.usable()

    def start(self, call: Call[T], future: asyncio.Future[_native.Completion]) -> None:
        """Starts a call; the future gets its completion."""
        call.start(self._queue)
        self._expect(call, future)

    def _expect(self, call: Call[T], future: asyncio.Future[_native.Completion]) -> None:
        if not self._pending:
            asyncio.get_running_loop().add_reader(self._queue.fd, self._drain)
        self._pending[call.number] = future

    def cancel(self, call: Call[T], future: asyncio.Future[_native.Completion]) -> None:
        """Cancels a call; the future still gets its completion."""
        if call.number not in self._pending and not future.done():
            self._expect(call, future)  # an interrupt came before
        call.cancel()

    def _drain(self) -> None:
        loop = self._loop()
        try:
            arrived = self._queue.drain()
            while arrived:
                future = self._pending.get(arrived[0].op)
                if future is not None and not future.done():
                    future.set_result(arrived[0])
                done = arrived.popleft()
                if self._pending.pop(done.op, None) is None:
                    done.give_back()
            self._queue.clear()
        except BaseException:  # an interrupt: the rest is still awaited, and nothing else may wake the loop for it
            if loop is not None and self.open:
                loop.call_soon(self._drain)
            raise
        if not self._pending and loop is not None:
            loop.remove_reader(self._queue.fd)


_queues: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, LoopQueue] = weakref.WeakKeyDictionary()


def _queue() -> LoopQueue:
    loop = asyncio.get_running_loop()
    queue = _queues.get(loop)
    if queue is None:
        queue = _queues[loop] = LoopQueue(loop)
    return queue


async def run(operation: Operation[T], timeout: float | None) -> T:
    """Awaits an operation and returns what it came to.

    When the awaiting task is cancelled, so is the operation's context, and the cancellation goes on once Go has ended
    it with its clean-up: within milliseconds for most, and after CLEAN_UP seconds at most. What came of the operation
    is the cancellation's ``__context__``, an ``Error``; it is logged where the cancellation did not wait for it, as it
    does not when there is a second one, and as an interrupt does not.

    Raises:
        Error: what went wrong, as the class of its kind with Go's text.
    """
    try:
        return await _run(Call(operation, timeout))
    except SystemExit:
        while _native.cut_off():  # a loop would tell of the SystemExit: it is to end silently, with its thread
            await asyncio.get_running_loop().create_future()
        raise


async def _run(call: Call[T]) -> T:
    _native.load()
    queue = _queue()
    future: asyncio.Future[_native.Completion] = asyncio.get_running_loop().create_future()
    try:
        queue.start(call, future)
        # Shielded: a cancelled future could not tell what its operation has made.
        call.finish(await asyncio.shield(future))
    except BaseException as interrupt:
        if call.started and queue.open:
            queue.cancel(call, future)
            try:
                if isinstance(interrupt, asyncio.CancelledError):
                    await asyncio.wait([future], timeout=CLEAN_UP)
            finally:
                if future.done():
                    call.abandon(interrupt, future.result())
                else:
                    call.abandon(interrupt, None)
                    future.add_done_callback(lambda late: call.end_late(late.result()))
        raise
    return call.result()


def at_loop_end(listener: Listener) -> None:
    """Has somebody told when the running loop is closed; a listener that is gone by then is not."""
    _native.load()
    _queue().listeners.add(listener)


async def in_thread(
    work: Callable[[], T], undo: Callable[[T], object] | None = None, at_end: Callable[[], object] = lambda: None
) -> T:
    """Runs what blocks on a thread.

    A cancellation leaves it to come to its end, and whatever it has made to ``undo``, on the same thread. When all of
    that is over, ``at_end`` is called on the loop.
    """
    lock = threading.Lock()
    made: list[T] = []
    cancelled = False

    def run_work() -> T:
        result = work()
        with lock:
            made.append(result)
            late = cancelled
        if late and undo is not None:
            undo(result)
        return result

    loop = asyncio.get_running_loop()
    working: asyncio.Future[Any] = loop.run_in_executor(None, run_work)
    try:
        return await asyncio.shield(working)
    except asyncio.CancelledError:
        with lock:
            cancelled = True
            early = list(made)
        if early and undo is not None:
            working = loop.run_in_executor(None, undo, early[0])
        raise
    finally:
        working.add_done_callback(lambda _: at_end())
