"""Runs one scenario through Go and through each face of pyctd at the same time, and compares."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from conformance.compare import Difference, compare, unexpected
from conformance.scenario import Scenario
from conformance.sides import Side, SideEnded

__all__ = ["Outcome", "Pair"]

Trace = list[dict[str, Any]]


@dataclass
class Outcome:
    """What one scenario came to.

    Attributes:
        traces: by side.
        differences: by face, where its trace is not Go's.
        unexpected: what did not come to what the scenario means to provoke.
    """

    traces: dict[str, Trace] = field(default_factory=dict)
    differences: dict[str, list[Difference]] = field(default_factory=dict)
    unexpected: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        return not self.unexpected and not any(self.differences.values())


class Pair:
    """The Go reference, and pyctd's faces beside it."""

    def __init__(self, go: Side, faces: list[Side], threads: ThreadPoolExecutor) -> None:
        self._go = go
        self._faces = faces
        self._threads = threads

    def run(self, file: Path, scenario: Scenario, daemon: str) -> Outcome:
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
