"""Runs one scenario through Go and through each face of pyctd at the same time, and compares."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from conformance.compare import Difference, compare, unexpected
from conformance.scenario import Scenario
from conformance.sides import Side, SideEnded

__all__ = ["Outcome", "Pair"]

Trace = list[dict[str, Any]]

TRIES = 3
"""How often a scenario is tried that differs only where chance has a part, to Go as to Python: a fault of pyctd comes
again.

Events: the shim sends one again that containerd did not take within five seconds, as when a busy machine stands still;
and containerd 2.1 may send the exit of a task that is killed and deleted at once late or never, for the shim is shut
down before. Output of many execs at once: on a busy machine a short one's may be lost to either side.
"""
_CHANCE = re.compile(r"end\.events\.|step \d+ events\.result|step \d+ parallel\.result.*\.result\.(stdout|stderr)$")


@dataclass
class Outcome:
    """What one scenario came to.

    Attributes:
        traces: by side.
        differences: by face, where its trace is not Go's.
        unexpected: what did not come to what the scenario means to provoke.
        tries: how often the scenario was run.
    """

    traces: dict[str, Trace] = field(default_factory=dict)
    differences: dict[str, list[Difference]] = field(default_factory=dict)
    unexpected: list[str] = field(default_factory=list)
    tries: int = 1

    @property
    def good(self) -> bool:
        return not self.unexpected and not any(self.differences.values())

    @property
    def differs_by_chance(self) -> bool:
        differences = [one for face in self.differences.values() for one in face]
        return bool(differences) and all(_CHANCE.match(one.where) for one in differences)


class Pair:
    """The Go reference, and pyctd's faces beside it."""

    def __init__(self, go: Side, faces: list[Side], threads: ThreadPoolExecutor) -> None:
        self._go = go
        self._faces = faces
        self._threads = threads

    def run(self, file: Path, scenario: Scenario, daemon: str) -> Outcome:
        for number in range(1, TRIES + 1):
            outcome = self._run(file, scenario, daemon)
            outcome.tries = number
            if not outcome.differs_by_chance:
                break
        return outcome

    def _run(self, file: Path, scenario: Scenario, daemon: str) -> Outcome:
        name = scenario.name.partition("::")[2]
        running = {side.name: self._threads.submit(side.run, file, name) for side in (self._go, *self._faces)}
        outcome = Outcome()
        for side, future in running.items():
            try:
                outcome.traces[side] = future.result()
            except SideEnded as error:
                outcome.unexpected.append(str(error))
        for side, trace in outcome.traces.items():
            outcome.unexpected += unexpected(scenario, "go" if side == "go" else "python", daemon, trace)
        if "go" in outcome.traces:
            for side, trace in outcome.traces.items():
                if side != "go":
                    outcome.differences[side] = compare(scenario, outcome.traces["go"], trace)
        return outcome
