"""``pyctd stats``: what containers use, live on a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from typing import Any

import click

from ..client import Client
from ..errors import NotFoundError, UnknownError
from ..types import Stats
from ._output import rich_table, show_json, show_table, size
from ._settings import Settings, loaded, pass_settings, running_task, shared
from ._usage import Usage, cpu_percent, usage_of
from ._values import containers_argument

__all__ = ["stats"]

_FIRST = 0.5
"""Seconds between the two looks that the first percentage of CPU time needs."""

_COLUMNS = ["ID", "CPU %", "MEM USAGE / LIMIT", "MEM %", "BLOCK I/O", "PIDS"]

_Look = dict[str, tuple[float, Usage]]


@click.command(epilog="Example: pyctd stats --json --stream --interval 5 web")
@click.option("--stream/--no-stream", default=None, help="go on until Ctrl-C, or look once; on a terminal it goes on")
@click.option(
    "--interval",
    type=click.FloatRange(min=0.1),
    default=1.0,
    show_default=True,
    metavar="SECONDS",
    help="between two looks",
)
@shared
@containers_argument(required=False)
@pass_settings
def stats(settings: Settings, /, containers: tuple[str, ...], stream: bool | None, interval: float) -> None:
    """Show what containers use: of all that run, or of some.

    A table that goes on on a terminal, and is printed once in a pipe. With --json and --stream it is a line of JSON for
    each look.
    """
    terminal = sys.stdout.isatty() and not settings.json
    goes_on = terminal if stream is None else stream
    with settings.client() as client:
        for id in containers:
            running_task(loaded(client, id))  # a name that is wrong is told of at once
        looks = _looks(client, containers, interval)
        if not goes_on:
            _show(next(looks), settings.json)
        elif terminal:
            _live(looks)
        else:
            for found in looks:
                _show(found, settings.json, line=True)


def _show(found: list[dict[str, Any]], json: bool, line: bool = False) -> None:
    if json:
        show_json(found, line=line)
    else:
        show_table(_COLUMNS, _rows(found))
        sys.stdout.flush()


def _live(looks: Iterator[list[dict[str, Any]]]) -> None:
    from rich.live import Live

    with Live(auto_refresh=False) as live:
        size = live.console.size
        for found in looks:
            if size != (size := live.console.size):
                live.console.clear()  # a narrower terminal has wrapped lines, which Live does not count
            live.update(rich_table(_COLUMNS, _rows(found)), refresh=True)


def _looks(client: Client, containers: tuple[str, ...], interval: float) -> Iterator[list[dict[str, Any]]]:
    """A look after the other, without end."""
    before = _look(client, containers)
    time.sleep(_FIRST)
    while True:
        now = _look(client, containers)
        yield [_numbers(id, *before.get(id, one), *one) for id, one in now.items()]
        before = now
        time.sleep(interval)


def _look(client: Client, containers: tuple[str, ...]) -> _Look:
    found: _Look = {}
    for id in containers or sorted(info.id for info in client.containers()):
        try:
            task = client.load_container(id).task()
            if task.status().status in ("running", "paused"):
                found[id] = _timed(task.stats())
        except (NotFoundError, UnknownError):  # it has no task, or has ended between the two calls
            continue
    return found


def _timed(read: Stats) -> tuple[float, Usage]:
    return read.read.timestamp() if read.read else time.time(), usage_of(read.metrics)


def _numbers(id: str, then: float, before: Usage, now: float, after: Usage) -> dict[str, Any]:
    return {
        "id": id,
        "cpu_percent": round(cpu_percent(before, after, now - then), 2),
        "memory_bytes": after.memory,
        "memory_limit_bytes": after.memory_limit,
        "memory_percent": round(100 * after.memory / after.memory_limit, 2),
        "block_read_bytes": after.read,
        "block_written_bytes": after.written,
        "pids": after.pids,
    }


def _rows(found: list[dict[str, Any]]) -> list[list[str]]:
    return [
        [
            one["id"],
            f"{one['cpu_percent']:.2f}%",
            f"{size(one['memory_bytes'])} / {size(one['memory_limit_bytes'])}",
            f"{one['memory_percent']:.2f}%",
            f"{size(one['block_read_bytes'])} / {size(one['block_written_bytes'])}",
            str(one["pids"]),
        ]
        for one in found
    ]
