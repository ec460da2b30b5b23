"""What is known of a task that ran out of memory, by whom and when, in both faces and on the command line."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

import pytest
from support.box import Box
from support.cli import Cli

import pyctd

IN_INIT = "exec tail /dev/zero"
IN_A_CHILD = "tail /dev/zero; exit 3"

MakeClient = Callable[..., pyctd.Client]


def limited(box: Box, script: str) -> pyctd.Container:
    # containerd watches for oom from the start on, so the trouble has to wait a little
    return box.of(box.spec("/bin/sh", "-c", f"sleep 0.5; {script}", memory=16 << 20, memory_swap=16 << 20))


@pytest.mark.parametrize(
    ("script", "code", "killed"), [(IN_INIT, 137, True), (IN_A_CHILD, 3, True), ("exit 3", 3, False)]
)
def test_oom_killed_by_wait_and_delete(box: Box, script: str, code: int, killed: bool) -> None:
    """As in docker, whichever process it was."""
    task = limited(box, script).start()
    status = task.wait(timeout=60)
    assert (status.exit_code, status.oom_killed) == (code, killed)
    assert task.delete(timeout=60) == status


@pytest.mark.parametrize(("script", "killed"), [(IN_INIT, True), ("exit 3", False)])
def test_an_ended_task_tells_another_program(box: Box, make_client: MakeClient, script: str, killed: bool) -> None:
    """Which has heard no event: the kernel's count is there until the task is deleted."""
    container = limited(box, script)
    container.start().wait(timeout=60)
    with make_client() as other:
        assert other.load_container(container.id).task().wait(timeout=60).oom_killed is killed
    with make_client() as other:
        assert other.load_container(container.id).task().delete(timeout=60).oom_killed is killed


def test_a_task_that_is_killed_has_not_run_out_of_memory(box: Box) -> None:
    task, _ = box.start()
    task.kill("KILL")
    status = task.wait(timeout=60)
    assert (status.exit_code, status.oom_killed) == (137, False)


def test_the_event_tells_where_the_count_is_gone(box: Box, make_client: MakeClient) -> None:
    """Another program deletes the task at once, and its cgroup with it: whether the count can be read is chance."""
    container = limited(box, "tail /dev/zero; exec sleep 600")
    with box.client.events(container_id=container.id, event="oom") as events:
        task = container.start()
        events.get(timeout=60)
    with make_client() as other:
        other.load_container(container.id).task().force_delete(timeout=60)
    status = task.wait(timeout=60)
    assert (status.exit_code, status.oom_killed) == (137, True)


def test_it_is_not_known_of_an_exec(box: Box) -> None:
    """The kernel counts for the whole container."""
    container = box.of(box.spec(memory=16 << 20, memory_swap=16 << 20))
    task = container.start()
    process = task.exec("e", pyctd.spec.process_of(container.info(), ["/bin/tail", "/dev/zero"]))
    status = process.wait(timeout=60)
    assert (status.exit_code, status.oom_killed) == (137, None)
    assert process.delete(timeout=60).oom_killed is None
    task.kill("KILL")
    assert task.wait(timeout=60).oom_killed, "as of every process in the container"


def test_oom_killed_awaited(box: Box) -> None:
    id, client = limited(box, IN_A_CHILD).id, box.client

    async def main() -> tuple[pyctd.ExitStatus, pyctd.ExitStatus]:
        async with pyctd.aio.Client(client.address, client.namespace, client.state_dir, timeout=60) as other:
            task = await (await other.load_container(id)).start()
            return await task.wait(timeout=60), await task.delete(timeout=60)

    waited, deleted = asyncio.run(main())
    assert waited == deleted
    assert waited.oom_killed is True


def test_oom_killed_on_the_command_line(cli: Cli) -> None:
    limits = ("-m", "16m", "--memory-swap", "16m")
    cli.start("greedy", *limits, "/bin/sh", "-c", f"sleep 0.5; {IN_A_CHILD}")
    cli.start("modest", *limits, "/bin/sh", "-c", "exit 3")
    cli.start("web")
    for id in ("greedy", "modest"):
        cli.client.load_container(id).task().wait(timeout=60)
    known = {one["id"]: one["oom_killed"] for one in cli.json("ps", "-a")}
    assert known == {"greedy": True, "modest": False, "web": None}
    shown = json.loads(cli("inspect", "greedy", "modest", "web").out)
    assert {one["id"]: one["task"]["oom_killed"] for one in shown} == known
    rows = cli("ps", "-a").out
    assert "exited (3, oom)" in rows
    assert "exited (3) " in rows
