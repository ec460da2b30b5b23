"""Containers whose shim has died, on a machine so slow that containerd runs out of time cleaning up after it."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import leaks
from support.box import default_spec, eventually
from support.cgroup import Cgroup
from support.proc import gone, parent
from support.programs import Programs

import pyctd

#: runc, whose deletions take a second more than containerd waits for a clean-up, while there is a file.
RUNC = """#!/bin/sh
case " $* " in *" delete "*) [ ! -e {slow} ] || sleep 6;; esac
exec {runc} "$@"
"""

#: Starts a container in an engine of its own, tells who runs, and waits to be killed.
PROGRAM = """
with pyctd.Engine(root=rest[0], state=rest[1]) as engine, engine.client() as client:
    tasks = [client.new_container(id, spec("/bin/sleep", "600")).start() for id in rest[2:]]
    print(engine.pid, *(task.pid for task in tasks), flush=True)
    tasks[0].wait()
"""


@pytest.fixture
def slow(base: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """While this file is there, the runc on PATH deletes slowly."""
    directory = Path(tempfile.mkdtemp(prefix="slow", dir=base))
    program = directory / "runc"
    program.write_text(RUNC.format(slow=directory / "slow", runc=shutil.which("runc")))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{directory}:{os.environ['PATH']}")
    yield directory / "slow"
    shutil.rmtree(directory)


def test_containers_that_a_killed_program_left_can_be_replaced(
    base: Path, rootfs: Path, programs: Programs, slow: Path
) -> None:
    """As in a systemd service whose program has no handler for SIGTERM: the shims end with the program."""
    directory = Path(tempfile.mkdtemp(prefix="e", dir=base))
    root, state, ids = directory / "r", directory / "s", [f"served-{i}" for i in range(4)]
    with programs.popen(PROGRAM, str(root), str(state), *ids) as process:
        assert process.stdout
        daemon, *old = map(int, process.stdout.readline().split())
        left = [daemon, *map(parent, old)]
        for pid in (process.pid, *left):
            os.kill(pid, signal.SIGKILL)
        process.communicate(timeout=60)
    eventually(lambda: all(map(gone, left)))
    cgroups = set().union(*(Cgroup(pid).own for pid in old))
    slow.touch()
    with pyctd.Engine(root=root, state=state) as engine, engine.client() as client:
        slow.unlink()
        assert [pid for pid in old if not gone(pid)] == []
        for id in ids:
            task = client.replace_container(id, default_spec(rootfs)).start(timeout=60)
            assert task.status(timeout=60).status == "running"
    assert not leaks.processes(f"{state}/")
    assert [path for path in cgroups if path.exists()] == []


def test_the_id_of_a_container_whose_shim_was_killed_is_free_again(base: Path, rootfs: Path, slow: Path) -> None:
    directory = Path(tempfile.mkdtemp(prefix="e", dir=base))
    with pyctd.Engine(root=directory / "r", state=directory / "s") as engine, engine.client() as client:
        task = client.new_container("web", default_spec(rootfs)).start(timeout=60)
        slow.touch()
        with client.events(event="exit") as exits:
            os.kill(parent(task.pid), signal.SIGKILL)
            exits.get(timeout=60)  # the clean-up has ended
        slow.unlink()
        again = client.replace_container("web", default_spec(rootfs)).start(timeout=60)
        assert gone(task.pid)
        assert again.status(timeout=60).status == "running"
