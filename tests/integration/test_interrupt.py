"""Ctrl-C and its like: heard at once in any call, and what it interrupts is told of."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support import leaks
from support.box import PATIENCE, Box, Hold, SlowIO, eventually
from support.case import Case
from support.moments import Interrupt, at_every_moment
from support.programs import Programs

import pyctd
from pyctd import _native, aio
from pyctd._calls import blocking

#: Each blocking call, on a daemon that does not answer: a program that prints how long each took to hear of Ctrl-C.
EVERY_CALL = """
client = connect(timeout=60)
container = client.new_container("c", spec("/bin/sleep", "600"))
idle = client.new_container("idle", spec("/bin/sleep", "600"))
task = container.start()
process = task.exec("e", pyctd.spec.process(["/bin/cat"]), with_stdin=True, attach_stdio=pyctd.stdio.capture())
events = client.events(container_id="none")
calls = {
    "wait": process.wait,
    "Client()": connect,
    "version": client.version,
    "load_container": lambda: client.load_container("c"),
    "new_container": lambda: client.new_container("new", spec("/bin/true")),
    "replace_container": lambda: client.replace_container("new", spec("/bin/true")),
    "start": idle.start,
    "new_task": idle.new_task,
    "task": container.task,
    "attach_task": lambda: container.attach_task(pyctd.stdio.capture()),
    "container.delete": container.delete,
    "exec": lambda: task.exec("f", pyctd.spec.process(["/bin/true"])),
    "task.start": task.start,
    "pause": task.pause,
    "resume": task.resume,
    "stats": task.stats,
    "pids": task.pids,
    "force_delete": task.force_delete,
    "update_resources": lambda: task.update_resources({"pids": {"limit": 50}}),
    "create_checkpoint": lambda: task.create_checkpoint(rest[1]),
    "kill": lambda: process.kill("TERM"),
    "resize": lambda: process.resize(80, 24),
    "delete": process.delete,
    "close_stdin": process.close_stdin,
    "status": process.status,
    "events.get": events.get,
}
def stop():
    os.kill(int(rest[0]), signal.SIGSTOP)
    while open(f"/proc/{rest[0]}/stat").read().rpartition(")")[2].split()[0] != "T":
        time.sleep(0.001)
for name, call in calls.items():
    best = 60.0
    for _ in range(5):  # a machine that is busy just then says nothing of pyctd
        sent = []
        def interrupt():
            time.sleep(0.1)
            sent.append(time.monotonic())
            os.kill(os.getpid(), signal.SIGINT)
        sender = threading.Thread(target=interrupt)
        began = False
        stop()  # for a moment only: the engine would replace a daemon that does not answer for long
        try:
            sender.start()
            began = True
            call()
        except KeyboardInterrupt as interrupted:
            if began:
                best = min(best, time.monotonic() - sent[0])
                told = interrupted.__context__
        sender.join()
        os.kill(int(rest[0]), signal.SIGCONT)
        if best < 0.1:
            break
    print(f"{name}\\t{best * 1000:.1f}\\t{type(told).__name__}: {told}", flush=True)
client.close()
"""


def test_ctrl_c_is_heard_within_a_tenth_of_a_second_in_every_call(
    own_engine: pyctd.Engine, rootfs: Path, tmp_path: Path
) -> None:
    programs = Programs(own_engine.address, "moby", f"{own_engine.bundles('moby')}", rootfs)
    try:
        code, out, err = programs.run(EVERY_CALL, str(own_engine.pid), str(tmp_path / "c"), timeout=110)
    finally:
        assert own_engine.pid
        os.kill(own_engine.pid, signal.SIGCONT)
    print(out)
    assert code == 0, err
    # The start of a task and the checkpoint go on without their caller, and fail once the daemon answers.
    assert [line for line in err.splitlines() if not line.startswith("an abandoned call failed container=c ")] == []
    lines = [line.split("\t") for line in out.splitlines()]
    assert len(lines) == 26
    assert {name: latency for name, latency, _ in lines if float(latency) > 100} == {}
    untold = {name: told for name, _, told in lines if not told.startswith("CanceledError: ")}
    assert untold == {"events.get": "NoneType: None"}


@pytest.fixture
def interrupted(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[bool], None]]:
    """Interrupts the next call's wait: once its operation has ended, or at its beginning."""
    whole = blocking._Waiter.wait

    def arm(at_the_end: bool) -> None:
        def wait(queue: blocking._Waiter, seconds: float | None = None) -> _native.Completion | None:
            monkeypatch.setattr(blocking._Waiter, "wait", whole)
            if at_the_end:
                queue._poll.poll()
            raise KeyboardInterrupt

        monkeypatch.setattr(blocking._Waiter, "wait", wait)

    yield arm
    monkeypatch.setattr(blocking._Waiter, "wait", whole)


