"""Containers on a real containerd: made, loaded, replaced, started, deleted; and each refusal."""

from __future__ import annotations

import contextlib
import os
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from support import leaks
from support.box import SLEEP, Box, unique

import pyctd


def test_version(client: pyctd.Client) -> None:
    version = client.version(timeout=60)
    assert re.match(r"v?\d+\.\d+\.\d+", version.version)
    assert isinstance(version.revision, str)


def test_create_run_delete(box: Box) -> None:
    out = pyctd.stdio.capture()
    container = box.container("/bin/echo", "hello")
    task = container.start(attach_stdio=out)
    status = task.wait(timeout=60)
    assert (status.exit_code, status.error) == (0, None)
    assert status.exited_at is not None
    assert abs(status.exited_at.timestamp() - time.time()) < 60
    assert status.exited_at_ns // 10**9 == int(status.exited_at.timestamp())
    assert (out.stdout, out.stderr) == (b"hello\n", b"")
    assert task.delete().exit_code == 0
    container.delete()
    with pytest.raises(pyctd.NotFoundError):
        box.client.load_container(container.id)


def test_bundle_of_a_container(client: pyctd.Client, box: Box) -> None:
    container = box.container()
    bundle = Path(client.state_dir, container.id)
    assert bundle.is_dir()
    container.delete()
    assert not bundle.exists()


