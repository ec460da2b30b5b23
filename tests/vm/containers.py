"""The rows of `make vm-test` about containers."""

from __future__ import annotations

import contextlib
import json
import platform
import subprocess
import sys
from pathlib import Path

from vm.harness import (
    CGROUPS,
    LIMITS,
    MIB,
    PATIENCE,
    SLEEP,
    UML,
    LeftOut,
    cgroup_of,
    check,
    counts,
    eventually,
    row,
    run,
    started,
    value,
)

import pyctd

PROFILE = """
profile vm-smoke flags=(attach_disconnected,mediate_deleted) {
  file,
  signal,
  deny /tmp/forbidden* w,
}
"""


@row("machine")
def machine(client: pyctd.Client, rootfs: Path) -> str:
    check(run("stat", "-f", "-c", "%T", CGROUPS), "cgroup2fs")
    types = [line.split()[2] for line in Path("/proc/mounts").read_text().splitlines()]
    check((types.count("cgroup2"), types.count("cgroup")), (1, 0))
    check(Path("/proc/1/comm").read_text().strip(), "systemd")
    check(Path("/sys/module/apparmor/parameters/enabled").read_text().strip(), "Y")
    python, release = platform.python_version(), platform.release()
    systemd = run("systemctl", "--version").split()[1]
    runc = run("runc", "--version").split()[2]
    criu = run("criu", "--version").split()[1]
    return (
        f"Linux {release}, systemd {systemd}, containerd {client.version().version}, runc {runc}, CRIU {criu}, "
        f"Python {python}"
    )


@row("doctor")
def doctor(client: pyctd.Client, rootfs: Path) -> str:
    checks = json.loads(run(sys.executable, "-m", "pyctd", "--address", client.address, "doctor", "--json"))
    (cgroups,) = (one for one in checks if one["name"] == "cgroups")
    check((cgroups["state"], "v2" in cgroups["detail"]), ("ok", True))
    check([one for one in checks if one["state"] == "missing"], [])
    check(
        [one for one in checks if "reinstall" in one["hint"]], []
    )  # User Mode Linux has no nf_tables, which is another cure
    warnings = [f"{one['name']}: {one['detail']}" for one in checks if one["state"] != "ok"]
    return f"{len(checks)} checks; warnings: {'; '.join(warnings) or 'none'}"


@row("limits")
def limits(client: pyctd.Client, rootfs: Path) -> str:
    spec = pyctd.spec.default(rootfs, SLEEP, memory=64 * MIB, cpus=0.5, pids_limit=20)
    with started(client, "limits", spec) as task:
        cgroup = cgroup_of(task.pid)
        check({name: value(cgroup, name) for name in LIMITS}, LIMITS)
        task.update_resources(pyctd.spec.resources(memory=96 * MIB, memory_swap=96 * MIB))
        check(value(cgroup, "memory.max"), str(96 * MIB))
        many = "i=0; while [ $i -lt 40 ]; do sleep 60 & i=$((i + 1)); done"
        with contextlib.closing(task.exec("many", pyctd.spec.process(["/bin/sh", "-c", many]))) as process:
            check(process.wait(timeout=PATIENCE).exit_code, 2)  # the shell's, when it can't fork
        refused = int(counts(cgroup, "pids.events")["max"])
        check(refused > 0, True)
    return "memory.max, cpu.max and pids.max as set; memory.max as updated; the 21st process refused"


@row("stats")
def stats(client: pyctd.Client, rootfs: Path) -> str:
    spec = pyctd.spec.default(rootfs, ["/bin/sh", "-c", "while :; do :; done"], memory=64 * MIB, pids_limit=20)
    with started(client, "stats", spec) as task:
        metrics = task.stats().metrics
        if not isinstance(metrics, pyctd.metrics.CgroupV2Metrics):
            raise AssertionError(f"{type(metrics)} is not that of cgroup v2")
        if not (metrics.memory and metrics.cpu and metrics.pids):
            raise AssertionError(f"a controller is missing: {metrics}")
        check((metrics.memory.usage_limit, metrics.pids.limit, metrics.pids.current), (64 * MIB, 20, 1))
        check(metrics.memory.usage > 0, True)
        before = metrics.cpu.usage_usec

        def usage() -> int:
            now = task.stats().metrics
            return now.cpu.usage_usec if isinstance(now, pyctd.metrics.CgroupV2Metrics) and now.cpu else 0

        eventually(lambda: usage() > before, "the CPU's time rises")
    return "CgroupV2Metrics with the limits; the CPU's time rises"


@row("oom")
def oom(client: pyctd.Client, rootfs: Path) -> str:
    """Once the task has started: containerd looks out for it no earlier."""
    script = "while [ ! -e /dev/shm/go ]; do sleep 0.1; done; exec tail /dev/zero"
    spec = pyctd.spec.default(rootfs, ["/bin/sh", "-c", script], memory=16 * MIB, memory_swap=16 * MIB)
    with client.events(container_id="oom", event="oom") as events, started(client, "oom", spec) as task:
        Path(f"/proc/{task.pid}/root/dev/shm/go").touch()
        status = task.wait(timeout=PATIENCE)
        check((status.exit_code, status.oom_killed), (137, True))
        events.get(timeout=PATIENCE)
    return "exit code 137, oom_killed, and the event"


