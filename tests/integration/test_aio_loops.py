"""pyctd.aio among asyncio's own: timeouts, groups, other loops, loops that end; and what a cancellation tells."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from support import leaks
from support.box import PATIENCE, Box, SlowIO, eventually
from support.case import Case
from support.deadlines import timed_calls

import pyctd
from pyctd import EventInfo, EventType, _native, aio
from pyctd.aio import _loop
from pyctd.aio._runner import LoopRunner

since_3_11 = pytest.mark.skipif(sys.version_info < (3, 11), reason="asyncio has had it since Python 3.11")


pytestmark = pytest.mark.parametrize("case", ["asyncio", "uvloop"], indirect=True)


def told(error: BaseException | None) -> pyctd.Error:
    """What came of the operation, somewhere in an exception's chain."""
    while error is not None and not isinstance(error, pyctd.Error):
        error = error.__cause__ or error.__context__
    assert error is not None
    return error


def test_a_life_with_events_and_streams(case: Case) -> None:
    async def test(client: aio.Client) -> None:
        async with client.events(container_id="c") as events:
            container = await client.new_container("c", case.spec("/bin/sh", "-c", "echo hello; exit 3"))
            out = aio.stdio.capture()
            task = await container.start(attach_stdio=out)
            assert ((await task.wait(timeout=60)).exit_code, out.stdout) == (3, b"hello\n")
            assert [(await events.get(60)).event for _ in range(3)] == ["create", "start", "exit"]
            await task.delete()
            await container.delete()

    case.run(test)


@since_3_11
def test_asyncio_timeout_ends_the_operation(case: Case) -> None:
    async def test(client: aio.Client) -> None:
        container = await client.new_container("c", case.spec())
        task = await container.start()
        with pytest.raises(TimeoutError) as caught:
            async with asyncio.timeout(0.1):  # type: ignore[attr-defined]
                await task.wait()
        assert _native.counts().operations == 0
        assert isinstance(told(caught.value), pyctd.CanceledError)
        assert str(told(caught.value)) == "context canceled"
        await task.force_delete()
        await container.delete()

    case.run(test)


@since_3_11
def test_a_task_group_cancels_the_operations_of_its_other_tasks(case: Case) -> None:
    async def test(client: aio.Client) -> None:
        container = await client.new_container("c", case.spec())
        task = await container.start()

        async def fail() -> None:
            await asyncio.sleep(0.1)
            raise ZeroDivisionError

        async def group() -> None:
            async with asyncio.TaskGroup() as tasks:  # type: ignore[attr-defined]
                for _ in range(20):
                    tasks.create_task(task.wait())
                tasks.create_task(fail())

        with pytest.raises(Exception, match="unhandled errors in a TaskGroup") as caught:
            await group()
        assert [type(error) for error in caught.value.exceptions] == [ZeroDivisionError]  # type: ignore[attr-defined]
        assert _native.counts().operations == 0
        assert (await task.status()).status == "running"
        await task.force_delete()
        await container.delete()

    case.run(test)


