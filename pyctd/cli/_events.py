"""``pyctd events``: what happens, as it happens."""

from __future__ import annotations

from datetime import datetime, timezone

import click

from ..events import Event, EventType
from ._output import as_json, show_json
from ._settings import Settings, pass_settings, shared
from ._values import containers_argument

__all__ = ["events"]

_COLOURS = {
    EventType.EXIT: "red",
    EventType.OOM: "red",
    EventType.GAP: "yellow",
    EventType.START: "green",
    EventType.EXEC_STARTED: "green",
}


@click.command(epilog="Example: pyctd events --event exit --json web")
@click.option(
    "--event",
    "kinds",
    type=click.Choice([str(kind) for kind in EventType]),
    multiple=True,
    help="only these; repeatable",
)
@click.option("--count", type=click.IntRange(min=1), metavar="NUMBER", help="end after so many; else with Ctrl-C")
@shared
@containers_argument(required=False)
@pass_settings
def events(settings: Settings, /, containers: tuple[str, ...], kinds: tuple[str, ...], count: int | None) -> None:
    """Print events as they come: of all containers, or of some.

    With --json each is a JSON object on a line of its own. A gap is where events were lost, since the daemon was away;
    the exits that containerd still tells of when it is back follow it.
    """
    with (
        settings.client() as client,
        client.events(container_id=containers or None, event=kinds or None, gaps=True) as stream,
    ):
        for number, event in enumerate(stream, 1):
            _show(event, settings.json)
            if number == count:
                return


def _show(event: Event, json: bool) -> None:
    now = datetime.now(timezone.utc)
    if json:
        show_json({"time": now, "event": event.event.value} | as_json(event.info), line=True)
        return
    info = event.info
    process = f"/{info.process_id}" if info.process_id not in ("", event.container_id) else ""
    facts = [f"pid={info.pid}"] if info.pid else []
    if event.event is EventType.GAP and info.exited_at is not None:
        facts.append(f"since={info.exited_at.isoformat(timespec='milliseconds')}")
    if event.event is EventType.EXIT:
        facts.append(f"exit_code={info.exit_code}")
    if info.error:
        facts.append(f"error={info.error}")
    kind = click.style(f"{event.event.value:<12}", fg=_COLOURS.get(event.event, "cyan"))
    whose = [event.container_id + process] if event.container_id else []
    click.echo(" ".join([now.isoformat(timespec="milliseconds"), kind, *whose, *facts]))
