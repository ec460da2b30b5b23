"""What a task uses and what it may use: stats, pids, summary and update_resources, beside the cgroup's own files.

The tests take the machine's cgroups as they are, v1 or v2. On a machine whose controllers are v1's, v2 is tested with
what is left for it: a daemon of its own sees v2's hierarchy in the place of v1's. All of v2's fields are tested with a
message that Go makes, in tests/unit/test_metrics.py.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from support import expected
from support.box import SLEEP, Box, eventually
from support.cgroup import MOUNT_V2, Cgroup
from support.expected import there

import pyctd
from pyctd.metrics import CgroupV1Metrics, CgroupV2Metrics

MIB = 1 << 20
BUSY = ("/bin/sh", "-c", "while :; do :; done")


def limited(box: Box, resources: Mapping[str, Any], *args: str) -> pyctd.Task:
    """A task with limits from its start."""
    spec = box.spec(*args)
    spec["linux"]["resources"].update(resources)
    return box.of(spec).start()


def fill_memory(task: pyctd.Task, mib: int) -> pyctd.Process:
    """An exec that takes that much memory and keeps it, if it may."""
    out = pyctd.stdio.capture()
    script = f"x=$(head -c {mib * MIB} /dev/zero | tr '\\0' x); echo full; sleep 600; :"  # the last keeps the shell
    process = task.exec("fill", pyctd.spec.process(["/bin/sh", "-c", script]), attach_stdio=out)
    eventually(lambda: out.stdout or process.status().status == "stopped", "the allocation")
    return process


def test_stats_are_what_the_kernel_says(box: Box) -> None:
    task, out = box.start("/bin/sh", "-c", "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; echo done; sleep 600")
    eventually(lambda: out.stdout, "the loop's end")
    cgroup = Cgroup(task.pid)
    task.pause()  # the numbers stand still
    eventually(
        lambda: expected.without_psi(task.stats().metrics) == expected.metrics(cgroup, task.stats().metrics),
        f"equality of {expected.metrics(cgroup, task.stats().metrics)} and {task.stats()}",
    )
    stats = task.stats()
    assert isinstance(stats.metrics, CgroupV2Metrics if cgroup.v2 else CgroupV1Metrics)
    assert stats.read is not None
    assert expected.cpu_ns(stats.metrics) > 0
    assert expected.memory(stats.metrics).usage > 0


def test_memory_usage_moves_when_a_process_allocates(box: Box) -> None:
    task, _ = box.start()
    before = expected.memory(task.stats().metrics)
    fill_memory(task, 32)
    after = expected.memory(task.stats().metrics)
    # Not the difference: what runc's own start took may still be there before, and be gone after.
    assert before.anonymous <= before.usage < 32 * MIB
    assert 32 * MIB <= after.anonymous <= after.usage
    assert after.max >= after.usage
    assert after.faults >= before.faults + 32 * MIB // (2 * MIB)  # a fault for each page, of whatever size


def test_cpu_usage_grows(box: Box) -> None:
    task, _ = box.start(*BUSY)
    before = expected.cpu_ns(task.stats().metrics)
    eventually(lambda: expected.cpu_ns(task.stats().metrics) > before + 50_000_000, "50 ms of CPU time")


def test_a_cpu_quota_throttles(box: Box) -> None:
    task = limited(box, {"cpu": {"quota": 5000, "period": 100_000}}, *BUSY)
    eventually(lambda: all(expected.throttled(task.stats().metrics)), "throttling")
    free, _ = box.start(*BUSY)
    assert expected.throttled(free.stats().metrics) == (0, 0, 0)


def test_pids_are_counted_beside_their_limit(box: Box) -> None:
    task = limited(box, {"pids": {"limit": 77}})
    assert expected.pids(task.stats().metrics).limit == 77
    # What is left of runc's threads goes soon after the start.
    eventually(lambda: expected.pids(task.stats().metrics).current == 1, "one process")
    task.exec("more", pyctd.spec.process(SLEEP))
    eventually(lambda: expected.pids(task.stats().metrics).current == 2, "two processes")


def test_a_kill_for_want_of_memory_is_counted(box: Box) -> None:
    task = limited(box, {"memory": {"limit": 32 * MIB, "swap": 48 * MIB}})
    assert expected.memory(task.stats().metrics).limit == 32 * MIB
    assert expected.oom_kills(task.stats().metrics) == 0
    assert fill_memory(task, 128).wait(timeout=60).exit_code == 137
    metrics = task.stats().metrics
    assert expected.oom_kills(metrics) >= 1
    assert expected.memory(metrics).hits >= 1
    assert expected.memory(metrics).max <= 32 * MIB


def disk_of(path: Path) -> tuple[int, int]:
    """The disk that a path is on; skips the test where it is on none."""
    device = os.stat(path).st_dev
    block = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}")
    if not block.exists():
        pytest.skip(f"{path} is on no block device")
    disk = block.resolve()
    if (disk / "partition").exists():
        disk = disk.parent
    major, minor = (disk / "dev").read_text().split(":")
    return int(major), int(minor)


def test_block_io_is_counted(box: Box, rootfs: Path) -> None:
    major, minor = disk_of(rootfs)
    # Kernels count for v1 what a throttle looks at; this one is too high to be felt.
    throttle = [{"major": major, "minor": minor, "rate": 1 << 40}]
    task = limited(box, {"blockIO": {"throttleReadBpsDevice": throttle}})
    before = expected.disk_reads(task.stats().metrics, major, minor)
    read = task.exec(
        "read", pyctd.spec.process(["/bin/dd", "if=/bin/busybox", "of=/dev/null", "bs=64k", "iflag=direct"])
    )
    assert read.wait(timeout=60).exit_code == 0
    after = expected.disk_reads(task.stats().metrics, major, minor)
    assert after[0] - before[0] >= (rootfs / "bin/busybox").stat().st_size
    assert after[1] > before[1]


@pytest.fixture
def v2_engine(leak: None, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[pyctd.Engine]:
    """A containerd that finds cgroup v2 mounted where v1 is for all others, in a mount namespace of its own."""
    wrapper = tmp_path / "containerd"
    inner = f'{MOUNT_V2} && exec {shutil.which("containerd")} "$@"'
    wrapper.write_text(f"#!/bin/sh\nexec unshare --mount sh -c '{inner}' sh \"$@\"\n")
    wrapper.chmod(0o755)
    with monkeypatch.context() as patch:
        patch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        engine = pyctd.Engine(root=base / "v2r", state=base / "v2s")
    with engine:
        yield engine
    shutil.rmtree(base / "v2r", ignore_errors=True)
    shutil.rmtree(base / "v2s", ignore_errors=True)


def test_cgroup_v2(v2_engine: pyctd.Engine, rootfs: Path) -> None:
    """Real metrics of v2: of the controllers that this machine has left for it, and of pressure, which needs none."""
    with v2_engine.client(timeout=60) as client:
        box = Box(client, rootfs)
        if "hugetlb" in Cgroup(os.getpid()).controllers():
            task = limited(box, {"hugepageLimits": [{"pageSize": "2MB", "limit": 6 * MIB}]})
        else:
            task, _ = box.start()
        cgroup = Cgroup(task.pid)
        metrics = task.stats().metrics
        assert isinstance(metrics, CgroupV2Metrics)
        assert [
            page.max for page in metrics.hugetlb if page.pagesize == "2MB" and "hugetlb" in cgroup.controllers()
        ] in (
            [6 * MIB],
            [],
        )
        task.pause()
        eventually(
            lambda: expected.without_psi(task.stats().metrics) == expected.metrics(cgroup, task.stats().metrics),
            f"equality of {expected.metrics(cgroup, task.stats().metrics)} and {task.stats()}",
        )
        if client.version().version.startswith("v2") and cgroup.file("", "cpu.pressure").exists():
            psi = there(there(metrics.cpu).psi)
            assert there(psi.some).total <= expected.pressure(cgroup, "cpu")["some"]
            assert there(psi.full).total <= expected.pressure(cgroup, "cpu")["full"]
        box.clean()


def test_stats_of_an_ended_task(box: Box) -> None:
    task, _ = box.start("/bin/true")
    task.wait(timeout=60)
    assert expected.pids(task.stats().metrics).current == 0
    assert task.pids() == []
    assert task.summary() == []
    task.delete()
    for call in (task.stats, task.pids, task.summary):
        with pytest.raises(pyctd.NotFoundError):
            call()


def test_pids(box: Box) -> None:
    task, out = box.start("/bin/sh", "-c", "sleep 600 & echo ready; wait")
    eventually(lambda: out.stdout)
    first = task.pids()
    assert len(first) == 2
    assert task.pid in [process.pid for process in first]
    more = task.exec("more", pyctd.spec.process(SLEEP))
    second = task.pids()
    assert {process.pid for process in second} == {process.pid for process in first} | {more.pid}
    assert {process.pid for process in second} == set(map(int, Cgroup(task.pid).text("pids", "cgroup.procs").split()))
    more.kill("KILL")
    more.wait(timeout=60)
    more.delete()
    assert {process.pid for process in task.pids()} == {process.pid for process in first}


def test_summary_fails_on_linux_as_in_go(box: Box) -> None:
    """runc's shim sends no details of processes, and libcontainerd can't do without them."""
    task, _ = box.start()
    with pytest.raises(pyctd.UnknownError, match="unable to decode process details"):
        task.summary()


LAST_CPU = str(max(os.sched_getaffinity(0)))
#: What is asked for, what v1's files then say, and v2's.
UPDATES: dict[str, tuple[dict[str, Any], dict[str, str], dict[str, str]]] = {
    "memory": (
        {"memory": {"limit": 64 * MIB, "swap": 96 * MIB, "reservation": 32 * MIB}},
        {
            "memory.limit_in_bytes": f"{64 * MIB}",
            "memory.memsw.limit_in_bytes": f"{96 * MIB}",
            "memory.soft_limit_in_bytes": f"{32 * MIB}",
        },
        {"memory.max": f"{64 * MIB}", "memory.swap.max": f"{32 * MIB}", "memory.low": f"{32 * MIB}"},
    ),
    "shares": ({"cpu": {"shares": 262144}}, {"cpu.shares": "262144"}, {"cpu.weight": "10000"}),
    "quota": (
        {"cpu": {"quota": 20000, "period": 50000}},
        {"cpu.cfs_quota_us": "20000", "cpu.cfs_period_us": "50000"},
        {"cpu.max": "20000 50000"},
    ),
    "pids": ({"pids": {"limit": 42}}, {"pids.max": "42"}, {"pids.max": "42"}),
    "cpuset": ({"cpu": {"cpus": LAST_CPU}}, {"cpuset.cpus": LAST_CPU}, {"cpuset.cpus": LAST_CPU}),
}


def says(cgroup: Cgroup, files: Mapping[str, str]) -> dict[str, str]:
    return {name: cgroup.text(name.split(".")[0], name) for name in files}


@pytest.mark.parametrize("what", UPDATES)
def test_update_resources(box: Box, what: str) -> None:
    task, _ = box.start()
    cgroup = Cgroup(task.pid)
    resources, v1, v2 = UPDATES[what]
    files = v2 if cgroup.v2 else v1
    before = says(cgroup, files)
    assert all(before[name] != value for name, value in files.items()) or (what == "cpuset" and os.cpu_count() == 1)
    task.update_resources(resources)
    assert says(cgroup, files) == files
    metrics = task.stats().metrics
    if what == "memory":
        assert expected.memory(metrics).limit == 64 * MIB
    if what == "pids":
        assert expected.pids(metrics).limit == 42


def test_an_update_leaves_what_it_does_not_name(box: Box) -> None:
    task, _ = box.start()
    cgroup = Cgroup(task.pid)
    files: dict[str, str] = {}
    for resources, v1, v2 in UPDATES.values():
        task.update_resources(resources)
        files |= v2 if cgroup.v2 else v1
        assert says(cgroup, files) == files
    task.update_resources({})
    assert says(cgroup, files) == files
    task.update_resources({"pids": {"limit": -1}})
    assert says(cgroup, files) == {**files, "pids.max": "max"}
    assert expected.pids(task.stats().metrics).limit == (2**64 - 1 if cgroup.v2 else 0)


def test_update_resources_in_each_state(box: Box) -> None:
    task = box.container().new_task()
    cgroup = Cgroup(task.pid)
    task.update_resources({"pids": {"limit": 41}})
    assert cgroup.text("pids", "pids.max") == "41"
    task.start()
    assert cgroup.text("pids", "pids.max") == "41"
    task.pause()
    task.update_resources({"pids": {"limit": 42}})
    assert cgroup.text("pids", "pids.max") == "42"
    assert task.status().status == "paused"
    task.resume()
    task.kill(9)
    task.wait(timeout=60)
    with pytest.raises(pyctd.UnknownError, match="stopped"):
        task.update_resources({"pids": {"limit": 43}})
    task.delete()
    with pytest.raises(pyctd.NotFoundError):
        task.update_resources({"pids": {"limit": 43}})


def test_update_resources_ignores_what_it_does_not_know(box: Box) -> None:
    task, _ = box.start()
    cgroup = Cgroup(task.pid)
    files = {name: "" for _, v1, v2 in UPDATES.values() for name in (v2 if cgroup.v2 else v1)}
    before = says(cgroup, files)
    task.update_resources({"nothing": {"limit": 1}})
    assert says(cgroup, files) == before


@pytest.mark.parametrize(
    "resources", [None, [], "x", {"memory": {"limit": "much"}}, {"cpu": {"quota": 0.5}}, {"pids": 5}]
)
def test_resources_that_are_none(box: Box, resources: Any) -> None:
    task, _ = box.start()
    with pytest.raises(pyctd.InvalidArgumentError, match="resources"):
        task.update_resources(resources)
    assert task.status().status == "running"


@pytest.mark.parametrize(
    ("resources", "name"),
    [
        ({"memory": {"limit": 1}}, "memory"),
        ({"cpu": {"cpus": "9999"}}, "cpuset"),
        ({"cpu": {"cpus": "nonsense"}}, "cpuset"),
        ({"cpu": {"quota": 1}}, "quota"),
    ],
)
def test_limits_that_the_kernel_does_not_take(box: Box, resources: Mapping[str, Any], name: str) -> None:
    task, _ = box.start()
    cgroup = Cgroup(task.pid)
    if name == "memory" and cgroup.v2:
        pytest.skip("v2 takes any limit of memory, and kills what does not fit")
    files = UPDATES[name][2 if cgroup.v2 else 1]
    before = says(cgroup, files)
    with pytest.raises(pyctd.UnknownError, match="runc did not terminate successfully"):
        task.update_resources(resources)
    assert says(cgroup, files) == before
    assert task.status().status == "running"
