"""A task's resource usage, as cgroup v2 counts it: containerd's ``io.containerd.cgroups.v2.Metrics``.

The classes and fields are those of the protobuf message, which reports the files of the kernel's v2 controllers. A
message is None if containerd sends none. A number is 0 if nothing was counted, the kernel does not count it, or the
controller is off. Counters start with the cgroup and only grow. An unset limit, ``max`` in the kernel's files, is
2**64 - 1 unless stated otherwise. All counts include the cgroups below.
"""

from __future__ import annotations

from dataclasses import dataclass

from .metrics_v1 import RdmaEntry, RdmaStat  # the same in both messages

__all__ = [
    "CPUStat",
    "CgroupV2Metrics",
    "HugeTlbStat",
    "IOEntry",
    "IOStat",
    "MemoryEvents",
    "MemoryStat",
    "PSIData",
    "PSIStats",
    "PidsStat",
    "RdmaEntry",
    "RdmaStat",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class PSIData:
    """A line of the kernel's pressure stall information.

    Attributes:
        avg10: the share of the last 10 seconds that was lost to waiting, in percent, 0–100.
        avg60: that of the last 60 seconds, in percent.
        avg300: that of the last 300 seconds, in percent.
        total: the time lost to waiting, in microseconds.
    """

    avg10: float = 0.0
    avg60: float = 0.0
    avg300: float = 0.0
    total: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PSIStats:
    """How much the processes waited for a resource (``<controller>.pressure``).

    Attributes:
        some: the time in which at least one process waited.
        full: the time in which all that had something to do waited at once.
    """

    some: PSIData | None = None
    full: PSIData | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PidsStat:
    """The number of processes (``pids.*``).

    Attributes:
        current: the processes and threads in the cgroup: a count.
        limit: the most that is allowed: a count.
    """

    current: int = 0
    limit: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CPUStat:
    """The CPU (``cpu.stat``). The last three numbers are 0 without a quota.

    Attributes:
        usage_usec: the time used, in microseconds.
        user_usec: of it in user mode, in microseconds.
        system_usec: of it in the kernel, in microseconds.
        nr_periods: the quota's periods that have passed with something to run: a count.
        nr_throttled: those in which the quota ran out: a count.
        throttled_usec: how long runnable processes were held back, summed over the CPUs, in microseconds.
        psi: waiting for a CPU; None from older shims, and where the kernel keeps no such account.
    """

    usage_usec: int = 0
    user_usec: int = 0
    system_usec: int = 0
    nr_periods: int = 0
    nr_throttled: int = 0
    throttled_usec: int = 0
    psi: PSIStats | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryStat:
    """Memory (``memory.stat``, ``memory.current`` and others).

    Attributes:
        anon: anonymous memory, such as heaps and stacks, in bytes.
        file: page cache, with tmpfs and shared memory, in bytes.
        kernel_stack: kernel stacks, in bytes.
        slab: the kernel's data structures, in bytes.
        sock: network buffers, in bytes.
        shmem: page cache that swap backs, such as tmpfs and shared anonymous memory, in bytes.
        file_mapped: page cache that is mapped into processes, in bytes.
        file_dirty: page cache that was changed and is not yet being written back, in bytes.
        file_writeback: page cache that is being written back, in bytes.
        anon_thp: anonymous memory in transparent huge pages, in bytes.
        inactive_anon: anonymous and swap-backed memory on the inactive list, in bytes.
        active_anon: the same on the active list, in bytes.
        inactive_file: file-backed memory on the inactive list, in bytes.
        active_file: the same on the active list, in bytes.
        unevictable: memory that can't be reclaimed, such as what is locked with mlock, in bytes.
        slab_reclaimable: the part of slab that could be reclaimed, such as dentries and inodes, in bytes.
        slab_unreclaimable: the part of slab that could not, in bytes.
        pgfault: page faults: a count.
        pgmajfault: page faults that had to read from a disk: a count.
        workingset_refault: pages that came back after they had been evicted: a count. Kernels since 5.9 tell anonymous
            and file pages apart, under other names, and leave this 0.
        workingset_activate: those of them that were put on the active list at once: a count; likewise.
        workingset_nodereclaim: shadow nodes reclaimed: a count.
        pgrefill: pages looked at on the active list: a count.
        pgscan: pages looked at on the inactive list: a count.
        pgsteal: pages reclaimed: a count.
        pgactivate: pages moved to the active list: a count.
        pgdeactivate: pages moved to the inactive list: a count.
        pglazyfree: pages that may be freed when memory gets scarce, as by ``MADV_FREE``: a count.
        pglazyfreed: those of them that were freed: a count.
        thp_fault_alloc: transparent huge pages made by a page fault: a count.
        thp_collapse_alloc: transparent huge pages made out of small pages: a count.
        usage: all memory in use, the kernel's too (``memory.current``), in bytes.
        usage_limit: the most that may be in use (``memory.max``), in bytes.
        swap_usage: swap in use, in bytes.
        swap_limit: the most swap that may be in use, in bytes.
        max_usage: the most memory that was in use at one time (``memory.peak``), in bytes; 0 where the kernel does
            not keep it.
        swap_max_usage: the most swap that was in use at one time, in bytes; likewise.
        psi: waiting for memory; None from older shims, and where the kernel keeps no such account.
    """

    anon: int = 0
    file: int = 0
    kernel_stack: int = 0
    slab: int = 0
    sock: int = 0
    shmem: int = 0
    file_mapped: int = 0
    file_dirty: int = 0
    file_writeback: int = 0
    anon_thp: int = 0
    inactive_anon: int = 0
    active_anon: int = 0
    inactive_file: int = 0
    active_file: int = 0
    unevictable: int = 0
    slab_reclaimable: int = 0
    slab_unreclaimable: int = 0
    pgfault: int = 0
    pgmajfault: int = 0
    workingset_refault: int = 0
    workingset_activate: int = 0
    workingset_nodereclaim: int = 0
    pgrefill: int = 0
    pgscan: int = 0
    pgsteal: int = 0
    pgactivate: int = 0
    pgdeactivate: int = 0
    pglazyfree: int = 0
    pglazyfreed: int = 0
    thp_fault_alloc: int = 0
    thp_collapse_alloc: int = 0
    usage: int = 0
    usage_limit: int = 0
    swap_usage: int = 0
    swap_limit: int = 0
    max_usage: int = 0
    swap_max_usage: int = 0
    psi: PSIStats | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryEvents:
    """What came of the limits of memory (``memory.events``).

    Attributes:
        low: reclaims although usage was below the protection that ``memory.low`` gives: a count.
        high: times that processes were slowed down since ``memory.high`` was exceeded: a count.
        max: times that usage was about to exceed ``memory.max``: a count.
        oom: times that an allocation was about to fail at the limit: a count.
        oom_kill: processes killed by the OOM killer: a count.
    """

    low: int = 0
    high: int = 0
    max: int = 0
    oom: int = 0
    oom_kill: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class IOEntry:
    """One block device.

    Attributes:
        major: its major number.
        minor: its minor number.
        rbytes: read, in bytes.
        wbytes: written, in bytes.
        rios: reads: a count.
        wios: writes: a count.
    """

    major: int = 0
    minor: int = 0
    rbytes: int = 0
    wbytes: int = 0
    rios: int = 0
    wios: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class IOStat:
    """Block devices (``io.*``).

    Attributes:
        usage: what was read and written, for each device that was used.
        psi: waiting for devices; None from older shims, and where the kernel keeps no such account.
    """

    usage: tuple[IOEntry, ...] = ()
    psi: PSIStats | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HugeTlbStat:
    """Huge pages of one size (``hugetlb.<pagesize>.*``).

    Attributes:
        current: what is in use, in bytes.
        max: the most that may be in use, in bytes. Without a limit it is 2**64 - 1, or, as the kernel may put it, the
            largest multiple of the page size below 2**63.
        pagesize: the size of the pages, such as ``2MB`` or ``1GB``.
    """

    current: int = 0
    max: int = 0
    pagesize: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CgroupV2Metrics:
    """A task's metrics on a machine with cgroup v2.

    Attributes:
        pids: the number of processes.
        cpu: the CPU.
        memory: memory.
        rdma: RDMA devices.
        io: block devices.
        hugetlb: huge pages, for each size.
        memory_events: what came of the limits of memory.
    """

    pids: PidsStat | None = None
    cpu: CPUStat | None = None
    memory: MemoryStat | None = None
    rdma: RdmaStat | None = None
    io: IOStat | None = None
    hugetlb: tuple[HugeTlbStat, ...] = ()
    memory_events: MemoryEvents | None = None
