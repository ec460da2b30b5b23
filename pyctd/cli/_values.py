"""What options take: sizes, variables, mounts, limits."""

from __future__ import annotations

import contextlib
import csv
import functools
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from .. import spec
from ..process import signal_names, signal_number
from ._settings import Settings

__all__ = [
    "Limits",
    "as_options",
    "container_argument",
    "containers_argument",
    "environment",
    "label_map",
    "limits",
    "mount",
    "signal",
    "signals_so_far",
    "size",
    "tmpfs",
    "volume",
]

FC = TypeVar("FC", bound=Callable[..., Any] | click.Command)

_UNITS = {"": 0, "b": 0, "k": 1, "m": 2, "g": 3, "t": 4}


T = TypeVar("T")


def as_options(kind: Callable[..., T]) -> Callable[[Callable[[Settings, T], int]], Callable[..., int]]:
    """Gives a command its parameters as one object, whose fields have click's names and the command's types."""

    def wrap(command: Callable[[Settings, T], int]) -> Callable[..., int]:
        @functools.wraps(command)
        def call(settings: Settings, /, **given: Any) -> int:
            return command(settings, kind(**given))

        return call

    return wrap


def _or_bad(parse: Callable[[str], T]) -> Callable[[str], T]:
    """What click takes as an option's type, of a function that raises ValueError for what it can't read."""

    @functools.wraps(parse)
    def convert(text: str) -> T:
        try:
            return parse(text)
        except ValueError as error:  # InvalidArgumentError too
            raise click.BadParameter(f"{text!r}: {error}") from error

    return convert


@_or_bad
def size(text: str) -> int:
    """Bytes as docker takes them: ``64m``, ``1.5g``, ``512KiB``, ``1048576``; -1 where that has a meaning."""
    return _bytes(text)


def _bytes(text: str) -> int:
    if text == "-1":
        return -1
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?) ?([kmgt]?)(?:i?b)?", text.strip().lower())
    if found is None:
        raise ValueError("a size is like 64m, 1.5g or a number of bytes")
    return int(float(found[1]) * 1024 ** _UNITS[found[2]])


@_or_bad
def signal(text: str) -> int:
    """A signal by number or name. 0 is none, as with docker."""
    if not (number := signal_number(text)):
        raise ValueError("no signal has that number")
    return number


