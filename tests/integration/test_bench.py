"""The benchmarks run: on a real containerd, in their smallest form."""

from __future__ import annotations

from pathlib import Path

import pytest
from bench.__main__ import Sides, measure
from bench.place import GO, place
from bench.workloads import Workload

SMALL = (
    Workload("version", 10, rounds=2),
    Workload("lifecycle", 1, rounds=1, peers=("ctr", "runc", "nonesuch")),
    Workload("step", 1, mode="wait", rounds=1),
    Workload("connect", 1, rounds=1),
    Workload("execs", 3, rounds=1, per=3),
    Workload("exit-event", 1, rounds=1),
    Workload("events", 500, rounds=1, per=500),
    Workload("stdout", 1 << 20, mode="files", rounds=1, per=1 << 20, sides=("sync",)),
    Workload("stdin", 1 << 20, mode="capture", rounds=1, per=1 << 20, sides=("sync",)),
    Workload("lines", 1000, mode="lines", rounds=1, per=1000, sides=("sync",)),
    Workload("exec-stdout", 1 << 20, mode="capture", rounds=1, per=1 << 20, sides=("sync",)),
)


@pytest.mark.skipif(not GO.exists(), reason="the Go side is not built: `make bench-quick` does")
def test_each_side_does_each_workload(monkeypatch: pytest.MonkeyPatch) -> None:
    """And one that is not to be had is told of, and does not end the run."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[1]))
    with place() as here:
        sides = Sides(here)
        try:
            for workload in SMALL:
                measured = measure(sides, workload)
                asked = {"go", *workload.sides, *workload.peers}
                assert {*measured.rounds, *measured.absent} == asked
                assert {*measured.absent} == {"nonesuch"} & asked, measured.absent
                assert all(
                    len(rounds) == workload.rounds and all(sample > 0 for samples in rounds for sample in samples)
                    for rounds in measured.rounds.values()
                )
        finally:
            sides.close()
