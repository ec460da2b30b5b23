"""Every operation of the C ABI, once for both faces: the arguments for Go, and the decoder of the outcome.

Each function has the name of its export, without ``pyctd_``.
"""

from __future__ import annotations

import binascii
import os
import signal as signals
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .. import _arguments
from .._json import dumped, from_json, to_json
from .._native import Completion, Handle
from ..errors import InvalidArgumentError
from ..options import Option
from ..spec._given import SpecLike, process_json, resources_json, spec_json
from ..types import ContainerInfo, ExitStatus, Extension, ProcessInfo, Stats, Status, Summary, Version, to_datetime
from .call import Operation

if TYPE_CHECKING:
    from .._streams.attach import Attachment

_FIRST_REAL_TIME, _LAST_SIGNAL = 34, 64
_MORE_SIGNALS = {
    "STKFLT": 16,
    "RTMIN": _FIRST_REAL_TIME,
    **{f"RTMIN+{n}": _FIRST_REAL_TIME + n for n in range(1, 16)},
    **{f"RTMAX-{n}": _LAST_SIGNAL - n for n in range(1, 15)},
    "RTMAX": _LAST_SIGNAL,
}
"""docker's names for signals that Python does not name on every system (Go: ``moby/sys/signal.SignalMap``)."""


def _nothing(done: Completion) -> None:
    pass


def _process(done: Completion) -> tuple[Handle, int]:
    return Handle(done.value, "a process"), done.code


# -- Client ----------------------------------------------------------------------------------------------------------


def client_new(address: str, namespace: str, state_dir: str, cookie: int) -> Operation[Handle]:
    return Operation(
        "pyctd_client_new",
        (address, _arguments.text("namespace", namespace), state_dir, cookie),
        lambda done: Handle(done.value, f"client of {address}"),
        method="Client",
    )


def client_version(client: Handle) -> Operation[Version]:
    return Operation("pyctd_client_version", (client,), lambda done: Version(**from_json(done.data)))


def client_load_container(client: Handle, id: str) -> Operation[Handle]:
    return Operation(
        "pyctd_client_load_container",
        (client, _arguments.text("id", id)),
        lambda done: Handle(done.value, f"container {id!r}", id),
        id=id,
    )


def _container_info(item: dict[str, Any]) -> ContainerInfo:
    times = {name: to_datetime(*item[name]) for name in ("created_at", "updated_at")}
    extensions = {
        name: Extension(one["type_url"], binascii.a2b_base64(one["value"])) for name, one in item["extensions"].items()
    }
    return ContainerInfo(**(item | times | {"extensions": extensions}))


def client_containers(client: Handle, filters: Sequence[str]) -> Operation[list[ContainerInfo]]:
    if not all(isinstance(one, str) for one in filters):
        raise InvalidArgumentError(f"filters must be strings such as 'id==web', not {filters!r:.200}")
    return Operation(
        "pyctd_client_containers",
        (client, dumped("filters", filters)),
        lambda done: [_container_info(item) for item in from_json(done.data)],
    )


def client_new_container(
    client: Handle,
    replace: bool,
    id: str,
    spec: SpecLike,
    shim: str,
    runtime_options: Mapping[str, Any] | None,
    opts: Sequence[Option],
) -> Operation[Handle]:
    if not isinstance(opts, Iterable):
        raise InvalidArgumentError(f"opts must be several options from pyctd.options, not {opts!r:.200}")
    opts = tuple(opts)
    for opt in opts:
        if not isinstance(opt, Option):
            raise InvalidArgumentError(f"opts must come from pyctd.options, not {type(opt).__name__}")
    options = b",".join(to_json(f"opts[{n}]", {"name": opt.name, "value": opt.value}) for n, opt in enumerate(opts))
    return Operation(
        "pyctd_client_new_container",
        (
            client,
            int(replace),
            _arguments.text("id", id),
            spec_json(spec),
            _arguments.text("shim", shim),
            b"" if runtime_options is None else to_json("runtime_options", runtime_options),
            b"[" + options + b"]",
        ),
        lambda done: Handle(done.value, f"container {id!r}", id),
        makes=f"container {id!r}",
        method="Client.replace_container" if replace else "",
        id=id,
    )


