"""Gaps in the events: the daemon was away, and what ended meanwhile is made known."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from functools import partial
from pathlib import Path

import pytest
from support.box import PATIENCE, Box, eventually, unique
from support.cli import Cli
from support.ctr import version_of
from support.daemon import Daemon
from support.harm import answers, standing_still
from support.proc import gone

import pyctd
import pyctd.aio
from pyctd import Event, EventType

TRAPS = "trap 'exit 7' TERM; while :; do sleep 0.05; done"


def end(*processes: pyctd.Process) -> None:
    """Ends them, behind the daemon's back. A process that has yet to set its trap ignores the signal."""

    def ended(pid: int) -> bool:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
        return gone(pid)

    for process in processes:
        eventually(partial(ended, process.pid))


def until_gap(stream: pyctd.EventStream) -> Event:
    while (event := stream.get(timeout=PATIENCE)).event is not EventType.GAP:
        pass
    return event


def exits(stream: pyctd.EventStream, count: int) -> dict[tuple[str, str], pyctd.EventInfo]:
    """The next exits, by container and process."""
    found: dict[tuple[str, str], pyctd.EventInfo] = {}
    while len(found) < count:
        event = stream.get(timeout=PATIENCE)
        if event.event is EventType.EXIT:
            found[event.container_id, event.info.process_id] = event.info
    return found


@pytest.fixture
def forgets(own_daemon: Daemon) -> bool:
    """containerd 1.7.24 and 2 forget, as they start, the tasks that ended while they were away, and the exit codes."""
    with own_daemon.client() as client:
        return version_of(client) >= (1, 7)


@pytest.fixture
def harmed(own_daemon: Daemon, rootfs: Path) -> Iterator[Box]:
    with own_daemon.client() as client:
        box = Box(client, rootfs)
        yield box
        eventually(lambda: answers(client), "an answer of the new containerd")
        box.clean()


def test_what_ended_in_a_gap_is_told(own_daemon: Daemon, harmed: Box, forgets: bool) -> None:
    client = harmed.client
    task, _ = harmed.start("/bin/sh", "-c", TRAPS)
    other, _ = harmed.start()
    with client.events(gaps=True) as stream, client.events() as as_in_go:
        process = other.exec("e", pyctd.spec.process(["/bin/sh", "-c", TRAPS]))
        before = datetime.now(timezone.utc)

        own_daemon.kill(lambda: end(task, process))
        gap = until_gap(stream)
        assert (gap.container_id, gap.info.process_id) == ("", "")
        assert gap.info.error
        assert gap.info.exited_at
        assert before <= gap.info.exited_at <= datetime.now(timezone.utc)

        told = exits(stream, 2)
        assert told.keys() == {(task.container_id, task.container_id), (other.container_id, "e")}
        info = told[task.container_id, task.container_id]
        assert info.pid == task.pid
        if forgets:
            assert (info.exit_code, info.exited_at) == (255, None)
            assert "not found" in (info.error or "")
        else:
            assert (info.exit_code, info.error) == (7, None)
            assert info.exited_at
            assert info.exited_at >= before
        assert told[other.container_id, "e"].exit_code == 7, "its shim lives, and tells"
        assert other.status(timeout=60).status == "running"

        other.kill("KILL", timeout=60)
        assert exits(stream, 1)[other.container_id, other.container_id].exit_code == 137
        # Go tells of no other, unless the shim's event came late enough to reach the new daemon.
        while (seen := exits(as_in_go, 1).keys()) != {(other.container_id, other.container_id)}:
            assert seen <= told.keys()


def test_what_ran_before_the_client_and_ended_in_a_gap(own_daemon: Daemon, harmed: Box) -> None:
    task, _ = harmed.start("/bin/sh", "-c", TRAPS)
    with own_daemon.client() as client, client.events(gaps=True, event="exit") as stream:
        own_daemon.kill(lambda: end(task))
        until_gap(stream)
        assert exits(stream, 1).keys() == {(task.container_id, task.container_id)}


