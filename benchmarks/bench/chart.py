"""The published figures: ``python -m bench.chart [results/bench.json]``.

Given the file of a run, this first summarises it in ``docs/performance.csv``. From that summary it then draws the
charts of the documentation, ``docs/performance.svg`` and ``docs/overview.svg``.
"""

from __future__ import annotations

import csv
import math
import statistics
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from decimal import ROUND_HALF_UP, Decimal
from html import escape
from pathlib import Path

from .compare import load
from .report import Measured, rate_text, time_text, verdict
from .stats import percentile, ratio_of

__all__ = ["Row", "overview", "ratios", "read", "summary"]

DOCS = Path(__file__).resolve().parents[2] / "docs"
NAMES = {"go": "Go", "sync": "pyctd", "asyncio": "pyctd.aio", "docker": "docker-py", "ctr": "ctr", "runc": "runc"}
COLOURS = {
    "go": "#607d8b",
    "sync": "#3f51b5",
    "asyncio": "#00897b",
    "docker": "#e65100",
    "ctr": "#9e9e9e",
    "runc": "#bdbdbd",
}
TIMES = "\u00d7"
OVERVIEW = {"lifecycle": "container life cycle: create, start, wait, delete", "exec": "exec of a short command"}


@dataclass(frozen=True)
class Row:
    """One side of one workload, as published: times are rounded, ``low`` to ``high`` is the ratio's middle half."""

    workload: str
    side: str
    median: str
    p99: str
    rate: str
    ratio: str
    low: str
    high: str
    target: str
    met: str

    @property
    def milliseconds(self) -> float:
        value, unit = self.median.split()
        return float(value) * {"s": 1000, "ms": 1, "µs": 0.001}[unit]


def summary(results: Sequence[Measured]) -> Iterator[Row]:
    """The rows of a run."""
    for measured in results:
        for side in measured.rounds:
            samples = measured.samples(side)
            median = statistics.median(samples)
            ratio = ("", "", "")
            if "go" in measured.rounds and side != "go":
                of = ratio_of(measured.rounds[side], measured.rounds["go"])
                ratio = (f"{of.median:.3f}", f"{of.low:.3f}", f"{of.high:.3f}")
            asked, holds = verdict(measured, side)
            yield Row(
                measured.workload.title,
                side,
                time_text(median),
                time_text(percentile(samples, 0.99)),
                rate_text(measured.workload, median),
                *ratio,
                asked,
                "" if holds is None else "yes" if holds else "no",
            )


def read(file: Path) -> list[Row]:
    """The rows of ``performance.csv``."""
    with file.open(newline="") as lines:
        return [Row(**row) for row in csv.DictReader(lines)]


def _write(file: Path, rows: Sequence[Row]) -> None:
    with file.open("w", newline="") as lines:
        writer = csv.DictWriter(lines, [field.name for field in fields(Row)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(map(asdict, rows))


def _svg(width: float, height: float, label: str, parts: Sequence[str]) -> str:
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
            f'font-size="13" role="img" aria-label="{escape(label)}">',
            f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
            *parts,
            "</svg>\n",
        ]
    )


def _text(x: float, y: float, text: str, more: str = "") -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" fill="#212121"{more}>{escape(text)}</text>'


def _rounded(ratio: str) -> str:
    return str(Decimal(ratio).quantize(Decimal("0.01"), ROUND_HALF_UP))


def overview(rows: Sequence[Row]) -> str:
    """Bars: the median times of a life cycle and of an exec, by side."""
    parts: list[str] = []
    y = 8
    for workload, title in OVERVIEW.items():
        sides = [row for row in rows if row.workload == workload]
        longest = max(row.milliseconds for row in sides)
        parts.append(_text(12, y + 16, title, ' font-weight="bold"'))
        y += 26
        for row in sides:
            length = row.milliseconds / longest * 250
            value = f"{row.median}, {_rounded(row.ratio)} {TIMES} Go" if row.ratio else row.median
            parts += [
                _text(88, y + 14, NAMES[row.side], ' text-anchor="end"'),
                f'<rect x="96" y="{y}" width="{length:.1f}" height="18" rx="2" fill="{COLOURS[row.side]}"/>',
                _text(96 + length + 6, y + 14, value),
            ]
            y += 24
        y += 12
    return _svg(500, y, "Median times of a container's life cycle and of an exec, by client", parts)


def ratios(rows: Sequence[Row]) -> str:
    """Dots and spans: the time of each workload relative to Go, on a logarithmic axis from 1/8 to 6."""
    compared = [row for row in rows if row.ratio and row.side in ("sync", "asyncio", "docker")]
    workloads = list(dict.fromkeys(row.workload for row in compared))
    left, right, top, step = 220, 628, 46, 26
    bottom = top + step * len(workloads)

    def x(ratio: float) -> float:
        return left + (right - left) * (math.log2(ratio) + 3) / (math.log2(6) + 3)

    parts = []
    for at, side in enumerate(("sync", "asyncio", "docker")):
        parts += [
            f'<circle cx="{left + at * 110}" cy="16" r="5" fill="{COLOURS[side]}"/>',
            _text(left + at * 110 + 10, 21, NAMES[side]),
        ]
    for tick in (0.125, 0.25, 0.5, 1, 2, 4):
        shade, wide = ("#212121", 1.5) if tick == 1 else ("#e0e0e0", 1)
        parts += [
            f'<path d="M{x(tick):.1f} {top - 8}V{bottom}" stroke="{shade}" stroke-width="{wide}"/>',
            _text(x(tick), bottom + 16, f"{tick:g} {TIMES}", ' text-anchor="middle"'),
        ]
    for at, workload in enumerate(workloads):
        y = top + step * at + step / 2
        parts.append(_text(left - 12, y + 4, workload, ' text-anchor="end"'))
        mine = [row for row in compared if row.workload == workload]
        for n, row in enumerate(mine):
            line = y + (n - (len(mine) - 1) / 2) * 7
            low, middle, high = (x(float(value)) for value in (row.low, row.ratio, row.high))
            parts += [
                f'<path d="M{low:.1f} {line:.1f}H{high:.1f}" stroke="{COLOURS[row.side]}" stroke-width="2"/>',
                f'<circle cx="{middle:.1f}" cy="{line:.1f}" r="4" fill="{COLOURS[row.side]}"/>',
            ]
    axis = "time taken, relative to Go (left is faster): the median, and the middle half of the rounds"
    parts.append(_text(320, bottom + 38, axis, ' text-anchor="middle" font-size="12"'))
    return _svg(640, bottom + 50, "The time of each workload relative to Go", parts)


def main(arguments: Sequence[str]) -> None:
    if arguments:
        _write(DOCS / "performance.csv", list(summary(load(Path(arguments[0])))))
    rows = read(DOCS / "performance.csv")
    (DOCS / "performance.svg").write_text(ratios(rows))
    (DOCS / "overview.svg").write_text(overview(rows))


if __name__ == "__main__":
    main(sys.argv[1:])