# -- Container -------------------------------------------------------------------------------------------------------


def container_new_task(
    container: Handle,
    checkpoint_dir: str | os.PathLike[str],
    with_stdin: bool,
    attachment: Attachment,
    start: bool,
) -> Operation[tuple[Handle, int]]:
    given = _arguments.path("checkpoint_dir", checkpoint_dir)
    directory = os.path.abspath(given) if given else ""
    args = (container, directory, _stdin(with_stdin, attachment), attachment.cookie, int(start))
    method = "Container.start" if start else ""
    return Operation("pyctd_container_new_task", args, _process, makes=f"the task of {container.what}", method=method)


def _stdin(with_stdin: bool, attachment: Attachment) -> int:
    return int(_arguments.flag("with_stdin", with_stdin) or attachment.wants_stdin)


def container_task(container: Handle, cookie: int) -> Operation[tuple[Handle, int]]:
    method = "Container.attach_task" if cookie else ""
    return Operation("pyctd_container_task", (container, cookie), _process, method=method)


def container_delete(container: Handle) -> Operation[None]:
    return Operation("pyctd_container_delete", (container,), _nothing)


def container_info(container: Handle) -> Operation[ContainerInfo]:
    return Operation("pyctd_container_info", (container,), lambda done: _container_info(from_json(done.data)))


def container_set_labels(container: Handle, labels: Mapping[str, str]) -> Operation[dict[str, str]]:
    data = to_json("labels", labels)
    if not all(isinstance(text, str) for item in labels.items() for text in item):
        raise InvalidArgumentError("labels must map strings to strings")
    return Operation("pyctd_container_set_labels", (container, data), lambda done: from_json(done.data))


# -- Process ---------------------------------------------------------------------------------------------------------


def signal_number(signal: int | str | signals.Signals) -> int:
    """The number of a signal, given by number or by name, with or without SIG. Raises InvalidArgumentError."""
    number: int | None = None
    if isinstance(signal, str):
        name = signal.upper().removeprefix("SIG")
        found = getattr(signals, f"SIG{name}", None)
        if signal.isascii() and signal.isdecimal():
            number = int(signal)
        elif name in _MORE_SIGNALS:
            number = _MORE_SIGNALS[name]
        elif isinstance(found, signals.Signals):
            number = int(found)
    elif isinstance(signal, int) and not isinstance(signal, bool):
        number = int(signal)
    if number is None or not 0 <= number <= _LAST_SIGNAL:
        raise InvalidArgumentError(
            f"signal must be a number from 0 to {_LAST_SIGNAL}, a signal.Signals or a name such as 'SIGTERM' or"
            f" 'RTMIN+3', not {signal!r}"
        )
    return number


def signal_names() -> list[str]:
    """The names of signals, without SIG, ordered by number."""
    return [*(one.name.removeprefix("SIG") for one in signals.Signals if one < _FIRST_REAL_TIME), *_MORE_SIGNALS]


def _exit_status(done: Completion) -> ExitStatus:
    at, at_ns = to_datetime(done.sec, done.nsec), done.sec * 10**9 + done.nsec
    oom_killed = from_json(done.detail)["oom_killed"] if done.detail else None
    return ExitStatus(done.code, at, done.data.decode() or None, at_ns, oom_killed)


def _status(done: Completion) -> Status:
    return Status(from_json(done.data)["status"], done.code, to_datetime(done.sec, done.nsec))


def process_kill(process: Handle, signal: int | str | signals.Signals) -> Operation[None]:
    return Operation("pyctd_process_kill", (process, signal_number(signal)), _nothing)


def process_resize(process: Handle, width: int, height: int) -> Operation[None]:
    size = (_arguments.number("width", width), _arguments.number("height", height))
    return Operation("pyctd_process_resize", (process, *size), _nothing)


