"""Random sequences of valid steps through Go and through Python: SEQUENCES of them, as the environment says.

A sequence that differs is shrunk and written to ``scenarios/found.yaml``, to be kept there as a scenario.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, Phase, Verbosity, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st
from hypothesis.errors import FlakyFailure
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from conformance import table
from conformance.chance import Trial
from conformance.pair import TRIAL_SECONDS, Outcome, Pair
from conformance.scenario import DIRECTORY, Scenario

SEQUENCES = int(os.environ.get("SEQUENCES", "10"))
FOUND = DIRECTORY / "found.yaml"

#: What a random container runs: it lives until it is killed, or until its stdin says how to end.
LIVES = ["/bin/sh", "-c", "echo out; echo err >&2; exec sleep 600"]
READS = ["/bin/sh", "-c", "while read x; do case $x in end*) exit ${x#end};; *) echo got $x;; esac; done; exit 9"]


class Sequences(RuleBasedStateMachine):
    """Knows just so much of containers that each step has one outcome only; what that is, Go says."""

    run: Any  # set by the test: takes the steps

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[Any] = []
        self.container = False
        self.task = "none"  # or created, running, paused, ended
        self.stdin = False
        self.closed = False  # its streams, by a second start of the task
        self.lines = 0
        self.execs: dict[str, str] = {}
        self.made = 0

    def add(self, step: Any) -> None:
        self.steps.append(step)

    @precondition(lambda self: not self.container)
    @rule(
        reads=st.booleans(),
        labels=st.dictionaries(st.sampled_from("abc"), st.text("xzäé ", max_size=5), max_size=2),
        then=st.sampled_from(["start", "start", "new_task", ""]),
    )
    def new_container(self, reads: bool, labels: dict[str, str], then: str) -> None:
        self.add({"new_container": {"args": READS if reads else LIVES, "opts": [{"labels": labels}]}})
        self.container, self.stdin = True, reads
        if then:
            self.start(then == "new_task")

    @precondition(lambda self: self.container)
    @rule()
    def new_container_again(self) -> None:
        self.add({"new_container": {"as": "other"}})

    @precondition(lambda self: self.container and self.task == "none")
    @rule(created=st.booleans())
    def start_it(self, created: bool) -> None:
        self.start(created)

    def start(self, created: bool) -> None:
        self.add({"new_task" if created else "start": {"stdin": self.stdin}})
        self.task, self.lines, self.execs, self.closed = ("created" if created else "running"), 0, {}, False
        self.settle()

    @precondition(lambda self: self.container and self.task != "none")
    @rule()
    def start_again(self) -> None:
        self.add({"start": {"as": "other"}})

    @precondition(lambda self: self.task == "created")
    @rule()
    def task_start(self) -> None:
        self.add("task_start")
        self.task = "running"
        self.settle()

    def settle(self) -> None:
        """Waits until the process is where nothing happens of itself."""
        if self.task == "running" and not self.stdin:
            self.add({"read": {"stream": "stdout", "until": "out\n"}})
            self.add({"read": {"stream": "stderr", "until": "err\n"}})

    @precondition(lambda self: self.task == "running" and self.stdin and not self.closed)
    @rule()
    def write(self) -> None:
        self.lines += 1
        self.add({"write": {"data": f"line{self.lines}\n"}})
        self.add({"read": {"until": f"got line{self.lines}\n"}})

    @precondition(lambda self: self.task == "running" and self.stdin)
    @rule(code=st.integers(0, 255), close=st.booleans())
    def end(self, code: int, close: bool) -> None:
        self.add("close_stream" if close or self.closed else {"write": {"data": f"end{code}\n"}})
        self.ended()

    @precondition(lambda self: self.task in ("created", "running"))
    @rule()
    def kill(self) -> None:
        self.add({"kill": {"signal": 9}})
        self.ended()

    def ended(self) -> None:
        self.add("wait")
        for name, state in self.execs.items():
            if state == "running":
                self.add({"wait": {"of": f"c/{name}"}})
                self.execs[name] = "ended"
        self.task = "ended"

    @precondition(lambda self: self.task in ("running", "paused"))
    @rule()
    def pause(self) -> None:
        self.add("pause")
        self.task = "paused"

    @precondition(lambda self: self.task in ("running", "paused"))
    @rule()
    def resume(self) -> None:
        self.add("resume")
        self.task = "running"

    @precondition(lambda self: self.task in ("running", "paused", "ended"))
    @rule(code=st.integers(0, 255), lives=st.booleans(), command=st.booleans())
    def exec(self, code: int, lives: bool, command: bool) -> None:
        self.made += 1
        name = f"e{self.made}"
        script = "echo here; exec sleep 600" if lives else f"echo here; exit {code}"
        args = ["/bin/sh", "-c", script] if command else ["/bin/nothing"]
        self.add({"exec": {"id": name, "args": args}})
        if self.task == "running" and command:
            self.execs[name] = "running" if lives else "ended"
            self.add({"read": {"of": f"c/{name}", "until": "here\n"}} if lives else {"wait": {"of": f"c/{name}"}})

    @precondition(lambda self: self.execs and self.task == "running")
    @rule(data=st.data(), method=st.sampled_from(["kill", "delete", "status", "resize", "close_stdin"]))
    def on_exec(self, data: Any, method: str) -> None:
        name = data.draw(st.sampled_from(sorted(self.execs)))
        of = {"of": f"c/{name}"}
        self.add({method: {**of, **{"kill": {"signal": 9}, "resize": {"width": 80, "height": 25}}.get(method, {})}})
        if method == "kill" and self.execs[name] == "running":
            self.add({"wait": of})
            self.execs[name] = "ended"

    @precondition(lambda self: self.task != "none")
    @rule(method=st.sampled_from(["status", "pids", "stats", "task_start", "observe", "task", "delete_container"]))
    def look(self, method: str) -> None:
        if method == "task_start" and self.task == "created":
            return
        self.closed |= method == "task_start"
        self.add({"task": {"as": "seen"}} if method == "task" else method)

    @precondition(lambda self: self.task in ("running", "paused", "ended"))
    @rule(limit=st.integers(10, 1000))
    def update_resources(self, limit: int) -> None:
        self.add({"update_resources": {"resources": {"pids": {"limit": limit}}}})

    @precondition(lambda self: self.task != "none")
    @rule(force=st.booleans())
    def delete(self, force: bool) -> None:
        self.add("force_delete" if force else "delete")
        if force or self.task == "ended":
            self.task, self.execs = "none", {}

    @precondition(lambda self: self.container and self.task == "none")
    @rule()
    def delete_container(self) -> None:
        self.add("delete_container")
        self.container = False

    @precondition(lambda self: self.task != "none")
    @rule()
    def replace(self) -> None:
        self.add({"replace_container": {"args": READS}})
        self.task, self.execs, self.stdin = "none", {}, True

    @precondition(lambda self: self.steps and self.steps[-1] != "load_container")
    @rule()
    def load(self) -> None:
        self.add("load_container")

    def teardown(self) -> None:
        """Runs the sequence, now that it is whole: this lets hypothesis shrink it step by step."""
        if self.steps:
            type(self).run(self.steps)


@pytest.mark.skipif(SEQUENCES == 0, reason="SEQUENCES=0")
@pytest.mark.timeout(60 + 20 * SEQUENCES + 2 * TRIAL_SECONDS)
def test_random_sequences(pair: Pair, daemon: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """The seed is pytest-randomly's: --randomly-seed=N draws the same sequences."""
    seed = request.config.getoption("randomly_seed", 0)
    failed: list[tuple[Scenario, Outcome]] = []
    trials: list[Trial] = []

    def run(steps: list[Any]) -> None:
        raw = {"about": "A random sequence.", "order": "process", "steps": steps}
        file = tmp_path / "sequence.yaml"
        file.write_text(json.dumps({"sequence": raw}), "utf-8")
        scenario = Scenario("sequence::sequence", "A random sequence.", steps, order="process")
        outcome = pair.run(file, scenario, daemon)
        if outcome.trial:
            trials.append(outcome.trial)
        outcome.unexpected = [problem for problem in outcome.unexpected if "ended in the midst" in problem]
        if not outcome.good:
            failed[:] = [(scenario, outcome)]
        assert outcome.good

    Sequences.run = staticmethod(run)
    Sequences.TestCase.settings = settings()
    machine = settings(
        max_examples=SEQUENCES,
        stateful_step_count=25,
        deadline=None,
        database=None,
        print_blob=False,
        verbosity=Verbosity.quiet,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink),
    )
    try:
        run_state_machine_as_test(seeded(int(seed))(Sequences), settings=machine)
    except (AssertionError, FlakyFailure):  # flaky: it is not the same each time, which is a finding all the same
        scenario, outcome = failed[0]
        found = yaml.safe_load(FOUND.read_text("utf-8")) if FOUND.exists() else {}
        name = f"sequence {len(found) + 1}"
        about = f"Found by seed {seed} on containerd {daemon}."
        found[name] = {"about": about, "order": "process", "steps": scenario.steps}
        FOUND.write_text(yaml.safe_dump(found, allow_unicode=True, sort_keys=False), "utf-8")
        texts = [table.side_by_side(scenario, face, outcome.differences[face]) for face in outcome.worse]
        pytest.fail(f"kept as {name} in {FOUND}\n" + "\n".join([*outcome.unexpected, *texts]), pytrace=False)
    finally:
        table.notes.append(
            f"containerd {daemon}: {SEQUENCES} random sequences by seed {seed}; "
            f"{len(trials)} differed by chance" + "".join(f"; {trial}" for trial in trials)
        )
