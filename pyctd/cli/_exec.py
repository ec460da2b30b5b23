"""``pyctd exec`` and ``pyctd attach``: into a container that runs."""

from __future__ import annotations

import contextlib
import os
import stat
import uuid
from typing import Any

import click

from .. import spec
from ..errors import Error, NotFoundError, StdioError
from ..stdio import IO, DirectIO
from ._settings import Settings, info_of, init_process, pass_settings, shared
from ._streams import check_input, console_size, exit_code, forwarded_signals, streams
from ._values import container_argument, environment

__all__ = ["attach", "exec"]


@click.command(
    context_settings={"allow_interspersed_args": False},
    epilog="""\b
Examples:
  pyctd exec web /bin/ps
  pyctd exec -it web /bin/sh
  pyctd exec -u nobody -w /tmp -e DEBUG=1 web /bin/id""",
)
@click.option("-i", "--interactive", is_flag=True, help="pass stdin on to the command")
@click.option("-t", "--tty", is_flag=True, help="give the command a terminal")
@click.option("-d", "--detach", is_flag=True, help="leave it running, its output thrown away")
@click.option("-e", "--env", multiple=True, metavar="NAME[=VALUE]", help="set a variable; repeatable")
@click.option("-w", "--workdir", metavar="DIR", help="the working directory; the container's unless given")
@click.option("-u", "--user", metavar="USER[:GROUP]", help="who runs it; the container's user unless given")
@shared
@container_argument()
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@pass_settings
def exec(settings: Settings, /, **given: Any) -> int:
    """Run a further command in a container that runs, and exit as it does.

    It has the container's environment, directory, user and capabilities. Signals that this program gets are passed on
    to it.
    """
    settings.executes = True
    if not given["detach"]:
        check_input(given["tty"], given["interactive"])
    with settings.client() as client, forwarded_signals(not given["detach"]) as signals:
        info = info_of(client, given["container"])
        task = client.load_container(info.id).task()
        wanted = spec.process_of(
            info,
            given["command"],
            cwd=given["workdir"],
            env=environment(given["env"]),
            terminal=given["tty"],
            console_size=console_size(given["tty"]),
            user=given["user"],
            rootfs=f"/proc/{task.pid}/root",  # the root as the container has it, wherever it comes from
        )
        own = None if given["detach"] else streams(given["tty"], given["interactive"], signals)
        process = task.exec(f"exec-{uuid.uuid4().hex[:12]}", wanted, given["interactive"], own)
        if own is None:
            return 0
        code = exit_code(process, own, signals)
        with contextlib.suppress(Error):  # the container may be gone, and the code is known
            process.delete()
        own.check()
    return code


class CannotAttachError(click.ClickException):
    """The container is in no state to attach to: docker's words and exit code."""

    exit_code = 1


@click.command()
@click.option("--stdin/--no-stdin", default=True, help="whether what is typed goes to the container")
@click.option("--sig-proxy/--no-sig-proxy", default=True, help="whether signals do; if not, Ctrl-C leaves it")
@shared
@container_argument()
@pass_settings
def attach(settings: Settings, /, container: str, stdin: bool, sig_proxy: bool) -> int:
    """Attach to a container's streams, and exit as it does.

    It needs to have been started with streams: pyctd run -d with -i or -t. One reader at a time. Ctrl-P Ctrl-Q
    leaves the terminal of a container again.
    """
    with settings.client() as client, forwarded_signals(sig_proxy) as signals:
        info = info_of(client, container)
        tty = bool(init_process(info).get("terminal"))
        check_input(tty, stdin)
        own = streams(tty, stdin)

        def attaching(dio: DirectIO) -> IO | None:
            if dio.stdout is None:
                click.echo(f"pyctd: {container} was started without streams: this waits for its end", err=True)
            elif not stat.S_ISFIFO(os.stat(dio.config().stdout).st_mode):
                raise click.ClickException(f"the output of {container} goes to {dio.config().stdout}, not here")
            return own(dio)

        found = client.load_container(info.id)
        with contextlib.suppress(NotFoundError):  # attach_task says so
            if found.task().status().status == "paused":
                raise CannotAttachError("cannot attach to a paused container, unpause it first: pyctd resume")
        try:
            task = found.attach_task(attaching)
        except StdioError as error:
            if isinstance(error.__cause__, click.ClickException):
                raise error.__cause__ from None
            raise
        code = exit_code(task, own, signals)
        own.check()
        return code
