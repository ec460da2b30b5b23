"""The tables that end a run: rows of what its tests have seen, in whichever of its processes."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

__all__ = ["chaos", "hear", "show", "soak", "tell"]

Row = tuple[str, ...]

#: The faults that were tried, in turn, and what was measured.
chaos: list[Row] = []
soak: list[Row] = []

_TABLES = {
    "chaos": (chaos, ("fault", "tries", "lost", "leaked", "crashed", "what was seen")),
    "soak": (soak, ("what", "how much", "figures")),
}


def tell() -> dict[str, list[Row]]:
    """The rows of this process, for the one that shows them."""
    return {title: rows for title, (rows, _) in _TABLES.items()}


def hear(told: dict[str, Any]) -> None:
    """Takes the rows of another process."""
    for title, rows in told.items():
        _TABLES[title][0].extend(map(tuple, rows))


def show() -> None:
    """Prints every table that has rows."""
    for title, (rows, columns) in _TABLES.items():
        if rows:
            table = Table(title=title)
            for column in columns:
                table.add_column(
                    column, justify="right" if column in ("tries", "lost", "leaked", "crashed") else "left"
                )
            for row in rows:
                table.add_row(*row)
            Console(width=140).print(table)
