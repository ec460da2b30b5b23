"""The table, the raw numbers and the plot."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from .stats import percentile, ratio_of
from .workloads import Workload

__all__ = ["PYCTD", "Measured", "markdown", "plot", "rate_text", "show", "time_text", "verdict", "write"]

PYCTD = ("sync", "asyncio")


@dataclass
class Measured:
    """The results of a workload: each side's rounds of samples in nanoseconds, or why the side has none."""

    workload: Workload
    rounds: dict[str, list[list[int]]] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)

    def samples(self, side: str) -> list[int]:
        return [sample for round in self.rounds[side] for sample in round]


def verdict(measured: Measured, side: str) -> tuple[str, bool | None]:
    """A side's targets and whether it meets them; None without a target or without a side to compare with."""
    target, rounds = measured.workload.target, measured.rounds
    if side not in PYCTD:
        return "", None
    asked: list[str] = []
    held: list[bool] = []
    mine = statistics.median(measured.samples(side))

    def check(text: str, holds: bool) -> None:
        asked.append(text)
        held.append(holds)

    if "go" in rounds:
        go = statistics.median(measured.samples("go"))
        if target.ratio is not None:
            check(f"≤ {target.ratio:.2f}", ratio_of(rounds[side], rounds["go"]).median <= target.ratio)
        if target.extra_us is not None:
            check(f"≤ +{target.extra_us:g} µs", mine - go <= target.extra_us * 1e3)
        if target.p99_extra_us is not None:
            extra = percentile(measured.samples(side), 0.99) - percentile(measured.samples("go"), 0.99)
            check(f"p99 ≤ +{target.p99_extra_us:g} µs", extra <= target.p99_extra_us * 1e3)
    if target.rate is not None:
        check(f"≥ {target.rate:,.0f}/s", measured.workload.per / mine * 1e9 >= target.rate)
    if target.faster is not None and "docker" in rounds:
        check(f"docker ≥ {target.faster:g} x", statistics.median(measured.samples("docker")) >= target.faster * mine)
    return ", ".join(asked), all(held) if held else None


def time_text(ns: float) -> str:
    """A duration with three digits and its unit."""
    for unit, size in (("s", 1e9), ("ms", 1e6)):
        if ns >= size:
            return f"{ns / size:.3g} {unit}" if ns / size < 1000 else f"{ns / size:.0f} {unit}"
    return f"{ns / 1e3:.0f} µs"


def rate_text(workload: Workload, ns: float) -> str:
    """The rate of a workload that counts or moves something; empty for others."""
    if not workload.per:
        return ""
    rate = workload.per / ns * 1e9
    return f"{rate / 1e9:.2f} GB/s" if workload.mode not in ("", "lines") else f"{rate:,.0f}/s"


def _rows(results: Sequence[Measured]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for measured in results:
        for side in measured.rounds:
            samples = measured.samples(side)
            median = statistics.median(samples)
            ratio = ratio_of(measured.rounds[side], measured.rounds["go"]) if "go" in measured.rounds else None
            asked, holds = verdict(measured, side)
            rows.append(
                (
                    measured.workload.title,
                    side,
                    time_text(median),
                    time_text(percentile(samples, 0.99)),
                    rate_text(measured.workload, median),
                    "" if ratio is None or side == "go" else str(ratio),
                    asked,
                    "" if holds is None else "yes" if holds else "NO",
                )
            )
        rows += [(measured.workload.title, side, f"none: {why}", *[""] * 5) for side, why in measured.absent.items()]
    return rows


HEADINGS = ("workload", "side", "median", "p99", "rate", "to Go (middle half)", "target", "met")


def show(title: str, results: Sequence[Measured], console: Console) -> None:
    """Prints one table."""
    table = Table(*HEADINGS, title=title)
    for before, row in zip([None, *_rows(results)], _rows(results), strict=False):
        if before is not None and before[0] != row[0]:
            table.add_section()
        table.add_row(*row, style="red" if row[-1] == "NO" else None)
    console.print(table)


def markdown(file: Path, results: Sequence[Measured]) -> None:
    """Writes the table in Markdown."""
    rows = [HEADINGS, ("---",) * len(HEADINGS), *_rows(results)]
    file.write_text("".join(f"| {' | '.join(row)} |\n" for row in rows))


def write(file: Path, head: Mapping[str, Any], results: Sequence[Measured], tables: Mapping[str, Any]) -> None:
    """Writes the raw numbers."""
    file.parent.mkdir(parents=True, exist_ok=True)
    content = {**head, "workloads": [asdict(measured) for measured in results], **tables}
    file.write_text(json.dumps(content, indent=1))


def plot(file: Path, results: Sequence[Measured]) -> str:
    """Draws each workload's ratios to Go, a dot per round. Returns why it could not, or an empty text."""
    try:
        import matplotlib
    except ImportError:
        return "no plot: matplotlib is not installed (pip install 'pyctd[bench]')"
    matplotlib.use("Agg")
    from matplotlib import pyplot

    drawn = [measured for measured in results if "go" in measured.rounds]
    figure, axes = pyplot.subplots(figsize=(9, 0.45 * len(drawn) + 1.5))
    for at, measured in enumerate(reversed(drawn)):
        base = [statistics.median(round) for round in measured.rounds["go"]]
        for side, colour, shift in (("sync", "tab:blue", 0.12), ("asyncio", "tab:orange", -0.12)):
            if side in measured.rounds:
                mine = [statistics.median(round) for round in measured.rounds[side]]
                ratios = [a / b for a, b in zip(mine, base, strict=True)]
                axes.plot(ratios, [at + shift] * len(ratios), "o", color=colour, alpha=0.4, markersize=4)
                axes.plot(statistics.median(ratios), at + shift, "|", color=colour, markersize=14, markeredgewidth=2)
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_yticks(range(len(drawn)), [measured.workload.title for measured in reversed(drawn)])
    axes.set_xlabel("time taken, as a ratio to Go: a dot a round, a bar the median (blue: sync, orange: asyncio)")
    figure.tight_layout()
    figure.savefig(file)
    return ""
