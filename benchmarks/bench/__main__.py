"""``python -m bench`` runs the benchmarks and prints the tables."""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from . import footprint, growth, report
from .place import Place, place
from .report import Measured
from .side import Side, SideError
from .workloads import QUICK, WORKLOADS, Workload


class Sides:
    """The sides' programs, each started on first use."""

    def __init__(self, here: Place) -> None:
        self._place = here
        self._sides: dict[str, Side | SideError] = {}

    def __getitem__(self, name: str) -> Side:
        """Returns a side. Raises SideError, each time, if the side is not available."""
        known = self._sides.get(name)
        if known is None or (isinstance(known, Side) and known.ended):
            if isinstance(known, Side):
                known.close()
            try:
                self._sides[name] = Side(name, self._place)
            except SideError as error:
                self._sides[name] = error
        side = self._sides[name]
        if isinstance(side, SideError):
            raise side
        return side

    def close(self) -> None:
        for side in self._sides.values():
            if isinstance(side, Side):
                side.close()


def measure(sides: Sides, workload: Workload) -> Measured:
    """Asks each side in turn, and alternates the direction, so that drift affects all sides alike."""
    measured = Measured(workload)
    names = ["go", *workload.sides, *workload.peers]
    for number in range(workload.rounds + 1):
        for name in names[:: 1 if number % 2 else -1]:
            if name in measured.absent:
                continue
            try:
                samples = sides[name].run(workload.name, workload.count if number else warm_up(workload), workload.mode)
            except SideError as error:
                measured.absent[name] = str(error)
                measured.rounds.pop(name, None)
                continue
            if number:
                measured.rounds.setdefault(name, []).append(samples)
    measured.rounds = {name: measured.rounds[name] for name in names if name in measured.rounds}
    return measured


def warm_up(workload: Workload) -> int:
    """The size of the warm-up round: full for concurrent operations, to create their threads and memory."""
    return workload.count if workload.per else max(1, workload.count // 10)


def machine() -> dict[str, object]:
    """The properties of the machine that matter for the results."""
    daemon = subprocess.run(["containerd", "--version"], capture_output=True, text=True, check=False).stdout.split()
    return {
        "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
        "load": os.getloadavg(),
        "containerd": daemon[2] if len(daemon) > 2 else "",
    }


def chosen(workloads: Sequence[Workload], names: Sequence[str]) -> list[Workload]:
    return [workload for workload in workloads if not names or workload.name in names]


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench", description="pyctd beside Go and its peers")
    parser.add_argument("names", nargs="*", help="only these workloads, footprint or growth")
    parser.add_argument("--quick", action="store_true", help="fewer of everything: for use while developing")
    parser.add_argument("--out", type=Path, default=Path("results"), help="the directory for raw numbers and the plot")
    args = parser.parse_args()
    workloads = chosen(QUICK if args.quick else WORKLOADS, args.names)
    console = Console(width=None if sys.stdout.isatty() else 150)
    head = machine()
    console.print(" ".join(f"{key}: {value}" for key, value in head.items()))
    if os.getloadavg()[0] > 0.5:
        console.print("[yellow]This machine has other work to do: the figures will not hold.[/yellow]")
    results: list[Measured] = []
    tables: dict[str, object] = {}
    with place() as here:
        sides = Sides(here)
        try:
            for workload in workloads:
                console.print(f"{workload.title} …", style="dim")
                results.append(measure(sides, workload))
                report.write(
                    args.out / "bench.json", head, results, tables
                )  # so far, in case a later workload ends the run
        finally:
            sides.close()
        if not args.names or "footprint" in args.names:
            figures = footprint.measure(here, 3 if args.quick else 15)
            tables["footprint"] = [vars(figure) for figure in figures]
            footprint.show(figures, console)
        if "growth" in args.names or not (args.names or args.quick):
            try:
                tables["growth"] = growth.measure(here, console)
            except SideError as error:
                console.print(f"no table of growth: {error}")
    if results:
        report.show("pyctd beside Go and its peers", results, console)
    report.write(args.out / "bench.json", head, results, tables)
    if results:
        report.markdown(args.out / "bench.md", results)
        if failed := report.plot(args.out / "bench.svg", results):
            console.print(failed)
    console.print(f"raw numbers in {args.out}/bench.json")
    return 0


if __name__ == "__main__":
    sys.exit(main())
