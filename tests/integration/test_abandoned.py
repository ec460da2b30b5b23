"""Starts and execs whose caller gives up: they go on to their end, as in dockerd, and are undone."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.box import Box, eventually
from support.case import Case
from support.programs import Programs

import pyctd
from pyctd import aio

EXEC = pyctd.spec.process
SLEEP = ["/bin/sleep", "600"]


@pytest.fixture
def slow_runc(tmp_path: Path) -> Callable[[str], dict[str, str]]:
    """Runtime options with a runc that waits for the file ``go`` before or after one of its commands."""

    def options(when: str) -> dict[str, str]:
        wait = f"until [ -e {tmp_path}/go ]; do sleep 0.05; done"
        moment, command = when.split()
        script = {"before": f'{wait}; exec runc "$@"', "after": f'runc "$@"; code=$?; {wait}; exit $code'}[moment]
        runc = tmp_path / "runc"
        runc.write_text(
            f'#!/bin/sh\ncase " $* " in *" {command} "*) touch {tmp_path}/begun; {script};; esac\nexec runc "$@"\n'
        )
        runc.chmod(0o755)
        return {"BinaryName": str(runc)}

    return options


def gone(container: pyctd.Container) -> bool:
    try:
        container.task(timeout=60)
    except pyctd.NotFoundError:
        return True
    return False


@pytest.mark.parametrize("when", ["before create", "after create", "before start", "after start"])
def test_a_start_that_runs_out_of_time_leaves_no_task(
    box: Box, run_id: str, slow_runc: Callable[[str], dict[str, str]], tmp_path: Path, when: str
) -> None:
    box.ids.append(run_id)
    container = box.client.new_container(run_id, box.spec(), runtime_options=slow_runc(when))
    with pytest.raises(pyctd.DeadlineExceededError) as caught:
        container.start(timeout=0.5)
    assert (
        str(caught.value) == f'context deadline exceeded: the start of container "{run_id}" is undone in the background'
    )
    (tmp_path / "go").touch()
    eventually(lambda: gone(container), "the end of the task")
    container.start(timeout=60).force_delete(timeout=60)


def test_the_next_start_and_a_delete_wait_for_an_abandoned_start(
    box: Box, run_id: str, slow_runc: Callable[[str], dict[str, str]], tmp_path: Path
) -> None:
    box.ids.append(run_id)
    container = box.client.new_container(run_id, box.spec(), runtime_options=slow_runc("before start"))
    for _ in range(2):
        (tmp_path / "go").unlink(missing_ok=True)
        with pytest.raises(pyctd.DeadlineExceededError, match="undone in the background"):
            container.start(timeout=0.5)
        with pytest.raises(pyctd.DeadlineExceededError, match="an earlier call for .* has not ended"):
            container.start(timeout=0.1)
        with pytest.raises(pyctd.DeadlineExceededError, match="an earlier call for .* has not ended"):
            container.delete(timeout=0.1)
        (tmp_path / "go").touch()
        container.start(timeout=60).force_delete(timeout=60)
    (tmp_path / "go").unlink()
    with pytest.raises(pyctd.DeadlineExceededError):
        container.start(timeout=0.5)
    (tmp_path / "go").touch()
    container.delete(timeout=60)


def test_a_start_on_its_own_task_goes_on(
    box: Box, run_id: str, slow_runc: Callable[[str], dict[str, str]], tmp_path: Path
) -> None:
    box.ids.append(run_id)
    container = box.client.new_container(run_id, box.spec(), runtime_options=slow_runc("before start"))
    task = container.new_task(timeout=60)
    with pytest.raises(pyctd.DeadlineExceededError, match="the start goes on, and the task stays"):
        task.start(timeout=0.5)
    (tmp_path / "go").touch()
    eventually(lambda: task.status().status == "running", "the start")
    task.force_delete(timeout=60)


STARTING = """
with connect() as client:
    client.new_container(rest[0], spec("/bin/sleep", "600"), runtime_options={"BinaryName": rest[1]}).start()
