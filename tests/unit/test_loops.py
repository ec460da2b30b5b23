"""What a cancelled call on an event loop leaves to be undone."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections import deque

import pytest
from support.box import PATIENCE
from support.streams import Streams

from pyctd import _native
from pyctd.aio import stdio
from pyctd.aio._loop import LoopQueue, in_thread
from pyctd.aio._pipes import Output


def test_what_comes_for_nobody_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """As after two interrupts, the second of which came before the loop could expect what the first had cut off."""

    async def main() -> None:
        queue = LoopQueue(asyncio.get_running_loop())
        opened = os.open(os.devnull, os.O_RDONLY)
        came = deque([_native.Completion(1, 0, 0, opened, 0, 0, b"", b"")])
        monkeypatch.setattr(queue._queue, "drain", lambda: came)
        queue._drain()
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(opened)
        queue.end()

    asyncio.run(main())


def test_an_io_that_is_closed_on_the_loops_own_thread_does_not_wait_for_the_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As by a client of the other face, which the loop's thread closes."""
    monkeypatch.setattr(stdio, "GRACE", 600.0)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        outputs = [Output(loop, lambda data: None, lambda failed: None) for _ in range(2)]
        io = stdio.LoopIO(Streams(), loop, threading.get_ident(), None, outputs)  # type: ignore[arg-type]
        io.close()
        await asyncio.sleep(0.01)

    asyncio.run(main())


@pytest.mark.parametrize("made_first", [True, False], ids=["made, then cancelled", "cancelled, then made"])
def test_what_a_thread_makes_for_a_cancelled_call_is_undone(made_first: bool) -> None:
    begun, go, undone, ended = threading.Event(), threading.Event(), threading.Event(), threading.Event()

    def work() -> str:
        begun.set()
        assert go.wait(PATIENCE)
        return "made"

    def undo(made: str) -> None:
        assert made == "made"
        undone.set()

    async def main() -> None:
        call = asyncio.ensure_future(in_thread(work, undo, ended.set))
        await asyncio.to_thread(begun.wait, PATIENCE)
        if made_first:
            go.set()
            time.sleep(0.1)  # the loop does not hear of it before the cancellation
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        go.set()
        assert await asyncio.to_thread(undone.wait, PATIENCE)
        assert await asyncio.to_thread(ended.wait, PATIENCE)

    asyncio.run(main())
