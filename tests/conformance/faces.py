"""The two faces of pyctd, as one: a step awaits a call of either."""

from __future__ import annotations

import asyncio
import logging
import queue
import signal
import threading
import types
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

import pyctd
import pyctd.aio
from conformance.streams import PATIENCE

__all__ = ["FACES", "Asyncio", "Face", "Sync"]

T = TypeVar("T")


class Cancelled(BaseException):
    """What cuts a synchronous call short, as Ctrl-C does: a cancelled call of the scenario."""


class LateOutcomes(logging.Handler):
    """Takes what pyctd logs of calls that their cancellation did not wait for."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self._outcomes: queue.SimpleQueue[pyctd.Error] = queue.SimpleQueue()
        logger = logging.getLogger("pyctd")
        logger.setLevel(logging.INFO)
        logger.propagate = False
        logger.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        outcome = record.args[-1] if isinstance(record.args, tuple) and record.args else None
        if isinstance(outcome, pyctd.Error):
            self._outcomes.put(outcome)

    def of(self, interrupt: BaseException) -> pyctd.Error:
        """What came of the call that was interrupted: it is the interrupt's context, or comes late."""
        known = interrupt.__context__
        assert isinstance(known, pyctd.Error), "the interrupt does not tell of its call"
        return self._outcomes.get(timeout=PATIENCE) if "still cleans up" in str(known) else known


class Face:
    """How a face's calls are made."""

    def __init__(self) -> None:
        self._late = LateOutcomes()

    async def connect(self, address: str, namespace: str, state: str, backend: Any) -> Any:
        raise NotImplementedError

    async def call(self, method: Callable[..., Any], *args: Any, cancel_after: float | None, **options: Any) -> Any:
        """What method returns; cancelled after some seconds where that is asked for."""
        raise NotImplementedError

    async def close(self, client: Any) -> None:
        raise NotImplementedError


class Sync(Face):
    """pyctd's blocking face. A call is cancelled by an exception in its thread, which only the main thread can get."""

    async def connect(self, address: str, namespace: str, state: str, backend: Any) -> Any:
        return pyctd.Client(address, namespace, state, backend, timeout=60)

    async def call(self, method: Callable[..., Any], *args: Any, cancel_after: float | None, **options: Any) -> Any:
        if cancel_after is None:
            return method(*args, **options)
        old = signal.signal(signal.SIGALRM, _interrupt)
        signal.setitimer(signal.ITIMER_REAL, cancel_after)
        try:
            return method(*args, **options)
        except Cancelled as cancelled:
            raise self._late.of(cancelled) from None
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, old)

    async def close(self, client: Any) -> None:
        client.close()


def _interrupt(number: int, frame: types.FrameType | None) -> None:
    raise Cancelled


def run_blocking(work: Awaitable[Any]) -> Any:
    """Runs a coroutine that never really waits, for its calls are blocking ones."""
    coroutine = work.__await__()
    try:
        next(coroutine)
    except StopIteration as done:
        return done.value
    raise RuntimeError("a blocking face waited")


class Asyncio(Face):
    """pyctd.aio, on an event loop in a thread of its own: steps that run at once are coroutines in flight there."""

    def __init__(self) -> None:
        super().__init__()
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="loop", daemon=True).start()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def connect(self, address: str, namespace: str, state: str, backend: Any) -> Any:
        return self._run(pyctd.aio.Client(address, namespace, state, backend, timeout=60).connect())

    async def call(self, method: Callable[..., Any], *args: Any, cancel_after: float | None, **options: Any) -> Any:
        came = self._run(self._call(method(*args, **options), cancel_after))
        if isinstance(came, asyncio.CancelledError):
            raise self._late.of(came)
        return came

    async def _call(self, call: Coroutine[Any, Any, Any], cancel_after: float | None) -> Any:
        task = asyncio.ensure_future(call)
        if cancel_after is not None:
            await asyncio.wait([task], timeout=cancel_after)
            task.cancel()
        try:
            return await task
        except asyncio.CancelledError as cancelled:
            return cancelled

    async def close(self, client: Any) -> None:
        self._run(client.close())


FACES: dict[str, Callable[[], Face]] = {"sync": Sync, "asyncio": Asyncio}
"""The faces by name."""
