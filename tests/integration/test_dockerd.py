"""dockerd as a neighbour: pyctd beside a real one, on the same containerd and in the same namespace."""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import docker, leaks
from support.box import Box, eventually
from support.docker import Dockerd
from support.show import SHOW

import pyctd

pytestmark = pytest.mark.skipif(bool(docker.why_not()), reason=docker.why_not())


@pytest.fixture
def dockerd(own_engine: pyctd.Engine, rootfs: Path) -> Iterator[Dockerd]:
    directory = own_engine.state.parent / "d"
    with docker.beside(own_engine, directory, rootfs) as dockerd:
        yield dockerd
    assert not leaks.mounts(directory)
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def neighbour(own_engine: pyctd.Engine, dockerd: Dockerd) -> Iterator[pyctd.Client]:
    """pyctd in dockerd's namespace."""
    with own_engine.client("moby", timeout=60) as client:
        yield client


def run(dockerd: Dockerd, *command: str) -> str:
    """A container of dockerd's that runs."""
    return dockerd("run", "-d", "--network", "none", "busybox", *command)


def healthy(dockerd: Dockerd, *foreign: str) -> bool:
    """Whether it answers, and has logged neither a panic nor an error, but for events of containers and execs that are
    not its own: of those it says that it does not find them."""
    dockerd("info")
    bad = re.findall(r"^.*(?:level=(?:error|fatal|panic)|panic: ).*$", dockerd.log(), re.MULTILINE)
    own = [line for line in bad if not any(re.search(rf"=({id})( |$)", line) for id in foreign)]
    assert own == []
    assert all("could not find container" in line or "no such exec" in line for line in bad)
    return True


def test_its_container_is_seen_and_used(dockerd: Dockerd, neighbour: pyctd.Client) -> None:
    id = run(dockerd, "sleep", "600")
    told = dockerd.inspect(id)
    task = neighbour.load_container(id).task()
    assert (task.pid, task.status().status) == (told["State"]["Pid"], "running")
    assert task.pid in [process.pid for process in task.pids()]
    metrics = task.stats().metrics
    assert metrics.pids
    assert metrics.pids.current >= 1
    out = pyctd.stdio.capture(stdin=b"from a neighbour")
    spec = pyctd.spec.process(["/bin/sh", "-c", "cat; hostname; exit 7"])
    with neighbour.events(process_id="neighbour", event="exit") as exits:
        process = task.exec("neighbour", spec, attach_stdio=out)
        assert exits.get(60).info.exit_code == 7
    with contextlib.suppress(pyctd.NotFoundError):  # dockerd deletes exited execs, and may be the first to do so
        process.delete(timeout=60)
    assert out.wait()
    process.close()
    assert out.stdout == f"from a neighbour{told['Config']['Hostname']}\n".encode()
    task.close()
    assert healthy(dockerd, "neighbour")
    assert dockerd.inspect(id)["State"]["Running"]


@pytest.mark.parametrize(
    ("options", "given"),
    [
        ([], {}),
        (["-u", "5:6", "-w", "/bin", "-e", "A=a", "-e", "B=b"], {"user": "5:6", "cwd": "/bin", "env": ["A=a", "B=b"]}),
        (["-t"], {"terminal": True}),
    ],
    ids=["as it is", "with options", "with a terminal"],
)
@pytest.mark.parametrize("terminal", [(), ("-t",)], ids=["", "in a container with a terminal"])
def test_process_of_is_what_its_exec_runs(
    dockerd: Dockerd, neighbour: pyctd.Client, terminal: tuple[str, ...], options: list[str], given: dict[str, Any]
) -> None:
    container = [
        *("-u", "1000:2000", "-e", "A=container", "-w", "/tmp", "--hostname", "box", "--oom-score-adj", "500"),
        *("--cap-drop", "ALL", "--cap-add", "KILL", "--security-opt", "no-new-privileges", "--ulimit", "core=64:128"),
    ]
    if "-u" not in options:
        container += ["--group-add", "3000"]  # which dockerd alone knows, where the exec has another user
    id = dockerd("run", "-d", *terminal, "--network", "none", *container, "busybox", "sleep", "600")
    command = ["/bin/sh", "-c", SHOW]
    by_docker = dockerd("exec", *options, id, *command)
    loaded = neighbour.load_container(id)
    task = loaded.task()
    out = pyctd.stdio.capture()
    spec = pyctd.spec.process_of(loaded.info(), command, rootfs=f"/proc/{task.pid}/root", **given)
    process = task.exec("neighbour", spec, attach_stdio=out)
    with contextlib.suppress(pyctd.NotFoundError):  # dockerd deletes it, too, maybe before the wait has begun
        assert process.wait(timeout=60).exit_code == 0
        process.delete(timeout=60)
    assert out.wait()
    assert out.stdout.decode().split() == by_docker.split()
    assert "NoNewPrivs:" in by_docker
    process.close()
    task.close()


