"""What each of a spec's keywords does, seen from inside a real container."""

from __future__ import annotations

import json
import os
import socket
import stat
from pathlib import Path
from typing import Any

import pytest
from support.box import SLEEP, Box, unique
from support.busybox import make_rootfs

import pyctd
from pyctd.spec import _moby
from pyctd.spec._resources import swap_is_limited

UNIFIED = Path("/sys/fs/cgroup/cgroup.controllers").exists()


def said(box: Box, script: str, **options: Any) -> list[str]:
    """The lines that a shell script says in a container of these keywords."""
    status, out = box.run("/bin/sh", "-c", script, **options)
    assert status.exit_code == 0, out.stderr
    return out.stdout.decode().splitlines()


def mask(names: list[str]) -> int:
    return sum(1 << _moby.capabilities().index(name) for name in names)


def limit(pid: int, controller: str, v1: str, v2: str) -> str:
    """What the kernel has for a process's cgroup."""
    groups = [line.split(":", 2) for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines()]
    if UNIFIED:
        return Path(f"/sys/fs/cgroup{groups[0][2]}/{v2}").read_text().strip()
    group = next(path for _, controllers, path in groups if controller in controllers.split(","))
    return Path(f"/sys/fs/cgroup/{controller}{group}/{v1}").read_text().strip()


def test_who_and_where(box: Box) -> None:
    script = "id -u; id -g; sed -n 's/^Groups:\\s*//p' /proc/self/status; pwd; echo $A; echo $PATH"
    lines = said(box, script, user=(1000, 1001), additional_gids=[7], cwd="/tmp", env={"A": "b c"})
    assert lines[:2] == ["1000", "1001"]
    assert {*lines[2].split()} == {"1001", "7"}
    assert lines[3:] == ["/tmp", "b c", _moby.path()]


def test_a_user_by_name(box: Box) -> None:
    assert said(box, "id -u; id -g; echo $HOME", user="root")[:2] == ["0", "0"]


def test_capabilities(box: Box) -> None:
    script = "sed -n 's/^Cap\\(Prm\\|Eff\\|Bnd\\):\\s*//p' /proc/self/status"
    defaults = _moby.default_spec()["process"]["capabilities"]["bounding"]
    assert {int(line, 16) for line in said(box, script)} == {mask(defaults)}
    fewer = {*said(box, script, cap_drop=["ALL"], cap_add=["chown", "KILL"])}
    assert {int(line, 16) for line in fewer} == {mask(["CAP_CHOWN", "CAP_KILL"])}
    more = {*said(box, script, cap_add=["SYS_PTRACE"], cap_drop=["MKNOD"])}
    assert {int(line, 16) for line in more} == {mask(defaults) - mask(["CAP_MKNOD"]) + mask(["CAP_SYS_PTRACE"])}


def test_rlimits_privileges_and_the_oom_score(box: Box) -> None:
    script = "ulimit -Sn; ulimit -Hn; ulimit -Hc; grep NoNewPrivs /proc/self/status; cat /proc/self/oom_score_adj"
    lines = said(box, script, rlimits={"nofile": (64, 128), "core": 0}, no_new_privileges=True)
    assert lines == ["64", "128", "0", "NoNewPrivs:\t1", "0"]
    assert said(box, "grep NoNewPrivs /proc/self/status") == ["NoNewPrivs:\t0"]


def test_a_terminal(box: Box) -> None:
    status, out = box.run("/bin/sh", "-c", "test -t 1 && echo $TERM", terminal=True)
    assert (status.exit_code, out.stdout) == (0, b"xterm\r\n")


def test_a_read_only_root(client: pyctd.Client, rootfs: Path, box: Box) -> None:
    for readonly, code in ((True, 1), (False, 0)):
        spec = pyctd.spec.default(rootfs, ["/bin/touch", "/var/written"], readonly=readonly)
        task = box.of(spec).start()
        assert task.wait(timeout=60).exit_code == code
        task.delete()
        assert (rootfs / "var" / "written").exists() is not readonly
    (rootfs / "var" / "written").unlink()


