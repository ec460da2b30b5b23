"""What an error tells beside Go's words: what it is about, and why."""

from __future__ import annotations

import copy
import pickle
import sys
import traceback
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from support.box import SLEEP, Box
from support.case import Case

import pyctd
from pyctd import aio

EXEC = pyctd.spec.process(["/bin/sleep", "600"])


def failed(call: Callable[[], object]) -> pyctd.Error:
    with pytest.raises(pyctd.Error) as caught:
        call()
    return caught.value


async def failed_await(call: Awaitable[object]) -> pyctd.Error:
    with pytest.raises(pyctd.Error) as caught:
        await call
    return caught.value


def about(error: pyctd.Error) -> tuple[Any, ...]:
    return error.call, error.container_id, error.process_id, error.timeout


# -- What it is about ------------------------------------------------------------------------------------------------


def test_an_error_names_its_call_and_its_object(box: Box) -> None:
    container = box.container(id="web")
    error = failed(lambda: box.container(id="web"))
    assert (str(error), about(error)) == ("id already in use", ("Client.new_container", "web", None, None))
    task = container.start(timeout=60)
    assert about(failed(lambda: container.start(timeout=60))) == ("Container.start", "web", None, 60)
    assert about(failed(container.new_task)) == ("Container.new_task", "web", None, None)
    assert about(failed(container.delete)) == ("Container.delete", "web", None, None)
    assert about(failed(task.delete)) == ("Process.delete", "web", "web", None)
    process = task.exec("e", EXEC)
    error = failed(lambda: task.exec("e", EXEC, timeout=60))
    assert (str(error), about(error)) == ("id already in use", ("Task.exec", "web", "e", 60))
    assert about(failed(process.delete)) == ("Process.delete", "web", "e", None)
    error = failed(lambda: process.wait(timeout=0))
    assert (str(error), about(error)) == ("context deadline exceeded", ("Process.wait", "web", "e", 0))
    task.force_delete()
    assert about(failed(container.task)) == ("Container.task", "web", None, None)
    assert about(failed(lambda: container.attach_task(pyctd.stdio.null()))) == (
        *("Container.attach_task", "web", None, None),
    )
    container.delete()
    error = failed(lambda: box.client.load_container("web"))
    assert about(error) == ("Client.load_container", "web", None, None)
    error = failed(lambda: box.client.containers("nonsense[", timeout=60))
    assert about(error) == ("Client.containers", None, None, 60)


def test_an_error_names_them_awaited_too(case: Case) -> None:
    async def test(client: aio.Client) -> None:
        container = await client.new_container("web", case.spec(*SLEEP))
        error = await failed_await(client.new_container("web", case.spec(*SLEEP), timeout=60))
        assert about(error) == ("Client.new_container", "web", None, 60)
        task = await container.start()
        process = await task.exec("e", EXEC)
        assert about(await failed_await(task.exec("e", EXEC))) == ("Task.exec", "web", "e", None)
        assert about(await failed_await(process.wait(timeout=0))) == ("Process.wait", "web", "e", 0)
        await task.kill("KILL")
        await task.wait()
        error = await failed_await(task.pause())
        assert (*about(error), error.reason) == ("Task.pause", "web", "web", None, "stopped")
        await task.delete()
        await container.delete()

    case.run(test)


def test_a_replacement_is_named_so(box: Box) -> None:
    error = failed(lambda: box.client.replace_container("../x", box.spec()))
    assert about(error) == ("Client.replace_container", "../x", None, None)


def test_a_client_that_does_not_connect_is_named_so() -> None:
    error = failed(lambda: pyctd.Client("/nowhere.sock", timeout=0))
    assert about(error) == ("Client", None, None, 0)


def test_the_error_of_a_stdio_callback_names_them_too(box: Box) -> None:
    def raising(dio: pyctd.DirectIO) -> pyctd.IO:
        raise RuntimeError("mine")

    container = box.container(id="web")
    error = failed(lambda: container.start(attach_stdio=raising))
    assert (type(error), str(error)) == (pyctd.StdioError, "the stdio callback raised RuntimeError('mine')")
    assert about(error) == ("Container.start", "web", None, None)
    assert isinstance(error.__cause__, RuntimeError)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="notes came with Python 3.11")
def test_a_traceback_shows_it(box: Box) -> None:
    task = box.container(id="web").start()
    process = task.exec("e", EXEC)
    error = failed(lambda: process.wait(timeout=0))
    words = (
        "DeadlineExceededError: context deadline exceeded\nProcess.wait: container 'web', process 'e', timeout 0 s\n"
    )
    assert "".join(traceback.format_exception(error)).endswith(words)
    task.force_delete()
    error = failed(task.pause)
    assert traceback.format_exception(error)[-1] == "Task.pause: container 'web'\n"


def test_a_copy_of_an_error_tells_the_same(box: Box) -> None:
    box.container(id="web")
    error = failed(lambda: box.container(id="web"))
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert (type(again), str(again), about(again)) == (type(error), str(error), about(error))


# -- Why -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("/bin/nothing", "command-not-found"),
        ("nothing", "command-not-found"),
        ("/bin/sh/x", "command-not-found"),
        ("/etc", "command-not-executable"),
        ("/bin/notexecutable", "command-not-executable"),
    ],
)
def test_a_command_that_can_not_run(box: Box, command: str, reason: str) -> None:
    assert failed(box.container(command).start).reason == reason
    assert failed(box.container(command).new_task).reason == reason
    task = box.container().start()
    assert failed(lambda: task.exec("e", pyctd.spec.process([command]))).reason == reason


def test_a_state_that_does_not_allow_it(box: Box) -> None:
    container = box.container()
    created = container.new_task()
    assert failed(created.pause).reason == "created"
    created.start()
    assert failed(created.start).reason == "running"
    assert failed(created.resume).reason == "running"
    assert failed(created.delete).reason == "running"
    assert failed(container.delete).reason == "running"
    created.pause()
    assert failed(created.pause).reason == "paused"
    assert failed(lambda: created.exec("e", EXEC)).reason == "paused"


def test_a_stopped_task(box: Box) -> None:
    container = box.container("/bin/true")
    task = container.start()
    task.wait(timeout=60)
    calls: list[Callable[[], object]] = [
        lambda: task.exec("e", EXEC),
        task.pause,
        task.resume,
        task.start,
        lambda: task.update_resources({"pids": {"limit": 50}}),
        lambda: task.kill("KILL"),
    ]
    assert [failed(call).reason for call in calls] == ["stopped"] * len(calls)
    assert isinstance(failed(task.pause), pyctd.UnknownError), "the kind is Go's"


def test_a_start_of_a_deleted_container(box: Box) -> None:
    container = box.container()
    container.delete()
    assert failed(container.start).reason == "deleted"
    assert failed(container.new_task).reason == "deleted"


def test_what_has_no_reason(box: Box) -> None:
    box.container(id="web")
    assert failed(lambda: box.container(id="web")).reason is None
    assert failed(lambda: box.client.load_container("permission denied")).reason is None
    limit = {"cpu": {"cpus": "9999"}}
    task = box.container().start()
    assert failed(lambda: task.update_resources(limit)).reason is None, "of no command: permission denied"