"""


@pytest.mark.parametrize("when", ["before start", "after start"])
def test_a_program_that_ctrl_c_ends_undoes_its_start_first(
    box: Box, run_id: str, slow_runc: Callable[[str], dict[str, str]], tmp_path: Path, programs: Programs, when: str
) -> None:
    box.ids.append(run_id)
    with programs.popen(STARTING, run_id, slow_runc(when)["BinaryName"]) as program:
        eventually((tmp_path / "begun").exists)
        program.send_signal(signal.SIGINT)
        with pytest.raises(subprocess.TimeoutExpired):
            program.wait(2)
        (tmp_path / "go").touch()
        assert program.communicate(timeout=60)[1].endswith("KeyboardInterrupt\n")
    assert gone(box.client.load_container(run_id, timeout=60))


def test_a_further_ctrl_c_ends_a_program_that_undoes_its_start(
    box: Box, run_id: str, slow_runc: Callable[[str], dict[str, str]], tmp_path: Path, programs: Programs
) -> None:
    box.ids.append(run_id)
    with programs.popen(STARTING, run_id, slow_runc("before start")["BinaryName"]) as program:
        eventually((tmp_path / "begun").exists)

        def ended() -> bool:
            program.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                program.wait(1)
            return program.returncode is not None

        eventually(ended, "the end of the program")
        (tmp_path / "go").touch()
        program.communicate(timeout=60)


def test_starts_with_short_deadlines_leave_no_task(box: Box) -> None:
    """At every moment of a start: the deadlines cover more time than it takes."""
    container = box.container()
    for number in range(40):
        with contextlib.suppress(pyctd.DeadlineExceededError):
            container.start(timeout=0.004 * (number + 1)).force_delete(timeout=60)
    eventually(lambda: gone(container), "the end of the last task")
    container.start(timeout=60).force_delete(timeout=60)


@contextlib.contextmanager
def alarm(seconds: float) -> Iterator[None]:
    def ring(number: int, frame: object) -> None:
        raise InterruptedError

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("how", ["timeout", "signal"])
def test_an_exec_whose_caller_gives_up_is_killed_and_its_id_is_free(
    box: Box, run_id: str, slow_runc: Callable[[str], dict[str, str]], tmp_path: Path, how: str
) -> None:
    box.ids.append(run_id)
    container = box.client.new_container(run_id, box.spec(), runtime_options=slow_runc("after exec"))
    task = container.start(timeout=60)
    words = f'exec "e" of container "{run_id}" is killed and deleted in the background'
    if how == "timeout":
        with pytest.raises(pyctd.DeadlineExceededError) as caught:
            task.exec("e", EXEC(SLEEP), timeout=0.5)
        assert str(caught.value) == f"context deadline exceeded: {words}"
    else:
        with pytest.raises(InterruptedError) as interrupted, alarm(0.5):
            task.exec("e", EXEC(SLEEP))
        assert str(interrupted.value.__context__) == f"context canceled: {words}"
    (tmp_path / "go").touch()
    task.exec("e", EXEC(SLEEP), timeout=60)
    eventually(lambda: len(task.pids()) == 2, "the end of the first exec")
    task.force_delete(timeout=60)


def test_execs_with_short_deadlines_leave_no_process(box: Box) -> None:
    task, _ = box.start()
    for number in range(30):
        try:
            process = task.exec("e", EXEC(SLEEP), timeout=0.002 * (number + 1), attach_stdio=pyctd.stdio.capture())
        except pyctd.DeadlineExceededError:
            continue
        process.kill("KILL")
        process.wait(timeout=60)
        process.delete(timeout=60)
    eventually(lambda: len(task.pids()) == 1, "the end of every exec")
    task.force_delete(timeout=60)


def test_an_awaited_exec_that_is_cancelled_is_killed_and_its_id_is_free(
    case: Case, slow_runc: Callable[[str], dict[str, str]], tmp_path: Path
) -> None:
    async def test(client: aio.Client) -> None:
        container = await client.new_container("c", case.spec(), runtime_options=slow_runc("after exec"))
        task = await container.start()
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(task.exec("e", EXEC(SLEEP)), 0.5)
        (tmp_path / "go").touch()
        await task.exec("e", EXEC(SLEEP), timeout=60)
        while len(await task.pids()) != 2:
            await asyncio.sleep(0.02)
        await task.force_delete()
        await container.delete()

    case.run(test)
