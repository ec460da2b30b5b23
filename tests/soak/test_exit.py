"""The interpreter ends, whatever goes on: no hang, no crash, no word on stderr but the program's own."""

from __future__ import annotations

import random
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from support import tables
from support.box import Box
from support.endings import ENDINGS, STORMS, Ending
from support.programs import Programs
from support.soak import ON, Progress, at_length, much, publishing

AT_ONCE = 4
HANG = 60.0
"""Seconds after which a program hangs: they take one or two, and a loaded machine many times that."""
DELAYS = 0.1
"""Seconds that a program goes on for before it ends, at most: the end meets it each time at another point."""


@dataclass(frozen=True)
class Run:
    """One run of a program: whether with -X dev, and how long it goes on before its end."""

    name: str
    ending: Ending
    dev: bool
    delay: float

    def __str__(self) -> str:
        return f"{self.name}{' with -X dev' if self.dev else ''}, after {self.delay:.3f} s"


def plan(endings: dict[str, Ending], runs: int) -> Iterator[Run]:
    """The programs in turn, each with and without -X dev by turns."""
    draw = random.Random(runs)
    for i in range(runs):
        name = list(endings)[i % len(endings)]
        yield Run(name, endings[name], bool((i // len(endings) + i) % 2), draw.uniform(0, DELAYS))


class Ends:
    """Runs programs to their ends, on two containers that they share."""

    def __init__(self, box: Box, programs: Programs) -> None:
        self._programs = programs
        self._tasks = [box.start(*ON)[0] for _ in range(2)]

    def end(self, run: Run) -> tuple[str, float]:
        """What was wrong with a run, and how long it took."""
        began = time.monotonic()
        ids = (task.container_id for task in self._tasks)
        try:
            exit_code, _, err = self._programs.run(run.ending.program, *ids, str(run.delay), dev=run.dev, timeout=HANG)
            faults = run.ending.faults(exit_code, err, run.dev)
        except subprocess.TimeoutExpired as hang:
            faults = [f"it hangs: no end within {HANG:.0f} s; on stderr: {hang.stderr!r}"]
        return f"{run}: {'; '.join(faults)}" if faults else "", time.monotonic() - began

    def end_all(self, endings: dict[str, Ending], runs: int, what: str) -> None:
        """Ends programs, several at once, and fails with all that was wrong."""
        progress = Progress(what, runs)
        faults: list[str] = []
        took: list[float] = []
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for fault, seconds in pool.map(self.end, plan(endings, runs)):
                progress.add()
                took.append(seconds)
                if fault:
                    faults.append(fault)
                    print(fault, flush=True)
        ways = f"{runs} runs, {len(endings)} ways"
        tables.soak.append((what, ways, f"{len(faults)} faults; slowest {max(took):.1f} s, {progress.rate}"))
        assert not faults, "\n".join(faults)
        assert self._tasks[0].status().status == "running"
        for task in self._tasks:
            task.force_delete(timeout=60)


@at_length
def test_the_interpreter_ends_cleanly(box: Box, programs: Programs) -> None:
    Ends(box, programs).end_all(ENDINGS, much("EXITS", 2 * len(ENDINGS)), "exits")


@at_length
def test_the_interpreter_ends_cleanly_in_a_storm_of_events(box: Box, programs: Programs) -> None:
    with publishing(box.client.address, box.client.namespace) as publisher:
        publisher.start(2**40)
        Ends(box, programs).end_all(STORMS, much("STORMS", 2 * len(STORMS)), "exits in a storm")