def test_a_refused_new_container_leaves_the_bundle_of_the_one_just_made(client: pyctd.Client, box: Box) -> None:
    """Two calls at once with one id, of which containerd refuses one for its labels."""
    too_long = [pyctd.options.labels({"a": "x" * 5000})]
    for number in range(100):
        box.ids.append(id := unique())
        begin = threading.Barrier(2)

        def make(opts: Sequence[pyctd.options.Option], id: str = id, begin: threading.Barrier = begin) -> None:
            begin.wait(60)
            with contextlib.suppress(pyctd.InvalidArgumentError):
                client.new_container(id, box.spec("/bin/true"), opts=opts)

        callers = [threading.Thread(target=make, args=(opts,)) for opts in ((), too_long)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
        assert (Path(client.state_dir) / id).is_dir(), f"the bundle of container {number} is gone"


def test_unknown_id(client: pyctd.Client) -> None:
    with pytest.raises(pyctd.NotFoundError, match="no such container"):
        client.load_container("nobody")
    with pytest.raises(LookupError):
        client.load_container("nobody")


def test_same_id_twice(client: pyctd.Client, box: Box) -> None:
    container = box.container()
    with pytest.raises(pyctd.ConflictError) as caught:
        client.new_container(container.id, box.spec())
    assert str(caught.value) == "id already in use"
    container.delete()


@pytest.mark.parametrize("id", ["../../etc", "a/b", "", "x" * 77, ".", "-a", "a b", "é", "a\0b"])
def test_ids_that_are_none(client: pyctd.Client, box: Box, id: str) -> None:
    before = sorted(Path(client.state_dir).rglob("*"))
    for make in (client.new_container, client.replace_container):
        with pytest.raises(pyctd.InvalidArgumentError):
            make(id, box.spec())
    assert sorted(Path(client.state_dir).rglob("*")) == before
    assert not (Path(client.state_dir) / "../../etc").resolve().exists()


def test_the_longest_id(box: Box) -> None:
    box.container(id="x" * 76).delete()


@pytest.mark.parametrize("part", ["root", "process", "linux"])
def test_a_spec_that_lacks_a_part(client: pyctd.Client, box: Box, run_id: str, part: str) -> None:
    spec = box.spec()
    del spec[part]
    for make in (client.new_container, client.replace_container):
        with pytest.raises(pyctd.InvalidArgumentError, match=f'spec has no "{part}"'):
            make(run_id, spec)
    spec[part] = None
    with pytest.raises(pyctd.InvalidArgumentError):
        client.new_container(run_id, spec)


@pytest.mark.parametrize("spec", [None, [], "{}", 7, {}, {"root": []}, {"root": {"path": 5}}, {"process": "x"}])
def test_a_spec_that_is_none(client: pyctd.Client, run_id: str, spec: Any) -> None:
    with pytest.raises(pyctd.InvalidArgumentError):
        client.new_container(run_id, spec)
    assert not Path(client.state_dir, run_id).exists()


def test_a_runtime_that_is_not_there(box: Box, client: pyctd.Client, run_id: str) -> None:
    box.ids.append(run_id)
    container = client.new_container(run_id, box.spec(), shim="io.containerd.nothing.v2")
    with pytest.raises(pyctd.Error, match="nothing"):
        container.start()
    container.delete()


def test_a_runc_that_is_not_there(box: Box, client: pyctd.Client, run_id: str) -> None:
    box.ids.append(run_id)
    container = client.new_container(run_id, box.spec(), runtime_options={"BinaryName": "/nowhere/runc"})
    with pytest.raises(pyctd.Error, match="/nowhere/runc"):
        container.start()
    container.delete()


def test_load_container(client: pyctd.Client, box: Box, make_client: Callable[..., pyctd.Client]) -> None:
    task, _ = box.start()
    other = make_client().load_container(task.container_id)
    assert other.id == task.container_id
    assert other.task().pid == task.pid
    assert other.task().status().status == "running"
    other.task().force_delete()
    other.delete()


def test_task_of_a_container_without_one(box: Box) -> None:
    container = box.container()
    with pytest.raises(pyctd.NotFoundError):
        container.task()
    with pytest.raises(pyctd.NotFoundError, match="error getting containerd task for container"):
        container.attach_task(pyctd.stdio.capture())


def test_delete_with_a_running_task(client: pyctd.Client, box: Box) -> None:
    task, _ = box.start()
    container = client.load_container(task.container_id)
    with pytest.raises(pyctd.FailedPreconditionError, match="running task"):
        container.delete()
    assert task.status().status == "running"
    with pytest.raises(pyctd.FailedPreconditionError, match="must be stopped"):
        task.delete()
    task.force_delete()
    container.delete()
    with pytest.raises(pyctd.NotFoundError):
        container.delete()


def test_replace_container(client: pyctd.Client, box: Box) -> None:
    task, _ = box.start()
    id = task.container_id
    container = client.replace_container(id, box.spec("/bin/echo", "new"))
    assert not Path(f"/proc/{task.pid}").exists()
    out = pyctd.stdio.capture()
    new = container.start(attach_stdio=out)
    assert new.wait(timeout=60).exit_code == 0
    assert out.stdout == b"new\n"
    new.delete()
    container.delete()


def test_replace_container_that_is_not_there(client: pyctd.Client, box: Box, run_id: str) -> None:
    box.ids.append(run_id)
    client.replace_container(run_id, box.spec()).delete()


def test_replace_with_a_spec_that_is_none_keeps_the_old(client: pyctd.Client, box: Box) -> None:
    task, _ = box.start()
    with pytest.raises(pyctd.InvalidArgumentError):
        client.replace_container(task.container_id, {})
    assert task.status().status == "running"


def test_second_start(client: pyctd.Client, box: Box) -> None:
    container = box.container()
    task = container.start()
    with pytest.raises(pyctd.AlreadyExistsError):
        container.start()
    with pytest.raises(pyctd.Error):
        task.start()
    assert task.status().status == "running"
    fifos = leaks.fifos(Path(client.state_dir, container.id))
    assert not fifos, "the failed start left FIFOs"


def test_new_task_then_start(box: Box) -> None:
    out = pyctd.stdio.capture()
    task = box.container("/bin/echo", "later").new_task(attach_stdio=out)
    assert task.pid > 0
    assert task.status().status == "created"
    task.start()
    assert task.wait(timeout=60).exit_code == 0
    assert out.stdout == b"later\n"
    task.delete()


def test_new_task_is_deleted_unstarted(box: Box) -> None:
    out = pyctd.stdio.capture(stdin=b"never read")
    container = box.container("/bin/cat")
    container.new_task(attach_stdio=out).force_delete(timeout=60)
    container.delete()
    assert out.stdout == b""


def test_start_again_after_the_end(box: Box) -> None:
    container = box.container("/bin/sh", "-c", "exit 3")
    for _ in range(2):
        task = container.start()
        assert task.wait(timeout=60).exit_code == 3
        assert task.delete().exit_code == 3


@pytest.mark.parametrize("stdin", [None, b"data"])
@pytest.mark.parametrize("command", ["/bin/nothing", "nothing", "/bin/notexecutable", "/bin"])
def test_a_command_that_is_not_there(client: pyctd.Client, box: Box, command: str, stdin: bytes | None) -> None:
    out = pyctd.stdio.capture(stdin=stdin)
    container = box.container(command)
    with pytest.raises(pyctd.Error, match=r"exec:|executable file not found|permission denied|is a directory"):
        container.start(attach_stdio=out, timeout=60)
    with pytest.raises(pyctd.NotFoundError):
        container.task()
    assert not leaks.fifos(Path(client.state_dir, container.id))
    assert (out.stdout, out.stderr) == (b"", b"")
    container.delete()


def test_a_rootfs_that_is_not_there(client: pyctd.Client, box: Box, run_id: str) -> None:
    spec = box.spec()
    spec["root"]["path"] = "/nowhere/at/all"
    container = box.of(spec)
    with pytest.raises(pyctd.Error, match="/nowhere/at/all"):
        container.start(attach_stdio=pyctd.stdio.capture())
    with pytest.raises(pyctd.NotFoundError):
        container.task()
    assert not leaks.fifos(Path(client.state_dir, container.id))
    container.delete()


@pytest.fixture
def unstartable(box: Box, client: pyctd.Client, run_id: str, tmp_path: Path) -> Iterator[pyctd.Container]:
    """A container that runc creates but will not start."""
    runc = tmp_path / "runc"
    runc.write_text('#!/bin/sh\ncase " $* " in *" start "*) echo "not today" >&2; exit 1;; esac\nexec runc "$@"\n')
    runc.chmod(0o755)
    box.ids.append(run_id)
    container = client.new_container(run_id, box.spec(), runtime_options={"BinaryName": str(runc)})
    yield container
    container.close()


def test_new_task_whose_start_fails_stays(unstartable: pyctd.Container) -> None:
    """v28's own contract: the caller deletes the task whose start failed; ``Container.start`` does it by itself."""
    task = unstartable.new_task()
    with pytest.raises(pyctd.Error, match="not today"):
        task.start()
    assert unstartable.task().status().status in ("created", "stopped")
    task.force_delete()


def test_start_deletes_the_task_that_it_could_not_start(client: pyctd.Client, unstartable: pyctd.Container) -> None:
    with pytest.raises(pyctd.Error, match="not today"):
        unstartable.start(attach_stdio=pyctd.stdio.capture())
    with pytest.raises(pyctd.NotFoundError):
        unstartable.task()
    assert not leaks.fifos(Path(client.state_dir, unstartable.id))
    unstartable.delete()


def test_the_process_runs_where_and_as_the_spec_says(box: Box) -> None:
    status, out = box.run(
        "/bin/sh", "-c", "pwd; echo $A; hostname; id -u", cwd="/tmp", env={"A": "b c"}, hostname="there"
    )
    assert status.exit_code == 0
    assert out.stdout == b"/tmp\nb c\nthere\n0\n"


def test_closed_objects(client: pyctd.Client, box: Box, make_client: Callable[..., pyctd.Client]) -> None:
    task, _ = box.start()
    container = client.load_container(task.container_id)
    container.close()
    container.close()
    for call in (container.delete, container.task, container.start, container.new_task):
        with pytest.raises(pyctd.ClosedError, match="is closed"):
            call()
    assert "closed" in repr(container)
    exec_process = task.exec("exec", pyctd.spec.process(SLEEP))
    exec_process.close()
    with pytest.raises(pyctd.ClosedError):
        exec_process.kill(9)
    other = client.load_container(task.container_id).task()
    other.close()
    for method in (
        other.start,
        other.wait,
        other.status,
        other.pids,
        other.stats,
        other.summary,
        other.pause,
        other.delete,
    ):
        with pytest.raises(pyctd.ClosedError):
            method()
    assert task.status().status == "running"


def test_what_belongs_to_a_closed_client(box: Box, make_client: Callable[..., pyctd.Client]) -> None:
    task, _ = box.start()
    client = make_client()
    container = client.load_container(task.container_id)
    held = container.task()
    client.close()
    client.close()
    assert "closed" in repr(client)
    calls: list[Callable[[], object]] = [
        client.version,
        client.events,
        lambda: client.load_container("a"),
        lambda: client.new_container("a", box.spec()),
    ]
    calls += [container.delete, container.task, held.status, held.wait, held.force_delete]
    for call in calls:
        with pytest.raises(pyctd.ClosedError):
            call()
    assert task.status().status == "running", "closing a client must not touch what runs"


def test_closing_a_client_leaves_the_task_running(
    box: Box, make_client: Callable[..., pyctd.Client], run_id: str
) -> None:
    box.ids.append(run_id)
    with make_client() as client:
        container = client.new_container(run_id, box.spec())
        pid = container.start(attach_stdio=pyctd.stdio.capture()).pid
    assert os.path.exists(f"/proc/{pid}")
    assert box.client.load_container(run_id).task().status().status == "running"


def test_a_client_that_was_not_closed_warns(engine: pyctd.Engine) -> None:
    with pytest.warns(ResourceWarning, match="unclosed <Client"):
        engine.client("moby", timeout=60)


def test_two_namespaces_do_not_see_each_other(engine: pyctd.Engine, box: Box) -> None:
    container = box.container()
    with engine.client("elsewhere", timeout=60) as other, pytest.raises(pyctd.NotFoundError):
        other.load_container(container.id)
