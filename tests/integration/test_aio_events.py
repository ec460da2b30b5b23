"""Events on an event loop: streams of them, and handlers that are coroutines."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import gc
import threading
from collections.abc import Awaitable, Callable, Generator
from typing import Any

import pytest
from support.box import PATIENCE, eventually
from support.case import Case

from pyctd import Event, EventInfo, EventType, aio
from pyctd.aio._runner import LoopRunner
from pyctd.events import EventFilter


def test_events_by_async_for(case: Case) -> None:
    async def test(client: aio.Client) -> None:
        seen: list[str] = []
        async with client.events(container_id="c") as events:
            container = await client.new_container("c", case.spec("/bin/true"))
            task = await container.start()
            async for event in events:
                seen.append(str(event.event))
                if event.event is EventType.EXIT:
                    break
            with pytest.raises(TimeoutError, match="no event came"):
                await events.get(timeout=0.05)
        assert [event async for event in events] == []
        assert seen == ["create", "start", "exit"]
        await task.delete()
        await container.delete()

    case.run(test)


def test_a_wait_for_an_event_ends_in_time_however_often_it_is_woken(case: Case) -> None:
    async def test(client: aio.Client) -> None:
        async def wake(events: aio.EventStream) -> None:
            for _ in range(1000):
                events._news.set()
                await asyncio.sleep(0.002)

        async with client.events() as events:
            waking = asyncio.ensure_future(wake(events))
            with pytest.raises(TimeoutError, match="no event came within 0.1 s"):
                await events.get(timeout=0.1)
            assert not waking.done()
            waking.cancel()

    case.run(test)


def test_a_close_that_is_cancelled_ends_the_events(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(client: aio.Client) -> None:
        begun, release = threading.Event(), threading.Event()
        connected = client._connected
        assert connected
        close = connected.close

        def slow() -> None:
            begun.set()
            assert release.wait(PATIENCE)
            close()

        monkeypatch.setattr(connected, "close", slow)
        first = client.events()
        closing = asyncio.ensure_future(client.close())
        await asyncio.to_thread(begun.wait)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        second = client.events()  # it is not closed yet
        release.set()
        for events in (first, second):
            with pytest.raises(StopAsyncIteration):
                await events.get(timeout=10)

    case.run(test)


def test_a_handler_that_is_a_coroutine(case: Case) -> None:
    """It runs on the loop, in order, one event of a container at a time, and its errors are counted."""
    seen: list[tuple[str, int]] = []
    loop_thread = threading.get_ident()

    async def handler(id: str, event: EventType, info: EventInfo) -> None:
        await asyncio.sleep(0.01)
        seen.append((str(event), threading.get_ident()))
        if event == "start":
            raise ValueError("not this one")

    async def test(client: aio.Client) -> None:
        container = await client.new_container("c", case.spec("/bin/true"))
        task = await container.start()
        await task.wait(timeout=60)
        for _ in range(200):
            if len(seen) == 3:
                break
            await asyncio.sleep(0.02)
        assert seen == [(name, loop_thread) for name in ("create", "start", "exit")]
        assert client.handler_errors == 1
        await task.delete()
        await container.delete()

    case.run(test, backend=handler)


who = contextvars.ContextVar("who", default="nobody")


class Counting:
    """A backend that is called, and awaited."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, int, str]] = []

    async def __call__(self, id: str, event: EventType, info: EventInfo) -> None:
        await asyncio.sleep(0.01)
        self.seen.append((str(event), threading.get_ident(), who.get()))
        if event == "start":
            raise ValueError("not this one")


def wrapped(handler: Counting) -> Callable[..., Awaitable[object]]:
    """As a decorator does that knows nothing of coroutines."""

    def wrapper(*event: Any) -> Awaitable[object]:
        who.set("the wrapper")
        return handler(*event)

    return wrapper


class Later:
    """An awaitable that is no coroutine."""

    def __init__(self, work: Awaitable[None]) -> None:
        self._work = work

    def __await__(self) -> Generator[Any, None, None]:
        return self._work.__await__()


