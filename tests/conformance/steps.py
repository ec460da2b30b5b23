"""The operations that a scenario can name, on pyctd: the counterpart of the reference's steps.go."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import signal
import subprocess
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

import pyctd
from conformance.scenario import expand, merge
from conformance.streams import PATIENCE, Mistake, Streams

if TYPE_CHECKING:
    from conformance.runner import Runner

__all__ = ["STEPS", "Args", "time_of"]

Args = Mapping[str, Any]
Step = Callable[["Runner", Args], Awaitable[Any]]
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def time_of(at: datetime | None) -> int:
    """Microseconds since the epoch, or 0 for no time."""
    if at is None:
        return 0
    passed = at - _EPOCH
    return (passed.days * 86400 + passed.seconds) * 10**6 + passed.microseconds


def _document(runner: Runner, args: Args, id: str, patch: Any) -> Any:
    values = {**runner.place.values(), "id": id}
    base = yaml.safe_load(expand(Path(runner.place.base).read_text("utf-8"), values))
    short = {name: args[name] for name in ("args", "env", "terminal") if args.get(name)}
    return merge(merge(base, {"process": short}), patch)


async def _create(runner: Runner, args: Args, *, method: str) -> None:
    id = args.get("id", "c") if args.get("id") != "empty" else ""
    opts = []
    for given in args.get("opts", ()):
        for name, value in given.items():
            option = getattr(pyctd.options, name)
            opts.append(option("note", value) if name == "extension" else option(value))
    made = await runner.call(
        args,
        getattr(runner.client, method),
        id,
        _document(runner, args, id, args.get("spec", {})),
        args.get("shim", "io.containerd.runc.v2"),
        args.get("runtime_options"),
        opts,
    )
    runner.containers[args.get("as", id)] = made


async def _version(runner: Runner, args: Args) -> Any:
    version = await runner.call(args, runner.client.version)
    return {"version": version.version, "revision": version.revision}


async def _load_container(runner: Runner, args: Args) -> None:
    id = args.get("id", "c")
    runner.containers[args.get("as", id)] = await runner.call(args, runner.client.load_container, id)


async def _delete_container(runner: Runner, args: Args) -> None:
    await runner.call(args, runner.container(args).delete)


def _streams(runner: Runner, name: str, args: Args) -> Streams:
    streams = runner.attached[name] = Streams(args.get("stdio", "read"))
    return streams


def _add(runner: Runner, name: str, process: Any, streams: Streams | None) -> Any:
    runner.processes[name] = (process, streams)
    if streams is None:
        return {"pid": process.pid}
    return {"pid": process.pid, "stdio": streams.print_config()}


async def _make_task(runner: Runner, args: Args, *, method: str) -> Any:
    container = runner.container(args)
    name = args.get("as", args.get("of", "c"))
    streams = _streams(runner, name, args)
    if method == "attach_task":
        task = await runner.call(args, container.attach_task, streams)
    else:
        task = await runner.call(
            args, getattr(container, method), args.get("checkpoint", ""), args.get("stdin", False), streams
        )
    return _add(runner, name, task, streams)


async def _task(runner: Runner, args: Args) -> Any:
    task = await runner.call(args, runner.container(args).task)
    return _add(runner, args.get("as", args.get("of", "c")), task, None)


async def _exec(runner: Runner, args: Args) -> Any:
    task = runner.process(args)[0]
    id = args.get("id", "e") if args.get("id") != "empty" else ""
    spec = _document(runner, args, "", {"process": args.get("spec", {})})["process"]
    name = args.get("as", f"{args.get('of', 'c')}/{id}")
    streams = _streams(runner, name, args)
    process = await runner.call(args, task.exec, id, spec, args.get("stdin", False), streams)
    return _add(runner, name, process, streams)


async def _plain(runner: Runner, args: Args, *, method: str, names: tuple[str, ...] = ()) -> None:
    """A method of a process that takes some of the arguments and returns nothing."""
    defaults = {"exit": False}
    await runner.call(
        args, getattr(runner.process(args)[0], method), *(args.get(name, defaults.get(name, 0)) for name in names)
    )


def _exit(status: pyctd.ExitStatus) -> Any:
    return {"exit_code": status.exit_code, "exited_at": status.exited_at_ns, "error": status.error}


async def _exited(runner: Runner, args: Args, *, method: str) -> Any:
    return _exit(await runner.call(args, getattr(runner.process(args)[0], method)))


async def _status(runner: Runner, args: Args) -> Any:
    status = await runner.call(args, runner.process(args)[0].status)
    return {"status": status.status, "exit_status": status.exit_status, "exit_time": time_of(status.exit_time) * 1000}


def _as_json(value: Any) -> Any:
    """Metrics as Go's JSON has them: what is zero or absent is left out."""
    if dataclasses.is_dataclass(value):
        fields = {field.name: _as_json(getattr(value, field.name)) for field in dataclasses.fields(value)}
        return {name: inner for name, inner in fields.items() if inner not in (None, 0, "", [])}
    return [_as_json(item) for item in value] if isinstance(value, tuple) else value


async def _stats(runner: Runner, args: Args) -> Any:
    stats = await runner.call(args, runner.process(args)[0].stats)
    metrics = _as_json(stats.metrics)
    version = 1 if isinstance(stats.metrics, pyctd.metrics.CgroupV1Metrics) else 2

    def at(path: str) -> Any:
        value = metrics
        for name in path.split("."):
            value = value.get(name) if isinstance(value, dict) else None
        return value

    return {
        "type": f"io.containerd.cgroups.v{version}.Metrics",
        "read": time_of(stats.read) * 1000,
        "families": sorted(metrics),
        "fields": {path: at(path) for path in args.get("fields", ())},
        "present": {path: at(path) is not None for path in args.get("present", ())},
    }


