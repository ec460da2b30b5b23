"""What the benchmarks make of their samples."""

from __future__ import annotations

import statistics
from pathlib import Path

import pytest
from bench.chart import DOCS, overview, ratios, read, summary
from bench.compare import load, pairs
from bench.report import Measured, markdown, verdict, write
from bench.stats import Ratio, percentile, ratio_of
from bench.workloads import QUICK, WORKLOADS, Target, Workload
from hypothesis import given
from hypothesis import strategies as st

some = st.lists(st.integers(1, 10**9), min_size=1, max_size=50)


@given(some, st.floats(0.001, 1))
def test_a_percentile_is_the_first_sample_that_so_many_do_not_exceed(samples: list[int], part: float) -> None:
    value = percentile(samples, part)
    assert value in samples
    assert sum(sample <= value for sample in samples) >= part * len(samples) - 1e-9
    assert sum(sample < value for sample in samples) < part * len(samples) + 1e-9


def test_percentiles_of_a_hundred() -> None:
    samples = list(range(100, 0, -1))
    assert [percentile(samples, part) for part in (0.01, 0.5, 0.99, 1)] == [1, 50, 99, 100]


@pytest.mark.parametrize(("samples", "part"), [([], 0.5), ([1], 0), ([1], 1.01)])
def test_no_percentile(samples: list[int], part: float) -> None:
    with pytest.raises(ValueError, match="there are no samples|part must be"):
        percentile(samples, part)


def test_what_slows_both_sides_of_a_round_is_no_difference() -> None:
    base = [[100, 110, 120], [1000, 1100, 1200], [10, 11, 12]]
    double = [[2 * sample for sample in round] for round in base]
    assert ratio_of(double, base) == Ratio(2.0, 2.0, 2.0)


@given(st.lists(st.tuples(some, some), min_size=1, max_size=20))
def test_a_ratio_lies_within_its_spread(rounds: list[tuple[list[int], list[int]]]) -> None:
    mine, base = [pair[0] for pair in rounds], [pair[1] for pair in rounds]
    ratio = ratio_of(mine, base)
    assert ratio.low <= ratio.median <= ratio.high
    inside = [
        ratio.low <= statistics.median(a) / statistics.median(b) <= ratio.high for a, b in zip(mine, base, strict=True)
    ]
    assert sum(inside) >= len(rounds) / 2


def test_spreads_that_overlap_agree() -> None:
    one = Ratio(1.0, 0.9, 1.1)
    assert one.agrees(Ratio(1.15, 1.05, 1.2))
    assert one.agrees(one)
    assert not one.agrees(Ratio(1.3, 1.2, 1.4))
    assert not Ratio(1.3, 1.2, 1.4).agrees(one)


@pytest.mark.parametrize(("mine", "go"), [([], []), ([[1]], [[1], [2]])])
def test_rounds_that_do_not_pair(mine: list[list[int]], go: list[list[int]]) -> None:
    with pytest.raises(ValueError, match="do not pair"):
        ratio_of(mine, go)


US = 1000


@pytest.mark.parametrize(
    ("target", "mine", "per", "held"),
    [
        (Target(ratio=1.05), 105 * US, 0, True),
        (Target(ratio=1.05), 106 * US, 0, False),
        (Target(ratio=1.5, extra_us=15), 115 * US, 0, True),
        (Target(ratio=1.5, extra_us=15), 116 * US, 0, False),
        (Target(p99_extra_us=300), 400 * US, 0, True),
        (Target(p99_extra_us=300), 401 * US, 0, False),
        (Target(rate=200_000), 500_000 * US, 100_000, True),
        (Target(rate=200_000), 500_001 * US, 100_000, False),
        (Target(faster=2), 150 * US, 0, True),
        (Target(faster=2), 151 * US, 0, False),
        (Target(), 10**12, 0, None),
    ],
)
def test_the_bounds_of_targets(target: Target, mine: int, per: int, held: bool | None) -> None:
    rounds = {"go": [[100 * US]], "sync": [[mine]], "docker": [[300 * US]]}
    measured = Measured(Workload("w", 1, target, per=per), rounds)
    assert verdict(measured, "sync")[1] is held
    assert verdict(measured, "docker") == ("", None)


def test_a_target_without_its_peer_is_left_open() -> None:
    measured = Measured(Workload("w", 1, Target(faster=2)), {"go": [[1]], "sync": [[1]]})
    assert verdict(measured, "sync") == ("", None)


def test_both_forms_measure_the_same() -> None:
    assert {(w.name, w.mode) for w in QUICK} == {(w.name, w.mode) for w in WORKLOADS}


def test_what_a_run_has_written_is_read_again(tmp_path: Path) -> None:
    rounds = {"go": [[100 * US], [200 * US]], "sync": [[120 * US], [220 * US]], "docker": [[1], [2]]}
    results = [Measured(Workload("w", 1, Target(ratio=1.05), peers=("docker",)), rounds, {"asyncio": "why"})]
    write(tmp_path / "bench.json", {"cpus": 2}, results, {})
    assert load(tmp_path / "bench.json") == results


def test_ratios_of_two_runs_are_compared_where_both_have_them(tmp_path: Path) -> None:
    go, slow = [[100 * US]] * 4, [[200 * US]] * 4
    both, one = Workload("both", 1), Workload("one", 1)
    before = [Measured(both, {"go": go, "sync": go}), Measured(one, {"go": go, "sync": go})]
    after = [Measured(both, {"go": go, "sync": slow, "asyncio": go}), Measured(one, {"sync": go}, {"go": "why"})]
    found = list(pairs(before, after))
    assert [(title, side, str(a), str(b)) for title, side, a, b in found] == [
        ("both", "sync", "1.000 (1.000 to 1.000)", "2.000 (2.000 to 2.000)")
    ]
    assert not found[0][2].agrees(found[0][3])


def test_the_table_in_markdown(tmp_path: Path) -> None:
    measured = Measured(Workload("lines", 10, Target(rate=2), "lines", per=10), {"sync": [[10**9]]}, {"go": "why"})
    markdown(tmp_path / "bench.md", [measured])
    lines = (tmp_path / "bench.md").read_text().splitlines()
    assert lines[2:] == [
        "| lines x 10 | sync | 1 s | 1 s | 10/s |  | ≥ 2/s | yes |",
        "| lines x 10 | go | none: why |  |  |  |  |  |",
    ]


def test_the_charts_show_the_published_figures() -> None:
    rows = read(DOCS / "performance.csv")
    assert (DOCS / "performance.svg").read_text() == ratios(rows)
    assert (DOCS / "overview.svg").read_text() == overview(rows)


def test_a_run_is_summarised_by_workload_and_side() -> None:
    workload = Workload("version", 1, target=Target(ratio=1.05))
    rounds = {"go": [[100_000], [200_000]], "sync": [[150_000], [300_000]]}
    go, sync = summary([Measured(workload, rounds)])
    assert (go.side, go.median, go.ratio, go.met) == ("go", "150 µs", "", "")
    assert (sync.median, sync.ratio, sync.low, sync.high) == ("225 µs", "1.500", "1.500", "1.500")
    assert (sync.target, sync.met) == ("≤ 1.05", "no")
    assert sync.milliseconds == pytest.approx(0.225)
