"""attach_task: what a program does that comes back to a task that runs."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import leaks
from support.box import Box, Hold, eventually
from support.programs import Programs

import pyctd

COUNT = "i=0; while :; do i=$((i+1)); echo line $i; sleep 0.05; done"


@pytest.mark.parametrize("end", ["kill", "exit"])
def test_another_process_attaches_when_the_first_is_gone(box: Box, programs: Programs, run_id: str, end: str) -> None:
    box.ids.append(run_id)
    code = """
        client = connect()
        container = client.new_container(rest[0], spec("/bin/sh", "-c", rest[1]))
        task = container.start(attach_stdio=pyctd.stdio.lines(lambda line: print(line, flush=True)))
        sys.stdin.readline()
        client.close()
    """
    with programs.popen(code, run_id, COUNT, stdin=-1) as first:
        assert first.stdout
        assert first.stdout.readline() == "line 1\n"
        if end == "kill":
            first.kill()
        else:
            assert first.stdin
            first.stdin.write("\n")
            first.stdin.flush()
        first.wait(timeout=60)
        last = int((["0", *re.findall(r"line (\d+)\n", first.stdout.read())])[-1])
    code = """
        with connect() as client:
            seen = []
            task = client.load_container(rest[0]).attach_task(pyctd.stdio.lines(seen.append), timeout=60)
            while len(seen) < 5:
                time.sleep(0.05)
            task.kill("KILL")
            status = task.wait(timeout=60)
            task.delete(timeout=60)
            print(status.exit_code, *seen)
    """
    status, out, err = programs.run(code, run_id)
    assert (status, err) == (0, "")
    exit_code, *words = out.split()
    numbers = [int(word) for word in words if word != "line"]
    assert exit_code == "137"
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers))), "further output, whole and in order"
    assert numbers[0] > last


LeftRunning = Callable[..., pyctd.Container]


@pytest.fixture
def left_running(box: Box, make_client: Callable[..., pyctd.Client], run_id: str) -> LeftRunning:
    """Starts a task through a client that is closed then; its container, loaded by another."""

    def start(*args: str, with_stdin: bool = False, **options: Any) -> pyctd.Container:
        box.ids.append(run_id)
        with make_client() as first:
            container = first.new_container(run_id, box.spec(*args, **options))
            keep: pyctd.StdioCallback = (lambda dio: dio) if with_stdin else pyctd.stdio.capture()
            container.start(with_stdin=with_stdin, attach_stdio=keep)
        return box.client.load_container(run_id)

    return start


def test_what_a_task_writes_while_nobody_reads_is_not_lost(left_running: LeftRunning) -> None:
    loaded = left_running("/bin/sh", "-c", "sleep 0.5; echo unread; sleep 600")
    time.sleep(1)
    out = pyctd.stdio.capture()
    task = loaded.attach_task(out, timeout=60)
    eventually(lambda: out.stdout == b"unread\n")
    task.force_delete(timeout=60)


def test_an_attached_stdin_comes_to_its_end(left_running: LeftRunning) -> None:
    """libcontainerd tells containerd of the end of no stdin but those that it made; a ready callback sees to it."""
    loaded = left_running("/bin/cat", with_stdin=True)
    out = pyctd.stdio.capture(stdin=b"from afar\n")
    task = loaded.attach_task(out, timeout=60)
    assert task.wait(timeout=60).exit_code == 0
    assert out.stdout == b"from afar\n"
    task.delete(timeout=60)


def test_an_attached_stdin_in_the_callers_hands(left_running: LeftRunning) -> None:
    """As in Go: closing the stream ends no stdin that another program may write to, and close_stdin does."""
    loaded = left_running("/bin/cat", with_stdin=True)
    hold = Hold()
    task = loaded.attach_task(hold, timeout=60)
    dio = hold.dio
    assert dio.stdin
    assert dio.stdout
    dio.stdin.write(b"ping\n")
    assert dio.stdout.read(5) == b"ping\n"
    dio.stdin.close()
    with pytest.raises(pyctd.DeadlineExceededError):
        task.wait(timeout=0.5)
    task.close_stdin()
    assert task.wait(timeout=60).exit_code == 0
    task.delete(timeout=60)


def test_the_fifos_of_an_attached_task_have_its_name(box: Box, run_id: str, left_running: LeftRunning) -> None:
    loaded = left_running("/bin/cat", with_stdin=True)
    bundle = f"{box.client.state_dir}/{run_id}"
    assert leaks.fifos(Path(bundle)) == {f"{bundle}/{run_id}-{s}" for s in ("stdin", "stdout", "stderr")}
    configs: list[pyctd.Config] = []

    def look(dio: pyctd.DirectIO) -> pyctd.IO:
        configs.append(dio.config())
        return dio

    task = loaded.attach_task(look, timeout=60)
    assert configs == [pyctd.Config(False, *(f"{bundle}/{run_id}-{s}" for s in ("stdin", "stdout", "stderr")))]
    assert "init" not in "".join(map(str, configs))
    task.force_delete(timeout=60)
    assert not leaks.fifos(Path(bundle))


def test_attach_to_no_task(box: Box, client: pyctd.Client) -> None:
    container = box.container()
    called: list[pyctd.DirectIO] = []
    with pytest.raises(pyctd.NotFoundError, match="error getting containerd task for container: .*not found"):
        client.load_container(container.id).attach_task(lambda dio: called.append(dio))
    assert called == []


def test_attach_with_a_terminal(left_running: LeftRunning) -> None:
    script = "trap 'stty size' WINCH; while :; do sleep 0.05; done"
    loaded = left_running("/bin/sh", "-c", script, terminal=True)
    out = pyctd.stdio.capture()
    task = loaded.attach_task(out, timeout=60)
    time.sleep(0.2)  # for the trap
    task.resize(120, 50)
    eventually(lambda: out.stdout == b"50 120\r\n")
    os.kill(task.pid, signal.SIGKILL)
    assert task.wait(timeout=60).exit_code == 137
    task.delete(timeout=60)


def test_attach_task_from_another_client(box: Box, make_client: Callable[..., pyctd.Client], run_id: str) -> None:
    """What a program does that comes back after its own end: the task's further output is its."""
    box.ids.append(run_id)
    first = make_client()
    got: list[str] = []
    script = "i=0; while :; do i=$((i+1)); echo line $i; sleep 0.05; done"
    first.new_container(run_id, box.spec("/bin/sh", "-c", script)).start(attach_stdio=pyctd.stdio.lines(got.append))
    eventually(lambda: len(got) >= 2)
    first.close()
    out = pyctd.stdio.capture()
    second = make_client()
    task = second.load_container(run_id).attach_task(out, timeout=5)
    eventually(lambda: out.stdout.count(b"\n") > 3)
    time.sleep(0.3)  # the deadline of the call is none of the streams
    seen = out.stdout.count(b"\n")
    eventually(lambda: out.stdout.count(b"\n") > seen)
    task.kill("KILL")
    assert task.wait(timeout=60).exit_code == 137
    task.delete(timeout=60)


