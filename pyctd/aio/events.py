"""``EventStream``, for ``async for``."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Any

from .. import _native
from ..events import Event, EventFilter, EventStreamCore, deadline

__all__ = ["EventStream"]


class EventStream(EventStreamCore):
    """Iterates over a client's events as they arrive, like ``pyctd.EventStream``. Use it on the event loop that made
    it."""

    def __init__(self, filter: EventFilter, on_close: Callable[[Any], object]) -> None:
        super().__init__(filter, on_close)
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()

    def _notify(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._news.set)

    async def get(self, timeout: float | None = None) -> Event:
        """Returns the next event, after waiting for at most ``timeout`` seconds.

        Raises:
            TimeoutError: no event arrived in time.
            StopAsyncIteration: the stream is closed and all of its events have been read.
        """
        _native.refuse_forked()
        until = deadline(timeout)
        while not self._events:
            if self._closed:
                raise StopAsyncIteration
            self._news.clear()
            if self._events or self._closed:  # it came between the check and the clearing
                continue
            try:
                await asyncio.wait_for(self._news.wait(), None if until is None else until - time.monotonic())
            except asyncio.TimeoutError:
                raise TimeoutError(f"no event came within {timeout} s") from None
        return self._events.popleft()

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        return await self.get()

    async def __aenter__(self) -> EventStream:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
