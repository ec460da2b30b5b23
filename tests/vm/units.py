"""The rows of `make vm-test` about systemd: its driver for cgroups, and programs with an engine in its units."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from vm.harness import CGROUPS, LIMITS, MIB, SLEEP, cgroup_of, check, eventually, row, run, started, value

import pyctd


@row("systemd-driver")
def systemd_driver(client: pyctd.Client, rootfs: Path) -> str:
    spec = pyctd.spec.default(rootfs, SLEEP, memory=64 * MIB, cpus=0.5)
    with started(client, "scoped", spec, SystemdCgroup=True) as task:
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
        eventually(lambda: self.running.exists() or not self.active(), f"the container of {self.name} runs")
        if not self.running.exists():
            raise AssertionError(f"{self.name} has ended (its log is on the console)")
        pids = dict(
            zip(("program", "containerd", "container"), map(int, self.running.read_text().split()), strict=True)
        )
        return pids | {"shim": int(Path(f"/proc/{pids['container']}/stat").read_text().rpartition(")")[2].split()[1])}

    def active(self) -> bool:
        return run("systemctl", "show", "--property=ActiveState", self.name) == "ActiveState=active"

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