@row("pause")
def pause(client: pyctd.Client, rootfs: Path) -> str:
    with started(client, "pause", pyctd.spec.default(rootfs, SLEEP)) as task:
        cgroup = cgroup_of(task.pid)
        task.pause()
        check((task.status().status, counts(cgroup, "cgroup.events")["frozen"]), ("paused", "1"))
        task.resume()
        check((task.status().status, counts(cgroup, "cgroup.events")["frozen"]), ("running", "0"))
    return "frozen while paused, and not after resume()"


@row("apparmor")
def apparmor(client: pyctd.Client, rootfs: Path) -> str:
    subprocess.run(["apparmor_parser", "--replace"], input=PROFILE, text=True, check=True, timeout=PATIENCE)
    spec = pyctd.spec.default(rootfs, SLEEP)
    spec["process"]["apparmorProfile"] = "vm-smoke"
    with started(client, "apparmor", spec) as task:
        check(Path(f"/proc/{task.pid}/attr/current").read_text().strip(), "vm-smoke (enforce)")
        out = pyctd.stdio.capture()
        script = "cat /proc/self/attr/current; : >/tmp/allowed && : >/tmp/forbidden"
        info = client.load_container("apparmor").info()
        wanted = pyctd.spec.process_of(info, ["/bin/sh", "-c", script])
        process = task.exec("confined", wanted, attach_stdio=out)
        status = process.wait(timeout=PATIENCE)
        process.delete()
        check(out.stdout.decode().strip(), "vm-smoke (enforce)")
        check((status.exit_code, "/tmp/forbidden: Permission denied" in out.stderr.decode()), (1, True))
    return "an exec by process_of has the container's profile, which refuses it a file"


@row("userns")
def userns(client: pyctd.Client, rootfs: Path) -> str:
    """In a user namespace of 65,536 ids, as dockerd's userns-remap has."""
    ids = [(0, 100_000, 65_536)]
    spec = pyctd.spec.default(rootfs, SLEEP, memory=64 * MIB, uid_mappings=ids, gid_mappings=ids)
    with started(client, "userns", spec) as task:
        check(Path(f"/proc/{task.pid}/uid_map").read_text().split(), ["0", "100000", "65536"])
        check(Path(f"/proc/{task.pid}/uid_map").stat().st_uid, 100_000)
        check(value(cgroup_of(task.pid), "memory.max"), str(64 * MIB))
    return "root is user 100000 of the host's, and the memory limit is in the cgroup"


@row("restore")
def restore(client: pyctd.Client, rootfs: Path) -> str:
    """Into another container. runc by itself puts the process back into the old one's cgroup."""
    if UML:
        raise LeftOut("this kernel has no checkpoints")
    directory = "/run/vm-checkpoint"
    spec = pyctd.spec.default(rootfs, ["/bin/sh", "-c", "while :; do sleep 1; done"], readonly=True, memory=64 * MIB)
    with started(client, "old", spec) as task:
        old = cgroup_of(task.pid)
        task.create_checkpoint(directory, exit=True)
        task.wait(timeout=PATIENCE)
    with started(client, "new", spec, checkpoint_dir=directory) as task:
        new = cgroup_of(task.pid)
        check((new.name, new.parent == old.parent, old.exists()), ("new", True, False))
        check(value(new, "memory.max"), str(64 * MIB))
        task.pause()
        check(counts(new, "cgroup.events")["frozen"], "1")
        task.resume()
    check(new.exists(), False)
    return "the process is in the new container's cgroup, which has its limit, freezes and is removed"


@row("crun")
def crun(client: pyctd.Client, rootfs: Path) -> str:
    """With systemd's driver, crun takes no rule that denies a device, not even one that changes nothing."""
    seen = []
    for systemd in (False, True):
        spec = pyctd.spec.default(rootfs, SLEEP, memory=64 * MIB, cpus=0.5, pids_limit=20)
        if systemd:
            fuse = spec["linux"]["resources"]["devices"].pop()
            check((fuse["allow"], fuse["major"], fuse["minor"]), (False, 10, 229))
        with started(client, "crun", spec, BinaryName="/usr/bin/crun", SystemdCgroup=systemd) as task:
            cgroup = cgroup_of(task.pid)
            limited = (
                cgroup if (cgroup / "memory.max").exists() and value(cgroup, "memory.max") != "max" else cgroup.parent
            )
            check({name: value(limited, name) for name in LIMITS}, LIMITS)
            seen.append(str(limited.relative_to(CGROUPS)))
    return f"the limits are in {' and '.join(seen)}"


@row("nsdelegate")
def nsdelegate(client: pyctd.Client, rootfs: Path) -> str:
    """An option of systemd's mount. One without it takes it away: CRIU's, and runc's for cgroupns="host"."""

    def state() -> str:
        checks = json.loads(run(sys.executable, "-m", "pyctd", "--address", client.address, "doctor", "--json"))
        return next(str(one["state"]) for one in checks if one["name"] == "cgroups")

    remount = ("mount", "-o", "remount,nsdelegate,memory_recursiveprot", CGROUPS)
    run(*remount)
    with started(client, "delegate", pyctd.spec.default(rootfs, SLEEP)):
        pass
    check(state(), "ok")
    Path("/run/again").mkdir()
    run("mount", "-t", "cgroup2", "none", "/run/again")
    check(state(), "warning")
    run("umount", "/run/again")
    run(*remount)
    check(state(), "ok")
    return (
        "a container leaves it on the mount of cgroup2, doctor sees that another mount took it away, and its cure works"
    )
