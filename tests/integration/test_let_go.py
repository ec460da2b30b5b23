"""What belongs to a deleted task or container is let go, as garbage would be in Go."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from support import leaks
from support.box import Box, eventually

import pyctd
from pyctd import _attachments, _native

COUNT = 20


def alive() -> tuple[int, int]:
    """Go's handles and Python's attachments; the queues that calls reuse come and go."""
    return _native.counts().handles - leaks.queues(), len(_attachments._attachments)


def execs(task: pyctd.Task) -> list[pyctd.stdio.capture]:
    """Execs that have ended and are not deleted; their output."""
    outs = []
    for number in range(COUNT):
        outs.append(pyctd.stdio.capture())
        task.exec(f"e{number}", pyctd.spec.process(["/bin/echo", str(number)]), attach_stdio=outs[-1]).wait(timeout=60)
    return outs


@pytest.mark.parametrize("how", ["delete", "force_delete", "another object"])
def test_execs_that_nobody_deleted_go_with_their_task(box: Box, how: str) -> None:
    container = box.container()
    before = alive()
    task = container.start()
    outs = execs(task)
    if how == "delete":
        task.kill("KILL")
        task.wait(timeout=60)
        task.delete(timeout=60)
    elif how == "force_delete":
        task.force_delete(timeout=60)
    else:
        box.client.load_container(container.id).task().force_delete(timeout=60)
    del task
    eventually(lambda: alive() == before, "all let go")
    assert [out.stdout for out in outs] == [f"{number}\n".encode() for number in range(COUNT)]


def test_the_streams_of_a_task_that_another_object_deleted_are_let_go(box: Box) -> None:
    container = box.container("/bin/echo", "hello")
    before = alive()
    outs = [pyctd.stdio.capture() for _ in range(COUNT)]
    for out in outs:
        container.start(attach_stdio=out).wait(timeout=60)
        box.client.load_container(container.id).task().delete(timeout=60)
    eventually(lambda: alive() == before, "all let go")
    assert [out.stdout for out in outs] == COUNT * [b"hello\n"]


def test_the_streams_of_a_container_that_was_deleted_or_replaced_are_let_go(
    box: Box, make_client: Callable[..., pyctd.Client], run_id: str
) -> None:
    container = box.container(id=run_id)
    before = alive()
    outs = execs(container.start())
    box.client.replace_container(run_id, box.spec()).close()
    eventually(lambda: alive() == before, "all let go by the replacement")
    task = container.start()
    outs += execs(task)
    make_client().load_container(run_id).task().force_delete(timeout=60)  # of which the first client knows nothing
    container.delete(timeout=60)
    del task
    eventually(lambda: alive()[1] == before[1], "all let go by the delete")
    assert [out.stdout for out in outs] == 2 * [f"{number}\n".encode() for number in range(COUNT)]