def test_attach_task_outlives_its_deadline(left_running: LeftRunning) -> None:
    loaded = left_running("/bin/sh", "-c", "while :; do echo x; sleep 0.05; done")
    out = pyctd.stdio.capture()
    task = loaded.attach_task(out, timeout=0.5)
    time.sleep(0.8)
    seen = len(out.stdout)
    eventually(lambda: len(out.stdout) > seen)
    task.force_delete(timeout=60)


def test_attaching_nothing_leaves_the_streams_to_others(left_running: LeftRunning) -> None:
    loaded = left_running("/bin/sh", "-c", "while :; do echo x; sleep 0.05; done")
    task = loaded.attach_task(pyctd.stdio.null())
    process = task.exec("e", pyctd.spec.process(["/bin/true"]), attach_stdio=pyctd.stdio.capture())
    assert process.wait(timeout=60).exit_code == 0
    process.delete()
    out = pyctd.stdio.capture()
    task = loaded.attach_task(out)
    eventually(lambda: out.stdout.startswith(b"x\n"))
    task.force_delete(timeout=60)


def test_attach_task_with_a_callback_that_raises(box: Box, client: pyctd.Client) -> None:
    task, out = box.start("/bin/sh", "-c", "echo up; sleep 600")
    eventually(lambda: out.stdout)

    def refuse(dio: pyctd.DirectIO) -> pyctd.IO | None:
        raise RuntimeError("no")

    with pytest.raises(pyctd.StdioError) as caught:
        client.load_container(task.container_id).attach_task(refuse)
    assert isinstance(caught.value.__cause__, RuntimeError)
    assert task.status().status == "running"
