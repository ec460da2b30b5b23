"""The handler of an awaitable client's events: coroutines run on the event loop that connected the client."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import inspect
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from .._runner import Runner, discard
from ..events import Event

__all__ = ["LoopRunner"]


class LoopRunner(Runner):
    """Runs a client's handler, and awaits its result on the loop.

    Attributes:
        loop: the event loop; None until the client connects.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        self.loop: asyncio.AbstractEventLoop | None = None
        self._arrived: deque[tuple[Event, int]] = deque()
        self._running: dict[int, Awaitable[object] | None] = {}  # at first None, or a result without a future

    @property
    def _is_closed(self) -> bool:
        return self.client is not None and self.client.closed

    def handle(self, event: Event, token: int) -> bool:
        """Runs the handler, or schedules it on the loop. Returns whether the event has been handled."""
        if not self.is_coroutine_function:
            return super().handle(event, token)
        assert self.loop is not None
        self._running[token] = None
        with self._lock:
            self._arrived.append((event, token))
            if len(self._arrived) > 1 and not self.loop.is_closed():
                return False  # the first one wakes the loop, which costs more than a handler
        self._wake(self._run_arrived, self._context.copy())
        return False

    def _await_result(self, result: Awaitable[object], context: contextvars.Context, token: int) -> None:
        self._running[token] = result
        self._wake(partial(self._run_result, token), context)

    def _wake(self, work: Callable[[], object], context: contextvars.Context) -> None:
        assert self.loop is not None
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self.loop.call_soon_threadsafe(work, context=context)
        if self.loop.is_closed():
            self.loop_ended()

    def _run_arrived(self) -> None:
        try:
            while self._arrived:
                event, token = self._arrived[0]
                if token in self._running:
                    self._begin(token, partial(self.function, *event))
                with self._lock:
                    self._arrived.popleft()
        except BaseException:  # an interrupt: nothing else would wake the loop for the rest
            self._wake(self._run_arrived, self._context.copy())
            raise

    def _run_result(self, token: int) -> None:
        result = self._running.get(token)
        if result is not None:
            self._begin(token, lambda: result)

    def _begin(self, token: int, begin: Callable[[], Awaitable[object]]) -> None:
        if self._is_closed:  # the loop may be ending, and a new task would never run
            discard(self._running.pop(token))
            self._settle(token, None)
            return
        try:
            task = asyncio.ensure_future(begin())
            self._running[token] = task  # the loop itself keeps no task alive
            task.add_done_callback(partial(self._handled, token))
        except BaseException as error:  # it does not take these arguments, or an interrupt came
            self._running.pop(token, None)
            self._settle(token, error)
            if not isinstance(error, Exception):
                raise

    def _handled(self, token: int, done: asyncio.Future[object]) -> None:
        if token in self._running:
            del self._running[token]
            error = asyncio.CancelledError() if done.cancelled() else done.exception()
            # The end of a loop cancels its tasks. If the client is closed, that is no failure of the handler.
            self._settle(token, None if self._is_closed and done.cancelled() else error)

    def loop_ended(self) -> None:
        """Drops the handlers that wait or run on a closed loop, so that the next events come."""
        assert self.loop is not None
        self._arrived.clear()
        error = None if self._is_closed else RuntimeError("the event loop of the handler is closed")
        while self._running and self.loop.is_closed():
            token, result = self._running.popitem()
            discard(_never_begun(result) if isinstance(result, asyncio.Task) else result)
            self._settle(token, error)


def _never_begun(task: asyncio.Task[object]) -> Awaitable[object] | None:
    """The coroutine of a task that never ran, because the loop was closed right after creating it."""
    coroutine = task.get_coro()
    if inspect.iscoroutine(coroutine) and inspect.getcoroutinestate(coroutine) == inspect.CORO_CREATED:
        return coroutine
    return None