def process_wait(process: Handle) -> Operation[ExitStatus]:
    return Operation("pyctd_process_wait", (process,), _exit_status)


def process_delete(process: Handle) -> Operation[ExitStatus]:
    return Operation("pyctd_process_delete", (process,), _exit_status)


def process_close_stdin(process: Handle) -> Operation[None]:
    return Operation("pyctd_process_close_stdin", (process,), _nothing)


def process_status(process: Handle) -> Operation[Status]:
    return Operation("pyctd_process_status", (process,), _status)


# -- Task ------------------------------------------------------------------------------------------------------------


def task_start(task: Handle) -> Operation[None]:
    return Operation("pyctd_task_start", (task,), _nothing)


def task_pause(task: Handle) -> Operation[None]:
    return Operation("pyctd_task_pause", (task,), _nothing)


def task_resume(task: Handle) -> Operation[None]:
    return Operation("pyctd_task_resume", (task,), _nothing)


def _stats(done: Completion) -> Stats:
    from .. import metrics  # imported here: msgspec takes 10 ms or more

    return Stats(to_datetime(done.sec, done.nsec), metrics.decode(done.data))


def task_stats(task: Handle) -> Operation[Stats]:
    return Operation("pyctd_task_stats", (task,), _stats)


def task_pids(task: Handle) -> Operation[list[ProcessInfo]]:
    return Operation("pyctd_task_pids", (task,), lambda done: [ProcessInfo(**item) for item in from_json(done.data)])


def task_summary(task: Handle) -> Operation[list[Summary]]:
    return Operation("pyctd_task_summary", (task,), lambda done: [Summary(**item) for item in from_json(done.data)])


def task_force_delete(task: Handle) -> Operation[None]:
    return Operation("pyctd_task_force_delete", (task,), _nothing)


def task_exec(
    task: Handle, process_id: str, spec: SpecLike, with_stdin: bool, attachment: Attachment
) -> Operation[tuple[Handle, int]]:
    args = (
        task,
        _arguments.text("process_id", process_id),
        process_json(spec),
        _stdin(with_stdin, attachment),
        attachment.cookie,
    )
    return Operation("pyctd_task_exec", args, _process, makes=f"exec {process_id!r} of {task.what}", id=process_id)


def task_load_process(task: Handle, process_id: str) -> Operation[tuple[Handle, int]]:
    args = (task, _arguments.text("process_id", process_id))
    return Operation("pyctd_task_load_process", args, _process, id=process_id)


def task_update_resources(task: Handle, resources: SpecLike) -> Operation[None]:
    return Operation("pyctd_task_update_resources", (task, resources_json(resources)), _nothing)


def task_create_checkpoint(task: Handle, directory: str | os.PathLike[str], exit: bool) -> Operation[None]:
    args = (task, _arguments.directory("directory", directory), int(_arguments.flag("exit", exit)))
    return Operation("pyctd_task_create_checkpoint", args, _nothing)


# -- stdio -----------------------------------------------------------------------------------------------------------


def stdio_open(stdio: Handle, stream: int) -> Operation[int]:
    return Operation("pyctd_stdio_open", (stdio, stream), lambda done: done.value)


def stdio_close_stream(stdio: Handle, stream: int) -> Operation[None]:
    return Operation("pyctd_stdio_close_stream", (stdio, stream), _nothing)


def stdio_cancel(stdio: Handle) -> Operation[None]:
    return Operation("pyctd_stdio_cancel", (stdio,), _nothing)


def stdio_close(stdio: Handle) -> Operation[None]:
    return Operation("pyctd_stdio_close", (stdio,), _nothing)


# -- Engine ----------------------------------------------------------------------------------------------------------


def engine_start(
    root: str, state: str, log_level: str, path: str, decode: Callable[[Completion], None]
) -> Operation[None]:
    return Operation("pyctd_engine_start", (root, state, log_level, os.fsencode(path)), decode, method="Engine")


def engine_discard(engine: Handle, root: bool, state: bool) -> Operation[None]:
    return Operation("pyctd_engine_discard", (engine, int(root), int(state)), _nothing)
