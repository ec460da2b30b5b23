"""No descriptors, no memory, no cgroup: a clear error, nothing left, and on it goes."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from support.box import Box
from support.cgroup import Cgroup
from support.chaos import Fault, much
from support.programs import Programs
from support.soak import at_length

import pyctd
from pyctd.stdio import capture

pytestmark = at_length

TESTS = str(Path(__file__).parents[1])

LIMIT = 64
"""Descriptors that the programs may have open."""

LEFT = """
import json, resource
limit = int(rest[0])

def leave(free):
    # Takes all descriptors but so many.
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    held = []
    try:
        while True:
            held.append(os.open("/dev/null", os.O_RDONLY))
    except OSError:
        for _ in range(free):
            os.close(held.pop())
    return held
"""

#: A program whose every life of a container has one more descriptor left than the one before.
LIVES = """
from pathlib import Path
from pyctd.stdio import capture
sys.path.insert(0, rest[2])
from support import leaks
id, nowhere = rest[1], Path("/nonexistent")

def life(client, id, made):
    made.append(client.new_container(id, spec("/bin/sh", "-c", "cat; exec sleep 600")))
    task = made[0].start(attach_stdio=(out := capture(stdin=b"hello")), timeout=60)
    made.append(task)
    process = task.exec("e", pyctd.spec.process(["/bin/true"]), attach_stdio=capture(), timeout=60)
    assert process.wait(timeout=60).exit_code == 0
    process.delete(timeout=60)
    with client.events():
        task.kill("KILL", timeout=60)
        assert task.wait(timeout=60).exit_code == 137 and out.stdout == b"hello"

def end(container=None, task=None):
    if task:
        task.force_delete(timeout=60)
    if container:
        container.delete(timeout=60)

told, whole, slowest = [], [], 0.0
with connect(backend=lambda *event: None, timeout=60) as client:
    life(client, id, made := [])
    end(*made)
    before = leaks.Snapshot.take(nowhere)
    for free in range(limit - 15):
        held, made, began = leave(free), [], time.monotonic()
        try:
            life(client, f"{id}-{free}", made)
            whole.append(free)
        except (pyctd.Error, OSError) as error:
            told.append((type(error).__name__, str(error)))
        finally:
            for fd in held:
                os.close(fd)
        slowest = max(slowest, time.monotonic() - began)
        end(*made)
    del made
    left = leaks.settle(before, nowhere, 20)
print(json.dumps([whole, told, slowest, left]))
"""

#: A program that loads pyctd with few descriptors left, and again with enough.
LOADS = """
import pyctd.client
from pyctd import _native
held = leave(int(rest[1]))
try:
    connect(timeout=60).close()
except pyctd.Error as error:
    print(type(error).__name__, error)
for fd in held:
    os.close(fd)
connect(timeout=60).close()
"""

#: A program that uses pyctd with so many MiB of address space left, and again with enough.
SPACE = """
import resource
from pathlib import Path
import pyctd.client
id, space = rest[0], int(rest[1])

def life():
    with connect(timeout=60) as client:
        container = client.new_container(id, spec("/bin/true"))
        task = container.start()
        assert task.wait(timeout=60).exit_code == 0
        task.delete(timeout=60)
        container.delete(timeout=60)

mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (mapped + (space << 20), resource.RLIM_INFINITY))
try:
    life()
except pyctd.Error as error:
    print(type(error).__name__, error)
resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
life()
"""

WORDS = ("too many open files", "descriptors")


def test_descriptors_run_out(fault: Fault, programs: Programs, run_id: str) -> None:
    """No call hangs for want of one, as closing a FIFO would."""
    fault.name, fault.tries = "descriptors run out", much("DESCRIPTORS", 1)
    for turn in range(fault.tries):
        out = programs.check(LEFT + LIVES, str(LIMIT), f"{run_id}-{turn}", TESTS, timeout=600)
        whole, told, slowest, left = json.loads(out)
        for kind, text in told:
            fault.seen[kind] += 1
            if not any(word in text.lower() for word in WORDS):
                fault.crashed.append(f"an error that does not tell of descriptors: {kind}: {text}")
        fault.seen["lives that had enough"] += len(whole)
        if slowest > 25:
            fault.crashed.append(f"a life took {slowest:.0f} s")
        fault.leaked += left


@pytest.mark.parametrize("free", [0, 3, 4, 15, 20])
def test_no_descriptors_to_load_with(programs: Programs, free: int) -> None:
    """Go's runtime would end the process."""
    said = programs.check(LEFT + LOADS, str(LIMIT), str(free)).splitlines()
    assert len(said) == (1 if free < 16 else 0), said
    assert all("descriptors are left" in line for line in said)


def test_too_little_address_space(fault: Fault, programs: Programs, run_id: str) -> None:
    """Go's runtime would end the process."""
    spaces = (64, 1000, 2400, 32_000)
    fault.name, fault.tries = "the address space is short", len(spaces)
    for space in spaces:
        said = programs.check(SPACE, f"{run_id}-{space}", str(space)).splitlines()
        fault.seen["told"] += len(said)
        if len(said) != (space < 2500) or not all("address space" in line for line in said):
            fault.crashed.append(f"with {space} MiB it said {said}")


def test_a_container_with_too_little_memory(fault: Fault, box: Box) -> None:
    fault.name, fault.tries = "too little memory for a container", much("MEMORY", 1)
    for _ in range(fault.tries):
        spec = box.spec()
        spec["linux"]["resources"]["memory"] = {"limit": 1 << 17}  # dockerd's own least is 6 MiB
        container = box.of(spec)
        try:
            container.start(attach_stdio=capture(), timeout=60)
        except pyctd.Error as error:
            fault.seen[type(error).__name__] += 1
            if "memory" not in str(error) and "OOM" not in str(error):
                fault.crashed.append(f"an error that does not tell of memory: {error!r}")
        else:
            fault.crashed.append("it has started")
        with pytest.raises(pyctd.NotFoundError):
            container.task(timeout=60)
        container.delete(timeout=60)


def test_the_cgroup_is_removed(fault: Fault, box: Box) -> None:
    """Its process moved out of it by somebody: it is killed, waited for and deleted all the same."""
    fault.name, fault.tries = "the cgroup is removed", much("CGROUPS", 1)
    for _ in range(fault.tries):
        task, _ = box.start()
        Cgroup(task.pid).leave(task.pid)
        assert task.status(timeout=60).status == "running"
        calls = {"stats": task.stats, "pause": task.pause, "pids": task.pids}
        for name, call in calls.items():
            try:
                call(timeout=60)
            except pyctd.Error as error:
                fault.seen[f"{name}: {type(error).__name__}"] += 1
            else:
                fault.seen[f"{name} goes"] += 1
        os.kill(task.pid, 0)
        task.kill("KILL", timeout=60)
        assert task.wait(timeout=60).exit_code == 137
        task.delete(timeout=60)
        box.client.load_container(task.container_id).delete(timeout=60)
        if Path(f"/proc/{task.pid}").exists():
            fault.leaked.append(f"process {task.pid}")