def test_gos_error_is_the_context_of_the_interrupt(box: Box, interrupted: Callable[[bool], None]) -> None:
    task, _ = box.start()
    interrupted(False)
    with pytest.raises(KeyboardInterrupt) as caught:
        task.wait()
    told = caught.value.__context__
    assert isinstance(told, pyctd.CanceledError)
    assert str(told) == "context canceled"
    interrupted(True)
    with pytest.raises(KeyboardInterrupt) as caught:
        box.client.load_container("nothing")
    assert isinstance(caught.value.__context__, pyctd.NotFoundError)


def test_what_was_being_handled_stays_in_the_chain(box: Box, interrupted: Callable[[bool], None]) -> None:
    task, _ = box.start()
    interrupted(False)
    try:
        raise ZeroDivisionError
    except ZeroDivisionError:
        with pytest.raises(KeyboardInterrupt) as caught:
            task.wait()
    assert caught.value.__context__
    assert isinstance(caught.value.__context__.__context__, ZeroDivisionError)


def test_what_an_interrupted_call_has_made_is_told(box: Box, interrupted: Callable[[bool], None]) -> None:
    """It stays, as it does in Go when the context ends too late; its handle does not."""

    def told(call: Callable[[], object]) -> str:
        interrupted(True)
        with pytest.raises(KeyboardInterrupt) as caught:
            call()
        assert isinstance(caught.value.__context__, pyctd.CanceledError)
        return str(caught.value.__context__)

    prefix = "had succeeded by the time that it was interrupted"
    assert told(lambda: box.container(id="made")) == f"Client.new_container {prefix}: container 'made' is there"
    container = box.client.load_container("made")
    out = pyctd.stdio.capture()
    words = told(lambda: container.start(attach_stdio=out))
    assert words.startswith(f"Container.start {prefix}: the task of container 'made' is there, with process id ")
    task = container.task()
    assert words.endswith(f" {task.pid}")
    sleep = pyctd.spec.process(["/bin/sleep", "600"])
    words = told(lambda: task.exec("e", sleep, attach_stdio=pyctd.stdio.capture()))
    assert words.startswith(f"Task.exec {prefix}: exec 'e' of task 'made' is there, with process id ")
    pid = int(words.split()[-1])
    assert pid in [process.pid for process in task.pids()]
    task.kill("KILL")
    task.wait(timeout=60)
    assert "exit_code=137" in told(task.delete), "the exit code, which nobody can ask for again"
    assert told(container.delete) == f"Container.delete {prefix}"


def test_the_descriptor_of_an_interrupted_opening_is_closed(box: Box, interrupted: Callable[[bool], None]) -> None:
    streams = Hold()
    box.container().start(attach_stdio=streams)
    before = leaks.descriptors()
    interrupted(True)
    with pytest.raises(KeyboardInterrupt):
        streams.dio.stdout.fileno()
    # Go closes them in its own time; what an earlier test left may close, too.
    eventually(lambda: not leaks.descriptors() - before, "no descriptor more than before")
    assert streams.dio.stdout.fileno() >= 0, "it can be opened again"


def test_an_interrupted_call_that_ends_late_is_logged(box: Box, caplog: pytest.LogCaptureFixture) -> None:
    """Here because the callback takes its time, for which Go's attaching waits."""
    caplog.set_level(logging.INFO, logger="pyctd")
    go_on = threading.Event()

    def slow(dio: pyctd.DirectIO) -> SlowIO:
        os.kill(os.getpid(), signal.SIGINT)
        assert go_on.wait(PATIENCE)
        return SlowIO(dio)

    container = box.container()
    container.start(attach_stdio=pyctd.stdio.capture()).close()
    try:
        with pytest.raises(KeyboardInterrupt) as caught:
            container.attach_task(slow)
    finally:
        go_on.set()
    words = "Container.attach_task is cancelled, but Go still cleans up: pyctd logs how it ends"
    assert str(caught.value.__context__) == words
    ended = "Container.attach_task, which was interrupted, has ended"
    eventually(lambda: ended in caplog.text, "the outcome in the log")


