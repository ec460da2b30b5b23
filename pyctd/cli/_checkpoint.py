"""``pyctd checkpoint`` and ``restore``: a container's processes, written down and taken up again by CRIU."""

from __future__ import annotations

import contextlib
import os

import click

from ..errors import InvalidArgumentError, NotFoundError
from ._output import show_json, working
from ._settings import Settings, info_of, init_process, loaded, pass_settings, running_task, shared
from ._streams import check_input, exit_code, forwarded_signals, kept, streams
from ._values import container_argument

__all__ = ["checkpoint", "restore"]


@click.command(epilog="Example: pyctd checkpoint --kill web /var/lib/checkpoints/web")
@click.option("--kill", is_flag=True, help="kill the container afterwards; it runs on for a moment between")
@shared
@container_argument()
@click.argument("directory", type=click.Path())
@pass_settings
def checkpoint(settings: Settings, /, container: str, directory: str, kill: bool) -> None:
    """Write a checkpoint of a container into an empty or new directory.

    The container stands still meanwhile, and runs on then. It needs criu, iptables and tar on containerd's PATH.
    """
    with settings.client() as client:
        task = running_task(loaded(client, container))
        with working(f"checkpoint of {container}"):
            task.create_checkpoint(directory)
            if kill:
                with contextlib.suppress(NotFoundError):  # it has ended by itself
                    task.kill("KILL")
                task.wait()
    show_json({"id": container, "directory": directory}, line=True) if settings.json else click.echo(container)


@click.command(epilog="Example: pyctd restore -d web /var/lib/checkpoints/web")
@click.option("-d", "--detach", is_flag=True, help="leave it running, and print its id")
@click.option("-i", "--interactive", is_flag=True, help="pass stdin on to it")
@shared
@container_argument()
@click.argument("directory", type=click.Path(exists=True, file_okay=False))
@pass_settings
def restore(settings: Settings, /, container: str, directory: str, detach: bool, interactive: bool) -> int:
    """Have a container in which nothing runs go on from a checkpoint, and exit as it does.

    The container is the one that the checkpoint was made of, or one with the same spec and root.
    """
    with settings.client() as client, forwarded_signals(not detach) as signals:
        info = info_of(client, container)
        tty = bool(init_process(info).get("terminal"))
        if not detach:
            check_input(tty, interactive)
        loaded_container = client.load_container(info.id)
        if not os.path.exists(os.path.join(directory, "inventory.img")):  # before the exit code of the one before goes
            raise InvalidArgumentError(f"directory {directory!r} holds no checkpoint: there is no inventory.img in it")
        with contextlib.suppress(NotFoundError):
            loaded_container.task().delete()  # what is left of the one before
        if not detach:
            # No sign of life here: the container's own output may begin at any moment.
            own = streams(tty, interactive, signals)
            code = exit_code(loaded_container.start(directory, interactive, own.callback), own, signals)
            own.check()
            return code
        with working(f"restore of {container}"):
            task = loaded_container.start(directory, interactive, kept if tty or interactive else None)
        show_json({"id": container, "pid": task.pid}, line=True) if settings.json else click.echo(container)
        return 0
