"""The command line: ``python -m pyctd run`` and ``python -m pyctd version``."""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import logging
import os
import queue
import shlex
import signal
import sys
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from types import FrameType

from . import spec, stdio
from .client import Client
from .container import Container
from .engine import Engine
from .errors import Error, NotFoundError
from .task import Task

__all__ = ["main"]

FAILED, NOT_EXECUTABLE, NOT_FOUND = 125, 126, 127
"""What docker exits with when the failure is its own, or the command's before it runs."""
SIGNALS_UNTIL_KILL = 3

EXAMPLES = """\
examples:
  run a command in a root file system, on a containerd started for it:
    python -m pyctd run --rootfs ./rootfs -- /bin/echo hello

  give it your stdin, and keep its exit code:
    echo 'exit 3' | python -m pyctd run -i --rootfs ./rootfs -- /bin/sh; echo $?

  an interactive shell:
    python -m pyctd run -it --rootfs ./rootfs -- /bin/sh

  look into a running container with a further command:
    python -m pyctd run --rootfs ./rootfs --exec 'ps' --exec 'cat /proc/loadavg' -- /bin/sleep 1

  use the containerd of the system:
    python -m pyctd run --address /run/containerd/containerd.sock --rootfs ./rootfs -- /bin/true

exit status:
  the command's own; 128 + n when signal n ended it; 127 when there is no such command, 126 when it can't be
  executed, 125 when pyctd itself failed.
"""


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="python -m pyctd",
        description="Drives containerd with dockerd's own client.",
        epilog="'python -m pyctd run --help' teaches by example.",
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="{run,version}")
    run = verbs.add_parser(
        "run",
        help="run a command in a container",
        description="Runs a command in a container and passes its streams, signals and exit code through.",
        epilog=EXAMPLES,
        formatter_class=raw,
        usage="python -m pyctd run --rootfs DIR [options] -- COMMAND [ARG...]",
    )
    run.add_argument("--rootfs", required=True, metavar="DIR", help="the directory that becomes the container's root")
    run.add_argument("--name", metavar="ID", help="the container's id (a new one unless given)")
    run.add_argument(
        "-e", "--env", action="append", default=[], metavar="NAME=VALUE", help="set an environment variable; repeatable"
    )
    run.add_argument("-w", "--workdir", default="/", metavar="DIR", help="the working directory in the container")
    run.add_argument("-i", "--interactive", action="store_true", help="pass stdin on to the command")
    run.add_argument("-t", "--tty", action="store_true", help="give the command a terminal")
    run.add_argument("--read-only", action="store_true", help="mount the root read-only")
    run.add_argument(
        "--exec",
        action="append",
        default=[],
        dest="execs",
        metavar="COMMAND",
        help="once the container runs, run this command in it too, split as a shell does; repeatable",
    )
    run.add_argument("command", nargs="+", metavar="COMMAND", help="the command and its arguments, after --")
    version = verbs.add_parser("version", help="show the versions of pyctd and containerd")
    for verb in (run, version):
        verb.add_argument(
            "--address", metavar="SOCKET", help="use the containerd that listens here (one is started unless given)"
        )
        verb.add_argument("-v", "--verbose", action="store_true", help="show what containerd and libcontainerd log")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    args = _parser().parse_args(argv)
    # libcontainerd logs as errors what this program tells better itself.
    logging.basicConfig(level=logging.DEBUG if args.verbose else logging.CRITICAL, format="%(name)s: %(message)s")
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _exit_on_signal)
    try:
        return _version(args) if args.verb == "version" else _run(args)
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except (Error, OSError) as error:
        print(f"pyctd: {error}", file=sys.stderr)
        return FAILED


def _exit_on_signal(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)  # so that what was started is taken down


def _version(args: argparse.Namespace) -> int:
    print(f"pyctd {importlib.metadata.version('pyctd')}", flush=True)
    with Engine(args.address) as engine, engine.client() as client:
        version = client.version()
    revision = f" ({version.revision})" if version.revision else ""  # a build from a module's zip has none
    print(f"containerd {version.version}{revision}")
    return 0


