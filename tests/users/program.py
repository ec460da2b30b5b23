"""What a user of pyctd may write, for the type checkers: ``assert_type`` says what each call returns.

A line with ``type: ignore`` is a slip that a checker has to find: where it does not, the ignore is an error.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from typing_extensions import assert_type

import pyctd
from pyctd import options, spec, stdio

SOCKET = "/run/containerd/containerd.sock"


class Journal:
    """A backend as a class of the user's own."""

    def __init__(self) -> None:
        self.exits: dict[str, int] = {}

    def process_event(self, container_id: str, event: pyctd.EventType, info: pyctd.EventInfo) -> None:
        if event is pyctd.EventType.EXIT:
            self.exits[info.process_id] = info.exit_code
            assert_type(info.exited_at, datetime | None)
            assert_type(info.error, str | None)


class Tee:
    """A stdio callback that returns an IO of its own."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __call__(self, dio: pyctd.DirectIO) -> pyctd.IO | None:
        assert_type(dio.config(), pyctd.Config)
        assert dio.stdout is not None
        self.path.write_bytes(dio.stdout.read() or b"")
        return dio


def on_event(container_id: str, event: pyctd.EventType, info: pyctd.EventInfo) -> None:
    logging.info("%s: %s", container_id, event)


async def on_event_later(container_id: str, event: pyctd.EventType, info: pyctd.EventInfo) -> None:
    await asyncio.sleep(0)


def run(client: pyctd.Client, rootfs: str | os.PathLike[str], args: Sequence[str]) -> bytes:
    wanted = spec.default(rootfs, args, env={"A": "1"}, memory=64 << 20, mounts=[spec.bind("/data", "/data")])
    assert_type(wanted, dict[str, Any])
    wanted["annotations"] = {"org.example.owner": "me"}
    container = client.new_container("web", wanted, opts=[options.labels({"a": "b"})], timeout=10)
    assert_type(container, pyctd.Container)
    out = stdio.capture(stdin=b"text", limit=1 << 20)
    task = container.start(attach_stdio=out)
    assert_type(task, pyctd.Task)
    try:
        status = task.wait(timeout=10)
    except (pyctd.DeadlineExceededError, TimeoutError):
        task.kill(signal.SIGKILL)
        task.kill("SIGKILL", timeout=1)
        status = task.wait()
    assert_type(status, pyctd.ExitStatus)
    assert_type(status.exit_code, int)
    assert_type(task.delete(), pyctd.ExitStatus)
    container.delete()
    return assert_type(out.stdout, bytes)


def look(container: pyctd.Container, task: pyctd.Task) -> int:
    info = container.info(timeout=1)
    assert_type(info, pyctd.ContainerInfo)
    assert_type(info.extensions["notes"].value, bytes)
    assert_type(container.set_labels({"a": "b"}), dict[str, str])
    wanted = spec.process_of(info, ["/bin/ps"], env={"A": "b"}, user="nobody", terminal=True, console_size=(80, 24))
    assert_type(wanted, dict[str, Any])
    process = task.exec("look", wanted, attach_stdio=stdio.lines(print, print))
    assert_type(process, pyctd.Process)
    assert_type([one.exec_id for one in task.pids()], list[str | None])
    assert_type(task.load_process("look", timeout=1), pyctd.Process)
    assert_type(task.wait().oom_killed, bool | None)
    task.update_resources(spec.resources(memory=1 << 26))
    task.update_resources({"memory": {"limit": 1 << 26}})
    assert_type(task.pids(), list[pyctd.ProcessInfo])
    assert_type(task.status().exit_time, datetime | None)
    state: str = task.status().status
    assert_type(task.status().status, pyctd.ProcessStatus)
    assert_type(failure().reason, pyctd.errors.Reason | None)
    assert_type(failure().container_id, str | None)
    assert state
    stats = task.stats()
    assert_type(stats.read, datetime | None)
    if isinstance(stats.metrics, pyctd.metrics.CgroupV2Metrics):
        return stats.metrics.memory.usage if stats.metrics.memory else 0
    assert_type(stats.metrics, pyctd.metrics.CgroupV1Metrics)
    return 1


def watch(client: pyctd.Client) -> str:
    with client.events(container_id=["web"], event=pyctd.EventType.EXIT) as events:
        for container_id, event, info in events:
            assert_type(event, pyctd.EventType)
            return f"{container_id}/{info.process_id}"
        assert_type(events.get(timeout=1), pyctd.Event)
    return ""


def clients(address: Path) -> None:
    with pyctd.Client(address, "moby", backend=Journal(), timeout=5) as client:
        assert_type(client, pyctd.Client)
        assert_type(client.version(), pyctd.Version)
    pyctd.Client(SOCKET, backend=on_event).close()
    with pyctd.Engine() as engine, engine.client("mine", on_event) as client:
        assert_type(engine.pid, int | None)
        client.load_container("web").attach_task(Tee(Path("/tmp/out")))


async def awaited() -> None:
    async with pyctd.aio.Engine() as engine, engine.client(backend=on_event_later) as client:
        container = await client.new_container("web", spec.default("/rootfs", ["/bin/true"]))
        assert_type(container, pyctd.aio.Container)
        task = await container.start(attach_stdio=stdio.null())
        assert_type(task, pyctd.aio.Task)
        assert_type(await asyncio.wait_for(task.wait(), 5), pyctd.ExitStatus)
        assert_type(await container.info(), pyctd.ContainerInfo)
        assert_type(await container.set_labels({"a": "b"}), dict[str, str])
        assert_type(await task.load_process("look"), pyctd.aio.Process)
        async with client.events() as events:
            async for event in events:
                assert_type(event, pyctd.Event)
    client = await pyctd.aio.Client(SOCKET, backend=on_event)
    await client.close()


def errors(client: pyctd.Client) -> None:
    try:
        client.load_container("web")
    except LookupError:
        logging.exception("there is none")
    except pyctd.Error as error:
        assert_type(error, pyctd.Error)


def failure() -> pyctd.Error:
    return pyctd.UnknownError("none")


def slips(client: pyctd.Client, container: pyctd.Container, task: pyctd.Task, waiter: pyctd.aio.Task) -> Any:
    client.new_container(1, {})  # type: ignore[arg-type]
    client.events(event=5)  # type: ignore[arg-type]
    task.kill(None)  # type: ignore[arg-type]
    task.wait(5)  # type: ignore[misc]
    task.exec("x", {}, attach_stdio=len)  # type: ignore[arg-type]
    pyctd.Client(SOCKET, backend=run)  # type: ignore[arg-type]
    pyctd.Client(SOCKET, backend=on_event_later).close()
    if task.status().status == "exited":  # type: ignore[comparison-overlap]
        return None
    if failure().reason == "gone":  # type: ignore[comparison-overlap]
        return None
    container.set_labels({"a": 1})  # type: ignore[dict-item]
    spec.process_of(container, ["/bin/ps"])  # type: ignore[arg-type]
    task.wait().exitcode  # type: ignore[attr-defined]
    waiter.wait().exit_code  # type: ignore[attr-defined]
    return task.nothing()  # type: ignore[attr-defined]
