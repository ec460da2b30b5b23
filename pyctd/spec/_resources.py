"""Resource limits, as docker's users know them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from ..errors import InvalidArgumentError
from ._keywords import ResourceKeywords, refuse_unknown

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["resources", "swap_is_limited"]

_MEMORY_MIN = 6 << 20
_INT64_MAX = 2**63 - 1
_PERIOD = 100_000
"""Microseconds over which dockerd counts CPU time."""


def resources(**given: Unpack[ResourceKeywords]) -> dict[str, Any]:
    """Returns the ``linux.resources`` of a spec, converted as dockerd does. ``Task.update_resources`` takes it too.

    Args:
        **given: see ``ResourceKeywords``.

    Raises:
        InvalidArgumentError: a number is out of range.
    """
    refuse_unknown("resources", given, ResourceKeywords)
    limits: dict[str, Any] = {}
    if sizes := _memory(given.get("memory"), given.get("memory_swap"), given.get("memory_reservation")):
        limits["memory"] = sizes
    cpu: dict[str, Any] = {}
    if (cpu_shares := given.get("cpu_shares")) is not None:
        cpu["shares"] = _whole("cpu_shares", cpu_shares, 2, _INT64_MAX)
    if (cpus := given.get("cpus")) is not None:
        all_cpus = len(os.sched_getaffinity(0))
        if isinstance(cpus, bool) or not isinstance(cpus, (int, float)) or not 0.01 <= cpus <= all_cpus:
            raise InvalidArgumentError(f"cpus must be from 0.01 to {all_cpus}, as many as there are, not {cpus!r}")
        cpu["period"], cpu["quota"] = _PERIOD, round(cpus * 1e9) * _PERIOD // 10**9
    for name, value in (("cpuset_cpus", given.get("cpuset_cpus")), ("cpuset_mems", given.get("cpuset_mems"))):
        if value is not None:
            if not isinstance(value, str) or not value:
                raise InvalidArgumentError(f'{name} must be a string such as "0-2,7", not {value!r}')
            cpu[name.removeprefix("cpuset_")] = value
    if cpu:
        limits["cpu"] = cpu
    if (pids_limit := given.get("pids_limit")) is not None:
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
    """Whether the kernel counts swap. If it does not, dockerd sets no swap limit."""
    if os.path.exists("/sys/fs/cgroup/cgroup.controllers"):
        with open("/proc/self/cgroup") as file:
            group = file.read().rpartition("0::")[2].strip()
        # The root cgroup never has this file, even if the kernel counts swap.
        return group == "/" or os.path.exists(f"/sys/fs/cgroup{group}/memory.swap.max")
    return os.path.exists("/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes")


def _whole(name: str, value: int, least: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise InvalidArgumentError(f"{name} must be a whole number from {least} to {most}, not {value!r}")
    return value
