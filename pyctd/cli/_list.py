"""``pyctd ps``, ``inspect`` and ``top``: what there is."""

from __future__ import annotations

import contextlib
import os
import shlex
import subprocess
from typing import Any

import click

from .. import _programs
from ..client import Client
from ..errors import Error, FailedPreconditionError, NotFoundError
from ..task import Task
from ._errors import FILTERS, report
from ._output import ago, as_json, show_json, show_table
from ._settings import Settings, info_of, init_process, loaded, pass_settings, running_task, shared
from ._values import container_argument, containers_argument

__all__ = ["inspect", "ps", "top"]

OOM_TIMEOUT = 2.0
"""Seconds for what is known of a task that has ended."""

_COMMAND_WIDTH = 40


def _task_of(client: Client, id: str, *, with_execs: bool = False) -> dict[str, Any] | None:
    """A container's task, as JSON has it; None without one. Raises NotFoundError when the container is gone."""
    container = client.load_container(id)
    try:
        task = container.task()
        status = task.status()
        ended = status.status == "stopped"
        execs = [process.exec_id for process in task.pids() if process.exec_id] if with_execs and not ended else []
    except NotFoundError:
        return None
    return {
        "status": "exited" if ended else status.status,
        "pid": None if ended else task.pid,
        "exit_code": status.exit_status if ended else None,
        "exit_time": as_json(status.exit_time),
        "oom_killed": _oom_killed(task) if ended else None,
    } | ({"exec_ids": execs} if with_execs else {})


def _oom_killed(task: Task) -> bool | None:
    try:
        return task.wait(timeout=OOM_TIMEOUT).oom_killed
    except Error:  # it is gone meanwhile, or containerd is slow: the rest is worth showing
        return None


def _command(args: list[str], whole: bool) -> str:
    """A command as a shell would take it, cut short as docker has it unless it is to be whole."""
    text = shlex.join(args)
    return text if whole or len(text) <= _COMMAND_WIDTH else text[: _COMMAND_WIDTH - 1] + "…"


@click.command()
@click.option("-a", "--all", "everything", is_flag=True, help="those too in which nothing runs")
@click.option("-q", "--quiet", is_flag=True, help="print the ids alone")
@click.option(
    "-f", "--filter", "filters", multiple=True, metavar="FILTER", help="in containerd's syntax, such as id==web"
)
@click.option("--no-trunc", "whole", is_flag=True, help="do not cut the commands short")
@shared
@pass_settings
def ps(settings: Settings, /, everything: bool, quiet: bool, filters: tuple[str, ...], whole: bool) -> None:
    """List the containers, whoever made them."""
    if any(filter.strip().startswith("status") for filter in filters):
        raise click.BadParameter(
            f"containerd does not know the status of a container: {FILTERS}", param_hint="--filter"
        )
    found: list[dict[str, Any]] = []
    rows: list[list[str]] = []
    with settings.client() as client:
        for info in sorted(client.containers(*filters), key=lambda info: (str(info.created_at), info.id), reverse=True):
            try:
                task = _task_of(client, info.id)
            except NotFoundError:  # removed since it was listed
                continue
            status = task["status"] if task else "created"
            if not everything and status in ("exited", "created"):
                continue
            command = init_process(info).get("args") or []
            kept = {"id": info.id, "image": info.image, "runtime": info.runtime, "labels": info.labels}
            told = {"status": "created", "pid": None, "exit_code": None, "exit_time": None, "oom_killed": None} | (
                task or {}
            )
            found.append(kept | told | {"created_at": info.created_at, "command": command})
            if task and status == "exited":
                status = f"exited ({task['exit_code']}{', oom' if task['oom_killed'] else ''})"
            pid = str(task["pid"] or "-") if task else "-"
            rows.append([info.id, status, pid, ago(info.created_at), info.image or "-", _command(command, whole)])
    if settings.json:
        show_json(found)
    elif quiet:
        for row in rows:
            click.echo(row[0])
    else:
        show_table(["ID", "STATUS", "PID", "CREATED", "IMAGE", "COMMAND"], rows)


@click.command()
@shared
@containers_argument()
@pass_settings
def inspect(settings: Settings, /, containers: tuple[str, ...]) -> int:
    """Show what containerd stores of containers, with their specs, tasks and running execs, as JSON."""
    found = []
    with settings.client() as client:
        for id in containers:
            try:
                found.append(as_json(info_of(client, id)) | {"task": _task_of(client, id, with_execs=True)})
            except NotFoundError as error:
                report(error, settings, id)
    show_json(found)
    return 0 if len(found) == len(containers) else settings.failure


_TOP = {"USER": "user", "PID": "pid", "PPID": "ppid", "CPU": "pcpu", "MEM": "pmem", "TIME": "time", "COMMAND": "args"}
"""The columns and what ``ps`` calls them; the last one may have spaces."""


@click.command()
@shared
@container_argument()
@pass_settings
def top(settings: Settings, /, container: str) -> None:
    """List the processes in a container, by their ids on the host.

    As dockerd does, it asks the host's own ps about them.
    """
    with settings.client() as client:
        pids = [process.pid for process in running_task(loaded(client, container)).pids()]
    rows = _processes(pids) if pids else []
    if settings.json:
        show_json([dict(zip(map(str.lower, _TOP), row, strict=True)) for row in rows])
    else:
        show_table(list(_TOP), rows)


def _processes(pids: list[int]) -> list[list[str]]:
    ps = _programs.find("ps")
    if ps is None:
        raise FailedPreconditionError("ps is not on PATH: install it (on Debian: apt-get install procps)")
    form = [option for name in _TOP.values() for option in ("-o", f"{name}=")]
    command = [ps, "-ww", *form, "-p", ",".join(map(str, pids))]
    # ps tells by its status that all of them have ended meanwhile.
    told = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "LC_ALL": "C.UTF-8"})
    with contextlib.suppress(ValueError):
        return [line.split(None, len(_TOP) - 1) for line in told.stdout.splitlines()]
    return []
