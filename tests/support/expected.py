"""Metrics as they should be, from the kernel's files; and what metrics of both cgroup versions have in common."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from pyctd.metrics import CgroupV1Metrics, Metrics, v1, v2

from .cgroup import Cgroup

USER_HZ = 100
T = TypeVar("T")


class Memory(NamedTuple):
    """Bytes, but for the last two: how often the limit was hit, and page faults."""

    usage: int
    max: int
    limit: int
    anonymous: int
    hits: int
    faults: int


def there(part: T | None) -> T:
    """A part of a message that must have been sent."""
    assert part is not None
    return part


def memory(metrics: Metrics) -> Memory:
    if isinstance(metrics, CgroupV1Metrics):
        stat = there(metrics.memory)
        use = there(stat.usage)
        return Memory(use.usage, use.max, use.limit, stat.rss, use.failcnt, stat.pg_fault)
    part = there(metrics.memory)
    hits = there(metrics.memory_events).max
    return Memory(part.usage, part.max_usage, part.usage_limit, part.anon, hits, part.pgfault)


def cpu_ns(metrics: Metrics) -> int:
    if isinstance(metrics, CgroupV1Metrics):
        return there(there(metrics.cpu).usage).total
    return there(metrics.cpu).usage_usec * 1000


def throttled(metrics: Metrics) -> tuple[int, int, int]:
    """Periods, throttled periods, throttled time."""
    if isinstance(metrics, CgroupV1Metrics):
        throttle = there(there(metrics.cpu).throttling)
        return throttle.periods, throttle.throttled_periods, throttle.throttled_time
    cpu = there(metrics.cpu)
    return cpu.nr_periods, cpu.nr_throttled, cpu.throttled_usec


def pids(metrics: Metrics) -> v1.PidsStat | v2.PidsStat:
    assert metrics.pids is not None
    return metrics.pids


def oom_kills(metrics: Metrics) -> int:
    if isinstance(metrics, CgroupV1Metrics):
        return there(metrics.memory_oom_control).oom_kill
    return there(metrics.memory_events).oom_kill


def disk_reads(metrics: Metrics, major: int, minor: int) -> tuple[int, int]:
    """Bytes read, and reads."""
    if isinstance(metrics, CgroupV1Metrics):
        blkio = there(metrics.blkio)

        def of(entries: tuple[v1.BlkIOEntry, ...]) -> int:
            return sum(e.value for e in entries if (e.op, e.major, e.minor) == ("Read", major, minor))

        return of(blkio.io_service_bytes_recursive), of(blkio.io_serviced_recursive)
    mine = [e for e in there(metrics.io).usage if (e.major, e.minor) == (major, minor)]
    return sum(e.rbytes for e in mine), sum(e.rios for e in mine)


def metrics(cgroup: Cgroup, like: Metrics) -> dict[str, Any]:
    """CPU, memory, processes and huge pages, as the kernel's files have them, for metrics of one version."""
    return _v1(cgroup) if isinstance(like, CgroupV1Metrics) else _v2(cgroup)


def without_psi(metrics: Metrics) -> dict[str, Any]:
    """The same of metrics, without pressure, whose averages do not stand still."""
    if isinstance(metrics, CgroupV1Metrics):
        return {name: getattr(metrics, name) for name in ("cpu", "memory", "memory_oom_control", "pids")}
    return {
        "cpu": dataclasses.replace(there(metrics.cpu), psi=None),
        "memory": dataclasses.replace(there(metrics.memory), psi=None),
        "memory_events": metrics.memory_events,
        "pids": metrics.pids,
        "hugetlb": sorted(metrics.hugetlb, key=lambda page: page.pagesize),
    }


def pressure(cgroup: Cgroup, name: str) -> dict[str, int]:
    """The totals of a pressure file, in microseconds."""
    lines = (line.split() for line in cgroup.text("", f"{name}.pressure").splitlines())
    return {kind: int(values[-1].removeprefix("total=")) for kind, *values in lines}


def _number(path: Path, unlimited: int) -> int:
    text = path.read_text().strip()
    return unlimited if text == "max" else int(text)


