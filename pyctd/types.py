"""The plain values that calls return."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .metrics import Metrics

__all__ = ["ExitStatus", "ProcessInfo", "Stats", "Status", "Summary", "Version"]

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def to_datetime(sec: int, nsec: int) -> datetime | None:
    """Go's time as a datetime in UTC, cut to microseconds; None for Go's zero time."""
    return _EPOCH + timedelta(seconds=sec, microseconds=nsec // 1000) if sec or nsec else None


@dataclass(frozen=True)
class Version:
    """containerd's version, as ``containerd.Version``."""

    version: str
    revision: str


@dataclass(frozen=True)
class ExitStatus:
    """How a process ended, as ``containerd.ExitStatus``.

    Attributes:
        exit_code: 0–255; 128 plus the signal's number for a process that a signal ended.
        exited_at: when, in UTC, to the microsecond; None when containerd does not say.
        error: the text of ``ExitStatus.Error()``, or None.
        exited_at_ns: when, in nanoseconds since the epoch; 0 when containerd does not say.
    """

    exit_code: int
    exited_at: datetime | None
    error: str | None = None
    exited_at_ns: int = 0


@dataclass(frozen=True)
class Status:
    """A task's or exec's state, as ``containerd.Status``.

    Attributes:
        status: ``created``, ``running``, ``paused``, ``pausing``, ``stopped`` or ``unknown``.
        exit_status: the exit code, once stopped.
        exit_time: when it stopped, in UTC; None before.
    """

    status: str
    exit_status: int
    exit_time: datetime | None


@dataclass(frozen=True)
class ProcessInfo:
    """A process inside a task, as ``containerd.ProcessInfo``.

    Attributes:
        pid: its process id on the host.
        info: what the shim tells of it, as ``{"type_url": str, "value": base64}``; None from runc's shim.
    """

    pid: int
    info: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Stats:
    """A task's metrics, as libcontainerd's ``Stats``.

    Attributes:
        read: when they were read, in UTC; None when containerd does not say.
        metrics: what was read: a ``pyctd.metrics.CgroupV1Metrics`` or a ``pyctd.metrics.CgroupV2Metrics``.
    """

    read: datetime | None
    metrics: Metrics


@dataclass(frozen=True)
class Summary:
    """libcontainerd's ``Summary``, which is empty on Linux."""
