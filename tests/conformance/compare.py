"""Compares two traces of one scenario, and what the scenario says with both."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from conformance.normalise import normalise
from conformance.scenario import Scenario, Step

__all__ = ["Difference", "compare", "kinds", "unexpected"]

_MISSING = "-"


@dataclass(frozen=True)
class Difference:
    """One place at which two traces differ."""

    where: str
    go: str
    python: str


def _leaves(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from _leaves(inner, f"{path}.{name}")
    elif isinstance(value, list) and value:
        for number, inner in enumerate(value):
            yield from _leaves(inner, f"{path}[{number}]")
    else:
        yield path, json.dumps(value, ensure_ascii=False)


def _flat(scenario: Scenario, trace: list[dict[str, Any]]) -> dict[str, str]:
    flat: dict[str, str] = {}
    for line in normalise(trace, concurrent=scenario.order == "process"):
        if scenario.events == "lossy":
            line.pop("events", None)
        place = f"step {line['step']} {line['do']}" if "step" in line else "end" if "end" in line else "head"
        flat.update(_leaves(line, place))
    return flat


def _steps(scenario: Scenario) -> list[Step]:
    return [Step.of(raw, {}) for raw in scenario.steps]


def compare(scenario: Scenario, go: list[dict[str, Any]], python: list[dict[str, Any]]) -> list[Difference]:
    """Where the traces differ, and where they are the same although the scenario says that they differ."""
    mine, theirs = _flat(scenario, python), _flat(scenario, go)
    found = [
        Difference(where, theirs.get(where, _MISSING), mine.get(where, _MISSING))
        for where in dict.fromkeys([*theirs, *mine])
        if theirs.get(where) != mine.get(where)
    ]
    for part in scenario.differs_in:
        meant = [difference for difference in found if fnmatchcase(difference.where, part)]
        found = [difference for difference in found if difference not in meant]
        if not meant:
            found.append(Difference(part, f"differs: {scenario.differs}", "but it is the same"))
    for number, step in enumerate(_steps(scenario)):
        places = tuple(f"step {number} {step.do}.{part}" for part in ("error", "result"))
        if "races" in step.args:
            found = [difference for difference in found if not difference.where.startswith(places)]
        if "differs" in step.args:
            meant = [difference for difference in found if difference.where.startswith(places)]
            found = [difference for difference in found if difference not in meant]
            if not meant:
                found.append(Difference(places[0], f"differs: {step.args['differs']}", "but it is the same"))
    return found


def kinds(trace: list[dict[str, Any]]) -> list[str]:
    """What each step came to: ``ok`` or an error's kind; for a join, what it joined came to."""
    found = []
    for line in trace:
        if "step" not in line:
            continue
        outcome = line.get("result") if line["do"] == "join" and "error" not in line else line
        error = outcome.get("error") if isinstance(outcome, dict) else None
        found.append("hangs" if "hangs" in line else error["kind"] if error else "ok")
    return found


def unexpected(scenario: Scenario, side: str, daemon: str, trace: list[dict[str, Any]]) -> list[str]:
    """Where a side came to something else than the scenario means to provoke."""
    found = []
    outcomes = kinds(trace)
    steps = _steps(scenario)
    if len(outcomes) != len(steps):
        found.append(f"{side}: {len(outcomes)} of {len(steps)} steps were made")
    for number, (step, kind) in enumerate(zip(steps, outcomes, strict=False)):
        expected = step.args.get("expect", "ok")
        if isinstance(expected, dict):
            expected = expected.get(side, expected.get(daemon, "ok"))
        if kind not in (expected if isinstance(expected, list) else [expected]):
            line = next(line for line in trace if line.get("step") == number)
            text = json.dumps(line.get("error") or line.get("result"), ensure_ascii=False)
            found.append(f"{side}, step {number} {step.do}: expected {expected}, came to {kind}: {text:.400}")
    return found
