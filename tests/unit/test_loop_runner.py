"""Handlers of events that are coroutine functions, without a daemon."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from pyctd import _native
from pyctd.aio._runner import LoopRunner
from pyctd.events import Event, EventInfo, EventType

EVENT = Event("c", EventType.START, EventInfo("c"))


@pytest.fixture
def acknowledged(monkeypatch: pytest.MonkeyPatch) -> dict[int, str]:
    """The events that were acknowledged, with their errors."""
    tokens: dict[int, str] = {}

    def acknowledge(token: int, error: str = "") -> None:
        assert token not in tokens
        tokens[token] = error

    monkeypatch.setattr(_native, "acknowledge", acknowledge)
    return tokens


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """An event loop."""
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


def test_an_interrupt_loses_no_event(loop: asyncio.AbstractEventLoop, acknowledged: dict[int, str]) -> None:
    """As Ctrl-C while the loop begins handlers, in a program that runs the loop again."""
    handled: list[Event] = []

    async def handler(*event: Any) -> None:
        handled.append(Event(*event))

    def interrupt(loop: asyncio.AbstractEventLoop, coroutine: Any, **given: Any) -> asyncio.Task[Any]:
        loop.set_task_factory(None)
        coroutine.close()
        signal.raise_signal(signal.SIGINT)
        raise AssertionError("not interrupted")

    runner = LoopRunner(handler)
    runner.loop = loop
    loop.set_task_factory(interrupt)
    for token in range(3):
        assert not runner.handle(EVENT, token)
    with pytest.raises(KeyboardInterrupt):
        loop.run_forever()
    loop.run_until_complete(asyncio.sleep(0.01))
    assert acknowledged == {0: "KeyboardInterrupt: ", 1: "", 2: ""}
    assert handled == [EVENT, EVENT]
    runner.handle(EVENT, 3)  # the loop is still woken for what comes then
    loop.run_until_complete(asyncio.sleep(0.01))
    assert acknowledged[3] == ""


def test_events_of_a_loop_that_is_closed_are_not_kept(
    loop: asyncio.AbstractEventLoop, acknowledged: dict[int, str]
) -> None:
    """As those of a client that nobody has closed."""

    async def handler(*event: Any) -> None:
        raise AssertionError("the loop is closed")

    runner = LoopRunner(handler)
    runner.loop = loop
    loop.close()
    for token in range(10):
        runner.handle(EVENT, token)
    assert len(acknowledged) == 10
    assert not runner._arrived
