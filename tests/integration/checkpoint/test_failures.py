"""Checkpoints and restores that fail: why is told, and nothing is lost."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.box import Box, eventually, unique
from support.criu import COUNT, needs_criu, numbers, restored

import pyctd

MakeClient = Callable[..., pyctd.Client]
Counter = tuple[pyctd.Task, pyctd.stdio.capture]


@contextlib.contextmanager
def read_only(directory: Path) -> Iterator[Path]:
    """A file system that not even root can write to."""
    directory.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "ro,mode=755", "none", directory], check=True)
    try:
        yield directory
    finally:
        subprocess.run(["umount", directory], check=True)


@pytest.mark.parametrize("exit", [False, True])
def test_checkpoint_directories_that_are_refused(box: Box, tmp_path: Path, exit: bool) -> None:
    """Before CRIU begins: with exit the task would have ended, and its checkpoint had nowhere to go."""
    task, _ = box.start(*COUNT)
    (tmp_path / "file").write_text("mine")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("mine")
    with read_only(tmp_path / "ro") as ro:
        for directory, kind, text in (
            (tmp_path / "file", pyctd.InvalidArgumentError, "not a directory"),
            (tmp_path / "file" / "below", pyctd.InvalidArgumentError, "not a directory"),
            (tmp_path / "full", pyctd.AlreadyExistsError, "has files in it"),
            (ro, pyctd.InvalidArgumentError, "read-only file system"),
            (ro / "below", pyctd.InvalidArgumentError, "read-only file system"),
            (Path("/proc/nothing"), pyctd.NotFoundError, "no such file"),
        ):
            with pytest.raises(kind, match=text) as raised:
                task.create_checkpoint(directory, exit=exit, timeout=60)
            assert str(directory) in str(raised.value)
    with pytest.raises(pyctd.InvalidArgumentError, match="not empty"):
        task.create_checkpoint("", exit=exit)
    assert task.status().status == "running"
    assert (tmp_path / "file").read_text() == "mine"
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["file"]


@needs_criu
def test_a_second_checkpoint_into_the_same_directory(box: Box, tmp_path: Path) -> None:
    task, _ = box.start(*COUNT)
    task.create_checkpoint(tmp_path / "checkpoint", timeout=60)
    before = sorted((path.name, path.stat().st_mtime_ns) for path in (tmp_path / "checkpoint").iterdir())
    with pytest.raises(pyctd.AlreadyExistsError, match="has files in it"):
        task.create_checkpoint(tmp_path / "checkpoint", timeout=60)
    assert sorted((path.name, path.stat().st_mtime_ns) for path in (tmp_path / "checkpoint").iterdir()) == before


@needs_criu
def test_checkpoint_of_a_paused_task(counter: tuple[pyctd.Task, pyctd.stdio.capture], box: Box, tmp_path: Path) -> None:
    task, out = counter
    task.pause()
    task.create_checkpoint(tmp_path, timeout=60)
    assert task.status().status == "paused"
    last = numbers(out)[-1]
    task.resume()
    eventually(lambda: numbers(out)[-1] > last)
    _, first = restored(box.container(*COUNT), tmp_path)
    assert first == last + 1


def test_checkpoint_of_a_task_that_does_not_run(box: Box, tmp_path: Path) -> None:
    created = box.container().new_task()
    with pytest.raises(pyctd.Error, match="created"):
        created.create_checkpoint(tmp_path / "checkpoint", timeout=60)
    stopped, _ = box.start("/bin/true")
    stopped.wait(timeout=60)
    with pytest.raises(pyctd.Error, match="not running|stopped|not found"):
        stopped.create_checkpoint(tmp_path / "checkpoint", timeout=60)
    stopped.delete()
    with pytest.raises(pyctd.NotFoundError):
        stopped.create_checkpoint(tmp_path / "checkpoint", timeout=60)
    assert not (tmp_path / "checkpoint").exists()


def test_exit_is_refused_for_a_runtime_that_would_ignore_it(box: Box, client: pyctd.Client, tmp_path: Path) -> None:
    id = unique()
    box.ids.append(id)
    shim = shutil.which("containerd-shim-runc-v2")
    task = client.new_container(id, box.spec(), shim=shim or "").start()
    with pytest.raises(pyctd.FailedPreconditionError, match="would ignore exit"):
        task.create_checkpoint(tmp_path / "checkpoint", exit=True)
    assert task.status().status == "running"
    assert not (tmp_path / "checkpoint").exists()


@needs_criu
def test_checkpoint_of_a_loaded_container(box: Box, client: pyctd.Client, tmp_path: Path) -> None:
    task, _ = box.start(*COUNT)
    loaded = client.load_container(task.container_id).task()
    with pytest.raises(pyctd.FailedPreconditionError, match="would ignore exit"):
        loaded.create_checkpoint(tmp_path / "checkpoint", exit=True)
    assert task.status().status == "running"
    loaded.create_checkpoint(tmp_path / "checkpoint", timeout=60)
    assert task.status().status == "running"
    restored(box.container(*COUNT), tmp_path / "checkpoint")


@needs_criu
def test_a_checkpoint_that_criu_refuses(box: Box, tmp_path: Path) -> None:
    """CRIU dumps no file system of POSIX message queues that has one in it."""
    task, out = box.start("/bin/sh", "-c", f": > /dev/mqueue/q; {COUNT[-1]}")
    eventually(lambda: numbers(out))
    for directory, exit in ((tmp_path / "new", False), (tmp_path, True)):
        with pytest.raises(pyctd.UnknownError, match="criu failed") as raised:
            task.create_checkpoint(directory, exit=exit, timeout=60)
        cause = raised.value.__cause__
        assert isinstance(cause, pyctd.CriuError)
        assert "mqueue isn't empty" in str(cause)
        assert all(line.startswith("Error (criu/") for line in str(cause).splitlines())
        assert list(tmp_path.iterdir()) == []
    assert task.status().status == "running"
    seen = len(numbers(out))
    eventually(lambda: len(numbers(out)) > seen)
    # Without what it refused, the same task can be checkpointed.
    process = task.exec("e1", pyctd.spec.process(["/bin/rm", "/dev/mqueue/q"]))
    assert process.wait(timeout=60).exit_code == 0
    process.delete()
    task.create_checkpoint(tmp_path, timeout=60)


@needs_criu
def test_a_restore_that_criu_refuses(checkpoint: tuple[Path, int], box: Box) -> None:
    directory, _ = checkpoint
    (directory / "core-1.img").write_bytes(b"\0\0")
    container = box.container(*COUNT)
    for _ in range(2):
        with pytest.raises(pyctd.UnknownError, match="OCI runtime restore failed: criu failed") as raised:
            container.start(checkpoint_dir=directory, attach_stdio=pyctd.stdio.capture(), timeout=60)
        assert isinstance(raised.value.__cause__, pyctd.CriuError)
        assert "Can't open core data for 1" in str(raised.value.__cause__)
        with pytest.raises(pyctd.NotFoundError):
            container.task()
    task = container.new_task(checkpoint_dir=directory, timeout=60)
    with pytest.raises(pyctd.UnknownError, match="criu failed") as raised:
        task.start(timeout=60)
    assert "Can't open core data for 1" in str(raised.value.__cause__)
    task.force_delete(timeout=60)


def test_restore_from_what_is_no_checkpoint(box: Box, tmp_path: Path) -> None:
    container = box.container()
    (tmp_path / "file").write_text("")
    for directory, kind, text in (
        (tmp_path, pyctd.InvalidArgumentError, "holds no checkpoint"),
        (tmp_path / "nothing", pyctd.NotFoundError, "no such file"),
        (tmp_path / "file", pyctd.InvalidArgumentError, "not a directory"),
    ):
        for make in (container.start, container.new_task):
            with pytest.raises(kind, match=text) as raised:
                make(checkpoint_dir=directory, attach_stdio=pyctd.stdio.capture(), timeout=60)
            assert str(directory) in str(raised.value)
    with pytest.raises(pyctd.NotFoundError):
        container.task()


@needs_criu
def test_restore_with_a_stdio_callback_that_raises(checkpoint: tuple[Path, int], box: Box) -> None:
    container = box.container(*COUNT)

    def refuse(io: pyctd.DirectIO) -> None:
        raise RuntimeError("no")

    with pytest.raises(pyctd.StdioError):
        container.start(checkpoint_dir=checkpoint[0], attach_stdio=refuse, timeout=60)
    _, first = restored(container, checkpoint[0])
    assert first == checkpoint[1] + 1


@needs_criu
def test_restores_that_run_out_of_time(box: Box, tmp_path: Path) -> None:
    """Wherever the time runs out, nothing stays in the way of the next one."""
    held = "x=$(head -c 4000000 /dev/zero | tr '\\0' a); "
    args = ("/bin/sh", "-c", held + COUNT[-1])
    task, out = box.start(*args)
    eventually(lambda: numbers(out))
    task.create_checkpoint(tmp_path, exit=True, timeout=60)
    task.wait(timeout=60)
    task.delete()
    for timeout in (0.0, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128):
        container = box.container(*args)
        with contextlib.suppress(pyctd.DeadlineExceededError):
            container.start(checkpoint_dir=tmp_path, timeout=timeout).force_delete(timeout=60)
        task, first = restored(container, tmp_path)
        assert first == numbers(out)[-1] + 1
        task.force_delete(timeout=60)
