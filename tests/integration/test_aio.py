"""pyctd.aio on a real containerd: the same names, awaited; cancelled; by the thousand on one loop."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import gc
import inspect
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Generator
from pathlib import Path
from typing import Any

import pytest
from support import leaks
from support.box import PATIENCE, eventually, unique
from support.case import Case

import pyctd
from pyctd import Event, EventInfo, EventType, _native, aio
from pyctd.aio._runner import LoopRunner
from pyctd.events import EventFilter

FACES = [
    (pyctd.Client, aio.Client),
    (pyctd.Container, aio.Container),
    (pyctd.Process, aio.Process),
    (pyctd.Task, aio.Task),
    (pyctd.Engine, aio.Engine),
]


@pytest.mark.parametrize(("blocking", "awaitable"), FACES, ids=lambda cls: cls.__name__)
def test_both_faces_have_the_same_names_and_arguments(blocking: type, awaitable: type) -> None:
    def public(cls: type) -> set[str]:
        return {name for name in dir(cls) if not name.startswith("_")}

    more: dict[type, set[str]] = {aio.Client: {"connect"}, aio.Engine: {"start", "address"}}
    less: dict[type, set[str]] = {aio.Engine: {"bundles"}}
    assert public(awaitable) == public(blocking) - less.get(awaitable, set()) | more.get(awaitable, set())
    for name in public(blocking) & public(awaitable):
        one, other = getattr(blocking, name), getattr(awaitable, name)
        if callable(one):
            assert [str(p).split(":")[0] for p in inspect.signature(one).parameters.values()] == [
                str(p).split(":")[0] for p in inspect.signature(other).parameters.values()
            ], name


def test_a_whole_life(case: Case) -> None:
    async def test(client: aio.Client) -> None:
        assert (await client.version()).version
        container = await client.new_container("life", case.spec("/bin/sh", "-c", "cat; exit 3"))
        out = pyctd.stdio.capture(stdin=b"through and through")
        task = await container.start(attach_stdio=out)
        status = await task.wait(timeout=60)
        assert (status.exit_code, out.stdout) == (3, b"through and through")
        assert await task.delete(timeout=60) == status
        await container.delete()
        with pytest.raises(pyctd.NotFoundError, match="no such container"):
            await client.load_container("life")

    case.run(test)


def test_every_method_of_a_task(case: Case, tmp_path: Path) -> None:
    async def test(client: aio.Client) -> None:
        container = await client.new_container("c", case.spec())
        task = await container.new_task()
        assert (await task.status()).status == "created"
        await task.start()
        again = await (await client.load_container("c")).task()
        assert again.pid == task.pid
        await task.pause()
        assert (await task.status()).status == "paused"
        await task.resume()
        while [p.pid for p in await task.pids()] != [task.pid]:  # one of runc's may be there for a moment
            await asyncio.sleep(0.01)
        assert (await task.stats()).metrics.pids
        with pytest.raises(pyctd.UnknownError, match="unable to decode process details"):
            await task.summary()
        await task.update_resources({"pids": {"limit": 77}})
        assert "/77" in str((await task.stats()).metrics.pids).replace("limit=", "/")
        held: list[pyctd.DirectIO] = []

        def keep(dio: pyctd.DirectIO) -> pyctd.IO:
            held.append(dio)
            return dio

        spec = pyctd.spec.process(["/bin/cat"], terminal=False)
        process = await task.exec("e", spec, with_stdin=True, attach_stdio=keep)
        assert held[0].stdin
        held[0].stdin.close()
        assert (await process.wait(timeout=60)).exit_code == 0
        await process.delete()
        with pytest.raises(pyctd.Error):
            await task.create_checkpoint(tmp_path / "none" / "file", timeout=0.0)
        await task.kill("KILL")
        assert (await task.wait(timeout=60)).exit_code == 137
        await task.delete()
        replaced = await client.replace_container("c", case.spec())
        await (await replaced.start()).force_delete()
        await replaced.delete()

    case.run(test)


def test_errors_are_the_same(case: Case) -> None:
    async def test(client: aio.Client) -> None:
        with pytest.raises(pyctd.InvalidArgumentError, match="identifier"):
            await client.new_container("../x", case.spec())
        with pytest.raises(pyctd.InvalidArgumentError, match="opts must come from"):
            await client.new_container("x", case.spec(), opts=["labels"])  # type: ignore[list-item]
        with pytest.raises(pyctd.DeadlineExceededError):
            await client.version(timeout=0)
        with pytest.raises(pyctd.InvalidArgumentError, match="timeout must be"):
            await client.version(timeout=-1)
        container = await client.new_container("c", case.spec())

        def refuse(dio: pyctd.DirectIO) -> pyctd.IO | None:
            raise ValueError("no")

        with pytest.raises(pyctd.StdioError, match="no") as caught:
            await container.start(attach_stdio=refuse)
        assert isinstance(caught.value.__cause__, ValueError)
        await container.delete()
        container.close()
        with pytest.raises(pyctd.ClosedError):
            await container.task()

    case.run(test)


def test_a_client_that_is_not_connected(case: Case) -> None:
    async def test() -> None:
        client = case.client()
        with pytest.raises(pyctd.ClosedError, match="not connected"):
            await client.version()
        assert "closed" in repr(client)
        connected = await client
        assert connected is client
        assert (await client.version()).version
        await client.close()
        await client.close()
        with pytest.raises(pyctd.ClosedError):
            await client.version()

    asyncio.run(test())


def test_tasks_that_connect_one_client_at_once_share_the_connection(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the first of them is cancelled, the next connects it."""
    made: list[_native.Handle] = []
    own = aio.Client._own

    def noted(client: aio.Client, handle: _native.Handle) -> None:
        made.append(handle)
        own(client, handle)

    monkeypatch.setattr(aio.Client, "_own", noted)

    async def test() -> None:
        client = case.client()
        connecting = [asyncio.ensure_future(client.connect()) for _ in range(3)]
        await asyncio.sleep(0)
        connecting[0].cancel()
        with pytest.raises(asyncio.CancelledError):
            await connecting[0]
        assert await asyncio.gather(*connecting[1:]) == [client, client]
        assert (await client.version()).version
        assert len(made) == 1
        await client.close()

    asyncio.run(test())
    made.clear()


