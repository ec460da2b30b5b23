"""The shim dies, and runc fails: the process's end is told, the error has runc's words, and nothing stays."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from support.box import SLEEP, Box, unique
from support.chaos import Fault, much
from support.proc import gone, parent
from support.soak import at_length

import pyctd
from pyctd import spec
from pyctd.stdio import capture

pytestmark = at_length

WORDS = "no, not today"

#: runc, but for one command: it fails with an error in the log that the shim reads, and on stderr, as runc does.
RUNC = """#!/bin/sh
fails=$(cat {directory}/fails)
log=
for word in "$@"; do
    [ "$before" = --log ] && log=$word
    if [ "$word" = "$fails" ]; then
        [ -n "$log" ] && echo '{{"level":"error","msg":"{words}"}}' >> "$log"
        echo "{words}" >&2
        exit 1
    fi
    before=$word
done
exec runc "$@"
"""


def test_the_shim_is_killed(fault: Fault, box: Box) -> None:
    fault.name, fault.tries = "the shim is killed", much("SHIMS", 3)
    with box.client.events(event="exit") as exits:
        for _ in range(fault.tries):
            task, _ = box.start()
            exec = task.exec("e", spec.process(list(SLEEP)), attach_stdio=capture())
            told: list[str] = []
            waits = [threading.Thread(target=wait, args=(process, told)) for process in (task, exec)]
            for waiting in waits:
                waiting.start()
            os.kill(parent(task.pid), signal.SIGKILL)
            for waiting in waits:
                waiting.join(60)
            fault.lost += ["an exit" for waiting in waits if waiting.is_alive()]
            fault.seen.update(told)
            event = exits.get(timeout=60)
            assert (event.container_id, event.info.process_id) == (task.container_id, task.container_id)
            fault.seen[f"event with {event.info.exit_code}"] += 1
            fault.seen[f"delete: {outcome(task, task.delete)}"] += 1
            box.client.load_container(task.container_id).delete(timeout=60)
            if not gone(task.pid):
                fault.leaked.append(f"the container's process {task.pid}")


def wait(process: pyctd.Process, told: list[str]) -> None:
    told.append(f"{'wait' if process.id != 'e' else 'wait for the exec'}: {outcome(process, process.wait)}")


def outcome(process: pyctd.Process, call: Callable[..., pyctd.ExitStatus]) -> str:
    """What a call of a process whose shim is gone comes to."""
    try:
        status = call(timeout=60)
    except pyctd.Error as error:
        return f"{type(error).__name__}: {error}".replace(process.id, "…")
    return f"{status.exit_code}" + (f", {status.error}" if status.error else "")


class Runc:
    """A runc that fails in one of its commands while it is told to."""

    def __init__(self, directory: Path) -> None:
        self.program = directory / "runc"
        self.program.write_text(RUNC.format(directory=directory, words=WORDS))
        self.program.chmod(0o755)
        self._fails = directory / "fails"
        self.fail()

    def fail(self, command: str = "none") -> None:
        """Has this command fail from now on, and no other."""
        self._fails.write_text(command)


@pytest.fixture
def runc(tmp_path: Path) -> Runc:
    return Runc(tmp_path)


#: What leads to each command, on a task that runs.
COMMANDS: dict[str, Callable[[pyctd.Task], object]] = {
    "exec": lambda task: task.exec("e", spec.process(["/bin/true"]), attach_stdio=capture(), timeout=60),
    "kill": lambda task: task.kill("TERM", timeout=60),
    "pause": lambda task: task.pause(timeout=60),
    "resume": lambda task: task.resume(timeout=60),
    "update": lambda task: task.update_resources({"pids": {"limit": 9}}, timeout=60),
    "delete": lambda task: task.delete(timeout=60),
}


@pytest.mark.parametrize("command", ["create", "start", *COMMANDS])
def test_runc_fails(fault: Fault, box: Box, runc: Runc, command: str) -> None:
    """And does what it should when it is asked again."""
    fault.name, fault.tries = f"runc fails to {command}", much("RUNC", 1)
    for _ in range(fault.tries):
        id = unique()
        box.ids.append(id)
        container = box.client.new_container(id, box.spec(), runtime_options={"BinaryName": str(runc.program)})
        if command in ("create", "start"):
            runc.fail(command)
            fault.must_fail(WORDS, lambda: container.start(attach_stdio=capture(), timeout=60))  # noqa: B023
            with pytest.raises(pyctd.NotFoundError):
                container.task(timeout=60)
            runc.fail()
            task = container.start(attach_stdio=capture(), timeout=60)
        else:
            task = container.start(attach_stdio=capture(), timeout=60)
            if command == "delete":
                task.kill("KILL", timeout=60)
                task.wait(timeout=60)
            if command == "resume":
                task.pause(timeout=60)
            runc.fail(command)
            fault.must_fail(WORDS, lambda: COMMANDS[command](task))  # noqa: B023
            runc.fail()
            COMMANDS[command](task)
        if command != "delete":
            task.force_delete(timeout=60)
        container.delete(timeout=60)
