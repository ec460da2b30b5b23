"""Timeouts, kept by every method, on both faces: against a daemon that stands still, and output that does not end."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from support.box import Box, eventually, unique
from support.case import Case
from support.deadlines import timed, timed_calls
from support.harm import standing_still

import pyctd
from pyctd import aio

TIMEOUT = 0.2
LATE = 1.2
"""Seconds that a call may be late on a busy machine. Every fault of old took two seconds, as GRACE has it."""


def seconds_of(call: Callable[[], Any]) -> float:
    """How long a call takes that may run out of time."""
    began = time.monotonic()
    try:
        result = call()
        if inspect.iscoroutine(result):
            asyncio.run(result)
    except pyctd.DeadlineExceededError:
        pass
    return time.monotonic() - began


@pytest.mark.parametrize("face", [pyctd, aio])
def test_every_class_with_timeouts_is_looked_at_here(face: Any) -> None:
    assert {name for name in face.__all__ if inspect.isclass(one := getattr(face, name)) and timed(one)} == {
        "Client",
        "Container",
        "Process",
        "Task",
        "Engine",  # which may be late: docs/guides/troubleshooting.md
        "EventStream",
    }


def test_every_method_keeps_its_timeout_while_containerd_stands_still(
    own_engine: pyctd.Engine, rootfs: Path, tmp_path: Path
) -> None:
    with own_engine.client(timeout=60) as client:
        box = Box(client, rootfs)
        task, _ = box.start()
        container = client.load_container(task.container_id)
        calls = timed_calls(client, container, task, box.spec(), tmp_path / "checkpoint", TIMEOUT)
        # Of a task without an exec: runc can hang where one starts while CRIU freezes its cgroup.
        calls["Task.create_checkpoint"] = partial(box.start()[0].create_checkpoint, tmp_path / "c", timeout=TIMEOUT)
        calls["Client"] = lambda: pyctd.Client(client.address, "moby", client.state_dir, timeout=TIMEOUT)
        events = client.events(event="oom")

        def event() -> None:
            with pytest.raises(TimeoutError):
                events.get(timeout=TIMEOUT)

        calls["EventStream.get"] = event
        assert own_engine.pid
        with standing_still(own_engine.pid):
            took = {name: seconds_of(call) for name, call in calls.items()}
        box.clean()
        assert {name: seconds for name, seconds in took.items() if not TIMEOUT <= seconds < TIMEOUT + LATE} == {}


def test_every_awaitable_method_keeps_its_timeout_while_containerd_stands_still(
    own_engine: pyctd.Engine, rootfs: Path, tmp_path: Path
) -> None:
    async def took(call: Callable[[], Coroutine[Any, Any, Any]]) -> float:
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            await call()
        return time.monotonic() - began

    async def test() -> None:
        state = own_engine.bundles("moby")
        async with aio.Client(own_engine.address, "moby", state) as client:
            spec = pyctd.spec.default(rootfs, ["/bin/sleep", "600"], readonly=True)
            container = await client.new_container("c", spec)
            task = await container.start(attach_stdio=aio.stdio.capture())
            calls = timed_calls(client, container, task, spec, tmp_path / "checkpoint", TIMEOUT)
            other = await (await client.new_container("other", spec)).start()
            calls["Task.create_checkpoint"] = partial(other.create_checkpoint, tmp_path / "c", timeout=TIMEOUT)
            calls["Client"] = aio.Client(own_engine.address, "moby", state, timeout=TIMEOUT).__aenter__
            events = client.events(event="oom")
            calls["EventStream.get"] = lambda: events.get(timeout=TIMEOUT)
            assert own_engine.pid
            with standing_still(own_engine.pid):
                all_took = {name: await took(call) for name, call in calls.items()}
            for left in (task, other):
                with contextlib.suppress(pyctd.NotFoundError):
                    await left.force_delete(timeout=60)
            assert {name: one for name, one in all_took.items() if not TIMEOUT <= one < TIMEOUT + LATE} == {}

    asyncio.run(test())


@pytest.fixture
def go() -> Iterator[threading.Event]:
    """Ends the receivers that block."""
    go = threading.Event()
    yield go
    go.set()


held_up = pytest.mark.parametrize("holds", ["its child", "its receiver"])


def ended(box: Box, go: threading.Event, holds: str) -> pyctd.Process:
    """An exec that has ended with code 3, but whose output has not."""
    task, _ = box.start()
    script, stdio = "sleep 600 & echo hi; exit 3", pyctd.stdio.lines(print)
    if holds == "its receiver":
        script, stdio = "echo hi; exit 3", pyctd.stdio.lines(lambda line: go.wait(60))
    process = task.exec(unique("e"), pyctd.spec.process(["/bin/sh", "-c", script]), attach_stdio=stdio)
    eventually(lambda: process.status().status == "stopped")
    return process


@held_up
def test_a_wait_keeps_its_timeout_when_the_process_has_ended_and_its_output_has_not(
    box: Box, go: threading.Event, holds: str
) -> None:
    process = ended(box, go, holds)
    for _ in range(2):
        began = time.monotonic()
        assert process.wait(timeout=TIMEOUT).exit_code == 3
        assert time.monotonic() - began < TIMEOUT + LATE
    began = time.monotonic()
    assert process.wait().exit_code == 3
    process.wait()
    assert time.monotonic() - began < 3


@held_up
def test_a_deletion_that_runs_out_of_time_goes_on_and_the_next_one_tells_its_outcome(
    box: Box, go: threading.Event, holds: str
) -> None:
    process = ended(box, go, holds)
    words = f'context deadline exceeded: the deletion of "{process.id}" goes on in the background'
    began = time.monotonic()
    with pytest.raises(pyctd.DeadlineExceededError) as caught:
        process.delete(timeout=TIMEOUT)
    assert time.monotonic() - began < TIMEOUT + LATE
    assert str(caught.value) == words
    with pytest.raises(pyctd.DeadlineExceededError) as caught:
        process.delete(timeout=TIMEOUT)
    assert str(caught.value) == f'context deadline exceeded: an earlier call for "{process.id}" has not ended'
    assert process.delete(timeout=60).exit_code == 3
    with pytest.raises(pyctd.NotFoundError):
        process.delete(timeout=60)


def test_a_receiver_that_blocks_holds_up_a_deletion_once(box: Box, go: threading.Event) -> None:
    """For 2 seconds, and not again while the streams are closed."""
    task = box.container("/bin/echo", "hi").start(attach_stdio=pyctd.stdio.lines(lambda line: go.wait(60)))
    eventually(lambda: task.status().status == "stopped")
    began = time.monotonic()
    task.delete()
    assert time.monotonic() - began < 3.5


@pytest.mark.parametrize("again", ["delete", "force_delete"])
def test_a_task_whose_forced_deletion_ran_out_of_time_is_deleted(box: Box, go: threading.Event, again: str) -> None:
    container = box.container("/bin/sh", "-c", "echo hi; sleep 600")
    heard = threading.Event()

    def block(line: str) -> None:
        heard.set()
        go.wait(60)

    task = container.start(attach_stdio=pyctd.stdio.lines(block))
    assert heard.wait(60)
    with pytest.raises(pyctd.DeadlineExceededError, match="goes on in the background"):
        task.force_delete(timeout=TIMEOUT)
    if again == "force_delete":
        task.force_delete(timeout=60)
    else:
        with pytest.raises(pyctd.NotFoundError):  # which knows no exit status
            task.delete(timeout=60)
    container.start(timeout=60).force_delete(timeout=60)


def test_awaitable_calls_keep_their_timeouts_while_output_does_not_end(case: Case) -> None:
    async def test(client: aio.Client) -> None:
        container = await client.new_container("c", case.spec())
        task = await container.start()
        spec = pyctd.spec.process(["/bin/sh", "-c", "sleep 600 & exit 3"])
        callbacks: list[pyctd.StdioCallback] = [aio.stdio.capture(), pyctd.stdio.capture()]
        for number, stdio in enumerate(callbacks):
            process = await task.exec(f"e{number}", spec, attach_stdio=stdio)
            while (await process.status()).status != "stopped":
                await asyncio.sleep(0.02)
            for _ in range(2):
                began = time.monotonic()
                assert (await process.wait(timeout=TIMEOUT)).exit_code == 3
                assert time.monotonic() - began < TIMEOUT + LATE
            with pytest.raises(pyctd.DeadlineExceededError, match="goes on in the background"):
                await process.delete(timeout=TIMEOUT)
            assert (await process.delete(timeout=60)).exit_code == 3
        await task.force_delete()
        await container.delete()

    case.run(test)


def test_calls_on_a_frozen_container_keep_their_timeouts(box: Box) -> None:
    task, _ = box.start()
    task.pause()
    calls: list[Callable[[], Any]] = [
        lambda: task.wait(timeout=TIMEOUT),
        lambda: task.exec("e", pyctd.spec.process(["/bin/true"]), timeout=TIMEOUT),
        lambda: task.update_resources({"pids": {"limit": 9}}, timeout=TIMEOUT),
        lambda: task.delete(timeout=TIMEOUT),
    ]
    for call in calls:
        began = time.monotonic()
        with contextlib.suppress(pyctd.Error):
            call()
        assert time.monotonic() - began < TIMEOUT + LATE
    task.resume()
    task.force_delete(timeout=60)
