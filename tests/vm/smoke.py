"""What `make vm-test` runs in its guest: pyctd on pure cgroup v2, under systemd, with AppArmor.

A row is a function. It returns what it saw, and fails by an exception. The guest has neither pytest nor a network.

    smoke.py ROOTFS RESULTS [ROW...]

Each row becomes a line of RESULTS: its result, its seconds, its name and what it saw. The last line is the word "done".
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyctd

ADDRESS = "/run/containerd/containerd.sock"
DEBIANS = "/usr/bin/containerd"
CGROUPS = Path("/sys/fs/cgroup")
PATIENCE = 180.0
"""Seconds that a step may take. The guest's processor is emulated."""
LONGEST_ROW = 240.0
"""Seconds that a row may take; then its clean-up has CLEAN_UP."""
CLEAN_UP = 60.0
MIB = 1 << 20
SLEEP = ("/bin/sleep", "3600")
LIMITS = {"memory.max": str(64 * MIB), "cpu.max": "50000 100000", "pids.max": "20"}
"""The files of a container's cgroup, in the row of limits and in service.py."""
PROFILE = """
profile vm-smoke flags=(attach_disconnected,mediate_deleted) {
  file,
  signal,
  deny /tmp/forbidden* w,
}
"""

Row = Callable[[pyctd.Client, Path], str]
ROWS: dict[str, Row] = {}


def row(name: str) -> Callable[[Row], Row]:
    def register(function: Row) -> Row:
        ROWS[name] = function
        return function

    return register


def check(what: object, *wanted: object) -> None:
    """Fails unless what is one of wanted. Unlike assert, it shows the value."""
    if what not in wanted:
        raise AssertionError(f"got {what!r}, not {' or '.join(map(repr, wanted))}")