def test_mounts(box: Box, tmp_path: Path) -> None:
    (tmp_path / "note").write_text("from the host")
    mounts = [
        pyctd.spec.tmpfs("/dev/own", size=1 << 20, mode=0o700),
        pyctd.spec.bind(tmp_path, "/tmp"),
        pyctd.spec.bind(tmp_path, "/root", read_only=True),
    ]
    script = """
        cat /tmp/note; echo
        echo back > /tmp/back
        touch /root/x 2>/dev/null || echo refused
        stat -c %a /dev/own
        awk '$5 == "/dev/own" { print $6 }' /proc/self/mountinfo
        df -k /dev/own | awk 'END { print $2 }'
        df -k /dev/shm | awk 'END { print $2 }'
    """
    lines = said(box, script, mounts=mounts, shm_size=2 << 20)
    assert lines[:3] == ["from the host", "refused", "700"]
    assert {"nosuid", "nodev", "noexec"} <= {*lines[3].split(",")}
    assert lines[4:] == ["1024", "2048"]
    assert (tmp_path / "back").read_text() == "back\n"


def test_the_default_mounts(box: Box) -> None:
    kinds = dict(line.split()[1:3] for line in said(box, "cat /proc/mounts"))
    for mount in _moby.default_spec()["mounts"]:
        if mount["type"] != "cgroup":
            assert kinds[mount["destination"]] == mount["type"]
    assert kinds["/sys/fs/cgroup"] == ("cgroup2" if UNIFIED else "tmpfs")
    assert said(box, "df -k /dev/shm | awk 'END { print $2 }'") == [str(64 << 10)]


def test_masked_and_read_only_paths(box: Box) -> None:
    masked = [path for path in _moby.default_spec()["linux"]["maskedPaths"] if Path(path).exists()]
    assert masked
    for path in masked:
        assert said(box, f"ls {path} | grep -v '^{path}$' | head -1; [ -d {path} ] || head -c 1 {path}") == []
    assert said(box, "(echo 1 > /proc/sysrq-trigger) 2>/dev/null || echo refused") == ["refused"]


def test_namespaces_of_its_own_and_the_hosts(box: Box) -> None:
    names = {"network": "net", "pid": "pid", "ipc": "ipc", "uts": "uts"}
    script = "; ".join(f"readlink /proc/self/ns/{file}" for file in names.values())
    here = [os.readlink(f"/proc/self/ns/{file}") for file in names.values()]
    assert not {*said(box, script)} & {*here}
    assert said(box, script, host_network=True, pid="host", ipc="host", uts="host") == here


def test_joining_a_namespace(box: Box) -> None:
    task, _ = box.start()
    path = f"/proc/{task.pid}/ns/net"
    assert said(box, "readlink /proc/self/ns/net", network=path) == [os.readlink(path)]
    assert "sleep" in "".join(said(box, "ps", pid=f"/proc/{task.pid}/ns/pid"))


def test_the_host_name(box: Box) -> None:
    assert said(box, "hostname; echo $HOSTNAME", hostname="box") == ["box", "box"]
    assert said(box, "hostname") == [socket.gethostname()]


def test_ports_and_pings_need_no_capability(box: Box) -> None:
    script = "cat /proc/sys/net/ipv4/ip_unprivileged_port_start; cat /proc/sys/net/ipv4/ping_group_range"
    assert said(box, script) == ["0", "0\t2147483647"]


def test_devices(box: Box, tmp_path: Path) -> None:
    os.mknod(tmp_path / "note", stat.S_IFCHR | 0o640, os.makedev(1, 11))  # /dev/kmsg, which no container is given
    script = """
        if [ -c /dev/given ]; then
            stat -c '%A %t:%T' /dev/given
            (true < /dev/given) 2>/dev/null && echo reads
            (true > /dev/given) 2>/dev/null && echo writes
        fi
        mknod /dev/made c 1 11 && (true < /dev/made) 2>/dev/null && echo made
        true
    """
    given, able = f"{tmp_path / 'note'}:/dev/given", {"cap_add": ["SYSLOG"]}  # to read it takes that too
    assert said(box, script, devices=[given], **able) == ["crw-r----- 1:b", "reads", "writes", "made"]
    assert said(box, script, devices=[given + ":r"], **able) == ["crw-r----- 1:b", "reads", "made"]
    assert said(box, script, **able) == []  # it could make the node, and does not get to open it


