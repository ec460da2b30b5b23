"""Execs that another program has started: found, waited for, killed and deleted, in both faces."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator

import pytest
from support.box import SLEEP, Box, eventually
from support.cli import Cli
from support.programs import Programs

import pyctd

MakeClient = Callable[..., pyctd.Client]


@pytest.fixture
def task(box: Box) -> Iterator[pyctd.Task]:
    task = box.container().start()
    yield task
    task.close()


def run(task: pyctd.Task, id: str, *args: str) -> pyctd.Process:
    return task.exec(id, pyctd.spec.process(list(args or SLEEP)))


def execs(task: pyctd.Task) -> dict[str, int]:
    """The execs that run, with their pids."""
    return {process.exec_id: process.pid for process in task.pids() if process.exec_id}


def loaded_elsewhere(make_client: MakeClient, task: pyctd.Task) -> pyctd.Task:
    """The task as another client sees it."""
    return make_client().load_container(task.container_id).task()


def test_execs_of_a_program_that_was_killed(programs: Programs, task: pyctd.Task) -> None:
    code = """
        client = connect()
        task = client.load_container(rest[0]).task()
        process = pyctd.spec.process
        running = task.exec("running", process(["/bin/sleep", "600"]), attach_stdio=pyctd.stdio.capture())
        ended = task.exec("ended", process(["/bin/sh", "-c", "exit 7"]), attach_stdio=pyctd.stdio.capture())
        ended.wait(timeout=60)
        print(running.pid, ended.pid, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    code_of_end, out, err = programs.run(code, task.container_id)
    assert (code_of_end, err) == (-9, ""), err
    running_pid, ended_pid = map(int, out.split())

    assert execs(task) == {"running": running_pid}
    running, ended = task.load_process("running", timeout=60), task.load_process("ended", timeout=60)
    assert (running.pid, running.status().status) == (running_pid, "running")
    assert (ended.pid, ended.status().status) == (ended_pid, "stopped")
    assert repr(running) == f"<Process {task.container_id}/running (pid {running_pid})>"
    with pytest.raises(pyctd.DeadlineExceededError):
        running.wait(timeout=0)
    with pytest.raises(pyctd.FailedPreconditionError):
        running.delete()
    running.kill("KILL")
    assert [one.wait(timeout=60).exit_code for one in (running, ended)] == [137, 7]
    assert [one.delete(timeout=60).exit_code for one in (running, ended)] == [137, 7]

    for id in ("running", "ended"):
        with pytest.raises(pyctd.NotFoundError):
            task.load_process(id)
        out_of_id = pyctd.stdio.capture()
        again = task.exec(id, pyctd.spec.process(["/bin/echo", "free again"]), attach_stdio=out_of_id)
        again.wait(timeout=60)
        again.delete()
        assert out_of_id.stdout == b"free again\n"


def test_both_programs_hear_of_the_end(task: pyctd.Task, make_client: MakeClient) -> None:
    process = run(task, "e")
    loaded = loaded_elsewhere(make_client, task).load_process("e")
    loaded.kill("TERM")
    assert process.wait(timeout=60) == loaded.wait(timeout=60)
    loaded.delete()
    with pytest.raises(pyctd.NotFoundError):
        process.delete()
    with pytest.raises(pyctd.NotFoundError) as caught:
        loaded.delete()
    assert (caught.value.call, caught.value.process_id) == ("Process.delete", "e")
    with pytest.raises(pyctd.NotFoundError):
        loaded.kill("TERM")


def refusals(process: pyctd.Process) -> list[tuple[type, str] | None]:
    """What a process that has ended, or is gone, answers to each call; None where it takes it."""
    calls: list[Callable[[], object]] = [
        lambda: process.kill("TERM"),
        lambda: process.resize(80, 24),
        process.close_stdin,
        process.status,
    ]
    said: list[tuple[type, str] | None] = []
    for call in calls:
        try:
            call()
            said.append(None)
        except pyctd.Error as error:
            said.append((type(error), str(error)))
    return said


def test_errors_are_those_of_an_exec_of_ones_own(task: pyctd.Task, make_client: MakeClient) -> None:
    """libcontainerd knows only those that it has started itself."""
    process = run(task, "e", "/bin/true")
    loaded = loaded_elsewhere(make_client, task).load_process("e")
    assert process.wait(timeout=60) == loaded.wait(timeout=60)
    assert refusals(loaded) == refusals(process)
    process.delete()
    gone = refusals(process)
    assert {kind for kind, _ in filter(None, gone)} == {pyctd.NotFoundError}
    assert refusals(loaded) == gone
    task.force_delete(timeout=60)
    assert refusals(loaded) == refusals(process)


def test_a_terminal_of_another_program_is_resized(task: pyctd.Task, make_client: MakeClient) -> None:
    script = "trap 'stty size; exit' WINCH; echo ready; while :; do sleep 0.1; done"
    out = pyctd.stdio.capture()
    process = task.exec("tty", pyctd.spec.process(["/bin/sh", "-c", script], terminal=True), attach_stdio=out)
    eventually(lambda: out.stdout)
    loaded_elsewhere(make_client, task).load_process("tty").resize(99, 33)
    process.wait(timeout=60)
    process.delete()
    assert out.stdout.split() == [b"ready", b"33", b"99"]


@pytest.mark.parametrize(
    ("id", "kind"),
    [
        ("none", pyctd.NotFoundError),
        ("", pyctd.InvalidArgumentError),
        ("a/b", pyctd.InvalidArgumentError),
        ("x" * 77, pyctd.InvalidArgumentError),
    ],
)
def test_what_is_no_exec(task: pyctd.Task, id: str, kind: type[pyctd.Error]) -> None:
    with pytest.raises(kind) as caught:
        task.load_process(id)
    assert (caught.value.call, caught.value.process_id) == ("Task.load_process", id)
    with pytest.raises(pyctd.InvalidArgumentError, match="is the id of the task itself"):
        task.load_process(task.id)


def test_execs_of_a_deleted_task(task: pyctd.Task) -> None:
    run(task, "e")
    task.force_delete(timeout=60)
    with pytest.raises(pyctd.NotFoundError):
        task.load_process("e")


def test_pids_name_the_execs(task: pyctd.Task) -> None:
    """And not what an exec has started, of which the shim knows nothing."""
    assert [(process.info, process.exec_id) for process in task.pids()] == [(None, None)]
    ids = [f"e{number}" for number in range(3)]
    pids = {id: run(task, id, "/bin/sh", "-c", "sleep 600 & wait").pid for id in ids}
    assert execs(task) == pids
    for id in ids:
        task.load_process(id).kill("KILL")
        task.load_process(id).wait(timeout=60)
    assert execs(task) == {}, "an exec that has ended is in no list"
    assert task.load_process("e0").status().exit_status == 137


def test_load_process_awaited(task: pyctd.Task, client: pyctd.Client) -> None:
    process = run(task, "e")

    async def main() -> tuple[int, pyctd.ExitStatus, pyctd.ExitStatus]:
        async with pyctd.aio.Client(client.address, client.namespace, client.state_dir, timeout=60) as other:
            of = await (await other.load_container(task.container_id)).task()
            (id,) = [one.exec_id for one in await of.pids() if one.exec_id]
            loaded = await of.load_process(id, timeout=60)
            await loaded.kill("KILL")
            return loaded.pid, await loaded.wait(timeout=60), await loaded.delete(timeout=60)

    pid, waited, deleted = asyncio.run(main())
    assert (pid, waited.exit_code) == (process.pid, 137)
    assert waited == deleted


def test_inspect_names_the_execs(cli: Cli) -> None:
    cli.start("web")
    run(cli.client.load_container("web").task(), "e")
    (told,) = json.loads(cli("inspect", "web").out)
    assert told["task"]["exec_ids"] == ["e"]
