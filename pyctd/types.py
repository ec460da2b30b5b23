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
    """Converts Go's time to a datetime in UTC, truncated to microseconds; None for Go's zero time."""
    return _EPOCH + timedelta(0, sec, nsec // 1000) if sec or nsec else None


class Version(NamedTuple):
    """containerd's version (Go: ``containerd.Version``)."""

    version: str
    revision: str


class EngineProgram(NamedTuple):
    """A program that an engine runs.

    Attributes:
        version: its version; empty if it does not report one.
        path: the program's path.
        source: where it was found: ``path`` (the argument of ``Engine``), ``PYCTD_ENGINE_PATH``, ``pyctd-engine`` or
            ``PATH``.
    """

    version: str
    path: str
    source: str


class Extension(NamedTuple):
    """A value that a client stores with a container, as protobuf's ``Any``; see ``pyctd.options.extension``.

    Attributes:
        type_url: the name of its type.
        value: the encoded value; JSON if ``options.extension`` was given a mapping.
    """

    type_url: str
    value: bytes

    def __repr__(self) -> str:
        """Omits the value, which may be secret."""
        return f"Extension(type_url={self.type_url!r}, value=<{len(self.value)} bytes>)"


class ContainerInfo(NamedTuple):
    """containerd's record of a container (Go: ``containers.Container``).

    Attributes:
        id: the container's id.
        labels: the container's labels, including dockerd's and containerd's own.
        image: the name of the image that it was made from, or empty.
        runtime: the shim's name, such as ``io.containerd.runc.v2``.
        snapshotter: the snapshotter that keeps its root file system, or empty.
        snapshot_key: the snapshot's key there, or empty.
        sandbox_id: the sandbox that it belongs to, or empty.
        created_at: when it was created, in UTC; None if containerd does not say.
        updated_at: when its record was last changed, in UTC; None if containerd does not say.
        spec: its OCI runtime spec; None if the stored spec is not JSON.
        extensions: the values that clients store with it, by name.
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
        """Omits the spec, whose environment may be secret: printed text ends up in logs."""
        shown = self._asdict() | ({} if self.spec is None else {"spec": ...})
        fields = (f"{name}={'...' if value is ... else repr(value)}" for name, value in shown.items())
        return f"ContainerInfo({', '.join(fields)})"


class ExitStatus(NamedTuple):
    """How a process ended (Go: ``containerd.ExitStatus``).

    Attributes:
        exit_code: 0–255; 128 plus the signal's number if a signal ended the process.
        exited_at: the time of the exit in UTC, to the microsecond; None if containerd does not say.
        error: the text of ``ExitStatus.Error()``, or None.
        exited_at_ns: the time of the exit in nanoseconds since the epoch; 0 if containerd does not say.
        oom_killed: for a task, whether the kernel has killed any of its processes since the start because memory ran
            out, like docker's ``OOMKilled``. It is True once the ``oom`` event has come; otherwise it is what the
            cgroup has counted when the task has ended. None if neither is known: for an exec, because the kernel counts
            for the whole container; for a task that was deleted before it was asked; and with a shim whose metrics do
            not say.
    """

    exit_code: int
    exited_at: datetime | None
    error: str | None = None
    exited_at_ns: int = 0
    oom_killed: bool | None = None


ProcessStatus = Literal["unknown", "created", "running", "paused", "pausing", "stopped"]
"""The state of a process (Go: ``containerd.ProcessStatus``), as plain strings that type checkers know."""


class Status(NamedTuple):
    """A task's or exec's state (Go: ``containerd.Status``).

    Attributes:
        status: ``created``, ``running``, ``paused``, ``pausing``, ``stopped`` or ``unknown``: a ``ProcessStatus``.
        exit_status: the exit code, once stopped.
        exit_time: when it stopped, in UTC; None until then.
    """

    status: ProcessStatus
    exit_status: int
    exit_time: datetime | None


class ProcessInfo(NamedTuple):
    """A process inside a task (Go: ``containerd.ProcessInfo``).

    Attributes:
        pid: the process id on the host.
        info: what the shim reports about it, as ``{"type_url": str, "value": base64}``. runc's shim names the exec that
            started the process, and reports nothing about other processes.
        exec_id: the id of the exec that started it, for ``Task.load_process``; None for other processes.
    """

    pid: int
    info: Mapping[str, Any] | None = None
    exec_id: str | None = None


class Stats(NamedTuple):
    """A task's metrics (Go: libcontainerd's ``Stats``).

    Attributes:
        read: when they were read, in UTC; None if containerd does not say.
        metrics: a ``pyctd.metrics.CgroupV1Metrics`` or a ``pyctd.metrics.CgroupV2Metrics``.
    """

    read: datetime | None
    metrics: "Metrics"


class Summary(NamedTuple):
    """libcontainerd's ``Summary``, which has no fields on Linux."""