def test_every_exit_is_told_once_while_successors_start(own_daemon: Daemon, harmed: Box) -> None:
    """Each process ends in a gap, and the next one starts under its ids before the handler is done with the gap."""
    told: list[int] = []

    def handle(_: str, event: EventType, info: pyctd.EventInfo) -> None:
        if event is EventType.GAP:
            time.sleep(1)
        elif event is EventType.EXIT:
            told.append(info.pid)

    id = harmed.container("/bin/sh", "-c", TRAPS).id
    started: list[int] = []
    with own_daemon.client(backend=handle, gaps=True) as client:
        container = client.load_container(id)
        for _ in range(4):
            task = container.start(timeout=60)
            started.append(task.pid)
            own_daemon.kill(partial(end, task))
            eventually(partial(answers, client), "an answer of the new containerd")
            with contextlib.suppress(pyctd.NotFoundError):  # containerd 2 has forgotten it
                task.wait(timeout=60)
                task.delete(timeout=60)
        task = container.start(timeout=60)
        started.append(task.pid)
        task.kill("KILL", timeout=60)
        task.wait(timeout=60)
        eventually(lambda: len(told) >= len(started), "an exit of each process")
        assert sorted(told) == sorted(started)


def test_an_exit_that_was_told_is_not_told_again(own_daemon: Daemon, harmed: Box) -> None:
    with harmed.client.events(gaps=True) as stream:
        task, _ = harmed.start("/bin/sh", "-c", "exit 5")
        assert task.wait(timeout=60).exit_code == 5
        exits(stream, 1)
        own_daemon.kill()
        until_gap(stream)
        with pytest.raises(TimeoutError):
            stream.get(timeout=1)


@pytest.mark.parametrize("when", ["running", "away"])
def test_wait_outlives_a_killed_containerd(own_daemon: Daemon, harmed: Box, forgets: bool, when: str) -> None:
    """containerd's own Wait answers 255 with an error when the daemon goes: that is no exit.

    The process ends when the new daemon runs, or while there is none.
    """
    forgets = forgets and when == "away"
    task, _ = harmed.start("/bin/sh", "-c", TRAPS)
    outcomes: list[int | type[pyctd.Error]] = []

    def wait() -> None:
        try:
            outcomes.append(task.wait(timeout=60).exit_code)
        except pyctd.Error as error:
            outcomes.append(type(error))

    waiter = threading.Thread(target=wait)
    waiter.start()
    time.sleep(0.3)
    own_daemon.kill(lambda: end(task) if when == "away" else None)
    eventually(lambda: answers(harmed.client), "an answer of the new containerd")
    if when == "running":
        assert waiter.is_alive()
        assert task.status(timeout=60).status == "running"
        task.kill("TERM", timeout=60)
    waiter.join(60)
    assert outcomes == [pyctd.NotFoundError if forgets else 7]
    if not forgets:
        assert task.delete(timeout=60).exit_code == 7


def test_handlers_are_told_of_gaps_if_they_ask(own_daemon: Daemon, harmed: Box) -> None:
    seen: dict[bool, list[str]] = {True: [], False: []}
    told = threading.Event()

    def handler(gaps: bool) -> Callable[..., None]:
        def handle(id: str, event: EventType, info: pyctd.EventInfo) -> None:
            seen[gaps].append(f"{id} {event}")
            if gaps and event is EventType.EXIT:
                told.set()

        return handle

    with (
        own_daemon.client(backend=handler(True), gaps=True),
        own_daemon.client(backend=handler(False)),
    ):
        task, _ = harmed.start("/bin/sh", "-c", TRAPS)
        id = task.container_id
        eventually(lambda: f"{id} start" in seen[False] and f"{id} start" in seen[True])
        own_daemon.kill(lambda: end(task))
        assert told.wait(PATIENCE)
        assert seen[True][-2:] == [" gap", f"{id} exit"]

        def heard_again() -> bool:
            later = harmed.ended("/bin/true").container_id
            time.sleep(0.1)
            return f"{later} start" in seen[False]

        eventually(lambda: answers(harmed.client), "an answer of the new containerd")
        eventually(heard_again, "events after the gap")
        assert " gap" not in seen[False]


