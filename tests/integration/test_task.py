"""Tasks and processes: each method, good path and bad."""

from __future__ import annotations

import signal
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from support.box import SLEEP, Box, eventually
from support.deadlines import timed_calls

import pyctd


@pytest.mark.parametrize("code", [0, 1, 255])
def test_exit_codes(box: Box, code: int) -> None:
    status, _ = box.run("/bin/sh", "-c", f"exit {code}")
    assert status.exit_code == code


@pytest.mark.parametrize(
    ("given", "code"), [("SIGKILL", 137), (signal.SIGKILL, 137), (9, 137), ("TERM", 143), ("HUP", 129)]
)
def test_exit_by_signal(box: Box, given: Any, code: int) -> None:
    task, _ = box.start("/bin/sh", "-c", "trap 'exit 143' TERM; trap 'exit 129' HUP; while :; do sleep 0.05; done")
    time.sleep(0.1)  # for the traps
    task.kill(given)
    assert task.wait(timeout=60).exit_code == code
    assert task.delete().exit_code == code


def test_kill_that_fails(box: Box) -> None:
    task, _ = box.start("/bin/true")
    task.wait(timeout=60)
    with pytest.raises(pyctd.NotFoundError):
        task.kill("KILL")
    with pytest.raises(pyctd.InvalidArgumentError):
        task.kill("NOTHING")
    task.delete()
    with pytest.raises(pyctd.NotFoundError):
        task.kill(9)


def test_wait_with_a_timeout_leaves_the_process(box: Box) -> None:
    task, _ = box.start()
    started = time.monotonic()
    with pytest.raises(pyctd.DeadlineExceededError, match="context deadline exceeded") as caught:
        task.wait(timeout=0.2)
    assert isinstance(caught.value, TimeoutError)
    assert time.monotonic() - started < 2
    with pytest.raises(pyctd.DeadlineExceededError):
        task.wait(timeout=0)
    assert task.status().status == "running"
    task.kill(9)
    assert task.wait(timeout=60).exit_code == 137


def ended(process: pyctd.Process) -> bool:
    return process.status().status == "stopped"


@pytest.mark.parametrize("face", ["its own", "loaded", "an exec's"])
def test_a_wait_of_no_time_knows_the_dead(box: Box, face: str) -> None:
    task, _ = box.start(*(SLEEP if face == "an exec's" else ("/bin/false",)))
    process: pyctd.Process = task
    for number in range(20):
        if face == "an exec's":
            process = task.exec(f"e{number}", pyctd.spec.process(["/bin/false"]))
        elif face == "loaded":
            process = box.client.load_container(task.container_id).task()
        eventually(partial(ended, process), "the end")
        assert process.wait(timeout=0).exit_code == 1


def test_every_call_keeps_a_deadline_that_is_past(box: Box, client: pyctd.Client, tmp_path: Path) -> None:
    """With Go's text, whatever it says around it."""
    task, _ = box.start()
    container = client.load_container(task.container_id)
    calls = timed_calls(client, container, task, box.spec(), tmp_path / "checkpoint")
    calls["Client"] = lambda: pyctd.Client(client.address, client.namespace, client.state_dir, timeout=0)
    calls["Engine"] = lambda: pyctd.Engine(timeout=0)
    for call in calls.values():
        with pytest.raises(pyctd.DeadlineExceededError, match="context deadline exceeded"):
            call()
    assert task.status().status == "running"
    assert client.load_container(task.container_id).id == task.container_id


def test_wait_in_many_threads_and_twice(box: Box) -> None:
    task, _ = box.start("/bin/sh", "-c", "sleep 0.3; exit 7")
    codes: list[int] = []
    waiters = [threading.Thread(target=lambda: codes.append(task.wait(timeout=60).exit_code)) for _ in range(8)]
    for waiter in waiters:
        waiter.start()
    for waiter in waiters:
        waiter.join()
    assert codes == [7] * 8
    assert task.wait(timeout=0.001).exit_code == 7
    assert task.delete().exit_code == 7
    assert task.wait().exit_code == 7


def test_wait_from_another_object(box: Box, client: pyctd.Client) -> None:
    task, _ = box.start("/bin/sh", "-c", "sleep 0.2; exit 9")
    assert client.load_container(task.container_id).task().wait(timeout=60).exit_code == 9


def test_status_of_each_state(box: Box) -> None:
    task = box.container("/bin/sh", "-c", "read x; exit 4").new_task(with_stdin=True, attach_stdio=lambda dio: dio)
    assert task.status().status == "created"
    task.start()
    assert task.status() == pyctd.Status("running", 0, None)
    task.pause()
    assert task.status().status == "paused"
    task.resume()
    assert task.status().status == "running"
    task.kill("KILL")
    task.wait(timeout=60)
    stopped = task.status()
    assert (stopped.status, stopped.exit_status) == ("stopped", 137)
    assert stopped.exit_time is not None
    task.delete()
    with pytest.raises(pyctd.NotFoundError):
        task.status()


def test_pause_stops_the_clock(box: Box, rootfs: Path) -> None:
    out = pyctd.stdio.capture()
    task = box.container("/bin/sh", "-c", "while :; do echo tick; sleep 0.02; done").start(attach_stdio=out)
    eventually(lambda: out.stdout)
    task.pause()
    time.sleep(0.1)
    before = len(out.stdout)
    time.sleep(0.2)
    assert len(out.stdout) == before
    task.resume()
    eventually(lambda: len(out.stdout) > before)


def test_pause_and_resume_that_fail(box: Box) -> None:
    task, _ = box.start()
    with pytest.raises(pyctd.Error):
        task.resume()
    task.kill(9)
    task.wait(timeout=60)
    for call in (task.pause, task.resume):
        with pytest.raises(pyctd.Error):
            call()


def test_force_delete_twice(box: Box) -> None:
    task, _ = box.start()
    task.force_delete()
    with pytest.raises(pyctd.NotFoundError):
        task.force_delete()


def test_resize(box: Box) -> None:
    out = pyctd.stdio.capture()
    task = box.container("/bin/sh", "-c", "echo up; read x; stty size", terminal=True).start(
        with_stdin=True, attach_stdio=(streams := Streams(out))
    )
    eventually(lambda: b"up" in out.stdout)
    task.resize(133, 42)
    streams.dio.stdin.write(b"go\n")
    assert task.wait(timeout=60).exit_code == 0
    assert b"42 133" in out.stdout
    task.delete()


class Streams:
    """Captures, and keeps the DirectIO, for its stdin."""

    def __init__(self, out: pyctd.stdio.capture) -> None:
        self.out = out

    def __call__(self, dio: pyctd.DirectIO) -> pyctd.IO | None:
        self.dio: Any = dio
        return self.out(dio)


def test_resize_that_fails(box: Box) -> None:
    task, _ = box.start()
    for width, height in ((-1, 1), (2**32, 1)):
        with pytest.raises(pyctd.InvalidArgumentError):
            task.resize(width, height)
    task.kill(9)
    task.wait(timeout=60)
    task.delete()
    with pytest.raises(pyctd.NotFoundError):
        task.resize(80, 24)


def test_repr_shows_the_state(box: Box) -> None:
    task, _ = box.start("/bin/true")
    assert f"pid {task.pid}" in repr(task)
    task.wait(timeout=60)
    assert "exited 0" in repr(task)
