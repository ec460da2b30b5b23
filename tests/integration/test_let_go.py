"""What belongs to a deleted task or container is let go, as garbage would be in Go."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
from collections.abc import Callable

import pytest
from support import leaks
from support.box import Box, Hold, eventually
from support.case import Case

import pyctd
from pyctd import _native, aio
from pyctd._streams.attach import _attachments

COUNT = 20


def alive() -> tuple[int, int]:
    """Go's handles and Python's attachments; the queues that calls reuse come and go."""
    gc.collect()
    return _native.counts().handles - leaks.queues(), len(_attachments)


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


def test_streams_whose_task_is_deleted_while_they_are_attached_are_let_go(box: Box) -> None:
    container = box.container()
    before = alive()
    container.start()
    taken = []

    def attach(dio: pyctd.DirectIO) -> pyctd.IO:
        box.client.load_container(container.id).task().force_delete(timeout=60)
        taken.append(True)
        return Hold()(dio)

    task = container.attach_task(attach)
    assert taken
    del task
    eventually(lambda: alive() == before, "all let go")


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


def test_awaited_execs_that_nobody_deleted_go_with_their_task(case: Case) -> None:
    async def test(client: aio.Client) -> None:
        container = await client.new_container("c", case.spec())
        before = alive()
        task = await container.start()
        outs = [aio.stdio.capture() for _ in range(COUNT)]
        for number, out in enumerate(outs):
            process = await task.exec(f"e{number}", pyctd.spec.process(["/bin/echo", str(number)]), attach_stdio=out)
            await process.wait(timeout=60)
        del process
        await task.force_delete(timeout=60)
        del task
        while alive() != before:
            await asyncio.sleep(0.02)
        assert [out.stdout for out in outs] == [f"{number}\n".encode() for number in range(COUNT)]
        await container.delete()

    case.run(test)


def test_streams_in_the_callers_hands_can_be_read_after_their_task(box: Box) -> None:
    """As in Go, where they live as long as somebody refers to them."""
    before = alive()
    container = box.container()
    task = container.start()
    hold = Hold()
    task.exec("e", pyctd.spec.process(["/bin/echo", "hello"]), attach_stdio=hold).wait(timeout=60)
    box.client.load_container(container.id).task().force_delete(timeout=60)
    assert hold.dio.stdout.read() == b"hello\n"
    container.delete()
    container.close()
    del task, hold
    eventually(lambda: alive() == before, "all let go")


def test_what_feeds_a_task_that_another_object_deleted_ends_with_it(box: Box) -> None:
    container = box.container("/bin/cat")
    before = alive()
    reading, writing = os.pipe()
    with open(reading, "rb") as pipe, open(writing, "wb"):
        container.start(attach_stdio=pyctd.stdio.files(stdin=pipe))
        box.client.load_container(container.id).task().force_delete(timeout=60)
        eventually(lambda: not any(thread.name == "pyctd-stdin" for thread in threading.enumerate()), "its end")
        eventually(lambda: alive() == before, "all let go")


def test_the_stdin_of_a_task_that_another_object_deleted_ends_no_other(
    box: Box, make_client: Callable[..., pyctd.Client]
) -> None:
    """In Go its close reaches the next task, which has the same name, and ends with its client from then on."""
    container = box.container("/bin/cat")
    first, third = Hold(), Hold()
    container.start(with_stdin=True, attach_stdio=first)
    box.client.load_container(container.id).task().force_delete(timeout=60)
    with make_client() as client:
        client.load_container(container.id).start(with_stdin=True, attach_stdio=Hold())
        first.dio.stdin.close()
    task = container.attach_task(third)
    third.dio.stdin.write(b"hello\n")
    assert third.dio.stdout.read(6) == b"hello\n"
    third.dio.stdin.close()
    task.close_stdin()
    assert task.wait(timeout=60).exit_code == 0