def eventually(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not holds():
        if time.monotonic() > deadline:
            raise AssertionError(f"not in {PATIENCE:.0f} seconds: {what}")
        time.sleep(0.1)


def run(*command: str | os.PathLike[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)
    if done.returncode:
        raise AssertionError(f"{' '.join(map(str, command))}: exit code {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout.strip()


@contextlib.contextmanager
def started(
    client: pyctd.Client, id: str, spec: dict[str, Any], *, systemd: bool = False, **start: Any
) -> Iterator[pyctd.Task]:
    options = {"SystemdCgroup": True} if systemd else None
    container = client.new_container(id, spec, runtime_options=options)
    try:
        task = container.start(**start)
        try:
            yield task
        finally:
            task.force_delete()
    finally:
        container.delete()


def cgroup_of(pid: int) -> Path:
    """A process's cgroup. Pure cgroup v2 has no other line."""
    (line,) = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    hierarchy, _, path = line.partition("::")
    check(hierarchy, "0")
    return CGROUPS / path.lstrip("/")


def value(cgroup: Path, name: str) -> str:
    return (cgroup / name).read_text().strip()


def counts(cgroup: Path, name: str) -> dict[str, str]:
    """A file of the kernel's that has a word and a number in each line."""
    return dict(line.split() for line in value(cgroup, name).splitlines())


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
    spec = pyctd.spec.default(rootfs, ["/bin/sh", "-c", "exec tail /dev/zero"], memory=16 * MIB, memory_swap=16 * MIB)
    with client.events(container_id="oom", event="oom") as events, started(client, "oom", spec) as task:
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


@row("systemd-driver")
def systemd_driver(client: pyctd.Client, rootfs: Path) -> str:
    spec = pyctd.spec.default(rootfs, SLEEP, memory=64 * MIB, cpus=0.5)
    with started(client, "scoped", spec, systemd=True) as task:
        cgroup = cgroup_of(task.pid)
        check((cgroup.parent.name, cgroup.suffix), ("system.slice", ".scope"))
        properties = ("ActiveState", "MemoryMax", "CPUQuotaPerSecUSec")
        shown = run("systemctl", "show", cgroup.name, *(f"--property={one}" for one in properties))
        check(sorted(shown.splitlines()), ["ActiveState=active", "CPUQuotaPerSecUSec=500ms", f"MemoryMax={64 * MIB}"])
        run("systemd-run", "--scope", "--quiet", "true")
        run("systemctl", "daemon-reload")
        check((value(cgroup, "memory.max"), value(cgroup, "cpu.max")), (str(64 * MIB), "50000 100000"))
    eventually(lambda: not cgroup.exists(), "the scope is removed")
    return f"{cgroup.name} with its limits, which outlast systemd-run and daemon-reload; removed in the end"


@dataclass
class Service:
    """service.py as a systemd unit, which has the engine's directories, too."""

    name: str

    @property
    def running(self) -> Path:
        return Path(f"/run/{self.name}.running")

    def install(self, rootfs: Path, unit: str, *words: str) -> None:
        file = Path(f"/run/systemd/system/{self.name}.service")
        program = (sys.executable, Path(__file__).with_name("service.py"), f"/var/lib/{self.name}", f"/run/{self.name}")
        command = " ".join(map(str, (*program, self.running, rootfs, *words)))
        environment = " ".join(f"{name}={os.environ[name]}" for name in ("PATH", "PYTHONPATH"))
        settings = file.with_name(f"{file.name}.d") / "vm.conf"
        settings.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(unit)
        settings.write_text(
            f"[Service]\nExecStart=\nExecStart={command}\nEnvironment={environment}\n"
            "StandardOutput=journal+console\nStandardError=journal+console\n"
        )
        run("systemctl", "daemon-reload")

    def start(self) -> dict[str, int]:
        """Waits until its container runs, and gives the processes by what they are."""
        self.running.unlink(missing_ok=True)
        run("systemctl", "start", self.name)
        eventually(self.running.exists, f"the container of {self.name} runs (its log is on the console)")
        pids = dict(
            zip(("program", "containerd", "container"), map(int, self.running.read_text().split()), strict=True)
        )
        return pids | {"shim": int(Path(f"/proc/{pids['container']}/stat").read_text().rpartition(")")[2].split()[1])}

    def stop(self) -> float:
        began = time.monotonic()
        run("systemctl", "stop", self.name)
        return time.monotonic() - began


def remaining(pids: dict[str, int]) -> str:
    return ", ".join(name for name, pid in pids.items() if Path(f"/proc/{pid}").exists()) or "nothing"


@row("service")
def service(client: pyctd.Client, rootfs: Path) -> str:
    """The unit and the handler for SIGTERM of docs/guides/engines.md."""
    one = Service("example")
    one.install(rootfs, Path(__file__).with_name("engine.service").read_text(), "handler")
    pids = one.start()
    cgroup = cgroup_of(pids["container"])
    seconds = one.stop()
    check((remaining(pids), cgroup.exists()), ("nothing", False))
    return f"systemctl stop takes {seconds:.1f} s and leaves nothing"


@row("slices")
def slices(client: pyctd.Client, rootfs: Path) -> str:
    """systemd takes controllers away from a slice when the last unit that needs them has ended."""
    one = Service("sliced")
    one.install(rootfs, "[Service]\nSlice=vm.slice\n", "handler")
    cgroup = cgroup_of(one.start()["container"])
    try:
        for other in (("--property=CPUQuota=50%",), ()):
            run("systemd-run", "--wait", "--quiet", "--slice=vm.slice", *other, "true")
        run("systemctl", "daemon-reload")
        check({name: value(cgroup, name) for name in LIMITS if (cgroup / name).exists()}, LIMITS)
        check(cgroup.relative_to(CGROUPS).parts[0], "pyctd")  # where systemd manages nothing
    finally:
        one.stop()
    return f"the limits in /{cgroup.relative_to(CGROUPS)} outlast systemd-run and daemon-reload"


@row("plain-service")
def plain_service(client: pyctd.Client, rootfs: Path) -> str:
    """One that SIGTERM ends: what runs in containers is left behind, as the guide says."""
    one = Service("plain")
    one.install(rootfs, "[Service]\n")
    old = one.start()
    seconds = one.stop()
    left = remaining(old)
    check(left, "container", "container, shim")
    one.install(rootfs, "[Service]\n", "handler")
    new = one.start()
    check(remaining({"container": old["container"]}), "nothing")
    one.stop()
    check(remaining(new), "nothing")
    return f"systemctl stop takes {seconds:.1f} s and leaves the {left}; the next start replaces it"


def chain(error: BaseException) -> str:
    """The errors in the order in which they came: the clean-up after the first may fail, too."""
    before = error.__cause__ or error.__context__
    return (f"{chain(before)}; then " if before else "") + f"{type(error).__name__}: {error}"


def take_too_long(*_: object) -> None:
    raise TimeoutError("the row takes too long")


def main(rootfs: Path, results: Path, names: list[str]) -> None:
    """On the distribution's containerd, which systemd runs, or an engine's where PATH has another."""
    signal.signal(signal.SIGALRM, take_too_long)
    address = ADDRESS if shutil.which("containerd") == DEBIANS else None
    with (
        pyctd.Engine(address) as engine,
        engine.client("vm", timeout=PATIENCE) as client,
        results.open("w", buffering=1) as lines,
    ):
        for name in names or ROWS:
            began = time.monotonic()
            signal.setitimer(signal.ITIMER_REAL, LONGEST_ROW, CLEAN_UP)
            try:
                result, seen = "ok", ROWS[name](client, rootfs)
            except Exception as error:
                traceback.print_exc()
                result, seen = "FAILED", " ".join(chain(error).split())
            signal.setitimer(signal.ITIMER_REAL, 0)
            print(f"{result:<6}  {time.monotonic() - began:5.1f} s  {name:<14}  {seen}", file=lines)
        print("done", file=lines)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
