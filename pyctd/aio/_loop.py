"""Operations on an event loop: each loop has one completion queue, whose descriptor is among the loop's readers.

``Client``, ``Container``, ``Task``, ``Process`` and ``Engine`` depend on asyncio only through ``run`` and
``in_thread``, apart from handlers that are coroutine functions. Another library's loop would need the same two: trio,
for example, would await ``lowlevel.wait_readable`` on the queue's descriptor in one system task and park the task of
each operation, shielded from cancellation for CLEAN_UP seconds. Only ``stdio`` and ``events`` are tied to asyncio.
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
"""The most completions to drain at once."""

CLEAN_UP = 1.0
"""The most seconds that a cancelled call waits for Go's clean-up."""


class Listener(Protocol):
    """Is notified when a loop is closed."""

    def loop_ended(self) -> None:
        """The loop has been closed."""


class LoopQueue:
    """The operations of one event loop that are in flight.

    Closing the loop cancels them, because nobody is left to await them.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        # The loop keeps this object alive, not the other way round.
        self._loop = weakref.ref(loop)
        self._queue = _native.Queue(BATCH)
        self._pending: dict[int, asyncio.Future[_native.Completion]] = {}
        self.listeners: weakref.WeakSet[Listener] = weakref.WeakSet()
        self._end_with(loop)

    def _end_with(self, loop: asyncio.AbstractEventLoop) -> None:
        """Makes the loop's ``close`` call ``end``, because asyncio has no hook for that."""
        close = loop.close

        def close_and_end() -> None:
            close()
            vars(loop).pop("close", None)  # break the cycle between the loop and this function
            if not sys.is_finalizing():
                self.end()

        loop.close = close_and_end  # type: ignore[method-assign]

    def end(self) -> None:
        """Handles the closing of the loop."""
        self._queue.close()
        self._pending.clear()  # each future refers to the loop, which could never be collected
        for listener in tuple(self.listeners):
            listener.loop_ended()

    @property
    def open(self) -> bool:
        """Whether completions can still arrive."""
        return self._queue.open and _native.usable()

    def start(self, call: Call[T], future: asyncio.Future[_native.Completion]) -> None:
        """Starts a call, whose completion goes to the future."""
        call.start(self._queue)
        self._expect(call, future)

    def _expect(self, call: Call[T], future: asyncio.Future[_native.Completion]) -> None:
        if not self._pending:
            asyncio.get_running_loop().add_reader(self._queue.fd, self._drain)
        self._pending[call.number] = future

    def cancel(self, call: Call[T], future: asyncio.Future[_native.Completion]) -> None:
        """Cancels a call, whose completion still goes to the future."""
        if call.number not in self._pending and not future.done():
            self._expect(call, future)  # an interrupt came before start() did this
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
        except BaseException:  # an interrupt: nothing else may wake the loop for the remaining completions
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
    """Awaits an operation and returns its outcome.

    Cancelling the awaiting task cancels the operation's context. The cancellation continues once Go has finished with
    its clean-up: usually within milliseconds, and after CLEAN_UP seconds at most. The operation's outcome, an
    ``Error``, becomes the cancellation's ``__context__``. It is logged instead if the cancellation did not wait for it:
    after a second cancellation, or an interrupt.

    Raises:
        Error: the error, in the class of its kind and with Go's text.
    """
    try:
        return await _run(Call(operation, timeout))
    except SystemExit:
        while _native.cut_off():  # a loop would report the SystemExit; it must end silently, with its thread
            await asyncio.get_running_loop().create_future()
        raise


async def _run(call: Call[T]) -> T:
    _native.load()
    queue = _queue()
    future: asyncio.Future[_native.Completion] = asyncio.get_running_loop().create_future()
    try:
        queue.start(call, future)
        # Shielded, because a cancelled future could not return what its operation has created.
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
    """Registers a listener, by a weak reference, to be notified when the running loop is closed."""
    _native.load()
    _queue().listeners.add(listener)


async def in_thread(
    work: Callable[[], T], undo: Callable[[T], object] | None = None, at_end: Callable[[], object] = lambda: None
) -> T:
    """Runs a blocking function on a thread.

    After a cancellation the function runs to its end, and a thread passes its result to ``undo``. When all of this is
    over, ``at_end`` is called on the loop.
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
