"""What is taken out of a trace, and that nothing else is: a changed text, event or FIFO is found."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from conformance.compare import Difference, compare, unexpected
from conformance.normalise import normalise
from conformance.pair import Outcome
from conformance.scenario import Scenario, Step, expand, merge

Trace = list[dict[str, Any]]


def trace(
    pid: int = 4711, at: int = 1_700_000_000_123_456_789, namespace: str = "go1-001", dir: str = "/w/go1/1"
) -> Trace:
    """A short trace of one run; each run has other pids, times and names."""
    event = {"event": "exit", "container_id": "c", "process_id": "c", "pid": pid, "exit_code": 3, "exited_at": at}
    return [
        {"scenario": "x", "values": {"namespace": namespace, "dir": dir, "state": f"{dir}/state"}},
        {
            "do": "start",
            "result": {"pid": pid, "stdio": {"stdout": f"{dir}/state/c/c-stdout"}},
            "step": 0,
            "after": {"disk": ["drwxr-xr-x 0:0 c", "prwx------ 0:0 c/c-stdout"], "tasks": ["c"]},
        },
        {
            "do": "wait",
            "result": {"exit_code": 3, "exited_at": at, "error": None},
            "step": 1,
            "after": {"tasks": ["c"]},
        },
        {
            "do": "kill",
            "error": {"kind": "not_found", "text": f"no task in {namespace}: {dir}/state/c: process already finished"},
            "step": 2,
            "after": {"tasks": ["c"]},
        },
        {"end": {"disk": []}, "events": {"c": [{**event, "error": None}]}, "io_calls": {"c": ["wait", "close"]}},
    ]


SCENARIO = Scenario("f::x", "A trace.", ["start", "wait", {"kill": {"signal": 9, "expect": "not_found"}}])
OTHER_RUN = {"pid": 815, "at": 1_800_000_000_987_654_321, "namespace": "py9-007", "dir": "/w/py9/7"}


def test_two_runs_are_the_same() -> None:
    assert compare(SCENARIO, trace(), trace(**OTHER_RUN)) == []  # type: ignore[arg-type]


def test_what_is_taken_out() -> None:
    head, start, wait, kill, end = normalise(trace())
    assert head == {"scenario": "x"}
    assert start["result"] == {"pid": "<pid 1>", "stdio": {"stdout": "<state>/c/c-stdout"}}
    assert wait["result"]["exited_at"] == "<time 1>"
    assert kill["error"]["text"] == "no task in <namespace>: <state>/c: process already finished"
    assert (end["events"]["c"][0]["pid"], end["events"]["c"][0]["exited_at"]) == ("<pid 1>", "<time 1>")


def test_no_pid_and_no_time_stay_what_they_are() -> None:
    head = {"scenario": "x", "values": {}}
    assert normalise([head, {"pid": 0, "exited_at": 0}])[1] == {"pid": 0, "exited_at": 0}


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("open /tmp/runc-process123456789: no", "open /tmp/runc-process<random>: no"),
        ('root:"/s/.runc/6f1c2f1e-91b0-4a0e-8a6c-0d5b8f1f2a3b"', 'root:"/s/.runc/<daemon>"'),
        (
            'Unavailable: connection error: desc = "transport: Error while dialing: x"',
            "Unavailable: <connection error of the moment>",
        ),
        ('connection error: desc = "error reading server preface: EOF"', "<connection error of the moment>"),
        ("Unavailable: error reading from server: EOF", "Unavailable: <connection error of the moment>"),
        ("mode=1777, 4711 and 0x7f stay", "mode=1777, 4711 and 0x7f stay"),
    ],
)
def test_random_texts(text: str, normal: str) -> None:
    head = {"scenario": "x", "values": {}}
    assert normalise([head, {"pid": 4711, "text": text}])[1]["text"] == normal


def _set(*path: Any, value: Any) -> Callable[[Trace], None]:
    def change(trace: Trace) -> None:
        inner: Any = trace
        for name in path[:-1]:
            inner = inner[name]
        assert inner[path[-1]] != value
        inner[path[-1]] = value

    return change


@pytest.mark.parametrize(
    ("where", "change"),
    [
        ("step 2 kill.error.text", _set(3, "error", "text", value="no task")),
        ("step 2 kill.error.kind", _set(3, "error", "kind", value="unknown")),
        ("end.events.c[0].exit_code", _set(4, "events", "c", 0, "exit_code", value=4)),
        ("end.events.c[0].process_id", _set(4, "events", "c", 0, "process_id", value="init")),
        ("end.events.c[0].pid", _set(4, "events", "c", 0, "pid", value=999)),
        ("end.events.c[0].exited_at", _set(4, "events", "c", 0, "exited_at", value=5_000_000)),
        (
            "step 0 start.result.stdio.stdout",
            _set(1, "result", "stdio", "stdout", value="/w/py9/7/state/c/init-stdout"),
        ),
        ("step 0 start.after.disk[1]", _set(1, "after", "disk", 1, value="prwx------ 0:0 c/init-stdout")),
        ("step 0 start.after.disk[0]", _set(1, "after", "disk", 0, value="drwx------ 0:0 c")),
        ("step 1 wait.result.error", _set(2, "result", "error", value="x")),
        ("end.io_calls.c[0]", _set(4, "io_calls", "c", 0, value="cancel")),
        ("step 2 kill.after.tasks", _set(3, "after", "tasks", value=[])),
    ],
)
def test_a_mutation_is_found(where: str, change: Callable[[Trace], None]) -> None:
    mutated = trace(**OTHER_RUN)  # type: ignore[arg-type]
    change(mutated)
    assert where in [difference.where for difference in compare(SCENARIO, trace(), mutated)]


def test_an_event_too_many_or_too_few_is_found() -> None:
    mutated = copy.deepcopy(trace())
    mutated[4]["events"]["c"].append(mutated[4]["events"]["c"][0])
    assert compare(SCENARIO, trace(), mutated)
    assert compare(SCENARIO, mutated, trace())


def test_a_step_that_differs_as_said() -> None:
    meant = Scenario(
        "f::x", "", ["start", "wait", {"kill": {"differs": "it is meant", "expect": {"python": "unknown"}}}]
    )
    mutated = trace()
    mutated[3]["error"]["kind"] = "unknown"
    assert compare(meant, trace(), mutated) == []
    assert unexpected(meant, "python", "2", mutated) == []
    assert compare(meant, trace(), trace()), "a difference that is not there any more has to be taken out"
    mutated[3]["after"]["tasks"] = []
    assert compare(meant, trace(), mutated), "only the outcome may differ"


def test_a_scenario_that_differs_as_said() -> None:
    meant = Scenario("f::x", "", SCENARIO.steps, differs="it is meant", differs_in=["step 2 kill.*"])
    mutated = trace()
    mutated[3]["error"]["text"] = "other"
    assert compare(meant, trace(), mutated) == []
    assert compare(meant, trace(), trace()), "a difference that is not there any more has to be taken out"
    mutated[4]["events"]["c"][0]["exit_code"] += 1
    assert compare(meant, trace(), mutated), "only the places that are named may differ"


def test_a_scenario_that_differs_has_to_say_where() -> None:
    with pytest.raises(ValueError, match="need each other"):
        Scenario("f::x", "", SCENARIO.steps, differs="it is meant")


def test_moments_of_a_concurrent_scenario() -> None:
    concurrent = Scenario("f::x", "", SCENARIO.steps, order="process")
    other = trace()
    other[4]["events"]["c"][0]["exited_at"] = 5_000_000
    assert compare(concurrent, trace(), other) == []
    other[4]["events"]["c"][0]["exited_at"] = 0
    assert compare(concurrent, trace(), other)


def test_a_step_whose_outcome_is_one_of_several() -> None:
    args = {"races": "it is chance", "expect": ["unknown", "not_found"]}
    meant = Scenario("f::x", "", ["start", "wait", {"kill": args}])
    mutated = trace()
    mutated[3]["error"] = {"kind": "unknown", "text": "x"}
    assert compare(meant, trace(), mutated) == []
    assert unexpected(meant, "python", "2", mutated) == []
    mutated[3]["error"]["kind"] = "conflict"
    assert unexpected(meant, "python", "2", mutated)


def test_outcomes_that_were_not_meant() -> None:
    assert unexpected(SCENARIO, "go", "2", trace()) == []
    other = Scenario("f::x", "", ["start", {"wait": {"expect": "not_found"}}, "kill"])
    assert len(unexpected(other, "go", "2", trace())) == 2
    by_daemon = Scenario("f::x", "", ["start", "wait", {"kill": {"expect": {"1.6": "unknown", "2": "not_found"}}}])
    assert unexpected(by_daemon, "go", "2", trace()) == []
    assert len(unexpected(by_daemon, "go", "1.6", trace())) == 1
    assert unexpected(SCENARIO, "go", "2", trace()[:2]), "a trace that ends early"


def test_values_of_scenarios() -> None:
    assert expand("${dir}/x ${repeat ab 3} $A ${#A}", {"dir": "/d"}) == "/d/x ababab $A ${#A}"
    assert Step.of({"exec": {"id": "${repeat x 4}"}}, {}) == Step("exec", {"id": "xxxx"})
    assert merge({"a": {"b": 1, "c": 2}, "d": [1]}, {"a": {"b": None, "e": 3}, "d": [2]}) == {
        "a": {"c": 2, "e": 3},
        "d": [2],
    }


@pytest.mark.parametrize(
    ("wheres", "chance"),
    [
        ([], False),
        (["end.events.c[3].event"], True),
        (["step 4 events.result[1].pid", "end.events.c[1].pid"], True),
        (["end.events.c[3].event", "step 4 wait.result.exit_code"], False),
        (["step 2 parallel.result[0][3].result.stdout"], False),
        (["step 2 parallel.result[0][2].result.exit_code"], False),
        (["step 2 output.result.stdout"], False),
        (["end.disk[0]"], False),
    ],
)
def test_what_differs_by_chance(wheres: list[str], chance: bool) -> None:
    outcome = Outcome(differences={"sync": [], "asyncio": [Difference(where, "1", "2") for where in wheres]})
    assert outcome.differs_by_chance == chance
