"""Starts and execs whose callers give up, at every moment of them: each is undone, and its id can be used again."""

from __future__ import annotations

import contextlib
import random

from support.box import SLEEP, Box, eventually
from support.chaos import Fault, much

import pyctd
from pyctd.stdio import capture

LONGEST = 0.15
"""Seconds within which a deadline runs out: more than most starts take."""


def test_starts_that_run_out_of_time(fault: Fault, box: Box) -> None:
    fault.name, fault.tries = "a start's caller gives up", much("CUT_OFF", 10)
    container = box.container()
    for _ in range(fault.tries):
        try:
            task = container.start(timeout=random.uniform(0, LONGEST), attach_stdio=capture())
        except pyctd.DeadlineExceededError:
            fault.seen["starts given up"] += 1
        else:
            task.force_delete(timeout=60)
            fault.seen["starts in time"] += 1
    try:  # which waits for what is still being undone
        container.start(timeout=60).force_delete(timeout=60)
    except pyctd.Error as error:
        fault.lost.append(f"the container: {error!r}")
    with contextlib.suppress(pyctd.NotFoundError):
        fault.leaked.append(f"{container.task(timeout=60)!r}")


def test_execs_that_run_out_of_time(fault: Fault, box: Box) -> None:
    fault.name, fault.tries = "an exec's caller gives up", much("CUT_OFF", 10)
    task, _ = box.start()
    for _ in range(fault.tries):
        try:
            process = task.exec(
                "e", pyctd.spec.process([*SLEEP]), timeout=random.uniform(0, LONGEST), attach_stdio=capture()
            )
        except pyctd.DeadlineExceededError:
            fault.seen["execs given up"] += 1
        else:
            process.kill("KILL", timeout=60)
            process.wait(timeout=60)
            process.delete(timeout=60)
            fault.seen["execs in time"] += 1
    eventually(lambda: len(task.pids(timeout=60)) == 1, "the end of every exec")
    task.force_delete(timeout=60)
