"""``pyctd run``: a command in a container of its own."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import click

from .. import options as container_options
from .. import spec
from ..client import Client
from ..container import Container
from ..errors import ConflictError, DeadlineExceededError, NotFoundError
from ..stdio import StdioCallback
from . import _streams
from ._errors import FAILED
from ._output import show_json
from ._settings import Settings, pass_settings, shared
from ._streams import Forwarding, check_input, console_size, exit_code, forwarded_signals, kept, logged, streams
from ._values import Limits, as_options, environment, label_map, limits, mount, size, tmpfs, volume

__all__ = ["run"]


@dataclass(frozen=True, kw_only=True)
class RunOptions(Limits):
    """What ``run`` takes."""

    command: tuple[str, ...]
    rootfs: str
    name: str | None
    interactive: bool
    tty: bool
    detach: bool
    remove: bool
    log: str | None
    engine: bool
    env: tuple[str, ...]
    workdir: str
    user: str
    hostname: str | None
    network: str
    volume: tuple[Mapping[str, Any], ...]
    mount: tuple[Mapping[str, Any], ...]
    tmpfs: tuple[Mapping[str, Any], ...]
    shm_size: int | None
    device: tuple[str, ...]
    cap_add: tuple[str, ...]
    cap_drop: tuple[str, ...]
    read_only: bool
    label: tuple[str, ...]
    runtime: str | None


@click.command(
    context_settings={"allow_interspersed_args": False},
    epilog="""\b
Examples:
  pyctd run --rm --rootfs ./rootfs /bin/echo hello
  pyctd run --rm -it --rootfs ./rootfs /bin/sh
  echo 'exit 3' | pyctd run --rm -i --rootfs ./rootfs /bin/sh; echo $?
  pyctd run -d --name web -m 64m --log web.log --rootfs ./rootfs /bin/httpd -f
  pyctd run --rm --rootfs ./rootfs -v "$PWD:/src:ro" -w /src /bin/ls