def _v1(cgroup: Cgroup) -> dict[str, Any]:
    def account(kind: str) -> v1.MemoryEntry:
        names = {
            "limit": "limit_in_bytes",
            "usage": "usage_in_bytes",
            "max": "max_usage_in_bytes",
            "failcnt": "failcnt",
        }
        return v1.MemoryEntry(**{k: int(cgroup.text("memory", f"memory.{kind}{name}")) for k, name in names.items()})

    stat = cgroup.table("memory", "memory.stat")
    stat["hierarchical_swap_limit"] = stat["hierarchical_memsw_limit"]
    for total in ("", "total_"):
        for ours, kernels in (("in", "pgpgin"), ("out", "pgpgout")):
            stat[f"{total}pg_pg_{ours}"] = stat[f"{total}{kernels}"]
        for ours, kernels in (("pg_fault", "pgfault"), ("pg_maj_fault", "pgmajfault")):
            stat[f"{total}{ours}"] = stat[f"{total}{kernels}"]
    numbers = {field.name for field in dataclasses.fields(v1.MemoryStat) if field.default == 0}
    ticks = cgroup.table("cpuacct", "cpuacct.stat")
    throttle = cgroup.table("cpu", "cpu.stat")
    return {
        "cpu": v1.CPUStat(
            usage=v1.CPUUsage(
                total=int(cgroup.text("cpuacct", "cpuacct.usage")),
                kernel=ticks["system"] * 10**9 // USER_HZ,
                user=ticks["user"] * 10**9 // USER_HZ,
                per_cpu=tuple(map(int, cgroup.text("cpuacct", "cpuacct.usage_percpu").split())),
            ),
            throttling=v1.Throttle(
                periods=throttle["nr_periods"],
                throttled_periods=throttle["nr_throttled"],
                throttled_time=throttle["throttled_time"],
            ),
        ),
        "memory": v1.MemoryStat(
            **{name: stat[name] for name in numbers},
            usage=account(""),
            swap=account("memsw."),
            kernel=account("kmem."),
            kernel_tcp=account("kmem.tcp."),
        ),
        "memory_oom_control": v1.MemoryOomControl(**cgroup.table("memory", "memory.oom_control")),
        "pids": v1.PidsStat(
            current=_number(cgroup.file("pids", "pids.current"), 0), limit=_number(cgroup.file("pids", "pids.max"), 0)
        ),
    }


def _v2(cgroup: Cgroup) -> dict[str, Any]:
    """A file that is not there is what shims take for 0."""
    directory = cgroup.directories[""]
    has = cgroup.controllers()

    def number(name: str) -> int:
        return _number(directory / name, 2**64 - 1) if (directory / name).exists() else 0

    def table(cls: Any, controller: str, name: str) -> dict[str, int]:
        if controller not in has:
            return {}
        fields = {field.name for field in dataclasses.fields(cls)}
        return {key: value for key, value in cgroup.table("", name).items() if key in fields}

    return {
        "cpu": v2.CPUStat(**table(v2.CPUStat, "cpu", "cpu.stat")),  # type: ignore[arg-type]
        "memory": v2.MemoryStat(
            **table(v2.MemoryStat, "memory", "memory.stat"),  # type: ignore[arg-type]
            usage=number("memory.current"),
            usage_limit=number("memory.max"),
            max_usage=number("memory.peak"),
            swap_usage=number("memory.swap.current"),
            swap_limit=number("memory.swap.max"),
            swap_max_usage=number("memory.swap.peak"),
        ),
        "memory_events": v2.MemoryEvents(**table(v2.MemoryEvents, "memory", "memory.events"))
        if "memory" in has
        else None,
        "pids": v2.PidsStat(current=number("pids.current"), limit=number("pids.max")),
        "hugetlb": sorted(
            (
                v2.HugeTlbStat(
                    current=number(f"hugetlb.{size}.current"), max=number(f"hugetlb.{size}.max"), pagesize=size
                )
                for size in (path.name.split(".")[1] for path in directory.glob("hugetlb.*B.current"))
            ),
            key=lambda page: page.pagesize,
        ),
    }
