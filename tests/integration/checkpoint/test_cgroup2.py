"""Restores on cgroup v2, where runc leaves a restored process in the cgroup of its checkpoint.

A mount namespace with cgroup v2 at /sys/fs/cgroup is a machine with cgroup v2 to containerd, runc and CRIU. Controllers
may be missing there, since the machine may use them with v1; cgroups, the freezer and their ends are the kernel's own.
"""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from support.box import eventually, unique
from support.cgroup import MOUNT_V2
from support.criu import needs_criu

pytestmark = needs_criu

UNIFIED = f"""
for cgroup in $1; do echo $$ >"$cgroup/cgroup.procs" || exit; done
shift
{MOUNT_V2} && exec "$@"
"""
PRELUDE = """
import sys
from pathlib import Path
import pyctd

rootfs, directory = sys.argv[1:]
SCRIPT = "mkdir -p /sys/fs/cgroup/inner 2>/dev/null; while :; do sleep 0.1; done"

def spec(**keywords):
    return pyctd.spec.default(rootfs, ["/bin/sh", "-c", SCRIPT], readonly=True, **keywords)

def cgroup(task):
    lines = Path(f"/proc/{task.pid}/cgroup").read_text().splitlines()
    return next(line.removeprefix("0::") for line in lines if line.startswith("0::"))

def checkpointed(client, id, **keywords):
    task = client.new_container(id, spec(**keywords)).start()
    old = cgroup(task)
    task.create_checkpoint(directory, exit=True)
    task.wait(timeout=60)
    task.delete()
    client.load_container(id).delete()
    return old

"""


def is_empty(file: Path) -> bool:
    return not file.read_text()


OnCgroup2 = Callable[[str], list[str]]


@pytest.fixture
def on_cgroup2(rootfs: Path, tmp_path: Path) -> Iterator[OnCgroup2]:
    """Runs a program, and gives the lines of its output.

    It has cgroups of its own in v1's hierarchies: CRIU puts into a checkpoint all that lies below a process's cgroup.
    """
    above = [file.parent for file in Path("/sys/fs/cgroup").glob("*/cgroup.procs")]
    own = [one / unique("cgroup2") for one in above if not (one / "cgroup.controllers").exists()]
    for cgroup in own:
        cgroup.mkdir()
        for name in ("cpuset.cpus", "cpuset.mems"):
            if (cgroup / name).exists():
                (cgroup / name).write_text((cgroup.parent / name).read_text())

    def run(code: str) -> list[str]:
        program = [sys.executable, "-c", PRELUDE + textwrap.dedent(code), str(rootfs), str(tmp_path / "checkpoint")]
        command = ["unshare", "--mount", "/bin/sh", "-c", UNIFIED, "sh", " ".join(map(str, own)), *program]
        done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False, cwd="/")
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    yield run
    for cgroup in own:
        eventually(partial(is_empty, cgroup / "tasks"), f"no process in {cgroup}")
        for below in sorted(cgroup.glob("**/"), reverse=True):
            below.rmdir()


@pytest.mark.parametrize("cgroupns", ["private", "host"])
def test_a_restored_process_is_in_its_own_containers_cgroup(on_cgroup2: OnCgroup2, cgroupns: str) -> None:
    code = f"""
    with pyctd.Engine() as engine, engine.client() as client:
        old = checkpointed(client, "old", cgroupns={cgroupns!r})
        container = client.new_container("new", spec(cgroupns={cgroupns!r}))
        task = container.start(checkpoint_dir=directory)
        print(cgroup(task) == old.removesuffix("old") + "new")
        print(Path(f"/proc/{{task.pid}}/ns/cgroup").readlink() == Path("/proc/self/ns/cgroup").readlink())
        tree = Path("/sys/fs/cgroup" + cgroup(task))
        print((tree / "cgroup.procs").read_text().split()[0] == str(task.pid))
        task.pause()
        print((tree / "cgroup.events").read_text().split()[-2:])
        task.resume()
        task.force_delete(timeout=30)
        container.delete()
        print(tree.exists())
    """
    apart = str(cgroupns == "host")
    assert on_cgroup2(code) == ["True", apart, "True", "['frozen', '1']", "False"]


def test_a_checkpoint_is_restored_into_several_containers_and_stays_as_it_is(on_cgroup2: OnCgroup2) -> None:
    code = """
    with pyctd.Engine() as engine, engine.client() as client:
        old = checkpointed(client, "old")
        image = (Path(directory) / "cgroup.img").read_bytes()
        homes = set()
        for id in ("one", "a-much-longer-name-than-the-others", "old"):
            container = client.new_container(id, spec())
            task = container.start(checkpoint_dir=directory)
            print(cgroup(task).rpartition("/")[2])
            task.force_delete(timeout=30)
            container.delete()
        print((Path(directory) / "cgroup.img").read_bytes() == image)
    """
    assert on_cgroup2(code) == ["one", "a-much-longer-name-than-the-others", "old", "True"]


def test_a_cgroup_image_that_can_not_be_read(on_cgroup2: OnCgroup2) -> None:
    code = """
    with pyctd.Engine() as engine, engine.client() as client:
        checkpointed(client, "old")
        (Path(directory) / "cgroup.img").write_bytes(b"no image at all")
        container = client.new_container("new", spec())
        try:
            container.start(checkpoint_dir=directory)
        except pyctd.InvalidArgumentError as error:
            print(error)
        container.start().force_delete()
        container.delete()
    """
    (said,) = on_cgroup2(code)
    assert "the checkpoint's cgroup.img can't be read" in said