\b
Exit status: the command's own; 128 + n when signal n ended it; 127 when there
is no such command, 126 when it can't be executed, 125 when pyctd or containerd
failed.""",
)
@click.option(
    "--rootfs",
    required=True,
    metavar="DIR",
    type=click.Path(exists=True, file_okay=False),
    help="the directory that becomes the container's root; commands write to the directory itself",
)
@click.option("--name", metavar="ID", help="the container's id; a new one unless given")
@click.option("-i", "--interactive", is_flag=True, help="pass stdin on to the command")
@click.option("-t", "--tty", is_flag=True, help="give the command a terminal")
@click.option("-d", "--detach", is_flag=True, help="leave it running, and print its id")
@click.option("--rm", "remove", is_flag=True, help="remove the container when it has ended")
@click.option("--log", metavar="FILE", help="with -d: have containerd write the output to this file's end")
@click.option("--engine", is_flag=True, help="run on a private containerd, as it does where there is no other")
@click.option("-e", "--env", multiple=True, metavar="NAME[=VALUE]", help="set a variable; repeatable")
@click.option("-w", "--workdir", default="/", metavar="DIR", help="the working directory in the container")
@click.option("-u", "--user", default="0", metavar="USER[:GROUP]", help="who runs it, by name or number")
@click.option("--hostname", metavar="NAME", help="the container's host name; the machine's unless given")
@click.option("--network", default="private", metavar="MODE", help="private (lo alone), host, or a namespace's path")
@click.option("-v", "--volume", type=volume, multiple=True, metavar="SRC:DST[:ro]", help="mount a path; repeatable")
@click.option("--mount", type=mount, multiple=True, metavar="type=…,target=…", help="mount, spelt out; repeatable")
@click.option("--tmpfs", type=tmpfs, multiple=True, metavar="DST[:size=…]", help="mount memory; repeatable")
@click.option("--shm-size", type=size, help="size of /dev/shm")
@click.option("--device", multiple=True, metavar="PATH", help="a device of the host, as HOST[:CONTAINER[:rwm]]")
@click.option("--cap-add", multiple=True, metavar="CAP", help="add a capability; repeatable")
@click.option("--cap-drop", multiple=True, metavar="CAP", help="drop a capability; repeatable")
@click.option("--read-only", is_flag=True, help="mount the root read-only")
@click.option("-l", "--label", multiple=True, metavar="NAME=VALUE", help="label the container; repeatable")
@click.option("--runtime", metavar="NAME", help="containerd's shim")
@limits
@shared
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@pass_settings
@as_options(RunOptions)
def run(settings: Settings, options: RunOptions) -> int:
    """Run a command in a container, and exit as it does.

    Its streams, its terminal and the signals that this program gets are passed through. The container stays when the
    command has ended, unless --rm is given.

    The root directory is no copy: what a command writes stays there, for the next container too, and runc makes the
    directories dev, proc and sys in it. --read-only with --tmpfs /tmp leaves it as it is.
    """
    settings.executes, settings.failure = True, FAILED
    if options.detach and (options.remove or options.engine):
        which = "--rm" if options.remove else "--engine"
        raise click.UsageError(f"{which} needs a pyctd that waits for the end, and --detach leaves none")
    if options.log and (not options.detach or options.tty or options.interactive):
        raise click.UsageError("--log is for --detach without --tty and --interactive: other streams pass through")
    if not options.detach:
        check_input(options.tty, options.interactive)
    own = options.engine or (settings.nothing_there() and not options.detach)
    name = options.name or f"run-{uuid.uuid4().hex[:12]}"
    wanted = _spec(options)
    with (
        settings.client_or_engine(own) as client,
        forwarded_signals(not options.detach) as signals,
        _container(client, name, wanted, options, signals) as container,
    ):
        if options.detach:
            task = container.start(with_stdin=options.interactive, attach_stdio=_left_behind(options))
            show_json({"id": name, "pid": task.pid}, line=True) if settings.json else click.echo(name)
            return 0
        mine = streams(options.tty, options.interactive, signals, may_leave=not options.remove and not own)
        task = container.start(with_stdin=options.interactive, attach_stdio=mine.callback)
        code = exit_code(task, mine, signals)
        if options.remove:
            with contextlib.suppress(NotFoundError):  # somebody else has removed it: the code is known all the same
                task.delete()
        mine.check()
    return code


def _spec(options: RunOptions) -> dict[str, Any]:
    shm: dict[str, Any] = {} if options.shm_size is None else {"shm_size": options.shm_size}
    return spec.default(
        options.rootfs,
        options.command,
        cwd=options.workdir,
        env=environment(options.env),
        terminal=options.tty,
        console_size=console_size(options.tty),
        user=options.user,
        hostname=options.hostname,
        network=options.network,
        mounts=[*options.volume, *options.mount, *options.tmpfs],
        devices=options.device,
        cap_add=options.cap_add,
        cap_drop=options.cap_drop,
        readonly=options.read_only,
        **options.resources(),
        **shm,
    )


def _left_behind(options: RunOptions) -> StdioCallback | None:
    """The stdio callback of a detached container."""
    if options.log:
        return logged(os.fspath(options.log))
    return kept if options.tty or options.interactive else None


@contextlib.contextmanager
def _container(
    client: Client, name: str, wanted: dict[str, Any], options: RunOptions, signals: Forwarding
) -> Iterator[Container]:
    """A container that is gone at the end, whatever happened, if it is to be removed."""
    labels = [container_options.labels(label_map(options.label))] if options.label else []
    shim: dict[str, Any] = {} if options.runtime is None else {"shim": options.runtime}
    try:
        container = client.new_container(name, wanted, **shim, opts=labels)
    except ConflictError as error:
        taken = ConflictError(f"there is a container {name!r} in the namespace {client.namespace!r} already")
        taken.hint = "'pyctd rm' removes it, or give another --name"
        raise taken from error
    try:
        yield container
    finally:
        if options.remove:
            # Wait for a containerd that does not answer, unless the user has asked to end.
            timeout = _streams.PATIENCE if signals.given_up else None
            try:
                with contextlib.suppress(NotFoundError):
                    container.task(timeout=timeout).force_delete(timeout=timeout)
                with contextlib.suppress(NotFoundError):
                    container.delete(timeout=timeout)
            except DeadlineExceededError:
                told = f"containerd does not answer: {name} is left, and 'pyctd rm --force {name}' removes it"
                click.echo(f"pyctd: {told}", err=True)
