"""Every scenario through Go and through Python: the traces are the same, but where a scenario says why they are not."""

from __future__ import annotations

from pathlib import Path

import pytest

from conformance import table
from conformance.pair import TRIAL_SECONDS, Pair
from conformance.scenario import DIRECTORY, Scenario, load

FILES = sorted(DIRECTORY.glob("*.yaml"))
ALL = [(file, scenario) for file in FILES for scenario in load(file)]


@pytest.mark.parametrize(("file", "scenario"), [pytest.param(*case, id=case[1].name) for case in ALL])
@pytest.mark.timeout(300 + TRIAL_SECONDS)
def test_same(pair: Pair, daemon: str, can_be_immutable: bool, file: Path, scenario: Scenario) -> None:
    if scenario.daemons and daemon not in scenario.daemons:
        pytest.skip(f"is for containerd {', '.join(scenario.daemons)}: {scenario.about}")
    if scenario.needs == "immutable" and not can_be_immutable:
        pytest.skip("no directory can be made immutable here")
    outcome = pair.run(file, scenario, daemon)
    table.add(scenario, daemon, outcome)
    problems = list(outcome.unexpected)
    problems += [table.side_by_side(scenario, face, outcome.differences[face]) for face in outcome.worse]
    if problems:
        problems += [str(outcome.trial)] if outcome.trial else []
        pytest.fail("\n".join(problems), pytrace=False)


def test_there_are_scenarios_enough() -> None:
    assert len(ALL) >= 80
    assert all(scenario.about for _, scenario in ALL)


def test_differences_are_documented() -> None:
    """Each difference that is kept stands in docs/conformance.md, in the very words of the scenario."""
    text = " ".join((Path(__file__).parents[2] / "docs" / "conformance.md").read_text("utf-8").split())
    reasons = {scenario.differs for _, scenario in ALL if scenario.differs}
    for _, scenario in ALL:
        for step in scenario.steps:
            if isinstance(step, dict):
                reasons |= {args["differs"] for args in step.values() if "differs" in args}
    missing = sorted(reason for reason in reasons if reason not in text)
    assert not missing
