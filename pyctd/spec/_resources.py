"""Limits, as docker's users know them."""

from __future__ import annotations

import os
from typing import Any

from ..errors import InvalidArgumentError

__all__ = ["resources", "swap_is_limited"]

_MEMORY_MIN = 6 << 20
_INT64_MAX = 2**63 - 1
_PERIOD = 100_000
"""Microseconds over which dockerd counts CPU time."""


def resources(
    *,
    memory: int | None = None,
    memory_swap: int | None = None,
    memory_reservation: int | None = None,
    cpus: float | None = None,
    cpu_shares: int | None = None,
    cpuset_cpus: str | None = None,
    cpuset_mems: str | None = None,
    pids_limit: int | None = None,
) -> dict[str, Any]:
    """The ``linux.resources`` of a spec, which is also what ``Task.update_resources`` takes; dockerd's conversions.

    Args:
        memory: bytes, at least 6 MiB: ``64 << 20`` is docker's ``64m``.
        memory_swap: bytes of memory and swap together, at least memory; -1 is no limit of its own, and in an update no
            change, as with dockerd: give ``update_resources`` ``{"memory": {"swap": -1}}`` to lift one.
        memory_reservation: bytes, at most memory, that the kernel presses the container down to when it runs short.
        cpus: CPUs' worth of time, such as 1.5: from 0.01 to as many as there are.
        cpu_shares: the weight against others, 1024 being the usual.
        cpuset_cpus: the CPUs to run on, such as ``"0-2,7"``.
        cpuset_mems: the memory nodes to use.
        pids_limit: how many processes and threads there may be; 0 or less is no limit.

    Raises:
        InvalidArgumentError: a number is out of range.
    """
    limits: dict[str, Any] = {}
    if sizes := _memory(memory, memory_swap, memory_reservation):
        limits["memory"] = sizes
    cpu: dict[str, Any] = {}
    if cpu_shares is not None:
        cpu["shares"] = _whole("cpu_shares", cpu_shares, 2, _INT64_MAX)
    if cpus is not None:
        all_cpus = len(os.sched_getaffinity(0))
        if isinstance(cpus, bool) or not isinstance(cpus, (int, float)) or not 0.01 <= cpus <= all_cpus:
            raise InvalidArgumentError(f"cpus must be from 0.01 to {all_cpus}, as many as there are, not {cpus!r}")
        cpu["period"], cpu["quota"] = _PERIOD, round(cpus * 1e9) * _PERIOD // 10**9
    for name, where, value in (("cpuset_cpus", "cpus", cpuset_cpus), ("cpuset_mems", "mems", cpuset_mems)):
        if value is not None:
            if not isinstance(value, str) or not value:
                raise InvalidArgumentError(f'{name} must be a string such as "0-2,7", not {value!r}')
            cpu[where] = value
    if cpu:
        limits["cpu"] = cpu
    if pids_limit is not None:
        most = _whole("pids_limit", pids_limit, -_INT64_MAX, _INT64_MAX)
        limits["pids"] = {"limit": most if most > 0 else -1}
    return limits


def _memory(memory: int | None, swap: int | None, reservation: int | None) -> dict[str, int]:
    sizes = {}
    if memory is not None:
        sizes["limit"] = _whole("memory", memory, _MEMORY_MIN, _INT64_MAX)
    if reservation is not None:
        sizes["reservation"] = _whole("memory_reservation", reservation, _MEMORY_MIN, memory or _INT64_MAX)
    if swap is not None and swap != -1:
        if memory is None:
            raise InvalidArgumentError("memory_swap needs memory: it is what the two come to together")
        sizes["swap"] = _whole("memory_swap", swap, memory, _INT64_MAX)
    return sizes


def swap_is_limited() -> bool:
    """Whether the kernel counts swap, without which dockerd sets no limit of it."""
    if os.path.exists("/sys/fs/cgroup/cgroup.controllers"):
        with open("/proc/self/cgroup") as file:
            group = file.read().rpartition("0::")[2].strip()
        # The root has no such file, whatever the kernel can.
        return group == "/" or os.path.exists(f"/sys/fs/cgroup{group}/memory.swap.max")
    return os.path.exists("/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes")


def _whole(name: str, value: int, least: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise InvalidArgumentError(f"{name} must be a whole number from {least} to {most}, not {value!r}")
    return value
