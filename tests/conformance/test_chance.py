"""The rule for what differs by chance: it finds a fault of pyctd's, and forgives it what Go shows as well."""

from __future__ import annotations

import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from conformance.chance import ROUNDS, SIGNIFICANT, Trial, p_value
from conformance.pair import Outcome, Pair
from conformance.scenario import Scenario

SCENARIO = Scenario("f::x", "One step.", ["start"])


class Side:
    """A program whose event is lost, and whose step fails, in so many runs of a hundred."""

    def __init__(self, name: str, chance: random.Random, lost: float = 0.0, wrong: float = 0.0) -> None:
        self.name = name
        self._chance = chance
        self._lost, self._wrong = lost, wrong
        self.runs = 0

    def run(self, file: Path, name: str) -> list[dict[str, Any]]:
        self.runs += 1
        events = [] if self._chance.random() < self._lost else [{"event": "exit"}]
        code = 1 if self._chance.random() < self._wrong else 0
        return [{"values": {}}, {"do": "start", "step": 0, "result": code}, {"end": {}, "events": {"c": events}}]


def run(seed: int, **faults: float) -> tuple[Outcome, dict[str, Side]]:
    """A scenario through sides with such faults: ``go``, of Go and its control; ``sync``; ``wrong``, in sync's step."""
    chance = random.Random(seed)
    made = [
        Side("go", chance, faults.get("go", 0.0)),
        Side("control", chance, faults.get("go", 0.0)),
        Side("sync", chance, faults.get("sync", 0.0), faults.get("wrong", 0.0)),
    ]
    with ThreadPoolExecutor(1) as threads:  # one, so that a seed draws the same each time
        go, control, sync = made
        outcome = Pair(go, control, [sync], threads).run(Path(), SCENARIO, "2")
    return outcome, {side.name: side for side in made}


def verdicts(**faults: float) -> Counter[str]:
    """How often a scenario was the same, passed a trial, and failed."""
    counts: Counter[str] = Counter()
    for seed in range(400):
        outcome, _ = run(seed, **faults)
        counts["failed" if not outcome.good else "passed" if outcome.trial else "same"] += 1
    return counts


def test_fishers_exact_test() -> None:
    assert p_value(0, 0, 40) == 1
    assert p_value(3, 1, 4) == pytest.approx(17 / 70)  # the lady tasting tea
    assert p_value(7, 0, 40) < SIGNIFICANT < p_value(6, 0, 40)
    assert p_value(40, 40, 40) == 1


def test_a_fault_in_thirty_of_a_hundred_runs_fails() -> None:
    counts = verdicts(sync=0.3)
    assert counts["failed"] / (counts["failed"] + counts["passed"]) > 0.9


def test_what_go_shows_as_often_passes() -> None:
    counts = verdicts(go=0.1, sync=0.1)
    assert counts["passed"] > 20 > 4 >= counts["failed"]


def test_what_differs_elsewhere_in_a_further_round_fails_at_once() -> None:
    failed = next(outcome for outcome, _ in (run(seed, sync=0.3, wrong=0.5) for seed in range(100)) if not outcome.good)
    assert [one.where for one in failed.differences["sync"]] == ["step 0 start.result"]
    assert failed.trial is None


def test_what_is_the_same_has_no_trial() -> None:
    outcome, sides = run(1)
    assert outcome.good
    assert (sides["sync"].runs, sides["control"].runs) == (1, 0)


def test_a_difference_outside_of_chance_has_no_trial() -> None:
    outcome, sides = run(1, wrong=1.0)
    assert not outcome.good
    assert sides["sync"].runs == 1


def test_the_run_that_gave_rise_to_a_trial_does_not_count() -> None:
    outcome, sides = next(made for made in (run(seed, sync=0.1) for seed in range(100)) if made[0].trial)
    assert outcome.trial is not None
    assert outcome.trial.rounds == ROUNDS == sides["control"].runs == sides["sync"].runs - 1


def test_a_difference_that_is_meant_is_none_of_the_control() -> None:
    meant = Scenario(
        "f::x", "", ["start", {"kill": {"differs": "x", "expect": "ok"}}], differs="y", differs_in=["end*"]
    )
    plain = meant.without_differences()
    assert (plain.steps, plain.differs, plain.differs_in) == (["start", {"kill": {"expect": "ok"}}], "", [])


def test_a_trial_tells_its_counts() -> None:
    trial = Trial()
    trial.add(["sync"])
    trial.add(["sync", "control"])
    assert str(trial) == "of 2 further rounds differed from Go: control 1, sync 2"