def test_its_execs_are_found(dockerd: Dockerd, neighbour: pyctd.Client) -> None:
    id = run(dockerd, "sleep", "600")
    dockerd("exec", "-d", id, "sleep", "601")
    task = neighbour.load_container(id).task()
    (found,) = [process for process in task.pids() if process.exec_id]
    assert dockerd.inspect(id)["ExecIDs"] == [found.exec_id]
    assert found.exec_id
    process = task.load_process(found.exec_id)
    assert process.pid == found.pid
    process.kill("KILL")
    with contextlib.suppress(pyctd.NotFoundError):  # as above
        assert process.wait(timeout=60).exit_code == 137
    eventually(lambda: not dockerd.inspect(id)["ExecIDs"])
    process.close()
    task.close()
    assert healthy(dockerd)


def test_it_agrees_that_memory_ran_out(dockerd: Dockerd, neighbour: pyctd.Client) -> None:
    """dockerd by the event; pyctd too, since dockerd deletes the task as soon as it has ended."""
    limits = ("--memory", "16m", "--memory-swap", "16m")
    script = "sleep 2; tail /dev/zero; sleep 1; exit 3"
    id = dockerd("run", "-d", "--network", "none", *limits, "busybox", "sh", "-c", script)
    task = neighbour.load_container(id).task()
    status = task.wait(timeout=60)
    eventually(lambda: dockerd.inspect(id)["State"]["Status"] == "exited")
    assert (status.exit_code, status.oom_killed) == (3, dockerd.inspect(id)["State"]["OOMKilled"]) == (3, True)
    task.close()


def test_its_events_are_heard(dockerd: Dockerd, neighbour: pyctd.Client) -> None:
    with neighbour.events() as events:
        id = run(dockerd, "sleep", "600")
        assert [events.get(60).event for _ in range(2)] == ["create", "start"]
        assert dockerd("exec", id, "echo", "by docker") == "by docker"
        execs = [events.get(60) for _ in range(3)]
        assert [event.event for event in execs] == ["exec-added", "exec-started", "exit"]
        assert len({event.info.process_id for event in execs}) == 1
        dockerd("pause", id)
        dockerd("unpause", id)
        assert [events.get(60).event for _ in range(2)] == ["paused", "resumed"]
        dockerd("kill", id)
        last = events.get(60)
        assert (last.container_id, last.event, last.info.exit_code) == (id, "exit", 137)
    assert healthy(dockerd)


def test_what_is_done_to_its_container_is_seen_by_dockerd(dockerd: Dockerd, neighbour: pyctd.Client) -> None:
    id = run(dockerd, "sleep", "600")
    task = neighbour.load_container(id).task()
    task.pause()
    eventually(lambda: dockerd.inspect(id)["State"]["Paused"])
    task.resume()
    eventually(lambda: not dockerd.inspect(id)["State"]["Paused"])
    task.kill("KILL")
    eventually(lambda: dockerd.inspect(id)["State"]["Status"] == "exited")
    assert dockerd.inspect(id)["State"]["ExitCode"] == 137
    task.close()
    assert healthy(dockerd)


def test_containers_of_ones_own_beside_its(
    dockerd: Dockerd, own_engine: pyctd.Engine, neighbour: pyctd.Client, rootfs: Path
) -> None:
    id = run(dockerd, "sleep", "600")
    box = Box(neighbour, rootfs)
    status, out = box.run("/bin/sh", "-c", "echo mine; exit 4")
    assert (status.exit_code, out.stdout) == (4, b"mine\n")
    assert box.ids[0] not in dockerd("ps", "-aq", "--no-trunc")
    assert healthy(dockerd, *box.ids)
    with own_engine.client("moby", timeout=60) as another:
        assert another.load_container(id).task().status().status == "running"
    assert dockerd.inspect(id)["State"]["Running"], "closing a client must not touch what runs"
    assert dockerd("exec", id, "echo", "still there") == "still there"
