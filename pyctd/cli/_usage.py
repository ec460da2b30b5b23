"""What a container uses, in the few numbers that ``docker stats`` shows, the same from cgroup v1 and v2."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..metrics import Metrics

__all__ = ["Usage", "cpu_percent", "usage_of"]


@dataclass(frozen=True)
class Usage:
    """Numbers as docker counts them.

    Attributes:
        cpu_ns: CPU time used so far, in nanoseconds.
        memory: bytes in use, without the page cache that the kernel can take back at once.
        memory_limit: bytes that may be; the machine's memory where there is no lower limit.
        pids: processes and threads.
        read: bytes read from block devices so far.
        written: bytes written to them.
    """

    cpu_ns: int
    memory: int
    memory_limit: int
    pids: int
    read: int
    written: int


def cpu_percent(before: Usage, after: Usage, seconds: float) -> float:
    """The CPU time used between two looks; 100 is one CPU's."""
    return max(0.0, (after.cpu_ns - before.cpu_ns) / (seconds * 1e9) * 100) if seconds > 0 else 0.0


def usage_of(metrics: Metrics) -> Usage:
    """The numbers of a task's metrics; 0 for what its cgroup does not count."""
    from ..metrics import CgroupV2Metrics, v1, v2

    pids = metrics.pids.current if metrics.pids else 0
    if isinstance(metrics, CgroupV2Metrics):
        memory = metrics.memory or v2.MemoryStat()
        devices = metrics.io.usage if metrics.io else ()
        return Usage(
            metrics.cpu.usage_usec * 1000 if metrics.cpu else 0,
            max(0, memory.usage - memory.inactive_file),
            _limit(memory.usage_limit),
            pids,
            sum(device.rbytes for device in devices),
            sum(device.wbytes for device in devices),
        )
    stat = metrics.memory or v1.MemoryStat()
    account = stat.usage or v1.MemoryEntry()
    entries = metrics.blkio.io_service_bytes_recursive if metrics.blkio else ()
    read, written = (sum(e.value for e in entries if e.op.lower() == op) for op in ("read", "write"))
    cpu = metrics.cpu.usage.total if metrics.cpu and metrics.cpu.usage else 0
    return Usage(cpu, max(0, account.usage - stat.total_inactive_file), _limit(account.limit), pids, read, written)


def _limit(limit: int) -> int:
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min(limit, machine) if limit > 0 else machine
