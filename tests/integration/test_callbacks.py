"""Whatever a callback does: nothing stands still for it but its own container, and no event is lost."""

from __future__ import annotations

import contextlib
import contextvars
import ctypes
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.box import Box, SlowIO, eventually
from support.programs import Programs

import pyctd
from pyctd import EventInfo, EventType

LIFE = ["create", "start", "exit"]
place: contextvars.ContextVar[str] = contextvars.ContextVar("place", default="nowhere")


def test_a_handler_that_calls_every_method(box: Box, make_client: Callable[..., pyctd.Client], tmp_path: Path) -> None:
    """Of the very container whose event it handles, on the very client that brings it; close at last."""
    done: list[str] = []
    failed: list[BaseException] = []

    def handler(id: str, event: EventType, info: EventInfo) -> None:
        if event != "start" or id != "c":
            return
        try:
            call_all()
        except BaseException as error:
            failed.append(error)

    def call_all() -> None:
        done.append(client.version(timeout=60).version)
        container = client.load_container("c", timeout=60)
        with client.events() as events:
            task = container.task(timeout=60)
            assert task.status(timeout=60).status == "running"
            assert task.pids(timeout=60)
            assert task.stats(timeout=60).metrics
            with pytest.raises(pyctd.UnknownError, match="unable to decode process details"):
                task.summary(timeout=60)
            task.update_resources({"pids": {"limit": 50}}, timeout=60)
            task.pause(timeout=60)
            task.resume(timeout=60)
            sleep = pyctd.spec.process(["/bin/cat"])
            process = task.exec("e", sleep, attach_stdio=pyctd.stdio.capture(stdin=b"x"), timeout=60)
            assert process.wait(timeout=60).exit_code == 0
            process.delete(timeout=60)
            task.close_stdin(timeout=60)
            with contextlib.suppress(pyctd.Error):  # it has no terminal, which not each daemon says
                task.resize(80, 24, timeout=60)
            with pytest.raises(pyctd.Error):
                task.create_checkpoint(tmp_path / "none" / "where", timeout=0.01)
            container.attach_task(pyctd.stdio.capture(), timeout=60).close()
            task.kill("KILL", timeout=60)
            assert task.wait(timeout=60).exit_code == 137
            task.delete(timeout=60)
            with pytest.raises(TimeoutError):
                events.get(timeout=0.01)  # this container's next event comes when we have returned
        container.delete(timeout=60)
        other = client.new_container("d", box.spec("/bin/true"), timeout=60)
        client.replace_container("d", box.spec("/bin/true"), timeout=60)
        started = client.load_container("d", timeout=60).new_task(timeout=60)
        started.start(timeout=60)
        started.wait(timeout=60)
        started.force_delete(timeout=60)
        client.load_container("d", timeout=60).delete(timeout=60)
        other.close()
        client.close()
        done.append("all")

    client = make_client(backend=handler)
    box.container(id="c").start().close()
    eventually(lambda: failed or "all" in done, "the handler's end")
    assert failed == []
    with pytest.raises(pyctd.ClosedError):
        client.version()


def test_a_handler_that_waits_for_its_own_next_event_is_freed_by_close(
    box: Box, make_client: Callable[..., pyctd.Client]
) -> None:
    """It can't come before the handler has returned; closing the client ends the wait, and no thread stays."""
    entered, left = threading.Event(), threading.Event()

    def handler(id: str, event: EventType, info: EventInfo) -> None:
        entered.set()
        for _ in stream:
            pass
        left.set()

    client = make_client(backend=handler)
    stream = client.events(event="exit")
    box.run("/bin/true")
    assert entered.wait(60)
    client.close()
    assert left.wait(60)


def test_a_handler_that_keeps_the_gil(box: Box, make_client: Callable[..., pyctd.Client]) -> None:
    """Python stands still meanwhile, as for any such call; nothing is lost, and the order stays."""
    seen: dict[str, list[str]] = {}
    usleep: Any = ctypes.PyDLL(None).usleep  # PyDLL does not release it

    def handler(id: str, event: EventType, info: EventInfo) -> None:
        usleep(300_000)
        seen.setdefault(id, []).append(str(event))

    make_client(backend=handler)
    ids = [box.container("/bin/true") for _ in range(3)]
    for container in ids:
        task = container.start(timeout=60)
        task.wait(timeout=60)
        task.delete(timeout=60)
    eventually(lambda: list(seen.values()) == [LIFE] * 3, f"{seen}")


def test_handlers_that_block_hold_up_no_other_however_many_they_are(
    box: Box, make_client: Callable[..., pyctd.Client]
) -> None:
    """Each but the last waits for the next one's container, and there are more of them than Go lets in at once."""
    ids = [f"c{i}" for i in range(12)]
    begun = {id: threading.Event() for id in ids}
    seen: dict[str, list[str]] = {id: [] for id in ids}

    def handler(id: str, event: EventType, info: EventInfo) -> None:
        begun[id].set()
        if event == "create" and id != ids[-1]:
            assert begun[ids[ids.index(id) + 1]].wait(60)
        seen[id].append(str(event))

    client = make_client(backend=handler)
    for id in ids:
        task = box.container("/bin/true", id=id).start(timeout=60)
        task.wait(timeout=60)
        task.delete(timeout=60)
    eventually(lambda: all(events == LIFE for events in seen.values()), f"{seen}")
    assert client.handler_errors == 0


