"""The cost of a call as containers, handles and waiting events increase."""

from __future__ import annotations

import statistics
import threading
from collections.abc import Callable

from rich.console import Console
from rich.table import Table

import pyctd

from .place import Place
from .side import Side
from .sides.common import each

__all__ = ["measure"]

CONTAINERS = (1, 10, 100, 1000)
HANDLES = 10_000
EVENTS = 10_000
REPEATS = 300


def measure(place: Place, console: Console) -> dict[str, dict[str, float]]:
    """Prints the table and returns it: microseconds by state and operation."""
    rows: dict[str, dict[str, float]] = {}
    table = Table(
        "state", "version: Go", "version: pyctd", "status: Go", "status: pyctd", title="growth: medians in µs"
    )

    def add(state: str, row: dict[str, float]) -> None:
        rows[state] = row
        table.add_row(state, *(f"{row[column]:.0f}" if column in row else "" for column in _COLUMNS))

    sides = {"go": Side("go", place), "pyctd": Side("sync", place)}
    try:
        live = 0
        for count in CONTAINERS:
            sides["pyctd"].run("live", count - live)
            live = count
            row: dict[str, list[float]] = {}
            for _ in range(5):
                for workload in ("version", "status"):
                    for name, side in sides.items():
                        samples = side.run(workload, REPEATS // 5)
                        row.setdefault(f"{workload} {name}", []).append(statistics.median(samples) / 1e3)
            add(f"{count} live containers", {key: statistics.median(values) for key, values in row.items()})
    finally:
        for side in sides.values():
            side.close()
    setup = place.setup("growth")
    with pyctd.Client(setup["address"], setup["namespace"], setup["state"], timeout=30) as client:
        container = client.new_container("one", pyctd.spec.default(place.rootfs, ["/bin/true"]))
        held: list[pyctd.Container] = []
        for count in (1, HANDLES):
            held += [client.load_container("one") for _ in range(count - len(held))]
            add(f"{count:,} handles", {"version pyctd": _median(client.version)})
        held.clear()
        container.delete()
    add(f"{EVENTS:,} queued events", {"version pyctd": _with_queued_events(setup)})
    console.print(table)
    return rows


_COLUMNS = ("version go", "version pyctd", "status go", "status pyctd")


def _median(operation: Callable[[], object]) -> float:
    return statistics.median(each(REPEATS, operation)) / 1e3


def _with_queued_events(setup: dict[str, str]) -> float:
    """Measures while handlers block on the first events and the rest wait behind them."""
    release, full = threading.Event(), threading.Event()

    def handler(container_id: str, event: pyctd.EventType, info: pyctd.EventInfo) -> None:
        full.set()
        release.wait()

    with (
        pyctd.Client(setup["address"], setup["namespace"], setup["state"], timeout=30) as client,
        pyctd.Client(setup["events"], f"flood-{EVENTS}", setup["state"], handler, timeout=30) as flooded,
    ):
        flooded.version()
        full.wait(30)
        try:
            return _median(client.version)
        finally:
            release.set()
