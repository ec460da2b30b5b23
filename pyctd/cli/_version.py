"""``pyctd version``: pyctd's and containerd's."""

from __future__ import annotations

import importlib.metadata
import sys

import click

from ._output import show_json
from ._settings import Settings, pass_settings, shared

__all__ = ["version"]


@click.command()
@click.option("--engine", is_flag=True, help="of the private containerd that run would start")
@shared
@pass_settings
def version(settings: Settings, /, engine: bool) -> None:
    """Show the versions of pyctd and of containerd."""
    own = importlib.metadata.version("pyctd")
    if not settings.json:
        click.echo(f"pyctd {own}")
        sys.stdout.flush()
    with settings.client_or_engine(engine or settings.nothing_there()) as client:
        daemon = client.version()
    if settings.json:
        show_json({"pyctd": own, "containerd": daemon})
        return
    revision = f" ({daemon.revision})" if daemon.revision else ""  # a build from a module's zip has none
    click.echo(f"containerd {daemon.version}{revision}")
