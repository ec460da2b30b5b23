"""Events of real containers: each kind, in order per container, whatever their handlers do."""

from __future__ import annotations

import functools
import gc
import re
import subprocess
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.box import Box, eventually

import pyctd
from pyctd import EventInfo, EventType, _native
from pyctd._native import externs

Seen = list[tuple[str, EventType, EventInfo]]


class Recorder:
    """A backend that keeps what it is given."""

    def __init__(self) -> None:
        self.seen: Seen = []

    def process_event(self, container_id: str, event: EventType, info: EventInfo) -> None:
        self.seen.append((container_id, event, info))

    def of(self, id: str) -> list[str]:
        return [str(event) for container, event, _ in self.seen if container == id]


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def client(make_client: Callable[..., pyctd.Client], recorder: Recorder) -> pyctd.Client:
    return make_client(backend=recorder)


def test_a_life_in_events(box: Box, recorder: Recorder) -> None:
    container = box.container()
    task = container.start()
    process = task.exec("e1", pyctd.spec.process(["/bin/sh", "-c", "exit 3"]))
    process.wait(timeout=60)
    eventually(lambda: "exit" in recorder.of(container.id))
    process.delete()
    task.pause()
    task.resume()
    task.kill("KILL")
    task.wait(timeout=60)
    task.delete()
    container.delete()
    order = ["create", "start", "exec-added", "exec-started", "exit", "paused", "resumed", "exit"]
    eventually(lambda: recorder.of(container.id) == order, f"{recorder.of(container.id)} == {order}")
    infos = {i: info for i, (_, _, info) in enumerate(recorder.seen)}
    assert all(info.container_id == container.id and info.error is None for info in infos.values())
    assert (infos[0].process_id, infos[0].pid) == (container.id, task.pid)
    assert (infos[1].process_id, infos[1].pid) == (container.id, task.pid)
    assert infos[2].process_id == "e1"
    assert (infos[3].process_id, infos[3].pid) == ("e1", process.pid)
    assert (infos[4].process_id, infos[4].pid, infos[4].exit_code) == ("e1", process.pid, 3)
    assert infos[5].process_id == infos[6].process_id == ""
    assert (infos[7].process_id, infos[7].pid, infos[7].exit_code) == (container.id, task.pid, 137)
    assert infos[7].exited_at is not None
    assert infos[7].exited_at_ns > infos[4].exited_at_ns > 0
    assert infos[0].exited_at is None


def test_events_agree_with_wait(box: Box, recorder: Recorder) -> None:
    task, _ = box.start("/bin/sh", "-c", "exit 9")
    status = task.wait(timeout=60)
    eventually(lambda: "exit" in recorder.of(task.container_id))
    info = recorder.seen[-1][2]
    assert (info.exit_code, info.exited_at, info.exited_at_ns) == (9, status.exited_at, status.exited_at_ns)


def test_events_from_the_first_moment(box: Box, make_client: Callable[..., pyctd.Client]) -> None:
    for _ in range(5):
        recorder = Recorder()
        with make_client(backend=recorder):
            container = box.container("/bin/true")
            container.start().wait(timeout=60)
            eventually(lambda r=recorder, id=container.id: r.of(id) == ["create", "start", "exit"])  # type: ignore[misc]
            container.task().delete()
            container.delete()


