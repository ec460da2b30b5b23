"""Daemons with another CRIU on their PATH, or none."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from support import criu
from support.box import Box, eventually
from support.criu import COUNT, needs_criu, numbers, restored
from support.harm import standing_still

import pyctd

MakeClient = Callable[..., pyctd.Client]
Counter = tuple[pyctd.Task, pyctd.stdio.capture]


def test_no_criu(engine_with: Callable[[str | None], pyctd.Engine], rootfs: Path, tmp_path: Path) -> None:
    with engine_with(None).client(timeout=60) as client:
        box = Box(client, rootfs)
        task, _ = box.start()
        for exit in (False, True):
            with pytest.raises(pyctd.NotFoundError, match='"criu": executable file not found') as raised:
                task.create_checkpoint(tmp_path / "checkpoint", exit=exit, timeout=60)
            assert "install CRIU" in str(raised.value.__cause__)
        assert task.status().status == "running"
        assert list(tmp_path.iterdir()) == []
        (tmp_path / "inventory.img").write_bytes(b"")
        container = box.container()
        with pytest.raises(pyctd.NotFoundError, match='"criu": executable file not found') as raised:
            container.start(checkpoint_dir=tmp_path, timeout=60)
        assert "install CRIU" in str(raised.value.__cause__)
        box.clean()


def test_a_criu_that_fails_at_once(
    engine_with: Callable[[str | None], pyctd.Engine], rootfs: Path, tmp_path: Path
) -> None:
    """The criu here is a stand-in: it fails before it has a log, so that runc's words are all there is."""
    with engine_with("echo 'this is no CRIU' >&2; exit 1").client(timeout=60) as client:
        box = Box(client, rootfs)
        task, _ = box.start()
        with pytest.raises(pyctd.UnknownError, match="CRIU version check failed"):
            task.create_checkpoint(tmp_path / "checkpoint", timeout=60)
        assert task.status().status == "running"
        assert list(tmp_path.iterdir()) == []
        box.clean()


def test_a_restore_keeps_its_deadline_though_the_daemon_stands_still(
    own_engine: pyctd.Engine, rootfs: Path, tmp_path: Path
) -> None:
    """It is the upload that waits: what is uploaded need be no checkpoint."""
    (tmp_path / "inventory.img").write_bytes(b"")
    with own_engine.client(timeout=60) as client:
        box = Box(client, rootfs)
        container = box.container()
        assert own_engine.pid
        with standing_still(own_engine.pid):
            began = time.monotonic()
            with pytest.raises(pyctd.DeadlineExceededError):
                container.start(checkpoint_dir=tmp_path, timeout=0.3)
            assert time.monotonic() - began < 20
        with pytest.raises(pyctd.Error) as failed:
            container.start(checkpoint_dir=tmp_path, timeout=60)
        assert not isinstance(failed.value, pyctd.DeadlineExceededError)
        assert criu.stored(own_engine, "moby") == []
        box.clean()


@needs_criu
@pytest.mark.parametrize("close", [False, True])
def test_a_checkpoint_that_runs_out_of_time_goes_on(
    engine_with: Callable[[str | None], pyctd.Engine], rootfs: Path, tmp_path: Path, close: bool
) -> None:
    """The criu here is the real one behind a gate. Cut off, the task would stay paused for ever."""
    gate = tmp_path / "gate"
    engine = engine_with(criu.behind(gate))
    with engine.client(timeout=60) as client:
        box = Box(client, rootfs)
        task, out = box.start(*COUNT)
        eventually(lambda: numbers(out))
        other = engine.client(timeout=60)
        with pytest.raises(pyctd.DeadlineExceededError):
            other.load_container(task.container_id).task().create_checkpoint(tmp_path / "checkpoint", timeout=0.5)
        if close:
            other.close()
        gate.touch()
        eventually(lambda: (tmp_path / "checkpoint" / "inventory.img").exists())
        eventually(lambda: task.status().status == "running")
        seen = numbers(out)[-1]
        eventually(lambda: numbers(out)[-1] > seen)
        eventually(lambda: criu.stored(engine, "moby") == [])
        other.close()
        restored(box.container(*COUNT), tmp_path / "checkpoint")
        box.clean()


@needs_criu
def test_a_restore_that_runs_out_of_time_in_criu(
    engine_with: Callable[[str | None], pyctd.Engine], rootfs: Path, tmp_path: Path
) -> None:
    """The criu here is the real one behind a gate."""
    gate = tmp_path / "gate"
    gate.touch()
    engine = engine_with(criu.behind(gate))
    with engine.client(timeout=60) as client:
        box = Box(client, rootfs)
        task, _ = box.start(*COUNT)
        task.create_checkpoint(tmp_path / "checkpoint", exit=True, timeout=60)
        task.force_delete(timeout=60)
        gate.unlink()
        container = box.container(*COUNT)
        with pytest.raises(pyctd.DeadlineExceededError):
            container.start(checkpoint_dir=tmp_path / "checkpoint", timeout=0.5)
        assert criu.stored(engine, "moby") == []
        gate.touch()
        assert restored(container, tmp_path / "checkpoint")
        box.clean()
