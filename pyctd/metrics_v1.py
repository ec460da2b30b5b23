"""A task's resource usage, as cgroup v1 counts it: containerd's ``io.containerd.cgroups.v1.Metrics``.

The classes and fields are those of the protobuf message, which reports the files of the kernel's v1 controllers. A
message is None if containerd sends none because the controller is missing. A number is 0 if nothing was counted or the
kernel does not count it. Counters start with the cgroup and only grow. The memory controller cannot express
"unlimited": such a limit reads as the largest multiple of the page size below 2**63, which is 9223372036854771712 with
pages of 4 KiB.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "BlkIOEntry",
    "BlkIOStat",
    "CPUStat",
    "CPUUsage",
    "CgroupStats",
    "CgroupV1Metrics",
    "HugetlbStat",
    "MemoryEntry",
    "MemoryOomControl",
    "MemoryStat",
    "NetworkStat",
    "PidsStat",
    "RdmaEntry",
    "RdmaStat",
    "Throttle",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class HugetlbStat:
    """Huge pages of one size (``hugetlb.<pagesize>.*``).

    Attributes:
        usage: what is in use, in bytes.
        max: the peak usage, in bytes; not a limit.
        failcnt: how often the limit refused a page: a count.
        pagesize: the size of the pages, such as ``2MB`` or ``1GB``.
    """

    usage: int = 0
    max: int = 0
    failcnt: int = 0
    pagesize: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PidsStat:
    """The number of processes (``pids.*``).

    Attributes:
        current: the processes and threads in the cgroup: a count.
        limit: the most that is allowed: a count; 0 stands for no limit.
    """

    current: int = 0
    limit: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CPUUsage:
    """CPU time used (``cpuacct.*``).

    Attributes:
        total: in all, in nanoseconds.
        kernel: in the kernel, in nanoseconds, of a clock that ticks 100 times a second.
        user: in user mode, in nanoseconds, of the same clock: the two need not add up to ``total``.
        per_cpu: on each CPU, by its number, in nanoseconds.
    """

    total: int = 0
    kernel: int = 0
    user: int = 0
    per_cpu: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Throttle:
    """What a CPU quota did (``cpu.stat``); all 0 without one.

    Attributes:
        periods: the quota's periods that have passed with something to run: a count.
        throttled_periods: those in which the quota ran out: a count.
        throttled_time: how long runnable processes were held back, summed over the CPUs, in nanoseconds.
    """

    periods: int = 0
    throttled_periods: int = 0
    throttled_time: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CPUStat:
    """The CPU.

    Attributes:
        usage: the time used.
        throttling: what a quota did to it.
    """

    usage: CPUUsage | None = None
    throttling: Throttle | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryEntry:
    """One of the memory controller's accounts (``memory.*_in_bytes``, ``memory.*failcnt``).

    Attributes:
        limit: the most that may be in use, in bytes.
        usage: what is in use, in bytes.
        max: the peak usage, in bytes.
        failcnt: how often the limit was hit: a count.
    """

    limit: int = 0
    usage: int = 0
    max: int = 0
    failcnt: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryStat:
    """Memory (``memory.stat``, and the four accounts).

    Those from ``cache`` to ``unevictable`` count the cgroup alone; those named ``total_…`` count those below it too.

    Attributes:
        cache: page cache, with tmpfs and shared memory, in bytes.
        rss: anonymous memory and swap cache, with transparent huge pages and without tmpfs, in bytes. It is not the
            resident set size that ``ps`` shows.
        rss_huge: transparent huge pages of anonymous memory, in bytes.
        mapped_file: page cache that is mapped into processes, with tmpfs and shared memory, in bytes.
        dirty: page cache that waits to be written back, in bytes.
        writeback: page cache and anonymous memory on its way to the disk or to swap, in bytes.
        pg_pg_in: pages charged to the cgroup: a count of events.
        pg_pg_out: pages no longer charged to it: a count of events.
        pg_fault: page faults: a count.
        pg_maj_fault: page faults that had to read from a disk: a count.
        inactive_anon: anonymous memory, tmpfs and swap cache on the inactive list, in bytes.
        active_anon: the same on the active list, in bytes.
        inactive_file: file-backed memory on the inactive list, in bytes.
        active_file: the same on the active list, in bytes.
        unevictable: memory that can't be reclaimed, such as what is locked with mlock, in bytes.
        hierarchical_memory_limit: the lowest memory limit of the cgroup and those above it, in bytes.
        hierarchical_swap_limit: the lowest limit of memory and swap together, likewise, in bytes.
        total_cache: as ``cache``, with the cgroups below, in bytes.
        total_rss: as ``rss``, in bytes.
        total_rss_huge: as ``rss_huge``, in bytes.
        total_mapped_file: as ``mapped_file``, in bytes.
        total_dirty: as ``dirty``, in bytes.
        total_writeback: as ``writeback``, in bytes.
        total_pg_pg_in: as ``pg_pg_in``: a count of events.
        total_pg_pg_out: as ``pg_pg_out``: a count of events.
        total_pg_fault: as ``pg_fault``: a count.
        total_pg_maj_fault: as ``pg_maj_fault``: a count.
        total_inactive_anon: as ``inactive_anon``, in bytes.
        total_active_anon: as ``active_anon``, in bytes.
        total_inactive_file: as ``inactive_file``, in bytes.
        total_active_file: as ``active_file``, in bytes.
        total_unevictable: as ``unevictable``, in bytes.
        usage: the account of all memory: user memory, page cache and the kernel's.
        swap: the account of memory and swap together.
        kernel: the account of the kernel's memory, such as stacks and slabs.
        kernel_tcp: the account of the buffers of TCP.
    """

    cache: int = 0
    rss: int = 0
    rss_huge: int = 0
    mapped_file: int = 0
    dirty: int = 0
    writeback: int = 0
    pg_pg_in: int = 0
    pg_pg_out: int = 0
    pg_fault: int = 0
    pg_maj_fault: int = 0
    inactive_anon: int = 0
    active_anon: int = 0
    inactive_file: int = 0
    active_file: int = 0
    unevictable: int = 0
    hierarchical_memory_limit: int = 0
    hierarchical_swap_limit: int = 0
    total_cache: int = 0
    total_rss: int = 0
    total_rss_huge: int = 0
    total_mapped_file: int = 0
    total_dirty: int = 0
    total_writeback: int = 0
    total_pg_pg_in: int = 0
    total_pg_pg_out: int = 0
    total_pg_fault: int = 0
    total_pg_maj_fault: int = 0
    total_inactive_anon: int = 0
    total_active_anon: int = 0
    total_inactive_file: int = 0
    total_active_file: int = 0
    total_unevictable: int = 0
    usage: MemoryEntry | None = None
    swap: MemoryEntry | None = None
    kernel: MemoryEntry | None = None
    kernel_tcp: MemoryEntry | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryOomControl:
    """What happens when memory runs out (``memory.oom_control``).

    Attributes:
        oom_kill_disable: 1 where processes that need more memory wait instead of being killed; else 0.
        under_oom: 1 while they wait; else 0.
        oom_kill: processes killed by the OOM killer: a count.
    """

    oom_kill_disable: int = 0
    under_oom: int = 0
    oom_kill: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class BlkIOEntry:
    """One number for one operation on one device.

    Attributes:
        op: ``Read``, ``Write``, ``Sync``, ``Async``, ``Discard`` or ``Total``; empty where they are not told apart.
        device: the device's path, such as ``/dev/sda``; empty where it has no name.
        major: the device's major number.
        minor: the device's minor number.
        value: the number, in the unit of the list that it is in.
    """

    op: str = ""
    device: str = ""
    major: int = 0
    minor: int = 0
    value: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class BlkIOStat:
    """Block devices (``blkio.*``).

    The kernel's CFQ scheduler counted all of these. Without it, as in today's kernels, there are the first two, which
    recent kernels count only for a device that a throttle is set for.

    Attributes:
        io_service_bytes_recursive: what was transferred, in bytes.
        io_serviced_recursive: operations done: a count.
        io_queued_recursive: operations that wait in the queue: a count.
        io_service_time_recursive: between handing an operation to the device and its end, in nanoseconds.
        io_wait_time_recursive: that operations waited in the queue, in nanoseconds.
        io_merged_recursive: operations merged into others: a count.
        io_time_recursive: that the device was the cgroup's, in milliseconds.
        sectors_recursive: what was transferred, in sectors of 512 bytes.
    """

    io_service_bytes_recursive: tuple[BlkIOEntry, ...] = ()
    io_serviced_recursive: tuple[BlkIOEntry, ...] = ()
    io_queued_recursive: tuple[BlkIOEntry, ...] = ()
    io_service_time_recursive: tuple[BlkIOEntry, ...] = ()
    io_wait_time_recursive: tuple[BlkIOEntry, ...] = ()
    io_merged_recursive: tuple[BlkIOEntry, ...] = ()
    io_time_recursive: tuple[BlkIOEntry, ...] = ()
    sectors_recursive: tuple[BlkIOEntry, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RdmaEntry:
    """One RDMA device.

    Attributes:
        device: its name, such as ``mlx4_0``.
        hca_handles: handles: a count; 4294967295 as a limit stands for none.
        hca_objects: objects: a count; likewise.
    """

    device: str = ""
    hca_handles: int = 0
    hca_objects: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RdmaStat:
    """RDMA devices (``rdma.*``).

    Attributes:
        current: what is in use, for each device.
        limit: the most that may be, for each device.
    """

    current: tuple[RdmaEntry, ...] = ()
    limit: tuple[RdmaEntry, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkStat:
    """One network interface. It is in the message, but runc's shim does not fill it in.

    Attributes:
        name: the interface's name.
        rx_bytes: received, in bytes.
        rx_packets: packets received: a count.
        rx_errors: packets received with errors: a count.
        rx_dropped: packets received and dropped: a count.
        tx_bytes: sent, in bytes.
        tx_packets: packets sent: a count.
        tx_errors: packets that could not be sent: a count.
        tx_dropped: packets dropped instead of sent: a count.
    """

    name: str = ""
    rx_bytes: int = 0
    rx_packets: int = 0
    rx_errors: int = 0
    rx_dropped: int = 0
    tx_bytes: int = 0
    tx_packets: int = 0
    tx_errors: int = 0
    tx_dropped: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CgroupStats:
    """Tasks by their state, from the kernel's taskstats. It is in the message, but runc's shim does not fill it in.

    Attributes:
        nr_sleeping: tasks that sleep: a count.
        nr_running: tasks that run: a count.
        nr_stopped: tasks that are stopped: a count.
        nr_uninterruptible: tasks in a sleep that no signal ends: a count.
        nr_io_wait: tasks that wait for input or output: a count.
    """

    nr_sleeping: int = 0
    nr_running: int = 0
    nr_stopped: int = 0
    nr_uninterruptible: int = 0
    nr_io_wait: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CgroupV1Metrics:
    """A task's metrics on a machine with cgroup v1.

    Attributes:
        hugetlb: huge pages, for each size.
        pids: the number of processes.
        cpu: the CPU.
        memory: memory.
        blkio: block devices.
        rdma: RDMA devices.
        network: network interfaces.
        cgroup_stats: tasks by their state.
        memory_oom_control: what happens when memory runs out.
    """

    hugetlb: tuple[HugetlbStat, ...] = ()
    pids: PidsStat | None = None
    cpu: CPUStat | None = None
    memory: MemoryStat | None = None
    blkio: BlkIOStat | None = None
    rdma: RdmaStat | None = None
    network: tuple[NetworkStat, ...] = ()
    cgroup_stats: CgroupStats | None = None
    memory_oom_control: MemoryOomControl | None = None