def signals_so_far(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """The signals' names that a shell completes to, with or without SIG as they were begun."""
    prefix = "SIG" if incomplete.upper().startswith("SIG") else ""
    names = [prefix + name for name in signal_names()]
    return [name for name in names if name.startswith(incomplete.upper())]


@_or_bad
def volume(text: str) -> dict[str, Any]:
    """The OCI mount of ``SOURCE:TARGET[:OPTIONS]``, as ``docker run -v`` has it."""
    source, target, options = _fields(text, 2, 3, "SOURCE:TARGET[:ro]")
    propagation, read_only = "rprivate", False
    for option in filter(None, options.split(",")):
        if option in ("ro", "rw"):
            read_only = option == "ro"
        else:
            propagation = option
    return _bind(source, target, read_only=read_only, propagation=propagation)


@_or_bad
def tmpfs(text: str) -> dict[str, Any]:
    """The OCI mount of ``TARGET[:OPTIONS]``, as ``docker run --tmpfs`` has it."""
    target, options, _ = _fields(text, 1, 2, "TARGET[:size=64m,mode=1777,exec]")
    return _tmpfs(target, _pairs(options.split(","), {"size", "mode", "exec"}), "")


@_or_bad
def mount(text: str) -> dict[str, Any]:
    """The OCI mount of ``type=bind,source=…,target=…[,readonly]`` or ``type=tmpfs,target=…``, as ``docker run --mount``
    has it."""
    names = {
        *("type", "source", "src", "target", "destination", "dst", "readonly", "ro"),
        *("bind-propagation", "tmpfs-size", "tmpfs-mode"),
    }
    given = _pairs(next(csv.reader([text])), names)
    target = given.get("target") or given.get("destination") or given.get("dst")
    if not target:
        raise ValueError("a mount needs target=")
    kind = given.get("type", "bind")
    if kind == "tmpfs":
        return _tmpfs(target, given, "tmpfs-")
    if kind != "bind":
        raise ValueError(f"type must be bind or tmpfs, not {kind!r}")
    source = given.get("source") or given.get("src")
    if not source:
        raise ValueError("a bind mount needs source=")
    read_only = any(given.get(name, "false") in ("", "true", "1") for name in ("readonly", "ro"))
    return _bind(source, target, read_only=read_only, propagation=given.get("bind-propagation", "rprivate"))


def _fields(text: str, least: int, most: int, form: str) -> list[str]:
    fields = text.split(":")
    if not least <= len(fields) <= most or not all(fields[:least]):
        raise ValueError(f"it must be like {form}")
    return [*fields, "", ""][:3]


def _pairs(fields: Sequence[str], names: set[str]) -> dict[str, str]:
    given = {}
    for field in filter(None, fields):
        name, _, value = field.partition("=")
        if name not in names:
            raise ValueError(f"there is no option {name!r}, but {', '.join(sorted(names))}")
        given[name] = value
    return given


def _bind(source: str, target: str, *, read_only: bool, propagation: str) -> dict[str, Any]:
    if "/" not in source and source not in (".", ".."):
        raise ValueError(f"pyctd has no volumes with names: give the path of a directory or file, such as ./{source}")
    if not os.path.exists(source):
        raise ValueError(f"there is no {source!r} to be mounted")
    return spec.bind(source, target, read_only=read_only, propagation=propagation)


def _tmpfs(target: str, given: dict[str, str], prefix: str) -> dict[str, Any]:
    size, mode = given.get(prefix + "size"), given.get(prefix + "mode")
    if mode is not None and not re.fullmatch("[0-7]+", mode):
        raise ValueError(f"mode must be octal, such as 1777, not {mode!r}")
    return spec.tmpfs(
        target,
        size=None if size is None else _bytes(size),
        mode=None if mode is None else int(mode, 8),
        executable="exec" in given,
    )


def environment(given: Sequence[str]) -> dict[str, str]:
    """The variables of ``--env``: ``NAME=VALUE``, or ``NAME`` for this program's own, if it has it.

    Raises:
        click.UsageError: one is neither.
    """
    variables = {}
    for item in given:
        name, equals, value = item.partition("=")
        if not name:
            raise click.UsageError(
                "--env takes NAME=VALUE or NAME: there is no name before the =", click.get_current_context()
            )
        if equals:
            variables[name] = value
        elif name in os.environ:
            variables[name] = os.environ[name]
    return variables


def label_map(given: Sequence[str]) -> dict[str, str]:
    """The labels of ``--label``; one without a value is empty, as with docker."""
    return {name: value for name, _, value in (item.partition("=") for item in given)}


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The options of ``limits``."""

    memory: int | None
    memory_swap: int | None
    memory_reservation: int | None
    cpus: float | None
    cpu_shares: int | None
    cpuset_cpus: str | None
    cpuset_mems: str | None
    pids_limit: int | None

    def resources(self) -> spec.ResourceKeywords:
        """The keywords of ``spec.resources``."""
        return {
            "memory": self.memory,
            "memory_swap": self.memory_swap,
            "memory_reservation": self.memory_reservation,
            "cpus": self.cpus,
            "cpu_shares": self.cpu_shares,
            "cpuset_cpus": self.cpuset_cpus,
            "cpuset_mems": self.cpuset_mems,
            "pids_limit": self.pids_limit,
        }


def limits(command: FC) -> FC:
    """Gives a command the options of ``spec.resources``, by the names that docker has for them."""
    options = [
        click.option("-m", "--memory", type=size, help="memory, such as 64m or 1.5g"),
        click.option(
            "--memory-swap",
            type=size,
            help="memory and swap together; -1 for no limit, which is no change to one there is",
        ),
        click.option("--memory-reservation", type=size, help="memory to be pressed down to when the machine is short"),
        click.option("--cpus", type=float, metavar="NUMBER", help="CPUs' worth of time, such as 1.5"),
        click.option("--cpu-shares", type=int, metavar="WEIGHT", help="weight against others; 1024 is the usual"),
        click.option("--cpuset-cpus", metavar="LIST", help="CPUs to run on, such as 0-2,7"),
        click.option("--cpuset-mems", metavar="LIST", help="memory nodes to use"),
        click.option("--pids-limit", type=int, metavar="COUNT", help="processes at most; -1 for no limit"),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def _containers_so_far(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """The ids that a shell completes to. It stays silent where there is no containerd to ask."""
    settings = context.find_object(Settings) or Settings()
    given = context.params.get("containers") or ()
    with contextlib.suppress(Exception), settings.client() as client:
        return [info.id for info in client.containers() if info.id.startswith(incomplete) and info.id not in given]
    return []


def container_argument() -> Callable[[FC], FC]:
    """One container's id, which a shell can complete."""
    return click.argument("container", shell_complete=_containers_so_far)


def containers_argument(required: bool = True) -> Callable[[FC], FC]:
    """Several, likewise."""
    return click.argument(
        "containers",
        metavar="CONTAINER..." if required else "[CONTAINER]...",
        nargs=-1,
        required=required,
        shell_complete=_containers_so_far,
    )