async def _pids(runner: Runner, args: Args) -> Any:
    found = await runner.call(args, runner.process(args)[0].pids)
    return [{"pid": process.pid, "info": process.info is not None} for process in found]


async def _summary(runner: Runner, args: Args) -> Any:
    return len(await runner.call(args, runner.process(args)[0].summary))


def _of_streams(runner: Runner, args: Args) -> Streams:
    streams = runner.process(args)[1]
    if streams is None:
        raise Mistake(f"{args.get('of', 'c')!r} has no streams")
    return streams


async def _write(runner: Runner, args: Args) -> None:
    _of_streams(runner, args).write(args["data"].encode())


async def _close_stream(runner: Runner, args: Args) -> None:
    _of_streams(runner, args).pipe(args.get("stream", "stdin")).close()


async def _read(runner: Runner, args: Args) -> Any:
    streams = _of_streams(runner, args)
    name = args.get("stream", "stdout")
    streams.until(name, args["until"])
    return streams.print()[name]


async def _output(runner: Runner, args: Args) -> Any:
    streams = _of_streams(runner, args)
    streams.drain(PATIENCE)
    return streams.print()


async def _events(runner: Runner, args: Args) -> Any:
    id = args.get("of", "c")
    runner.events.wait(id, args.get("until", []))
    return runner.events.print(id)


async def _probe(runner: Runner, args: Args) -> None:
    runner.events.ready(runner.publish)


async def _observe(runner: Runner, args: Args) -> Any:
    return runner.observer.ask("full", runner.place)


async def _make_directory(runner: Runner, args: Args) -> None:
    os.makedirs(args["path"], exist_ok=True)


async def _remove(runner: Runner, args: Args) -> None:
    path = Path(args["path"])
    if path.is_dir():
        shutil.rmtree(path)
    else:
        with contextlib.suppress(FileNotFoundError):
            path.unlink()


async def _write_file(runner: Runner, args: Args) -> None:
    path = Path(args["path"])
    path.write_text(args.get("data", ""), "utf-8")
    path.chmod(int(args.get("mode", "644"), 8))


async def _chattr(runner: Runner, args: Args) -> None:
    """Changes an attribute of a file, such as +i: not even root may write to it."""
    subprocess.run(["chattr", args["mode"], args["path"]], check=True)


async def _list(runner: Runner, args: Args) -> Any:
    path = Path(args["path"])
    return sorted(entry.name for entry in path.iterdir()) if path.is_dir() else []


async def _kill_shim(runner: Runner, args: Args) -> None:
    stat = Path(f"/proc/{runner.process(args)[0].pid}/stat").read_text()
    os.kill(int(stat.rpartition(")")[2].split()[1]), signal.SIGKILL)


async def _daemon(runner: Runner, args: Args, *, do: str) -> None:
    if not runner.own:
        raise Mistake(f"{do} needs a daemon of the scenario's own")
    runner.observer.ask(do, runner.place)


async def _close_client(runner: Runner, args: Args) -> None:
    await runner.face.close(runner.client)
    runner.attached = {}


async def _open_client(runner: Runner, args: Args) -> None:
    await runner.open()


async def _join(runner: Runner, args: Args) -> Any:
    return runner.join(args["of"])


async def _parallel(runner: Runner, args: Args) -> Any:
    return await runner.parallel(args)


STEPS: dict[str, Step] = {
    "version": _version,
    "new_container": partial(_create, method="new_container"),
    "replace_container": partial(_create, method="replace_container"),
    "load_container": _load_container,
    "delete_container": _delete_container,
    "new_task": partial(_make_task, method="new_task"),
    "start": partial(_make_task, method="start"),
    "task": _task,
    "attach_task": partial(_make_task, method="attach_task"),
    "exec": _exec,
    "task_start": partial(_plain, method="start"),
    "pause": partial(_plain, method="pause"),
    "resume": partial(_plain, method="resume"),
    "force_delete": partial(_plain, method="force_delete"),
    "create_checkpoint": partial(_plain, method="create_checkpoint", names=("path", "exit")),
    "update_resources": partial(_plain, method="update_resources", names=("resources",)),
    "kill": partial(_plain, method="kill", names=("signal",)),
    "resize": partial(_plain, method="resize", names=("width", "height")),
    "close_stdin": partial(_plain, method="close_stdin"),
    "delete": partial(_exited, method="delete"),
    "wait": partial(_exited, method="wait"),
    "status": _status,
    "stats": _stats,
    "pids": _pids,
    "summary": _summary,
    "write": _write,
    "close_stream": _close_stream,
    "read": _read,
    "output": _output,
    "events": _events,
    "probe": _probe,
    "observe": _observe,
    "parallel": _parallel,
    "join": _join,
    "make_directory": _make_directory,
    "remove": _remove,
    "write_file": _write_file,
    "chattr": _chattr,
    "list": _list,
    "kill_shim": _kill_shim,
    "daemon_kill": partial(_daemon, do="daemon_kill"),
    "daemon_start": partial(_daemon, do="daemon_start"),
    "daemon_freeze": partial(_daemon, do="daemon_freeze"),
    "daemon_thaw": partial(_daemon, do="daemon_thaw"),
    "close_client": _close_client,
    "open_client": _open_client,
}
