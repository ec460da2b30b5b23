"""The two faces of pyctd, as one: a step awaits a call of either."""

from __future__ import annotations

import signal
import types
from collections.abc import Awaitable, Callable
from typing import Any

import pyctd

__all__ = ["FACES", "Cancelled", "Face", "Sync"]


class Cancelled(BaseException):
    """What cuts a synchronous call short, as Ctrl-C does: a cancelled call of the scenario."""


class Face:
    """How a face's calls are made."""

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
        return pyctd.Client(address, namespace, state, backend, timeout=30)

    async def call(self, method: Callable[..., Any], *args: Any, cancel_after: float | None, **options: Any) -> Any:
        if cancel_after is None:
            return method(*args, **options)
        old = signal.signal(signal.SIGALRM, _interrupt)
        signal.setitimer(signal.ITIMER_REAL, cancel_after)
        try:
            return method(*args, **options)
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


#: The faces by name. pyctd.aio's is to be added here: connect, call with await, cancellation by Task.cancel.
FACES: dict[str, Callable[[], Face]] = {"sync": Sync}
