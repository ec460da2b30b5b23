"""What ``pyctd stats`` makes of a task's metrics."""

from __future__ import annotations

import os

from pyctd.cli import _stats, _usage
from pyctd.metrics import CgroupV1Metrics, CgroupV2Metrics, v1, v2

GIB = 1 << 30


def test_usage_is_the_same_from_both_cgroups() -> None:
    of_v2 = CgroupV2Metrics(
        cpu=v2.CPUStat(usage_usec=2_000_000),
        memory=v2.MemoryStat(usage=300 << 20, inactive_file=100 << 20, usage_limit=GIB // 4),
        pids=v2.PidsStat(current=3),
        io=v2.IOStat(usage=(v2.IOEntry(rbytes=10, wbytes=1), v2.IOEntry(rbytes=20, wbytes=2))),
    )
    of_v1 = CgroupV1Metrics(
        cpu=v1.CPUStat(usage=v1.CPUUsage(total=2_000_000_000)),
        memory=v1.MemoryStat(total_inactive_file=100 << 20, usage=v1.MemoryEntry(usage=300 << 20, limit=GIB // 4)),
        pids=v1.PidsStat(current=3),
        blkio=v1.BlkIOStat(
            io_service_bytes_recursive=(
                *(v1.BlkIOEntry(op="Read", value=10), v1.BlkIOEntry(op="Read", value=20)),
                *(v1.BlkIOEntry(op="Write", value=3), v1.BlkIOEntry(op="Total", value=33)),
            )
        ),
    )
    wanted = _usage.Usage(2_000_000_000, 200 << 20, GIB // 4, 3, 30, 3)
    assert _usage.usage_of(of_v2) == _usage.usage_of(of_v1) == wanted


def test_usage_of_a_cgroup_that_counts_nothing() -> None:
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for metrics in (CgroupV1Metrics(), CgroupV2Metrics()):
        assert _usage.usage_of(metrics) == _usage.Usage(0, 0, machine, 0, 0, 0)


def test_no_limit_is_the_machines_memory() -> None:
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for limit in (2**63 - 4096, 2**64 - 1):
        of_v1 = CgroupV1Metrics(memory=v1.MemoryStat(usage=v1.MemoryEntry(usage=1, limit=limit)))
        of_v2 = CgroupV2Metrics(memory=v2.MemoryStat(usage=1, usage_limit=limit))
        assert _usage.usage_of(of_v1).memory_limit == _usage.usage_of(of_v2).memory_limit == machine


def test_the_cpu_between_two_looks() -> None:
    def usage(cpu_ns: int) -> _usage.Usage:
        return _usage.Usage(cpu_ns, 0, 1, 0, 0, 0)

    assert _usage.cpu_percent(usage(10**9), usage(2 * 10**9), 2.0) == 50.0
    assert _usage.cpu_percent(usage(0), usage(4 * 10**9), 1.0) == 400.0
    assert _usage.cpu_percent(usage(1), usage(2), 0.0) == 0.0
    assert _usage.cpu_percent(usage(2), usage(1), 1.0) == 0.0, "of a container that was made anew"


def test_the_numbers_of_a_look() -> None:
    before = _usage.Usage(1 * 10**9, 0, 1, 0, 0, 0)
    after = _usage.Usage(2 * 10**9, GIB // 4, GIB, 3, 30, 40)
    assert _stats._numbers("web", 10.0, before, 14.0, after) == {
        "id": "web",
        "cpu_percent": 25.0,
        "memory_bytes": GIB // 4,
        "memory_limit_bytes": GIB,
        "memory_percent": 25.0,
        "block_read_bytes": 30,
        "block_written_bytes": 40,
        "pids": 3,
    }
