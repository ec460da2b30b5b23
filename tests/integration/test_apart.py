"""The same id in two engines, or in two namespaces, is two containers: to runc and to the kernel, too."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import leaks
from support.box import default_spec, eventually
from support.cgroup import Cgroup
from support.programs import under_way

import pyctd

MIB = 1 << 20


def cgroup_of(client: pyctd.Client, id: str) -> str:
    """The path of a container's cgroup as containerd stores it."""
    (info,) = client.containers(f"id=={id}", timeout=60)
    assert info.spec
    return str(info.spec["linux"].get("cgroupsPath", ""))


def runs(task: pyctd.Task) -> bool:
    """Whether a task's process runs, by containerd's word and by the kernel's."""
    return task.status(timeout=60).status == "running" and Path(f"/proc/{task.pid}").exists()


def test_the_same_id_runs_in_two_engines(
    engine: pyctd.Engine, own_engine: pyctd.Engine, rootfs: Path, run_id: str
) -> None:
    with engine.client() as one, own_engine.client() as two:
        containers = [client.new_container(run_id, default_spec(rootfs, memory=32 * MIB)) for client in (one, two)]
        first = containers[0].start(timeout=60)
        second = containers[1].start(timeout=60)
        assert runs(first), "the second start has ended it"
        assert not Cgroup(first.pid).own & Cgroup(second.pid).own
        second.pause(timeout=60)
        assert first.exec("e", pyctd.spec.process(["/bin/true"])).wait(timeout=60).exit_code == 0
        second.force_delete(timeout=60)
        assert runs(first)
        first.force_delete(timeout=60)
        for container in containers:
            container.delete(timeout=60)


def test_the_same_id_in_two_namespaces_shares_nothing(
    engine: pyctd.Engine, namespace: str, rootfs: Path, run_id: str
) -> None:
    with engine.client(namespace) as one, engine.client(f"{namespace}-other") as two:
        limits = [{"memory": 32 * MIB, "pids_limit": 31}, {"memory": 64 * MIB, "pids_limit": 63}]
        containers = [
            client.new_container(run_id, default_spec(rootfs, **given))
            for client, given in zip((one, two), limits, strict=True)
        ]
        first, second = [container.start(timeout=60) for container in containers]
        for task, given in zip((first, second), limits, strict=True):
            cgroup = Cgroup(task.pid)
            assert cgroup.text("pids", "pids.max") == str(given["pids_limit"])
            name = "memory.max" if cgroup.v2 else "memory.limit_in_bytes"
            assert cgroup.text("memory", name) == str(given["memory"])
            assert [process.pid for process in task.pids(timeout=60)] == [task.pid]
        second.pause(timeout=60)
        assert first.status(timeout=60).status == "running"
        assert first.exec("e", pyctd.spec.process(["/bin/true"])).wait(timeout=60).exit_code == 0
        second.force_delete(timeout=60)
        containers[1].delete(timeout=60)
        assert runs(first), "the other's deletion has ended it"
        first.force_delete(timeout=60)
        containers[0].delete(timeout=60)


#: Starts an engine with a container in it, says so, and waits to be killed.
KILLED = """
import json, sys
import pyctd

rootfs, id, options = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
engine = pyctd.Engine(**options)
with engine.client() as client:
    spec = pyctd.spec.default(rootfs, ["/bin/sleep", "600"], readonly=True)
    task = client.replace_container(id, spec).start()
    print(task.pid, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory for an engine that is killed; what it leaves is ended and removed."""
    directory = Path(tempfile.mkdtemp(prefix="pyctd-killed-"))
    yield directory
    leaks.kill_shims(directory)
    for mount in leaks.mounts(directory):
        subprocess.run(["umount", "--lazy", mount], check=False)
    eventually(lambda: leaks.remove_cgroups(directory), "cgroups without processes")
    shutil.rmtree(directory)


@pytest.mark.parametrize("kept", [(), ("root",), ("root", "state")], ids=["nothing", "root", "root and state"])
def test_a_killed_programs_engine_does_not_block_the_next(
    place: Path, rootfs: Path, run_id: str, kept: tuple[str, ...]
) -> None:
    directories = [
        {name: str(place / (name if name in kept else f"{name}{turn}")) for name in ("root", "state")} for turn in "12"
    ]
    command = [sys.executable, "-c", KILLED, str(rootfs), run_id, json.dumps(directories[0])]
    with under_way(command, stdin=subprocess.PIPE, text=True) as program:
        assert program.stdout
        old = int(program.stdout.readline())
        program.kill()
    with pyctd.Engine(root=directories[1]["root"], state=directories[1]["state"]) as engine, engine.client() as client:
        container = client.replace_container(run_id, default_spec(rootfs), timeout=60)
        task = container.start(timeout=60)
        assert runs(task)
        if kept != ("root", "state"):
            assert Path(f"/proc/{old}").exists(), "it is not this engine's"
            assert [process.pid for process in task.pids(timeout=60)] == [task.pid]
        leaks.kill_shims(place / "state1")


@pytest.mark.parametrize("systemd", [False, True])
def test_what_the_caller_sets_stays(client: pyctd.Client, rootfs: Path, run_id: str, systemd: bool) -> None:
    given = "my.slice:mine:web" if systemd else "/mine/web"
    spec = default_spec(rootfs, cgroups_path=given)
    container = client.new_container(run_id, spec, runtime_options={"SystemdCgroup": systemd, "Root": "/my/root"})
    assert cgroup_of(client, run_id) == given
    container.delete(timeout=60)


def test_a_cgroup_of_systemds_is_a_scope_of_its_own(client: pyctd.Client, rootfs: Path, run_id: str) -> None:
    """Its name does not end as the id may: what ends with .slice would be another kind of unit."""
    id = f"{run_id}.slice"
    container = client.new_container(id, default_spec(rootfs), runtime_options={"SystemdCgroup": True})
    path = cgroup_of(client, id)
    assert re.fullmatch(rf"system\.slice:pyctd-{client.namespace}-{re.escape(id)}:[0-9a-f]{{12}}", path)
    container.delete(timeout=60)


def test_a_container_starts_from_another_clients_load_container(
    engine: pyctd.Engine, namespace: str, rootfs: Path, run_id: str, tmp_path: Path
) -> None:
    """With runc's root and the cgroup that its maker has chosen."""
    with engine.client(namespace) as maker:
        maker.new_container(run_id, default_spec(rootfs))
        state, path = Path(maker.state_dir), cgroup_of(maker, run_id)
    with pyctd.Client(engine.address, namespace, tmp_path / "elsewhere") as other:
        container = other.load_container(run_id, timeout=60)
        task = container.start(timeout=60)
        (found,) = state.glob(f".runc/*/{namespace}/{run_id}/state.json")
        assert found.stat().st_uid == 0
        assert all(str(group).endswith(path) for group in Cgroup(task.pid).own)
        task.force_delete(timeout=60)
        container.delete(timeout=60)
    assert not list(state.glob(f".runc/*/{namespace}/*"))


def test_an_engine_takes_its_cgroups_with_it(base: Path, rootfs: Path, run_id: str) -> None:
    directory = Path(tempfile.mkdtemp(prefix="e", dir=base))
    with pyctd.Engine(root=directory / "r", state=directory / "s") as engine:
        groups: set[Path] = set()
        for namespace in ("one", "two"):
            with engine.client(namespace) as client:
                groups |= Cgroup(client.new_container(run_id, default_spec(rootfs)).start().pid).own
        assert groups
    assert not [group for group in groups for parent in (group, *group.parents[:2]) if parent.exists()]
    shutil.rmtree(directory)