def _run(args: argparse.Namespace) -> int:
    if not os.path.isdir(args.rootfs):
        raise FileNotFoundError(f"there is no directory {args.rootfs!r} to be the container's root")
    for variable in args.env:
        if "=" not in variable:
            raise UsageError(f"--env takes NAME=VALUE, not {variable!r}")
    wanted = spec.default(
        args.rootfs, args.command, cwd=args.workdir, env=args.env, terminal=args.tty, readonly=args.read_only
    )
    execs = [(text, spec.process(shlex.split(text), cwd=args.workdir, env=args.env)) for text in args.execs]
    name = args.name or f"run-{uuid.uuid4().hex[:12]}"
    with (
        Engine(args.address) as engine,
        engine.client() as client,
        _container(client, name, wanted) as container,
        _forwarded_signals() as forward_to,
    ):
        try:
            task = container.start(attach_stdio=_streams(args))
        except Error as error:
            print(f"pyctd: {error}", file=sys.stderr)
            return _start_failure(str(error))
        forward_to(task)
        for number, (text, process) in enumerate(execs):
            _exec(task, f"exec-{number}", text, process)
        status = task.wait().exit_code
        task.delete()
    return status


class UsageError(Error, ValueError):
    """The command line asks for what can't be."""


@contextlib.contextmanager
def _container(client: Client, name: str, wanted: dict[str, object]) -> Iterator[Container]:
    """A container that is gone at the end, whatever happened."""
    container = client.new_container(name, wanted)
    try:
        yield container
    finally:
        with contextlib.suppress(NotFoundError):
            container.task().force_delete()
        container.delete()


def _start_failure(text: str) -> int:
    """As docker reads the runtime's words."""
    if "exec:" not in text:
        return FAILED
    if "executable file not found" in text or "no such file or directory" in text:
        return NOT_FOUND
    if "permission denied" in text or "is a directory" in text or "exec format error" in text:
        return NOT_EXECUTABLE
    return FAILED


def _exec(task: Task, id: str, text: str, wanted: dict[str, object]) -> None:
    try:
        process = task.exec(id, wanted, attach_stdio=stdio.inherit())
        code = process.wait().exit_code
        process.delete()
    except Error as error:
        print(f"pyctd: --exec {text!r}: {error}", file=sys.stderr)
    else:
        if code:
            print(f"pyctd: --exec {text!r} exited with {code}", file=sys.stderr)


def _streams(args: argparse.Namespace) -> stdio.StdioCallback:
    """A person's terminal, or whatever else this program has for streams."""
    if args.tty and os.isatty(1) and (os.isatty(0) or not args.interactive):
        return stdio.terminal(stdin=args.interactive)
    return stdio.inherit(stdin=args.interactive)


@contextlib.contextmanager
def _forwarded_signals() -> Iterator[Callable[[Task], None]]:
    """Sends this process's signals on to the task that it is told; what arrives earlier waits.

    The third request to end kills: an init process may ignore the others.
    """
    arrived: queue.SimpleQueue[int] = queue.SimpleQueue()
    numbers = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2]

    def forward(task: Task) -> None:
        ends = 0
        while number := arrived.get():
            with contextlib.suppress(Error):
                ends += number in (signal.SIGINT, signal.SIGTERM)
                task.kill(signal.SIGKILL if ends >= SIGNALS_UNTIL_KILL else number)

    def forward_to(task: Task) -> None:
        # On a thread of its own: a signal's handler runs in the midst of the call that it interrupts.
        threads.append(threading.Thread(target=forward, args=(task,), name="pyctd-signals"))
        threads[0].start()

    threads: list[threading.Thread] = []
    before = {number: signal.signal(number, lambda n, _: arrived.put(n)) for number in numbers}
    try:
        yield forward_to
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        arrived.put(0)
        for thread in threads:
            thread.join()


if __name__ == "__main__":
    sys.exit(main())
