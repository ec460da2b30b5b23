"""Operations on an event loop: one completion queue for each loop, and its descriptor among the loop's readers."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from .. import _native

__all__ = ["in_thread", "run"]

T = TypeVar("T")

BATCH = 256
"""Completions that are drained at once, at most."""


class LoopQueue:
    """The operations of one event loop that are in flight."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        # The loop keeps this object while anything is in flight, and not the other way round.
        self._loop = weakref.ref(loop)
        self._queue = _native.Queue(BATCH)
        self._pending: dict[int, asyncio.Future[_native.Completion]] = {}

    def start(
        self, operation: _native.Operation[T], timeout: float | None
    ) -> tuple[int, asyncio.Future[_native.Completion]]:
        """Starts an operation; its number, and the future of its outcome."""
        loop = asyncio.get_running_loop()
        op = self._queue.start(operation, timeout)
        future: asyncio.Future[_native.Completion] = loop.create_future()
        if not self._pending:
            loop.add_reader(self._queue.fd, self._drain)
        self._pending[op] = future
        return op, future

    def cancel(self, op: int) -> None:
        """Cancels an operation, whose future still comes true."""
        self._queue.cancel(op)

    def _drain(self) -> None:
        for done in self._queue.drain():
            future = self._pending.pop(done.op)
            if not future.done():
                future.set_result(done)
        loop = self._loop()
        if not self._pending and loop is not None:
            loop.remove_reader(self._queue.fd)


_queues: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, LoopQueue] = weakref.WeakKeyDictionary()


def _queue() -> LoopQueue:
    loop = asyncio.get_running_loop()
    queue = _queues.get(loop)
    if queue is None:
        queue = _queues[loop] = LoopQueue(loop)
    return queue


async def run(operation: _native.Operation[T], timeout: float | None) -> T:
    """Awaits an operation and returns what it came to.

    When the awaiting task is cancelled, so is the operation's context, and the cancellation goes on once Go has ended
    it with its clean-up: within milliseconds for most. A second cancellation does not wait. What the operation may have
    made is released.

    Raises:
        Error: what went wrong, as the class of its kind with Go's text.
    """
    _native.load()
    queue = _queue()
    op, future = queue.start(operation, timeout)
    try:
        # Shielded, because a future that is cancelled could not tell any more what its operation has made.
        done = await asyncio.shield(future)
    except asyncio.CancelledError as cancelled:
        queue.cancel(op)
        future.add_done_callback(partial(_disown, operation, cancelled))
        await asyncio.wait([future], timeout=_native.CANCEL_GRACE)
        raise
    return _native.outcome(operation, done)


def _disown(
    operation: _native.Operation[T], cancelled: asyncio.CancelledError, future: asyncio.Future[_native.Completion]
) -> None:
    _native.disown(operation, future.result(), cancelled)


async def in_thread(work: Callable[[], T]) -> T:
    """Runs what blocks on a thread, and never leaves it half done: a cancellation waits for it."""
    return await asyncio.shield(asyncio.get_running_loop().run_in_executor(None, work))
