"""pyctd's footprint: import time, memory, threads, and sizes on disk."""

from __future__ import annotations

import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

import pyctd

from .place import Place

__all__ = ["Figure", "measure", "show"]

MIB = 1 << 20

#: Runs in a process of its own; prints the time and the memory of the import, then memory and threads with a client.
PROGRAM = """
import os, sys, time

def pages():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1])

before = pages()
begun = time.perf_counter()
import pyctd
imported = time.perf_counter() - begun
print(imported * 1e3, (pages() - before) * os.sysconf("SC_PAGE_SIZE"))
with pyctd.Client(sys.argv[1], "footprint", sys.argv[2], timeout=30) as client:
    client.version()
    print((pages() - before) * os.sysconf("SC_PAGE_SIZE"), len(os.listdir("/proc/self/task")))
"""


@dataclass(frozen=True)
class Figure:
    """A measured number and its limit."""

    what: str
    value: float
    unit: str
    bound: float | None


def measure(place: Place, runs: int) -> list[Figure]:
    """Measures in new processes, and takes the medians."""
    lines = []
    for _ in range(runs):
        command = [sys.executable, "-c", PROGRAM, place.engine.address, str(place.directory / "footprint")]
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd="/")
        lines.append([float(word) for word in done.stdout.split()])
    import_ms, import_bytes, client_bytes, threads = map(statistics.median, zip(*lines, strict=True))
    figures = [
        Figure("import pyctd", import_ms, "ms", 40),
        Figure("memory that the import adds", import_bytes / MIB, "MiB", 12),
        Figure("memory with a connected client", client_bytes / MIB, "MiB", 30),
        Figure("threads with a connected client", threads, "", None),
    ]
    assert pyctd.__file__
    library = Path(pyctd.__file__).with_name("libpyctd.so")
    figures.append(Figure("libpyctd.so", library.stat().st_size / 1e6, "MB", 20))
    wheels = sorted((Path(__file__).resolve().parents[2] / "build" / "wheel").glob("*.whl"))  # from ``make build``
    figures.append(Figure("wheel", wheels[-1].stat().st_size / 1e6, "MB", 8))
    return figures


def show(figures: list[Figure], console: Console) -> None:
    """Prints the figures."""
    table = Table("footprint", "value", "target", "met")
    for figure in figures:
        met = None if figure.bound is None else figure.value <= figure.bound
        table.add_row(
            figure.what,
            f"{figure.value:.1f} {figure.unit}".strip(),
            "" if figure.bound is None else f"≤ {figure.bound:g} {figure.unit}",
            "" if met is None else "yes" if met else "NO",
            style="red" if met is False else None,
        )
    console.print(table)