def test_a_daemon_that_is_not_there() -> None:
    async def test() -> None:
        with pytest.raises(pyctd.UnavailableError):
            await aio.Client("/nowhere.sock")

    asyncio.run(test())


def test_a_thousand_in_flight_need_no_threads(case: Case) -> None:
    async def test(client: aio.Client) -> None:
        container = await client.new_container("c", case.spec())
        task = await container.start()
        before = threading.active_count()
        waits = [asyncio.ensure_future(task.wait()) for _ in range(1000)]
        await asyncio.sleep(0.2)
        assert pyctd._native.counts().operations == 1000
        assert threading.active_count() - before <= 8
        statuses = await asyncio.gather(*(task.status() for _ in range(200)))
        assert {status.status for status in statuses} == {"running"}
        await task.kill("KILL")
        assert {status.exit_code for status in await asyncio.gather(*waits)} == {137}
        await task.delete()
        await container.delete()

    case.run(test)


def test_cancelling_ends_the_await_and_the_operation(case: Case) -> None:
    async def test(client: aio.Client) -> None:
        container = await client.new_container("c", case.spec())
        task = await container.start()
        waiting = asyncio.ensure_future(task.wait())
        await asyncio.sleep(0.1)
        assert pyctd._native.counts().operations == 1
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert pyctd._native.counts().operations == 0
        with pytest.raises((TimeoutError, asyncio.TimeoutError)):
            await asyncio.wait_for(task.wait(), 0.1)
        assert (await task.status()).status == "running"
        await task.force_delete()
        await container.delete()

    case.run(test)


