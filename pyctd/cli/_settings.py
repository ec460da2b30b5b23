"""What every command takes: which containerd, which namespace, and for whom the output is."""

from __future__ import annotations

import contextlib
import json
import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from ..client import Client
from ..container import Container
from ..engine import Engine
from ..errors import DeadlineExceededError, NotFoundError, UnavailableError
from ..task import Task
from ..types import ContainerInfo

__all__ = [
    "DEFAULT_ADDRESS",
    "NOTHING_RUNS",
    "Settings",
    "info_of",
    "init_process",
    "loaded",
    "pass_settings",
    "running_task",
    "shared",
]

DEFAULT_ADDRESS = "/run/containerd/containerd.sock"
CONNECT_TIMEOUT = 20.0
NOTHING_RUNS = "nothing runs in it: 'pyctd ps --all' shows what has become of it"

FC = TypeVar("FC", bound=Callable[..., Any] | click.Command)


def _variable(name: str) -> Any:
    """A setting that a variable of the environment gives, where it is not empty."""
    return field(default_factory=lambda: os.environ.get(name) or None)


@dataclass
class Settings:
    """The options that all commands share, given before or after the verb; the last one counts.

    Attributes:
        command: the command's path, as click has it: not all of its errors know theirs.
        executes: whether the command line runs a command in a container, and exits as that does.
        failure: what to exit with when pyctd or containerd fails; ``run`` has docker's own number for it.
    """

    address: str | None = _variable("CONTAINERD_ADDRESS")
    namespace: str | None = _variable("CONTAINERD_NAMESPACE")
    state_dir: str | None = _variable("PYCTD_STATE_DIR")
    json: bool = False
    debug: bool = False
    command: str = "pyctd"
    executes: bool = False
    failure: int = 1

    @property
    def socket(self) -> str:
        """The socket to connect to."""
        return self.address or DEFAULT_ADDRESS

    @property
    def space(self) -> str:
        """The namespace to work in."""
        return self.namespace or "moby"

    def client(self) -> Client:
        """A client of the containerd that is meant."""
        try:
            return Client(self.socket, self.space, self.state_dir, timeout=CONNECT_TIMEOUT)
        except DeadlineExceededError as error:
            told = f"containerd at {self.socket} does not answer within {CONNECT_TIMEOUT:g} s"
            raise UnavailableError(told) from error

    def nothing_there(self) -> bool:
        """Whether no containerd is named, and the machine has none."""
        return self.address is None and not os.path.exists(DEFAULT_ADDRESS)

    @contextlib.contextmanager
    def client_or_engine(self, private: bool) -> Iterator[Client]:
        """A client of the containerd that is meant, or of a private one."""
        if not private:
            with self.client() as client:
                yield client
            return
        with Engine() as engine, engine.client(self.space, timeout=CONNECT_TIMEOUT) as client:
            yield client


pass_settings = click.make_pass_decorator(Settings)


def _store(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    settings = context.ensure_object(Settings)
    if parameter.name and context.get_parameter_source(parameter.name) is ParameterSource.COMMANDLINE:
        setattr(settings, parameter.name, value)
    if parameter.name == "debug":
        # libcontainerd logs as errors what the commands tell better themselves.
        level = logging.DEBUG if settings.debug else logging.CRITICAL
        logging.basicConfig(level=level, format="%(name)s: %(message)s", force=True)


def shared(command: FC) -> FC:
    """Gives a command the options that all have."""
    options = [
        click.option(
            "--address",
            metavar="SOCKET",
            help=f"containerd's socket  [$CONTAINERD_ADDRESS, else {DEFAULT_ADDRESS}]",
            expose_value=False,
            callback=_store,
        ),
        click.option(
            "-n",
            "--namespace",
            metavar="NAME",
            help="containerd's namespace  [$CONTAINERD_NAMESPACE, else moby]",
            expose_value=False,
            callback=_store,
        ),
        click.option(
            "--state-dir",
            metavar="DIR",
            help="where bundles live  [$PYCTD_STATE_DIR, else /run/pyctd/NAMESPACE]",
            expose_value=False,
            callback=_store,
        ),
        click.option("--json", is_flag=True, help="print JSON, errors too", expose_value=False, callback=_store),
        click.option(
            "--debug",
            is_flag=True,
            help="show what containerd's client logs, and the tracebacks of errors",
            expose_value=False,
            callback=_store,
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def loaded(client: Client, id: str) -> Container:
    """A container by its id. Raises NotFoundError, in words that name it."""
    try:
        return client.load_container(id)
    except NotFoundError as error:
        raise _missing(client, id) from error


def info_of(client: Client, id: str) -> ContainerInfo:
    """What containerd stores of a container. Raises NotFoundError, likewise."""
    for info in client.containers(f"id=={json.dumps(id, ensure_ascii=False)}"):
        return info
    raise _missing(client, id)


def init_process(info: ContainerInfo) -> dict[str, Any]:
    """The ``process`` of a container's spec; empty where it has none that can be read."""
    return dict((info.spec or {}).get("process") or {})


def running_task(container: Container) -> Task:
    """A container's task. Raises NotFoundError, with a hint, where it has none."""
    try:
        return container.task()
    except NotFoundError as error:
        error.hint = NOTHING_RUNS
        raise


def _missing(client: Client, id: str) -> NotFoundError:
    error = NotFoundError(f"there is no container {id!r} in the namespace {client.namespace!r}")
    error.hint = "'pyctd ps --all' lists those that there are; --namespace names another namespace"
    return error