def test_what_a_cancelled_call_has_made_is_told(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cancelled when Go has just ended the operation: what it made stays, as in Go, and the handle does not."""

    async def test(client: aio.Client) -> None:
        drain = _loop.LoopQueue._drain

        async def cancel_at_the_end(call: Awaitable[object]) -> str:
            working = asyncio.ensure_future(call)

            def cancel_first(queue: _loop.LoopQueue) -> None:
                working.cancel()
                drain(queue)

            monkeypatch.setattr(_loop.LoopQueue, "_drain", cancel_first)
            with pytest.raises(asyncio.CancelledError) as caught:
                await working
            monkeypatch.setattr(_loop.LoopQueue, "_drain", drain)
            assert isinstance(told(caught.value), pyctd.CanceledError)
            return str(told(caught.value))

        words = await cancel_at_the_end(client.new_container("c", case.spec()))
        assert words.endswith("interrupted: container 'c' is there")
        container = await client.load_container("c")
        words = await cancel_at_the_end(container.start(attach_stdio=pyctd.stdio.capture(stdin=b"")))
        task = await container.task()
        assert words.endswith(f"the task of container 'c' is there, with process id {task.pid}")
        await task.force_delete()
        await container.delete()

    case.run(test)


def test_a_cancellation_does_not_wait_for_a_clean_up_that_takes_long(
    case: Case, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level("INFO", logger="pyctd")
    monkeypatch.setattr(_loop, "CLEAN_UP", 0.1)
    called, go_on = threading.Event(), threading.Event()

    def slow(dio: pyctd.DirectIO) -> SlowIO:
        called.set()
        assert go_on.wait(PATIENCE)
        return SlowIO(dio)

    async def test(client: aio.Client) -> None:
        container = await client.new_container("c", case.spec())
        task = await container.start()
        attaching = asyncio.ensure_future(container.attach_task(slow))
        await asyncio.to_thread(called.wait, PATIENCE)
        attaching.cancel()
        try:
            with pytest.raises(asyncio.CancelledError) as caught:
                await attaching
        finally:
            go_on.set()
        assert "Go still cleans up" in str(told(caught.value))
        while "Container.attach_task, which was interrupted, has ended" not in caplog.text:
            await asyncio.sleep(0.02)
        await task.force_delete()
        await container.delete()

    case.run(test)


def test_operations_end_with_a_loop_that_is_abandoned(case: Case) -> None:
    async def start() -> aio.Client:
        client = await case.client()
        container = await client.new_container("c", case.spec())
        task = await container.start()
        for _ in range(5):
            waits.append(asyncio.ensure_future(task.wait()))
        await asyncio.sleep(0.1)
        assert _native.counts().operations == 5
        return client

    waits: list[asyncio.Future[Any]] = []
    loop = case.new_loop()
    client = loop.run_until_complete(start())
    loop.close()
    while waits:
        waits.pop()._log_destroy_pending = False  # type: ignore[attr-defined]  # asyncio's warning is right, and meant
    eventually(lambda: _native.counts().operations == 0, "their end")
    asyncio.run(client.close())
    with case.engine.client(case.namespace) as other:
        Box(other, case.rootfs).ids.append("c")
        container = other.load_container("c")
        container.task().force_delete()
        container.delete()


def test_loops_side_by_side_each_with_its_own_client(case: Case) -> None:
    codes: dict[int, int] = {}

    def run(i: int) -> None:
        async def test(client: aio.Client) -> None:
            container = await client.new_container(f"c{i}", case.spec("/bin/sh", "-c", f"exit {i}"))
            task = await container.start(attach_stdio=aio.stdio.capture())
            codes[i] = (await task.wait(timeout=60)).exit_code
            await task.delete(timeout=60)
            await container.delete()

        case.run(test)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert codes == {i: i for i in range(4)}


@pytest.mark.parametrize("kind", [lambda handler: handler, lambda handler: lambda *event: handler(*event)])
def test_a_handler_whose_loop_ends_holds_no_event_up(case: Case, kind: Callable[[Any], Any]) -> None:
    """What the loop has not begun, and what it has begun, is dropped when it is closed."""
    entered = threading.Event()

    async def handler(id: str, event: EventType, info: EventInfo) -> None:
        entered.set()
        await asyncio.sleep(600)

    async def start() -> aio.Client:
        client = await case.client(backend=kind(handler))
        task = await (await client.new_container("c", case.spec())).start()
        task.close()
        while not entered.is_set():
            await asyncio.sleep(0.01)
        return client

    loop = case.new_loop()
    client = loop.run_until_complete(start())
    assert isinstance(client._runner, LoopRunner)
    for task in client._runner._running.values():
        assert task
        task._log_destroy_pending = False  # type: ignore[attr-defined]
    loop.close()
    case.remove("c")
    eventually(lambda: client.handler_errors == 3, "create, start and exit without a loop")
    asyncio.run(client.close())


def test_a_handler_that_is_cancelled_once_its_client_is_closed_has_not_failed(case: Case) -> None:
    """The end of a loop cancels what runs there."""
    entered = asyncio.Event()
    ended: list[BaseException] = []

    async def handler(id: str, event: EventType, info: EventInfo) -> None:
        entered.set()
        try:
            await asyncio.sleep(600)
        except BaseException as error:
            ended.append(error)
            raise

    async def main() -> aio.Client:
        client = await case.client(backend=handler)
        await client.new_container("c", case.spec())
        task = await (await client.load_container("c")).start()
        await asyncio.wait_for(entered.wait(), PATIENCE)
        task.close()
        await client.close()
        return client

    loop = case.new_loop()
    client = loop.run_until_complete(main())
    running = asyncio.all_tasks(loop)
    for one in running:
        one.cancel()
    loop.run_until_complete(asyncio.gather(*running, return_exceptions=True))
    loop.close()
    assert [type(error) for error in ended] == [asyncio.CancelledError]
    assert client.handler_errors == 0
    case.remove("c")


def test_every_call_keeps_a_deadline_that_is_past(case: Case, tmp_path: Path) -> None:
    """All that take a timeout: with Go's text, whatever it says around it."""

    async def test(client: aio.Client) -> None:
        container = await client.new_container("c", case.spec())
        task = await container.start()
        for call in timed_calls(client, container, task, case.spec(), tmp_path / "c").values():
            with pytest.raises(pyctd.DeadlineExceededError, match="context deadline exceeded"):
                await call()
        assert (await task.status()).status == "running"
        await task.force_delete()
        await container.delete()

    case.run(test)


@pytest.mark.moby_may_keep_goroutines  # its supervisor, as in test_engine
def test_an_engine_whose_start_is_cancelled_is_taken_down(
    case: Case, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = Path(tempfile.mkdtemp(prefix="e", dir=base))
    monkeypatch.setattr(tempfile, "tempdir", str(directory))
    slow = tmp_path / "containerd"  # so that it is still starting when it is cancelled
    slow.write_text(f'#!/bin/sh\nsleep 0.5\nexec {shutil.which("containerd")} "$@"\n')
    slow.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    async def test() -> None:
        for delay in (0.0, 0.05):
            starting = asyncio.ensure_future(aio.Engine().start())
            await asyncio.sleep(delay)
            starting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await starting
        with pytest.raises(pyctd.InvalidArgumentError, match="log_level"):
            await aio.Engine(log_level="loud").start()

    loop = case.new_loop()
    loop.run_until_complete(asyncio.wait_for(test(), 60))
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()
    eventually(lambda: not leaks.processes(f"{directory}/") and not list(directory.iterdir()), "its end")
    directory.rmdir()