def test_callbacks_run_in_the_context_that_they_were_given_in(
    box: Box, make_client: Callable[..., pyctd.Client]
) -> None:
    """Events' handlers in the client's, streams' in the call's; and what they change stays with them."""
    seen: list[tuple[str, str]] = []

    def handler(id: str, event: EventType, info: EventInfo) -> None:
        seen.append((str(event), place.get()))
        place.set("changed")

    class Lines(pyctd.stdio.lines):
        def __call__(self, dio: pyctd.DirectIO) -> pyctd.IO | None:
            seen.append(("stdio", place.get()))
            return super().__call__(dio)

    place.set("the client's")
    make_client(backend=handler)
    place.set("the call's")
    stdio = Lines(lambda line: seen.append((line, place.get())))
    task = box.container("/bin/echo", "line").start(attach_stdio=stdio)
    task.wait(timeout=60)
    task.delete(timeout=60)
    place.set("nowhere")
    eventually(lambda: len(seen) == 5, "all of them")
    expected = {("stdio", "the call's"), ("line", "the call's"), *((event, "the client's") for event in LIFE)}
    assert set(seen) == expected


def test_logging_in_a_handler(
    box: Box, make_client: Callable[..., pyctd.Client], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    log = logging.getLogger("ours")

    def handler(id: str, event: EventType, info: EventInfo) -> None:
        log.info("%s of %s", event, id, extra={"pid_there": info.pid})

    make_client(backend=handler)
    task = box.container("/bin/true", id="c").start()
    task.wait(timeout=60)
    task.delete(timeout=60)
    words = [f"{event} of c" for event in LIFE]
    eventually(lambda: [r.getMessage() for r in caplog.records if r.name == "ours"] == words)


class Blocking(logging.Handler):
    """A log handler that blocks until it is let go, and calls back into pyctd."""

    def __init__(self, client: pyctd.Client) -> None:
        super().__init__()
        self.client = client
        self.entered, self.leave = threading.Event(), threading.Event()
        self.versions: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.versions.append(self.client.version(timeout=60).version)
        self.entered.set()
        self.leave.wait(60)


def test_a_log_handler_that_blocks_holds_no_event_up(box: Box, make_client: Callable[..., pyctd.Client]) -> None:
    seen: list[str] = []

    def handler(id: str, event: EventType, info: EventInfo) -> None:
        seen.append(str(event))
        if event == "create":
            raise ValueError("for libcontainerd to log")

    logger = logging.getLogger("pyctd.libcontainerd")
    blocking = Blocking(make_client(backend=handler))
    logger.addHandler(blocking)
    try:
        task = box.container("/bin/true").start()
        task.wait(timeout=60)
        task.delete(timeout=60)
        assert blocking.entered.wait(60)
        eventually(lambda: seen == LIFE)
        assert not blocking.leave.is_set()
        assert len(blocking.versions) == 1
    finally:
        blocking.leave.set()
        logger.removeHandler(blocking)


def test_gos_log_goes_to_logging_with_its_fields_and_not_to_stderr(box: Box) -> None:
    programs = Programs(box.client.address, box.client.namespace, box.client.state_dir, box.rootfs)
    code = """
        import logging
        class Keep(logging.Handler):
            def emit(self, record):
                if "failed to process event" in record.getMessage():
                    print(record.name, record.levelname, sorted(record.fields), record.fields["container"], flush=True)
        logging.getLogger().addHandler(Keep())
        logging.getLogger("pyctd.events").setLevel("CRITICAL")
        def handler(id, event, info):
            raise ValueError("ours")
        with connect(backend=handler) as client:
            task = client.load_container(rest[0]).task()
            task.pause()
            time.sleep(1)
        """
    task, _ = box.start()
    exit_code, out, err = programs.run(code, task.container_id)
    assert (exit_code, err) == (0, "")
    fields = "['container', 'error', 'event', 'event-info', 'module', 'namespace']"
    assert out.splitlines()[0] == f"pyctd.libcontainerd ERROR {fields} {task.container_id}"
    task.force_delete(timeout=60)


def test_sixty_four_threads_on_one_client(box: Box, client: pyctd.Client) -> None:
    task, _ = box.start()
    failed: list[BaseException] = []
    gate = threading.Barrier(64)

    def work(i: int) -> None:
        try:
            gate.wait(60)
            id = f"t{i}"
            for _ in range(3):
                assert client.version(timeout=60).version
                container = client.new_container(id, box.spec("/bin/true"), timeout=60)
                assert client.load_container(id, timeout=60).id == id
                with pytest.raises(pyctd.NotFoundError, match="task|no such"):
                    container.task(timeout=60)
                assert task.status(timeout=60).status == "running"
                assert task.pid in [p.pid for p in task.pids(timeout=60)]
                container.delete(timeout=60)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(100)
    assert failed == []
    assert not any(thread.is_alive() for thread in threads)


def test_a_stdio_callback_that_calls_back_from_many_processes_at_once(box: Box, client: pyctd.Client) -> None:
    task, _ = box.start()
    versions: list[str] = []

    def call_back(dio: pyctd.DirectIO) -> Any:
        versions.append(client.version(timeout=60).version)
        return dio

    def run(i: int) -> None:
        process = task.exec(f"e{i}", pyctd.spec.process(["/bin/true"]), attach_stdio=call_back, timeout=60)
        process.wait(timeout=60)
        process.delete(timeout=60)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(versions) == 10


def test_an_io_whose_client_is_closed_while_its_callback_runs_is_closed(
    box: Box, make_client: Callable[..., pyctd.Client]
) -> None:
    client = make_client()
    closed = threading.Event()

    class Noting(SlowIO):
        def close(self) -> None:
            closed.set()

    def callback(dio: pyctd.DirectIO) -> pyctd.IO:
        client.close()
        return Noting(dio)

    with pytest.raises(pyctd.ClosedError):
        client.new_container("c", box.spec("/bin/true")).start(attach_stdio=callback, timeout=60)
    assert closed.wait(10)
    make_client().load_container("c").delete()
