"""containerd is killed, stopped or replaced while containers live: none is lost, and neither is an exit."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from support import leaks
from support.box import Box, eventually, unique
from support.chaos import Fault, much
from support.ctr import version_of
from support.daemon import CONTAINERD_2, daemon
from support.harm import answers, kill_daemon, standing_still
from support.lives import Lives
from support.soak import Progress, at_length

import pyctd
from pyctd.stdio import capture


def account(lives: Lives, client: pyctd.Client, fault: Fault) -> None:
    """All containers are accounted for, all exits told, and the client works on."""
    known = lives.finished | lives.failed.keys() | {info.id for info in client.containers()}
    fault.lost += [f"container {id}" for id in lives.asked - known]
    fault.lost += [f"container {kept}" for kept in lives.sweep(client)]
    fault.lost += [f"container {info.id} stays" for info in client.containers()]
    again = Lives(Path(lives.spec["root"]["path"]))
    again.lead(client, afterwards := unique("afterwards"))
    try:
        eventually(lambda: lives.started | {afterwards} <= lives.told)
    except AssertionError:
        fault.lost += [f"the exit of {id}" for id in (lives.started | {afterwards}) - lives.told]
    fault.crashed += lives.broken
    if lives.asked:
        fault.seen["lives"] += len(lives.finished)
    fault.seen["gaps told"] = lives.gaps
    fault.seen.update(lives.failed.values())


def killed(fault: Fault, lives: Lives, client: pyctd.Client, kill: Callable[[], object]) -> None:
    """Kills the daemon, again and again, while containers live."""
    progress = Progress(fault.name, fault.tries)
    lives.begin(client)
    try:
        for _ in range(fault.tries):
            time.sleep(random.uniform(0, 1.5))
            kill()
            eventually(lambda: answers(client), "an answer of the new containerd")
            progress.add()
    finally:
        lives.end()
    account(lives, client, fault)


@at_length
def test_containerd_is_killed(fault: Fault, place: Path, rootfs: Path) -> None:
    """The next one comes at once, or some moments later."""
    fault.name, fault.tries = "containerd is killed", much("KILLS", 4)
    lives = Lives(rootfs)
    with daemon(place) as one:
        one.start()
        with one.client(backend=lives.handle, gaps=True) as client:
            killed(fault, lives, client, lambda: one.kill(lambda: time.sleep(random.choice((0, random.uniform(0, 3))))))
        fault.leaked += [f"bundle {path.name}" for path in one.bundles.glob("[!.]*")]
    # A shim that was being started when containerd was killed is no later one's. An engine ends those of its address.
    fault.seen["shims that containerd has forgotten"] += len(leaks.shims(place))
    pyctd.Engine(root=place / "r", state=place / "s").close()


@at_length
def test_the_containerd_of_an_engine_is_killed(fault: Fault, harmed: pyctd.Engine, rootfs: Path) -> None:
    """The engine starts the next: moby's supervisor, which takes ten seconds."""
    fault.name, fault.tries = "an engine's containerd is killed", much("RESTARTS", 1)
    lives = Lives(rootfs)
    with harmed.client(backend=lives.handle, gaps=True) as client:
        killed(fault, lives, client, lambda: kill_daemon(harmed))


@at_length
def test_containerd_stands_still(fault: Fault, harmed: pyctd.Engine, rootfs: Path) -> None:
    """Calls end by their deadlines, and go on afterwards."""
    fault.name, fault.tries = "containerd stands still", 1
    seconds = much("FREEZE", 2)
    lives = Lives(rootfs, timeout=0.5)
    with harmed.client(backend=lives.handle, gaps=True) as client:
        lives.begin(client)
        time.sleep(1)
        daemon = harmed.pid
        assert daemon
        with standing_still(daemon):
            with pytest.raises(pyctd.DeadlineExceededError):
                client.version(timeout=0.5)
            time.sleep(seconds)
            fault.seen["calls cut off by their deadline"] = lives.cut
        lives.timeout = None
        lives.end()
        account(lives, client, fault)
    if not lives.cut:
        fault.crashed.append("no call ended by its deadline")


def test_containerd_is_replaced_by_a_newer_one(fault: Fault, place: Path, rootfs: Path) -> None:
    """Tasks that the old one's shims hold are the new one's, to the client that has started them."""
    assert CONTAINERD_2.exists(), f"{CONTAINERD_2} is not built: run `make test-containerd-2`"
    lives = Lives(rootfs)
    with daemon(place) as one:
        one.start()
        with one.client(backend=lives.handle, gaps=True) as client:
            old = client.version().version
            if version_of(client) >= (2, 0):
                pytest.skip("the containerd on PATH is no older one")
            fault.name, fault.tries = "containerd 2 takes the place of 1.6", 1
            box = Box(client, rootfs)
            tasks = [box.start()[0] for _ in range(3)]
            waits = [threading.Thread(target=task.wait) for task in tasks]
            for wait in waits:
                wait.start()
            one.stop()
            one.start(CONTAINERD_2)
            eventually(lambda: answers(client), "an answer of the new containerd")
            fault.notes.append(f"{old}, then {client.version().version}")
            for task in tasks:
                assert task.status(timeout=60).status == "running"
                exec = task.exec("e", pyctd.spec.process(["/bin/echo", "hello"]), attach_stdio=(out := capture()))
                assert (exec.wait(timeout=60).exit_code, out.stdout) == (0, b"hello\n")
                exec.delete(timeout=60)
                task.kill("KILL", timeout=60)
                assert task.wait(timeout=60).exit_code == 137
                assert task.delete(timeout=60).exit_code == 137
            for wait in waits:
                wait.join()
            box.clean()
            eventually(lambda: lives.told >= {task.container_id for task in tasks}, "the exits")
            account(lives, client, fault)
