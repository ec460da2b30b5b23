"""Signals, and the ends that they make."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.box import SLEEP, Box, eventually

import pyctd
from pyctd import EventType

STOPS = {signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU}
IGNORED = {signal.SIGCHLD, signal.SIGCONT, signal.SIGURG, signal.SIGWINCH}
LIBC = {32, 33}
"""What the C library keeps to itself: where a process is spawned by it, they are ignored from there on down."""
NUMBERS = [number for number in range(1, 65) if number not in LIBC]


def sleeper(task: pyctd.Task, id: str) -> pyctd.Process:
    """An exec that sleeps by now: for some moments after the start it is still runc, which handles some signals."""
    process = task.exec(id, pyctd.spec.process([*SLEEP]))
    eventually(lambda: "(sleep) S " in Path(f"/proc/{process.pid}/stat").read_text())
    return process


def test_every_signal_by_its_number(box: Box) -> None:
    """On an exec, which has each signal's default action; a namespace's init process has none but KILL and STOP."""
    task, _ = box.start()
    ended: dict[int, int] = {}
    for number in NUMBERS:
        process = sleeper(task, f"e{number}")
        process.kill(number)
        if number in STOPS | IGNORED:
            with pytest.raises(pyctd.DeadlineExceededError):
                process.wait(timeout=0.05)
            process.kill("KILL")
            assert process.wait(timeout=60).exit_code == 137
        else:
            ended[number] = process.wait(timeout=60).exit_code
        process.delete()
    assert ended == {n: 128 + n for n in NUMBERS if n not in STOPS | IGNORED}


@pytest.mark.parametrize(
    ("given", "number"),
    [("SIGTERM", 15), ("term", 15), (signal.SIGINT, 2), ("USR1", 10), (34, 34), ("RTMAX", 64), ("15", 15)],
)
def test_each_form_reaches_the_process(box: Box, given: Any, number: int) -> None:
    task, _ = box.start()
    process = sleeper(task, "e")
    process.kill(given)
    assert process.wait(timeout=60).exit_code == 128 + number
    process.delete()


@pytest.mark.parametrize("number", [-1, -9, 65, 1000, 2**31, 2**40])
def test_numbers_of_no_signal(box: Box, number: int) -> None:
    task, _ = box.start()
    with pytest.raises(pyctd.InvalidArgumentError, match=f"from 0 to 64.* not {number}"):
        task.kill(number)
    assert task.status().status == "running"


def test_stop_and_continue(box: Box) -> None:
    out = pyctd.stdio.capture()
    task, _ = box.start()
    loop = ["/bin/sh", "-c", "while :; do echo tick; sleep 0.02; done"]
    process = task.exec("e", pyctd.spec.process(loop), attach_stdio=out)
    eventually(lambda: out.stdout)
    process.kill("STOP")
    seen = -1
    while seen != len(out.stdout):  # what is in the pipe still comes
        seen = len(out.stdout)
        with pytest.raises(pyctd.DeadlineExceededError):
            process.wait(timeout=0.2)
    process.kill("CONT")
    eventually(lambda: len(out.stdout) > seen)
    process.kill("KILL")
    process.wait(timeout=60)
    process.delete()


def test_delete_is_refused_until_the_end(box: Box) -> None:
    container = box.container()
    task = container.new_task()
    with pytest.raises(pyctd.FailedPreconditionError, match="task must be stopped before deletion: created"):
        task.delete()
    task.start()
    with pytest.raises(pyctd.FailedPreconditionError, match="task must be stopped before deletion: running"):
        task.delete()
    task.pause()
    with pytest.raises(pyctd.FailedPreconditionError, match="task must be stopped before deletion: paused"):
        task.delete()
    with pytest.raises(pyctd.FailedPreconditionError, match="cannot delete running task"):
        container.delete()
    task.resume()
    task.kill("KILL")
    assert task.wait(timeout=60).exit_code == 137
    assert task.delete().exit_code == 137
    container.delete()


@pytest.mark.parametrize("state", ["created", "running", "paused", "stopped"])
def test_force_delete_in_each_state(box: Box, state: str) -> None:
    container = box.container()
    task = container.new_task(attach_stdio=pyctd.stdio.capture())
    if state != "created":
        task.start()
    if state == "paused":
        task.pause()
    if state == "stopped":
        task.kill("KILL")
        task.wait(timeout=60)
    assert task.status().status == state
    task.force_delete(timeout=60)
    with pytest.raises(pyctd.NotFoundError):
        task.status()
    with pytest.raises(pyctd.NotFoundError):
        container.task()
    container.delete()


def test_a_paused_task_that_is_killed(box: Box) -> None:
    """runc thaws it for a KILL, or it ends when it is resumed."""
    task, _ = box.start()
    task.pause()
    task.kill("KILL")
    with contextlib.suppress(pyctd.UnknownError, pyctd.NotFoundError):
        task.resume()
    assert task.wait(timeout=60).exit_code == 137
    task.delete()


def limited(box: Box, script: str) -> pyctd.Container:
    # containerd watches for oom from the start on, so the trouble has to wait a little
    return box.of(box.spec("/bin/sh", "-c", f"sleep 1; {script}", memory=16 << 20, memory_swap=16 << 20))


def test_out_of_memory_in_a_child(box: Box, make_client: Callable[..., pyctd.Client]) -> None:
    """oom first, then the exit, whose code is the one that the init process chose."""
    container = limited(box, "tail /dev/zero; code=$?; sleep 1; exit $((code - 128))")
    with make_client().events(container_id=container.id, event=[EventType.OOM, EventType.EXIT]) as events:
        task = container.start()
        assert task.wait(timeout=60).exit_code == signal.SIGKILL
        first, second = events.get(timeout=60), events.get(timeout=60)
    assert (first.event, first.info) == (EventType.OOM, pyctd.EventInfo(container.id))
    assert (second.event, second.info.exit_code) == (EventType.EXIT, signal.SIGKILL)
    assert task.status().exit_status == signal.SIGKILL
    assert task.delete().exit_code == signal.SIGKILL


def test_out_of_memory_in_the_init_process(box: Box, make_client: Callable[..., pyctd.Client]) -> None:
    container = limited(box, "exec tail /dev/zero")
    with make_client().events(container_id=container.id, event=["oom", "exit"]) as events:
        task = container.start()
        assert task.wait(timeout=60).exit_code == 137
        assert {events.get(timeout=60).event for _ in range(2)} == {"oom", "exit"}
    status = task.status()
    assert (status.status, status.exit_status) == ("stopped", 137)
    assert task.delete().exit_code == 137
