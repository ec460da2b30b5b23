"""``pyctd exec`` and ``pyctd attach``: into a container that runs."""

from __future__ import annotations

import contextlib
import os
import stat
import uuid
from dataclasses import dataclass

import click

from .. import spec
from ..errors import Error, NotFoundError, StdioError
from ..stdio import IO, DirectIO
from ._settings import NOTHING_RUNS, Settings, info_of, init_process, pass_settings, running_task, shared
from ._streams import check_input, console_size, exit_code, forwarded_signals, streams
from ._values import as_options, container_argument, environment

__all__ = ["attach", "exec"]


@dataclass(frozen=True, kw_only=True)
class ExecOptions:
    """What ``exec`` takes."""

    container: str
    command: tuple[str, ...]
    interactive: bool
    tty: bool
    detach: bool
    env: tuple[str, ...]
    workdir: str | None
    user: str | None


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
@as_options(ExecOptions)
def exec(settings: Settings, options: ExecOptions) -> int:
    """Run a further command in a container that runs, and exit as it does.

    It has the container's environment, directory, user and capabilities. Signals that this program gets are passed on
    to it.
    """
    settings.executes = True
    if not options.detach:
        check_input(options.tty, options.interactive)
    with settings.client() as client, forwarded_signals(not options.detach) as signals:
        info = info_of(client, options.container)
        task = running_task(client.load_container(info.id))
        wanted = spec.process_of(
            info,
            options.command,
            cwd=options.workdir,
            env=environment(options.env),
            terminal=options.tty,
            console_size=console_size(options.tty),
            user=options.user,
            rootfs=f"/proc/{task.pid}/root",  # the root as the container has it, wherever it comes from
        )
        id = f"exec-{uuid.uuid4().hex[:12]}"
        if options.detach:
            task.exec(id, wanted, options.interactive)
            return 0
        own = streams(options.tty, options.interactive, signals)
        process = task.exec(id, wanted, options.interactive, own.callback)
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
            return own.callback(dio)

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
        except NotFoundError as error:
            error.hint = NOTHING_RUNS
            raise
        except Error as error:
            if "fifo file:" in str(error):  # containerd's words: it has no kind for a log URI
                error.hint = "its output goes to that file, as --log has it: there is nothing to attach to"
            raise
        code = exit_code(task, own, signals)
        own.check()
        return code
