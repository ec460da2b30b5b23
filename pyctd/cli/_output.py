"""What commands print: coloured for a terminal, plain for a pipe, JSON for a program.

rich is loaded only for a terminal, so that a pipe need not wait for it.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.table import Table

__all__ = [
    "STYLES",
    "ago",
    "as_json",
    "colour",
    "lines",
    "printable",
    "rich_table",
    "show_json",
    "show_table",
    "size",
    "working",
]

STYLES = {
    "running": "green",
    "paused": "yellow",
    "created": "cyan",
    "exited": "red",
    "ok": "green",
    "warning": "yellow",
    "missing": "red",
}
"""Colours by a state, which is the first word of a cell."""

_PLAIN_GAP = "   "


def colour() -> bool | None:
    """What click is to be told of colours: it does not look for ``NO_COLOR``, as rich does. None is its own choice."""
    return False if os.environ.get("NO_COLOR") else None


def as_json(value: Any) -> Any:
    """A value in the terms of JSON."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return as_json({item.name: getattr(value, item.name) for item in dataclasses.fields(value)})
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return as_json(value._asdict())
    if isinstance(value, Mapping):
        return {str(key): as_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_json(item) for item in value]
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return value.isoformat() if isinstance(value, datetime) else value


def show_json(value: Any, *, line: bool = False) -> None:
    """Prints JSON, indented unless it is to be a line of many; coloured on a terminal."""
    text = json.dumps(as_json(value), ensure_ascii=False, indent=None if line else 2)
    # json escapes the first 32 characters; there are others that steer a terminal.
    text = "".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text)
    if sys.stdout.isatty() and not line:
        from rich.console import Console
        from rich.highlighter import JSONHighlighter

        Console().print(JSONHighlighter()(text), soft_wrap=True)
    else:
        click.echo(text)
        sys.stdout.flush()


def show_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Prints a table: columns under bold heads on a terminal, as docker aligns them in a pipe."""
    if sys.stdout.isatty():
        from rich.console import Console

        Console().print(rich_table(columns, rows))
    else:
        click.echo("\n".join(lines(columns, rows)))


def lines(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a plain table; nothing in it is cut short."""
    table = [[printable(cell) for cell in row] for row in (columns, *rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return [
        _PLAIN_GAP.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table
    ]


def rich_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """The same for a terminal."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 3, 0, 0))
    for column in columns:
        table.add_column(column, no_wrap=True, overflow="ellipsis")
    for row in rows:
        table.add_row(*(Text(printable(cell), STYLES.get(cell.partition(" ")[0], "")) for cell in row))
    return table


def printable(text: str, keep: str = "") -> str:
    """Text that does not steer a terminal: what containers and images name, such as files and labels, may be in it.

    Args:
        text: what is to be printed.
        keep: characters that stay as they are, such as newlines.
    """
    return "".join(c if c.isprintable() or c in keep else c.encode("unicode_escape").decode() for c in text)


@contextlib.contextmanager
def working(what: str) -> Iterator[None]:
    """Shows that something is under way, and for how long, on stderr where that is a terminal."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(20), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        progress.add_task(what, total=None)
        yield


_AGES: list[tuple[int, str]] = [(86400, "day"), (3600, "hour"), (60, "minute"), (1, "second")]


def ago(when: datetime | None, now: Callable[[], datetime] = lambda: datetime.now(timezone.utc)) -> str:
    """How long ago something was, roughly."""
    if when is None:
        return "-"
    seconds = int((now() - when).total_seconds())
    for length, name in _AGES:
        if (count := seconds // length) > 0:
            return f"{count} {name}{'s' if count > 1 else ''} ago"
    return "now"


def size(count: float) -> str:
    """A number of bytes as docker writes it: ``12.5MiB``."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.4g}{unit}"
        count /= 1024
    return f"{count:.4g}TiB"