def test_what_a_cancelled_call_has_made_is_released(case: Case) -> None:
    async def test(client: aio.Client) -> None:
        for delay in (0, 0, 0.0005, 0.001, 0.002, 0.004):
            call = asyncio.ensure_future(client.new_container(unique("c"), case.spec()))
            await asyncio.sleep(delay)
            call.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await (await call).delete()
        await asyncio.sleep(0.1)

    before = pyctd._native.counts().handles
    case.run(test)
    state = case.engine.bundles(case.namespace)
    assert state
    with case.engine.client(case.namespace) as client:  # those that were made before the cancellation came
        for bundle in state.glob("*"):
            try:
                client.load_container(bundle.name).delete()
            except pyctd.NotFoundError:
                bundle.rmdir()
    assert pyctd._native.counts().handles <= before + 16
    assert not leaks.fifos(state)


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


class Counting:
    """A backend that is called, and awaited."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, int, str]] = []

    async def __call__(self, id: str, event: EventType, info: EventInfo) -> None:
        await asyncio.sleep(0.01)
        self.seen.append((str(event), threading.get_ident(), who.get()))
        if event == "start":
            raise ValueError("not this one")


who = contextvars.ContextVar("who", default="nobody")


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


def test_a_task_group_of_lives(case: Case) -> None:
    async def live(client: aio.Client, i: int) -> int:
        container = await client.new_container(f"c{i}", case.spec("/bin/sh", "-c", f"exit {i}"))
        task = await container.start(attach_stdio=pyctd.stdio.capture())
        code = (await task.wait(timeout=60)).exit_code
        await task.delete(timeout=60)
        await container.delete(timeout=60)
        return code

    async def test(client: aio.Client) -> None:
        assert await asyncio.gather(*(live(client, i) for i in range(12))) == list(range(12))

    case.run(test)


def test_an_engine(rootfs: Path) -> None:
    async def test() -> None:
        engine = aio.Engine()
        with pytest.raises(pyctd.ClosedError, match="not started"):
            engine.client()
        async with engine, engine.client() as client:
            assert engine.pid
            container = await client.new_container(unique("c"), pyctd.spec.default(rootfs, ["/bin/true"]))
            assert (await (await container.start()).wait(timeout=60)).exit_code == 0
            with pytest.raises(pyctd.InvalidArgumentError, match="timeout must be"):
                await engine.close(timeout=-1)
            assert engine.pid
        assert engine.pid is None

    asyncio.run(test())


@pytest.mark.parametrize("cancelled", [0, 1])
def test_tasks_that_start_one_engine_at_once_share_it(monkeypatch: pytest.MonkeyPatch, cancelled: int) -> None:
    """Where the first of them is cancelled, the others have another, which starts when that one's is gone."""
    started: list[pyctd.Engine] = []
    begin = pyctd.Engine.__init__

    def noted(engine: pyctd.Engine, *args: Any, **options: Any) -> None:
        assert all("closed" in repr(other) for other in started)
        started.append(engine)
        begin(engine, *args, **options)

    monkeypatch.setattr(pyctd.Engine, "__init__", noted)

    async def test() -> None:
        engine = aio.Engine()
        starting = [asyncio.ensure_future(engine.start()) for _ in range(3)]
        await asyncio.sleep(0)
        for one in starting[:cancelled]:
            one.cancel()
        assert await asyncio.gather(*starting[cancelled:]) == [engine] * (3 - cancelled)
        assert all(one.cancelled() for one in starting[:cancelled])
        async with engine, engine.client() as client:
            assert (await client.version()).version
        assert len(started) == 1 + cancelled

    asyncio.run(test())
    started.clear()


def test_many_loops_one_after_another(case: Case) -> None:
    """Each has a queue of its own, which goes with it."""

    async def test(client: aio.Client) -> str:
        return (await client.version()).version

    assert len({case.run(test) for _ in range(5)}) == 1


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
    with case.engine.client(case.namespace) as other:
        container = other.load_container("c")
        container.task().force_delete()
        container.delete()
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


def test_asyncio_is_loaded_when_it_is_asked_for() -> None:
    lines = (
        "import sys, pyctd",
        "assert 'asyncio' not in sys.modules",
        "assert pyctd.aio.Client",
        "print('asyncio' in sys.modules)",
    )
    command = [sys.executable, "-c", "\n".join(lines)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd="/")
    assert (done.stdout, done.stderr) == ("True\n", "")