@pytest.mark.parametrize(
    ("kind", "called_by"),
    [
        (lambda handler: handler, "nobody"),
        (lambda handler: functools.partial(handler), "nobody"),
        (lambda handler: lambda *event: handler(*event), "nobody"),
        (lambda handler: lambda *event: Later(handler(*event)), "nobody"),
        (wrapped, "the wrapper"),
    ],
    ids=["an object", "a partial", "a lambda", "an awaitable", "a wrapper"],
)
def test_whatever_a_handler_returns_that_can_be_awaited_is(
    case: Case, kind: Callable[[Counting], Any], called_by: str
) -> None:
    """On the loop, and the next event of the container comes at its end, as with a coroutine function."""
    counting = Counting()

    async def test(client: aio.Client) -> None:
        container = await client.new_container("c", case.spec("/bin/true"))
        task = await container.start()
        await task.wait(timeout=60)
        await asyncio.to_thread(eventually, lambda: len(counting.seen) == 3)
        assert counting.seen == [(name, threading.get_ident(), called_by) for name in ("create", "start", "exit")]
        assert client.handler_errors == 1
        await task.delete()
        await container.delete()

    case.run(test, backend=kind(counting))


def test_a_coroutine_whose_error_can_not_be_told(case: Case) -> None:
    class Odd(Exception):
        def __str__(self) -> str:
            return str(self.args[0])

    async def handler(id: str, event: EventType, info: EventInfo) -> None:
        raise Odd

    async def test(client: aio.Client) -> None:
        container = await client.new_container("c", case.spec("/bin/true"))
        task = await container.start()
        await task.wait(timeout=60)
        await asyncio.to_thread(eventually, lambda: client.handler_errors == 3, "an error of each event")
        await task.delete()
        await container.delete()

    case.run(test, backend=handler)


def test_a_stream_whose_loop_ends_in_that_moment_takes_an_event(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """What raised there would keep the event from all others, and the next one from coming."""

    async def make() -> aio.EventStream:
        return aio.EventStream(EventFilter.of(None, None, None, False), lambda stream: None)

    loop = asyncio.new_event_loop()
    stream = loop.run_until_complete(make())
    loop.close()
    monkeypatch.setattr(loop, "is_closed", lambda: False)  # as it was when it was looked at
    stream.put(Event("c", EventType.START, EventInfo("c")))
    stream.close()


def test_a_loop_that_ends_before_its_client_is_closed(case: Case) -> None:
    """Its handler can't run any more, which is logged and counted; nothing stands still for it."""

    async def handler(id: str, event: EventType, info: EventInfo) -> None:
        await asyncio.sleep(60)

    async def test() -> aio.Client:
        client = await case.client(backend=handler)
        task = await (await client.new_container("c", case.spec())).start()
        task.close()
        return client

    client = asyncio.run(test())
    case.remove("c")
    eventually(lambda: client.handler_errors == 3, "create cancelled, start and exit without a loop")
    asyncio.run(client.close())


def test_a_handler_that_its_loop_never_began_warns_of_nothing(case: Case) -> None:
    """An event that arrives while its loop closes gets a task, and no turn."""
    loop = asyncio.new_event_loop()

    async def handler(id: str, event: EventType, info: EventInfo) -> None:
        raise AssertionError("the loop is closed")

    client = loop.run_until_complete(case.client(backend=handler))
    runner = client._runner
    assert isinstance(runner, LoopRunner)
    with case.engine.client(case.namespace) as other:
        container = other.new_container("c", case.spec())
        task = container.start()
        eventually(lambda: runner._running, "an event for the handler")
        loop.call_soon(loop.stop)
        loop.run_forever()  # one turn, which makes the handler's task
        assert all(isinstance(one, asyncio.Task) for one in runner._running.values())
        loop.close()
        eventually(lambda: client.handler_errors >= 1, "a handler without a loop")
        task.force_delete()
        container.delete()
    asyncio.run(client.close())
    gc.collect()  # which finds the tasks, and would warn of their coroutines
