"""Runs one scenario through Go and through each face of pyctd at the same time, and compares."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from conformance.chance import ROUNDS, Trial
from conformance.compare import Difference, compare, unexpected
from conformance.scenario import Scenario
from conformance.sides import SideEnded

__all__ = ["TRIAL_SECONDS", "Outcome", "Pair"]

Trace = list[dict[str, Any]]

TRIAL_SECONDS = 300
"""After how long a trial begins no further round."""
_CHANCE = re.compile(r"end\.events\.|step \d+ events\.result")
"""Where chance has a part, to Go as to Python: in events. The shim sends one again that containerd did not take within
five seconds, as when a busy machine stands still; and containerd 2.1 may send the exit of a task that is killed and
deleted at once late or never, because the shim is shut down first.
"""


class Program(Protocol):
    """What runs scenarios: a ``Side``."""

    name: str

    def run(self, file: Path, name: str) -> Trace:
        """The trace of one scenario. Raises SideEnded."""


@dataclass
class Outcome:
    """What one scenario came to.

    Attributes:
        traces: by side.
        differences: by face and ``control``, where its trace is not Go's.
        unexpected: what did not come to what the scenario means to provoke.
        trial: the further rounds, where it differed by chance.
    """

    traces: dict[str, Trace] = field(default_factory=dict)
    differences: dict[str, list[Difference]] = field(default_factory=dict)
    unexpected: list[str] = field(default_factory=list)
    trial: Trial | None = None

    @property
    def worse(self) -> list[str]:
        """The faces that differ from Go, after a trial those that differ more often than Go from itself."""
        faces = {face: found for face, found in self.differences.items() if face != "control"}
        return [face for face, found in faces.items() if (self.trial.worse(face) if self.trial else found)]

    @property
    def good(self) -> bool:
        return not self.unexpected and not self.worse

    @property
    def differs_by_chance(self) -> bool:
        """Whether there are differences, and only where chance has a part."""
        differences = [one for face, found in self.differences.items() if face != "control" for one in found]
        return bool(differences) and all(_CHANCE.match(one.where) for one in differences)


class Pair:
    """The Go reference, and pyctd's faces beside it.

    Args:
        go: what is compared with.
        control: the same program once more.
        faces: what is compared.
        threads: one for each of them.
    """

    def __init__(self, go: Program, control: Program, faces: Sequence[Program], threads: ThreadPoolExecutor) -> None:
        self._go = go
        self._control = control
        self._faces = faces
        self._threads = threads

    def run(self, file: Path, scenario: Scenario, daemon: str) -> Outcome:
        """Runs a scenario; one that differs by chance in many rounds, beside the control."""
        sides: list[Program] = [self._go, *self._faces]
        outcome = self._run(file, scenario, daemon, sides)
        if not outcome.differs_by_chance:
            return outcome
        sides.append(self._control)
        outcome.trial = Trial()
        end = time.monotonic() + TRIAL_SECONDS
        while outcome.trial.rounds < ROUNDS and time.monotonic() < end:
            further = self._run(file, scenario, daemon, sides)
            if len(further.traces) < len(sides) or (further.worse and not further.differs_by_chance):
                return further
            outcome.trial.add(side for side, found in further.differences.items() if found)
        return outcome

    def _run(self, file: Path, scenario: Scenario, daemon: str, sides: Sequence[Program]) -> Outcome:
        name = scenario.name.partition("::")[2]
        running = {side.name: self._threads.submit(side.run, file, name) for side in sides}
        outcome = Outcome()
        for side, future in running.items():
            try:
                outcome.traces[side] = future.result()
            except SideEnded as error:
                outcome.unexpected.append(str(error))
        for side, trace in outcome.traces.items():
            program = "go" if side in ("go", "control") else "python"
            outcome.unexpected += unexpected(scenario, program, daemon, trace)
        if "go" in outcome.traces:
            for side, trace in outcome.traces.items():
                if side != "go":
                    meant = scenario.without_differences() if side == "control" else scenario
                    outcome.differences[side] = compare(meant, outcome.traces["go"], trace)
        return outcome
