"""The plain values that calls return."""

from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from .metrics import Metrics

__all__ = [
    "ContainerInfo",
    "EngineProgram",
    "ExitStatus",
    "Extension",
    "ProcessInfo",
    "ProcessStatus",
    "Stats",
    "Status",
    "Summary",
    "Version",
]

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def to_datetime(sec: int, nsec: int) -> datetime | None:
    """Go's time as a datetime in UTC, cut to microseconds; None for Go's zero time."""
    return _EPOCH + timedelta(0, sec, nsec // 1000) if sec or nsec else None


class Version(NamedTuple):
    """containerd's version, as ``containerd.Version``."""

    version: str
    revision: str


class EngineProgram(NamedTuple):
    """A program that an engine runs.

    Attributes:
        version: its version; empty if it does not tell.
        path: the program.
        source: where it comes from: ``path`` (the argument of ``Engine``), ``PYCTD_ENGINE_PATH``, ``pyctd-engine`` or
            ``PATH``.
    """

    version: str
    path: str
    source: str


class Extension(NamedTuple):
    """A value that a client stores with a container, as protobuf's ``Any``; see ``pyctd.options.extension``.

    Attributes:
        type_url: the name of its type.
        value: the value itself, encoded: as JSON where ``options.extension`` was given a mapping.
    """

    type_url: str
    value: bytes

    def __repr__(self) -> str:
        """Without the value, which may be secret."""
        return f"Extension(type_url={self.type_url!r}, value=<{len(self.value)} bytes>)"


class ContainerInfo(NamedTuple):
    """What containerd stores of a container, as its ``containers.Container``.

    Attributes:
        id: its id.
        labels: its labels; dockerd's and containerd's own are among them.
        image: the name of the image that it was made from, or empty.
        runtime: the shim's name, such as ``io.containerd.runc.v2``.
        snapshotter: who keeps its root file system, or empty.
        snapshot_key: under which key, or empty.
        sandbox_id: the sandbox that it belongs to, or empty.
        created_at: when it was made, in UTC; None when containerd does not say.
        updated_at: when its record was last changed, in UTC; likewise.
        spec: its OCI runtime spec; None where what is stored is no JSON.
        extensions: what clients store with it, by name.
    """

    id: str
    labels: Mapping[str, str]
    image: str
    runtime: str
    snapshotter: str
    snapshot_key: str
    sandbox_id: str
    created_at: datetime | None
    updated_at: datetime | None
    spec: Mapping[str, Any] | None
    extensions: Mapping[str, Extension]

    def __repr__(self) -> str:
        """Without the spec, whose environment may be secret: what is printed is soon in a log."""
        shown = self._asdict() | ({} if self.spec is None else {"spec": ...})
        fields = (f"{name}={'...' if value is ... else repr(value)}" for name, value in shown.items())
        return f"ContainerInfo({', '.join(fields)})"


class ExitStatus(NamedTuple):
    """How a process ended, as ``containerd.ExitStatus``.

    Attributes:
        exit_code: 0–255; 128 plus the signal's number for a process that a signal ended.
        exited_at: when, in UTC, to the microsecond; None when containerd does not say.
        error: the text of ``ExitStatus.Error()``, or None.
        exited_at_ns: when, in nanoseconds since the epoch; 0 when containerd does not say.
        oom_killed: of a task, whether the kernel killed a process in it because memory ran out, as docker's
            ``OOMKilled``: the init process or another one, at any time since the start. It is True once the ``oom``
            event has come, and else what the cgroup counts when the task has ended. None where neither is known: of an
            exec, since the kernel counts for the whole container; of a task that was deleted before it was asked; and
            with a shim whose metrics do not say.
    """

    exit_code: int
    exited_at: datetime | None
    error: str | None = None
    exited_at_ns: int = 0
    oom_killed: bool | None = None


ProcessStatus = Literal["unknown", "created", "running", "paused", "pausing", "stopped"]
"""What a process does, as ``containerd.ProcessStatus``: plain strings, which type checkers know."""


class Status(NamedTuple):
    """A task's or exec's state, as ``containerd.Status``.

    Attributes:
        status: ``created``, ``running``, ``paused``, ``pausing``, ``stopped`` or ``unknown``: a ``ProcessStatus``.
        exit_status: the exit code, once stopped.
        exit_time: when it stopped, in UTC; None before.
    """

    status: ProcessStatus
    exit_status: int
    exit_time: datetime | None


class ProcessInfo(NamedTuple):
    """A process inside a task, as ``containerd.ProcessInfo``.

    Attributes:
        pid: its process id on the host.
        info: what the shim tells of it, as ``{"type_url": str, "value": base64}``. runc's shim tells the exec that has
            started a process, and nothing of any other.
        exec_id: the id of that exec, for ``Task.load_process``; None for other processes.
    """

    pid: int
    info: Mapping[str, Any] | None = None
    exec_id: str | None = None


class Stats(NamedTuple):
    """A task's metrics, as libcontainerd's ``Stats``.

    Attributes:
        read: when they were read, in UTC; None when containerd does not say.
        metrics: what was read: a ``pyctd.metrics.CgroupV1Metrics`` or a ``pyctd.metrics.CgroupV2Metrics``.
    """

    read: datetime | None
    metrics: "Metrics"


class Summary(NamedTuple):
    """libcontainerd's ``Summary``, which has no fields on Linux."""
