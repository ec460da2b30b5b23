"""The tables that are printed: of the scenarios, and of two traces side by side."""

from __future__ import annotations

import io

from rich.console import Console
from rich.table import Table

from conformance.compare import Difference, kinds
from conformance.pair import Outcome
from conformance.scenario import Scenario

__all__ = ["add", "notes", "rows", "show", "side_by_side"]

FACES = ("sync", "asyncio")
rows: list[tuple[str, ...]] = []
notes: list[str] = []


def _came_to(outcome: Outcome, side: str) -> str:
    if side not in outcome.traces:
        return "ended"
    found = kinds(outcome.traces[side])
    errors = len(found) - found.count("ok")
    return f"{len(found)} steps" + (f", {errors} error{'s' * (errors > 1)}" if errors else "")


def add(scenario: Scenario, daemon: str, outcome: Outcome) -> None:
    """Adds a scenario's row."""
    deliberate = bool(scenario.differs) or any(
        isinstance(step, dict) and "differs" in next(iter(step.values())) for step in scenario.steps
    )
    same = (
        "NO"
        if not outcome.good
        else "but by chance"
        if outcome.trial
        else "but as documented"
        if deliberate
        else "same"
    )
    if outcome.trial:
        notes.append(f"containerd {daemon}: {scenario.name}: {outcome.trial}")
    columns = [_came_to(outcome, side) for side in ("go", *FACES)]
    rows.append((f"containerd {daemon}", scenario.name, *columns, same))


def show() -> None:
    """Prints the table and its counts."""
    grid = Table("daemon", "scenario", "Go", "Python sync", "Python asyncio", "same", box=None)
    for row in sorted(rows):
        grid.add_row(*row)
    # A line of a log is as long as it must be.
    console = Console(width=None if Console().is_terminal else 150)
    console.print(grid)
    count = {
        word: sum(row[-1] == word for row in rows) for word in ("same", "but as documented", "but by chance", "NO")
    }
    print("".join(f"{note}\n" for note in notes), end="")
    print(
        f"conformance: {len(rows)} scenarios: {count['same']} the same in Go and in Python, "
        f"{count['but as documented']} the same but for a documented difference, "
        f"{count['but by chance']} that differ by chance as Go does from itself, {count['NO']} not the same"
    )


def side_by_side(scenario: Scenario, face: str, differences: list[Difference]) -> str:
    """Where two traces differ."""
    grid = Table("where", "Go", f"Python {face}", title=f"{scenario.name}: {scenario.about}", show_lines=True)
    for difference in differences:
        grid.add_row(difference.where, difference.go, difference.python)
    out = io.StringIO()
    Console(file=out, width=160).print(grid)
    return out.getvalue()