def test_order_per_container_of_many_at_once(box: Box, recorder: Recorder) -> None:
    def run() -> None:
        box.ended("/bin/true")

    threads = [threading.Thread(target=run) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for id in box.ids:
        eventually(lambda id=id: recorder.of(id) == ["create", "start", "exit"])  # type: ignore[misc]


def test_a_plain_callable(box: Box, make_client: Callable[..., pyctd.Client]) -> None:
    seen: list[EventType] = []
    make_client(backend=lambda id, event, info: seen.append(event))
    box.ended("/bin/true")
    eventually(lambda: seen == ["create", "start", "exit"])


def test_events_that_nobody_takes_do_not_cross(
    box: Box, make_client: Callable[..., pyctd.Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each would cost a callback: a client without a handler has none, but while a stream is open."""
    crossed: list[_native.NativeEvent] = []
    unpack = externs.unpack_event

    def unpacked(*args: Any) -> _native.NativeEvent:
        crossed.append(unpack(*args))
        return crossed[-1]

    def live() -> list[str]:
        crossed.clear()
        container = box.container("/bin/true")
        with taken.events(container_id=container.id, event="exit") as exits:
            task = container.start()
            exits.get(timeout=60)
        task.delete()
        container.delete()
        return [event.container_id for event in crossed if event.cookie == quiet._router.cookie]

    monkeypatch.setattr(externs, "unpack_event", unpacked)
    quiet, taken = make_client(), make_client()
    assert live() == []
    with quiet.events() as first, quiet.events() as second:
        live()
        second.close()
        assert [str(first.get(timeout=60).event) for _ in range(3)] == ["create", "start", "exit"]
        live()
        assert [str(first.get(timeout=60).event) for _ in range(3)] == ["create", "start", "exit"]
    assert live() == []


def test_an_event_that_nobody_takes_any_more_holds_up_none_after_it(
    box: Box, make_client: Callable[..., pyctd.Client]
) -> None:
    """It is on its way when the stream that wanted it ends, and Go has not heard of that yet."""
    client = make_client()
    with client.events(event="exit") as events:
        client._router.streams.clear()
        container = box.container()
        task = container.start()
        eventually(lambda: _native.counts().pending_events == 0, "the acknowledgement")
        client._router.streams.add(events)
        task.kill("KILL")
        assert events.get(timeout=60).container_id == container.id


def test_a_handler_that_raises(
    box: Box, make_client: Callable[..., pyctd.Client], caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[str] = []

    def handler(id: str, event: EventType, info: EventInfo) -> None:
        seen.append(event)
        if event == "create":
            raise RuntimeError("handler trouble")
        if event == "start":
            raise SystemExit(3)

    make_client(backend=handler)
    box.ended("/bin/true")
    eventually(lambda: seen == ["create", "start", "exit"])
    eventually(lambda: "failed to process event" in caplog.text, "libcontainerd's own log of the error")
    assert "handler trouble" in caplog.text


class Odd(Exception):
    """Can't say what it is."""

    def __str__(self) -> str:
        return str(self.args[0])


def test_a_handler_whose_error_can_not_be_told(
    box: Box, make_client: Callable[..., pyctd.Client], caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[str] = []

    def handler(id: str, event: EventType, info: EventInfo) -> None:
        seen.append(event)
        raise Odd

    client = make_client(backend=handler)
    box.ended("/bin/true")
    eventually(lambda: seen == ["create", "start", "exit"])
    eventually(lambda: client.handler_errors == 3, "three errors")
    eventually(lambda: "error=Odd" in caplog.text, "libcontainerd's own log of the error")
    eventually(lambda: caplog.text.count("the handler of events raised") == 3, "our log of the errors")


def test_a_handler_that_returns_a_coroutine(
    box: Box, make_client: Callable[..., pyctd.Client], caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody would await it: an error, and no warning of Python's of a coroutine that was never awaited."""

    async def handler(id: str, event: EventType, info: EventInfo) -> None: ...

    client = make_client(backend=lambda *event: handler(*event))
    box.ended("/bin/true")
    eventually(lambda: client.handler_errors == 3, "an error of each event")
    gc.collect()
    assert "backend returned a coroutine: use pyctd.aio.Client, or a plain function" in caplog.text


class Awaited:
    async def process_event(self, id: str, event: EventType, info: EventInfo) -> None: ...

    async def __call__(self, id: str, event: EventType, info: EventInfo) -> None: ...


def test_a_handler_that_is_a_coroutine_function_is_refused(make_client: Callable[..., pyctd.Client]) -> None:
    for backend in (Awaited(), Awaited().__call__, functools.partial(Awaited().process_event)):
        with pytest.raises(pyctd.InvalidArgumentError, match=r"coroutine function.*use pyctd\.aio\.Client"):
            make_client(backend=backend)


def test_a_thread_that_ran_a_handler_does_not_keep_it(box: Box) -> None:
    """Nor what it refers to. Go keeps its threads."""

    class Handler:
        def __init__(self) -> None:
            self.seen: list[EventType] = []

        def __call__(self, id: str, event: EventType, info: EventInfo) -> None:
            self.seen.append(event)

    handler = Handler()
    gone = weakref.ref(handler)
    with pyctd.Client(box.client.address, box.client.namespace, box.client.state_dir, handler):
        box.ended("/bin/true")
        eventually(lambda: gone().seen == ["create", "start", "exit"])  # type: ignore[union-attr]
    del handler
    gc.collect()
    eventually(lambda: gone() is None, "the handler's end")


def test_a_handler_that_calls_back(box: Box, make_client: Callable[..., pyctd.Client]) -> None:
    states: list[str] = []
    holder: list[pyctd.Client] = []

    def handler(id: str, event: EventType, info: EventInfo) -> None:
        if event == "start":
            states.append(holder[0].load_container(id, timeout=60).task(timeout=60).status(timeout=60).status)

    holder.append(make_client(backend=handler))
    task, _ = box.start()
    eventually(lambda: states == ["running"])
    task.force_delete()


def test_a_slow_handler_holds_up_its_own_container_only(box: Box, make_client: Callable[..., pyctd.Client]) -> None:
    hold = threading.Event()
    seen: list[tuple[str, str]] = []

    def handler(id: str, event: EventType, info: EventInfo) -> None:
        seen.append((id, str(event)))
        if id == slow.id:
            hold.wait(60)

    slow = box.container("/bin/true")
    make_client(backend=handler)
    slow.start().wait(timeout=60)
    quick = box.container("/bin/true")
    quick.start().wait(timeout=60)
    eventually(lambda: [e for id, e in seen if id == quick.id] == ["create", "start", "exit"])
    assert [e for id, e in seen if id == slow.id] == ["create"]
    hold.set()
    eventually(lambda: [e for id, e in seen if id == slow.id] == ["create", "start", "exit"])


def test_closing_a_client_while_a_handler_blocks(box: Box, make_client: Callable[..., pyctd.Client]) -> None:
    hold, entered = threading.Event(), threading.Event()

    def handler(id: str, event: EventType, info: EventInfo) -> None:
        entered.set()
        hold.wait(60)

    client = make_client(backend=handler)
    box.ended("/bin/true")
    assert entered.wait(60)
    started = time.monotonic()
    client.close()
    assert time.monotonic() - started < 5
    hold.set()


def test_iterating_over_events(box: Box, client: pyctd.Client) -> None:
    with client.events() as events:
        box.ended("/bin/true")
        assert [events.get(timeout=60).event for _ in range(3)] == ["create", "start", "exit"]
        with pytest.raises(TimeoutError, match="no event"):
            events.get(timeout=0.05)


def test_an_iterator_ends_with_its_client(make_client: Callable[..., pyctd.Client]) -> None:
    client = make_client()
    seen: list[object] = []
    events = client.events()
    thread = threading.Thread(target=lambda: seen.extend(events))
    thread.start()
    time.sleep(0.1)
    client.close()
    thread.join(60)
    assert not thread.is_alive()
    assert seen == []


def test_an_iterator_that_is_made_while_its_client_is_closed_ends(
    client: pyctd.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    check = client._check_open

    def close_after() -> None:
        check()
        client.close()

    monkeypatch.setattr(client, "_check_open", close_after)
    events = client.events()
    with pytest.raises(StopIteration):
        events.get(timeout=10)
    assert not client._router.streams


def test_an_iterator_that_is_closed_keeps_what_it_has(box: Box, client: pyctd.Client) -> None:
    events = client.events()
    box.ended("/bin/true")
    events_seen = [events.get(timeout=60)]
    eventually(lambda: len(events._events) == 2)
    events.close()
    events_seen += list(events)
    assert [e.event for e in events_seen] == ["create", "start", "exit"]
    assert next(events, None) is None


def test_exact_order_per_container_under_load(box: Box, make_client: Callable[..., pyctd.Client]) -> None:
    """Sixteen whole lives at once, and a handler that is slow enough for a queue to form."""
    seen: dict[str, list[tuple[str, str]]] = {}

    def handler(id: str, event: EventType, info: EventInfo) -> None:
        time.sleep(0.005)
        seen.setdefault(id, []).append((str(event), info.process_id))

    make_client(backend=handler)

    def live(container: pyctd.Container) -> None:
        task = container.start(timeout=60)
        for name in ("e1", "e2"):
            process = task.exec(name, pyctd.spec.process(["/bin/true"]), timeout=60)
            process.wait(timeout=60)
            process.delete(timeout=60)
        task.pause(timeout=60)
        task.resume(timeout=60)
        task.kill("KILL", timeout=60)
        task.wait(timeout=60)
        task.delete(timeout=60)

    containers = [box.container() for _ in range(16)]
    threads = [threading.Thread(target=live, args=(container,)) for container in containers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for container in containers:
        id = container.id
        execs = [(event, name) for name in ("e1", "e2") for event in ("exec-added", "exec-started", "exit")]
        whole = [("create", id), ("start", id), *execs, ("paused", ""), ("resumed", ""), ("exit", id)]
        eventually(lambda id=id, whole=whole: seen.get(id) == whole, f"{seen.get(id)} == {whole}")  # type: ignore[misc]


def test_handlers_errors_are_counted(box: Box, make_client: Callable[..., pyctd.Client]) -> None:
    def handler(id: str, event: EventType, info: EventInfo) -> None:
        if event != "start":
            raise ValueError(event)

    client = make_client(backend=handler)
    assert client.handler_errors == 0
    box.ended("/bin/true")
    eventually(lambda: client.handler_errors == 2, "two errors")


def test_a_filtered_stream_takes_only_what_it_asks_for(box: Box, client: pyctd.Client) -> None:
    first, second = box.container("/bin/true"), box.container()
    with (
        client.events(container_id=second.id) as of_one,
        client.events(container_id=[first.id, second.id], event=EventType.EXIT) as exits,
        client.events(event=["create", "start"]) as kinds,
        client.events(process_id="e1") as of_exec,
        client.events(container_id=[]) as nothing,
    ):
        for container in (first, second):
            task = container.start()
            if container is second:
                process = task.exec("e1", pyctd.spec.process(["/bin/true"]))
                process.wait(timeout=60)
                task.kill("KILL", timeout=60)
            task.wait(timeout=60)
        exec_events = ["exec-added", "exec-started", "exit"]
        assert [of_one.get(60).event for _ in range(6)][:2] == ["create", "start"]
        assert exits.get(60).container_id == first.id
        assert [kinds.get(60).event for _ in range(4)] == ["create", "start"] * 2
        assert [of_exec.get(60).event for _ in range(3)] == exec_events
        with pytest.raises(TimeoutError):
            nothing.get(0.1)


@pytest.mark.parametrize(
    ("filters", "words"),
    [
        ({"event": "died"}, "'died' is not a valid EventType: there are unknown, exit, oom, create"),
        ({"event": 5}, "event must be a str or several of them, not 5"),
        ({"container_id": [b"a"]}, "container_id must be a str or several of them"),
    ],
)
def test_filters_that_are_none(client: pyctd.Client, filters: dict[str, object], words: str) -> None:
    with pytest.raises(pyctd.InvalidArgumentError, match=words):
        client.events(**filters)  # type: ignore[arg-type]


def test_what_others_see_of_a_new_client(engine: pyctd.Engine, tmp_path: Path) -> None:
    """Subscribers without a filter see the event by which a client learns that events flow. It has no message."""
    seen = tmp_path / "events"

    def probed() -> str:
        engine.client().close()
        return seen.read_text()

    command = ["ctr", "--address", engine.address, "events"]
    with seen.open("w") as out, subprocess.Popen(command, stdout=out, stderr=out) as others:
        try:
            eventually(probed, "an event that others see")
        finally:
            others.terminate()
    for line in seen.read_text().splitlines():
        assert re.search(r" pyctd-[0-9a-f-]{36} /pyctd/ready \{\}$", line), line


def test_time_stamps_to_the_nanosecond(box: Box, recorder: Recorder) -> None:
    """Go's own time, whole: the datetime beside it has microseconds only."""
    task, _ = box.start("/bin/true")
    status = task.wait(timeout=60)
    eventually(lambda: "exit" in recorder.of(task.container_id))
    info = recorder.seen[-1][2]
    assert info.exited_at
    assert info.exited_at_ns == status.exited_at_ns
    assert info.exited_at_ns // 1000 == round(info.exited_at.timestamp() * 10**6)
    stamps = {info.exited_at_ns % 1000}
    for _ in range(5):
        process_status, _ = box.run("/bin/true")
        stamps.add(process_status.exited_at_ns % 1000)
    assert len(stamps) > 1, "always whole microseconds"