def test_an_interrupted_delete_goes_on_and_the_next_returns_its_outcome(
    box: Box, interrupted: Callable[[bool], None]
) -> None:
    go_on = threading.Event()
    task = box.container("/bin/sh", "-c", "exit 3").start(attach_stdio=lambda dio: SlowIO(dio, go_on))
    task.wait(timeout=60)
    interrupted(False)
    try:
        with pytest.raises(KeyboardInterrupt):
            task.delete()
    finally:
        go_on.set()
    assert task.delete(timeout=60).exit_code == 3


def test_an_interrupt_while_a_client_lets_go_of_streams_is_heard(
    box: Box, make_client: Callable[..., pyctd.Client], run_id: str
) -> None:
    class Slow(SlowIO):
        """An IO at whose close Ctrl-C is pressed."""

        def close(self) -> None:
            signal.raise_signal(signal.SIGINT)

    box.ids.append(run_id)
    client = make_client()
    client.new_container(run_id, box.spec()).start(attach_stdio=Slow)
    with pytest.raises(KeyboardInterrupt):
        client.close()
    with pytest.raises(pyctd.ClosedError):
        client.version()


def test_an_interrupted_close_of_a_client_ends_its_streams_of_events(make_client: Callable[..., pyctd.Client]) -> None:
    client = make_client()
    events = client.events()
    with Interrupt("release") as interrupt:  # the client, in Go
        client.close()
    assert interrupt.came
    with pytest.raises(StopIteration):
        events.get(timeout=60)
    client.close()


@pytest.mark.moby_may_keep_goroutines  # its supervisor, as in test_engine
def test_an_interrupted_engine_leaves_nothing(
    interrupted: Callable[[bool], None], base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = Path(tempfile.mkdtemp(prefix="e", dir=base))
    monkeypatch.setattr(tempfile, "tempdir", str(directory))
    for at_the_end in (False, True):
        interrupted(at_the_end)
        with pytest.raises(KeyboardInterrupt):
            pyctd.Engine()
        eventually(lambda: not list(directory.iterdir()), "the directories gone")
        assert not leaks.processes(f"{directory}/")
    # before it is started in Go, when Go has told of its end, and when its handle is to be owned
    for function in ("match_log_level", "_copy", "_own"):
        with Interrupt(function) as interrupt:
            pyctd.Engine()
        assert interrupt.came
        eventually(lambda: not list(directory.iterdir()), f"the directories gone after an interrupt in {function}")
        assert not leaks.processes(f"{directory}/")
    directory.rmdir()


def test_an_interrupt_at_any_moment_loses_nothing(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it has made is the caller's, or is released."""
    monkeypatch.setattr(blocking, "PROMPT", 10)  # so that only what is lost is waited for in vain
    container = box.container(id="made")
    before = handles()
    for interrupt in at_every_moment(lambda: box.client.load_container("made")):
        assert "Go still cleans up" not in str(interrupt.told)
        assert (handles(), _native.counts().operations) == (before, 0)
        box.client.version()  # for the next call, a queue that is there already
    container.delete()


@pytest.mark.filterwarnings("ignore:coroutine '.*' was never awaited")  # where it is interrupted just before that
def test_an_interrupt_at_any_moment_leaves_the_event_loop_whole(case: Case) -> None:
    """Where it is raised in the loop, as by ``run_until_complete``: what else is awaited there goes on."""

    async def connect() -> aio.Client:
        client = await case.client()
        await client.new_container("made", case.spec())
        return client

    async def rest() -> int:
        left = {*asyncio.all_tasks(), asyncio.ensure_future(client.version())} - {asyncio.current_task()}
        assert not (await asyncio.wait(left, timeout=PATIENCE))[1]
        while _native.counts().operations:
            await asyncio.sleep(0.001)
        await client.version()  # with or after what came of the last of them
        gc.collect()  # a task and what it raised refer to each other
        return handles()

    loop = asyncio.new_event_loop()
    client = loop.run_until_complete(connect())
    before = handles()

    async def load() -> None:
        await asyncio.gather(client.load_container("made"), return_exceptions=True)

    try:
        for _ in at_every_moment(lambda: loop.run_until_complete(load())):
            eventually(lambda: loop.run_until_complete(rest()) == before, "the end of what was interrupted")
        loop.run_until_complete(client.load_container("made")).close()
    finally:
        loop.run_until_complete(client.close())
        loop.close()
    with case.engine.client(case.namespace) as other:
        other.load_container("made").delete()


def handles() -> int:
    """How many there are in Go, but for those of queues that are kept for reuse."""
    return _native.counts().handles - leaks.queues()
