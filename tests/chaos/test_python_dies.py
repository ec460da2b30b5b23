"""The process of an engine, or of a client, is killed: the next one finds all that it has made."""

from __future__ import annotations

import contextlib
import random
import subprocess
import time
from pathlib import Path

from support import leaks
from support.box import unique
from support.chaos import Fault, much, remains
from support.programs import Programs
from support.soak import Progress, at_length

import pyctd

ENGINE = """
engine = pyctd.Engine(root=rest[0], state=rest[1])
client = engine.client()
print("engine", flush=True)
for i in range(10**6):
    id = f"{rest[2]}-{i}"
    client.new_container(id, spec("/bin/sleep", "600")).start(attach_stdio=pyctd.stdio.capture())
    print("made", id, flush=True)
"""

#: Leads lives of containers, one after another, and says what it is about to do, and what it has done.
LIVES = """
with connect() as client:
    for i in range(10**6):
        id = f"{rest[0]}-{i}"
        print("makes", id, flush=True)
        container = client.new_container(id, spec("/bin/sh", "-c", "echo hello; sleep 0.1; exit 7"))
        print("made", id, flush=True)
        task = container.start(attach_stdio=pyctd.stdio.capture())
        task.wait()
        task.delete()
        print("deletes", id, flush=True)
        container.delete()
        print("deleted", id, flush=True)
"""


def killed(program: subprocess.Popen[str], word: str, seconds: float) -> list[str]:
    """Kills a program some time after it has said a word; all that it has said."""
    assert program.stdout
    said = []
    for line in program.stdout:
        said.append(line.strip())
        if line.startswith(word):
            break
    time.sleep(random.uniform(0, seconds))
    program.kill()
    said += [line.strip() for line in program.stdout.read().splitlines()]
    return said


@at_length
def test_the_process_of_an_engine_is_killed(fault: Fault, place: Path, rootfs: Path) -> None:
    fault.name, fault.tries = "the process of an engine is killed", much("ENGINES", 2)
    progress = Progress(fault.name, fault.tries)
    root, state = place / "r", place / "s"
    for turn in range(fault.tries):
        args = (str(root), str(state), unique("c"))
        with Programs("", "", "", rootfs).popen(ENGINE, *args, stderr=subprocess.DEVNULL) as program:
            # By turns when its containers run, and while it starts.
            said = killed(program, "made", 1) if turn % 2 == 0 else killed_early(program)
        made = {line.split()[1] for line in said if line.startswith("made ")}
        with pyctd.Engine(root=root, state=state) as engine, engine.client() as client:
            listed = {info.id for info in client.containers()}
            fault.lost += [f"container {id}" for id in made - listed]
            running = [client.load_container(id).task().status().status for id in made & listed]
            fault.lost += [f"a task that is {status}" for status in running if status != "running"]
            fault.seen["containers found again"] += len(listed)
        fault.leaked += remains(place)
        progress.add()


@at_length
def test_a_process_is_killed(fault: Fault, harmed: pyctd.Engine, rootfs: Path) -> None:
    """And its successor finds, ends and deletes each container that it had."""
    fault.name, fault.tries = "a process is killed", much("PROCESSES", 5)
    progress = Progress(fault.name, fault.tries)
    bundles = harmed.bundles("moby")
    assert bundles
    args = (harmed.address, "moby", str(bundles), rootfs)
    with harmed.client() as client:
        for _ in range(fault.tries):
            with Programs(*args).popen(LIVES, unique("c"), stderr=subprocess.DEVNULL) as program:
                said = killed(program, "made", 0.6)
            last = {
                what: {line.split()[1] for line in said if line.startswith(f"{what} ")}
                for what in ("makes", "made", "deletes", "deleted")
            }
            listed = {info.id for info in client.containers()}
            fault.lost += [f"container {id}" for id in last["made"] - last["deletes"] - listed]
            for id in listed:
                take_over(client.load_container(id), fault)
            fault.lost += [f"container {info.id} stays" for info in client.containers()]
            fault.seen["lives"] += len(last["made"])
            # The client makes a bundle before containerd has its container, and deletes it afterwards: as Go does.
            for id in (last["makes"] - last["made"]) | (last["deletes"] - last["deleted"]):
                with contextlib.suppress(FileNotFoundError):
                    (bundles / id).rmdir()
                    fault.seen["bundles without a container"] += 1
            progress.add()
    # containerd has forgotten the shim of a start whose client has gone, and the engine ends it.
    fault.seen["shims that containerd has forgotten"] += len(leaks.shims(harmed.state))


def take_over(container: pyctd.Container, fault: Fault) -> None:
    """Ends and deletes a container of a program that is no more."""
    try:
        task = container.attach_task(pyctd.stdio.capture(), timeout=60)
        status = task.status(timeout=60).status
    except pyctd.NotFoundError:  # or no longer: containerd undoes a start whose client has gone
        fault.seen["found without a task"] += 1
        container.delete(timeout=60)
        return
    fault.seen[f"found {status}"] += 1
    if status == "created":
        task.force_delete(timeout=60)
    else:
        if task.wait(timeout=60).exit_code != 7:
            fault.lost.append(f"the exit of {container.id}")
        task.delete(timeout=60)
    container.delete(timeout=60)


def killed_early(program: subprocess.Popen[str]) -> list[str]:
    time.sleep(random.uniform(0.2, 2))
    program.kill()
    assert program.stdout
    with contextlib.closing(program.stdout):
        return program.stdout.read().splitlines()