def test_limits(box: Box) -> None:
    keywords: dict[str, Any] = {"memory": 32 << 20, "memory_reservation": 16 << 20, "cpus": 0.5, "cpu_shares": 512}
    task, _ = box.start(*SLEEP, pids_limit=50, cpuset_cpus="0", **keywords)
    assert limit(task.pid, "memory", "memory.limit_in_bytes", "memory.max") == str(32 << 20)
    assert limit(task.pid, "memory", "memory.soft_limit_in_bytes", "memory.low") == str(16 << 20)
    assert limit(task.pid, "cpu", "cpu.cfs_quota_us", "cpu.max").split()[0] == "50000"
    assert limit(task.pid, "cpuset", "cpuset.cpus", "cpuset.cpus") == "0"
    assert limit(task.pid, "pids", "pids.max", "pids.max") == "50"
    if swap_is_limited():
        swap = limit(task.pid, "memory", "memory.memsw.limit_in_bytes", "memory.swap.max")
        assert swap == str((32 if UNIFIED else 64) << 20)  # v2 counts it apart
    if not UNIFIED:  # runc converts shares to v2's weights by a formula of its own
        assert limit(task.pid, "cpu", "cpu.shares", "") == "512"
    task.update_resources(pyctd.spec.resources(memory=48 << 20, memory_swap=96 << 20, cpus=0.25, pids_limit=60))
    assert limit(task.pid, "memory", "memory.limit_in_bytes", "memory.max") == str(48 << 20)
    assert limit(task.pid, "cpu", "cpu.cfs_quota_us", "cpu.max").split()[0] == "25000"
    assert limit(task.pid, "pids", "pids.max", "pids.max") == "60"


def test_a_bundle(box: Box, client: pyctd.Client, tmp_path: Path) -> None:
    """A spec that was made for runc: its root is relative to it."""
    make_rootfs(tmp_path / "rootfs")
    (tmp_path / "data").mkdir()
    spec = box.spec("/bin/sh", "-c", "echo here > /tmp/said")
    spec["root"]["path"] = "rootfs"
    spec["mounts"].append({"destination": "/tmp", "type": "bind", "source": "data", "options": ["bind"]})
    (tmp_path / "config.json").write_text(json.dumps(spec))
    box.ids.append(id := unique())
    task = client.new_container(id, tmp_path).start()
    assert task.wait(timeout=60).exit_code == 0
    task.delete()
    assert (tmp_path / "data" / "said").read_text() == "here\n"


def test_an_exec_and_an_update_of_json(box: Box, tmp_path: Path) -> None:
    task, _ = box.start()
    (tmp_path / "process.json").write_text(json.dumps(pyctd.spec.process(["/bin/sh", "-c", "id -u"], user=12)))
    out = pyctd.stdio.capture()
    process = task.exec("e1", tmp_path / "process.json", attach_stdio=out)
    assert process.wait(timeout=60).exit_code == 0
    process.delete()
    assert out.stdout == b"12\n"
    task.update_resources('{"pids": {"limit": 70}}')
    assert limit(task.pid, "pids", "pids.max", "pids.max") == "70"


def test_what_is_refused_leaves_nothing(box: Box, client: pyctd.Client) -> None:
    before = sorted(Path(client.state_dir).rglob("*"))
    spec = box.spec()
    spec["linux"]["resources"]["memroy"] = {"limit": 1 << 20}
    for make in (client.new_container, client.replace_container):
        with pytest.raises(pyctd.InvalidArgumentError, match=r"spec\.linux\.resources\.memroy is unknown"):
            make(unique(), spec)
    assert sorted(Path(client.state_dir).rglob("*")) == before
    task, _ = box.start()
    with pytest.raises(pyctd.InvalidArgumentError, match=r"process\.args\[0\] must be string, not 5"):
        task.exec("e1", {"args": [5], "cwd": "/"})
    task.kill(9)
    task.wait(timeout=60)
    task.delete()