def test_a_handler_that_is_slow_with_a_gap_holds_no_other_event_up(own_daemon: Daemon, harmed: Box) -> None:
    paused = threading.Event()
    waited: list[bool] = []

    def handle(id: str, event: EventType, info: pyctd.EventInfo) -> None:
        if event is EventType.GAP:
            waited.append(paused.wait(PATIENCE / 2))
        elif event is EventType.PAUSED:
            paused.set()

    def told() -> list[bool]:
        task.pause(timeout=60)
        task.resume(timeout=60)
        return waited

    task, _ = harmed.start()
    with own_daemon.client(backend=handle, gaps=True) as client:
        own_daemon.kill()
        eventually(lambda: answers(client), "an answer of the new containerd")
        paused.clear()
        eventually(told, "the gap's handler")
        assert waited == [True]


def test_gaps_on_an_event_loop(own_daemon: Daemon, harmed: Box) -> None:
    task, _ = harmed.start("/bin/sh", "-c", TRAPS)

    async def main() -> list[str]:
        seen: list[str] = []
        exited = asyncio.Event()

        async def handle(id: str, event: EventType, info: pyctd.EventInfo) -> None:
            seen.append(f"{id} {event}")
            if event is EventType.EXIT:
                exited.set()

        async with pyctd.aio.Client(own_daemon.address, "moby", own_daemon.bundles, handle, gaps=True) as client:
            with_gaps = client.events(gaps=True)
            await asyncio.to_thread(own_daemon.kill, lambda: end(task))
            first = await with_gaps.get(timeout=PATIENCE)
            second = await with_gaps.get(timeout=PATIENCE)
            with_gaps.close()
            await asyncio.wait_for(exited.wait(), PATIENCE)
            assert (first.event, second.event) == (EventType.GAP, EventType.EXIT)
        return seen

    assert asyncio.run(main())[-2:] == [" gap", f"{task.container_id} exit"]


def test_the_command_line_shows_gaps(own_daemon: Daemon, harmed: Box, rootfs: Path, tmp_path: Path) -> None:
    task, _ = harmed.start("/bin/sh", "-c", TRAPS)
    out = tmp_path / "out"
    with out.open("w") as file, Cli(harmed.client, rootfs).under_way("events", stdout=file) as events:

        def lines() -> list[str]:
            return [line.split(None, 1)[1] for line in out.read_text().splitlines()]

        def listens() -> bool:
            task.pause()
            task.resume()
            return any(line.startswith("resumed") for line in lines())

        eventually(listens)
        own_daemon.kill(lambda: end(task))
        eventually(lambda: lines()[-1].startswith(f"exit         {task.container_id} pid={task.pid} exit_code="))
        events.send_signal(signal.SIGINT)
    assert re.match(r"gap +since=\d{4}-\S+ error=.*(EOF|reset|refused)", lines()[-2])


def test_a_daemon_that_only_hangs_makes_no_gap(own_daemon: Daemon, harmed: Box) -> None:
    """Events wait in the socket: none is lost."""
    with harmed.client.events(gaps=True) as stream:
        with standing_still(own_daemon.pid), pytest.raises(TimeoutError):
            stream.get(timeout=1.5)
        id = unique()
        harmed.ids.append(id)
        harmed.client.new_container(id, harmed.spec("/bin/true")).start(timeout=60).wait(timeout=60)
        assert [str(stream.get(timeout=60).event) for _ in range(3)] == ["create", "start", "exit"]
