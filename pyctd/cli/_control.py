"""``pyctd kill``, ``pause``, ``resume``, ``update`` and ``rm``: what is done to containers, several at once."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass

import click

from .. import spec
from ..client import Client
from ..errors import Error, NotFoundError
from ._errors import report
from ._output import show_json
from ._settings import Settings, loaded, pass_settings, running_task, shared
from ._values import Limits, as_options, containers_argument, limits, signals_so_far
from ._values import signal as signal_number

__all__ = ["kill", "pause", "resume", "rm", "update"]


def _each(
    settings: Settings,
    containers: tuple[str, ...],
    action: Callable[[Client, str], object],
    ignore: type[Error] | None = None,
) -> int:
    """Does something to each container, and prints the ids of those that it was done to. One that fails does not keep
    the others from it, and does not count as a failure with the error to ignore."""
    done, failed = [], 0
    with settings.client() as client:
        for id in containers:
            try:
                action(client, id)
            except Error as error:
                report(error, settings, id)
                failed += not (ignore and isinstance(error, ignore))
            else:
                done.append(id)
                if not settings.json:
                    click.echo(id)
    if settings.json:
        show_json([{"id": id} for id in done])
    return settings.failure if failed else 0


@click.command()
@click.option(
    "-s",
    "--signal",
    metavar="SIGNAL",
    default="KILL",
    show_default=True,
    help="by number or name",
    shell_complete=signals_so_far,
)
@shared
@containers_argument()
@pass_settings
def kill(settings: Settings, /, containers: tuple[str, ...], signal: str) -> int:
    """Send a signal to the first process of containers."""
    number = signal_number(signal)  # here, and not as the option's type: with docker a wrong one exits with 1, not 125
    return _each(settings, containers, lambda client, id: running_task(loaded(client, id)).kill(number))


@click.command()
@shared
@containers_argument()
@pass_settings
def pause(settings: Settings, /, containers: tuple[str, ...]) -> int:
    """Freeze every process of containers."""
    return _each(settings, containers, lambda client, id: running_task(loaded(client, id)).pause())


@click.command()
@shared
@containers_argument()
@pass_settings
def resume(settings: Settings, /, containers: tuple[str, ...]) -> int:
    """Let paused containers go on."""
    return _each(settings, containers, lambda client, id: running_task(loaded(client, id)).resume())


@dataclass(frozen=True, kw_only=True)
class UpdateOptions(Limits):
    """What ``update`` takes."""

    containers: tuple[str, ...]


@click.command(epilog="Example: pyctd update -m 128m --cpus 0.5 web")
@limits
@shared
@containers_argument()
@pass_settings
@as_options(UpdateOptions)
def update(settings: Settings, options: UpdateOptions) -> int:
    """Change the limits of containers that run."""
    resources = spec.resources(**options.resources())
    if not resources:
        raise click.UsageError("there is nothing to change: give a limit, such as --memory 64m")

    def change(client: Client, id: str) -> None:
        running_task(loaded(client, id)).update_resources(resources)

    return _each(settings, options.containers, change)


@click.command()
@click.option("-f", "--force", is_flag=True, help="kill what runs in them")
@shared
@containers_argument()
@pass_settings
def rm(settings: Settings, /, containers: tuple[str, ...], force: bool) -> int:
    """Remove containers.

    With --force it is no failure, as with docker, where there is no such container.
    """

    def remove(client: Client, id: str) -> None:
        container = loaded(client, id)
        with contextlib.suppress(NotFoundError):
            task = container.task()
            task.force_delete() if force else task.delete()
        container.delete()

    return _each(settings, containers, remove, NotFoundError if force else None)
