"""Compares two runs: ``python -m bench.compare before.json results/bench.json``.

Two ratios agree when their spans overlap.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from .report import PYCTD, Measured
from .stats import Ratio, ratio_of
from .workloads import Target, Workload

__all__ = ["load", "pairs"]


def load(file: Path) -> list[Measured]:
    """Reads the results of a run."""
    results = []
    for raw in json.loads(file.read_text())["workloads"]:
        fields = raw["workload"]
        fields["target"] = Target(**fields["target"])
        fields |= {name: tuple(fields[name]) for name in ("peers", "sides")}
        results.append(Measured(Workload(**fields), raw["rounds"], raw["absent"]))
    return results


def pairs(before: Sequence[Measured], after: Sequence[Measured]) -> Iterator[tuple[str, str, Ratio, Ratio]]:
    """Yields the ratios of pyctd's sides that both runs have: workload, side, and the ratio in each run."""
    earlier = {measured.workload.title: measured.rounds for measured in before}
    for measured in after:
        title = measured.workload.title
        one, other = earlier.get(title, {}), measured.rounds
        for side in PYCTD:
            if all("go" in rounds and side in rounds for rounds in (one, other)):
                yield title, side, ratio_of(one[side], one["go"]), ratio_of(other[side], other["go"])


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.compare", description="compare two runs")
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    args = parser.parse_args()
    table = Table("workload", "side", "before", "after", "agree")
    apart = 0
    for title, side, one, other in pairs(load(args.before), load(args.after)):
        apart += not one.agrees(other)
        table.add_row(title, side, str(one), str(other), "yes" if one.agrees(other) else "NO")
    console = Console(width=None if sys.stdout.isatty() else 150)
    console.print(table)
    console.print(f"{apart} of {table.row_count} ratios differ by more than their spans")
    return 0


if __name__ == "__main__":
    sys.exit(main())
