"""What ``pyctd doctor`` makes of machines that no test can have."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import pytest

from pyctd.cli import _doctor
from pyctd.cli._settings import Settings


@pytest.mark.parametrize(
    ("machine", "state"), [("x86_64", "ok"), ("aarch64", "ok"), ("riscv64", "missing")], ids=lambda word: word
)
def test_doctors_know_the_machines_that_wheels_are_for(
    machine: str, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.machine", lambda: machine)
    check = _doctor._system()
    assert (check.state, machine in check.detail) == (state, True)


def test_doctors_mount_the_hosts_programs_read_only(tmp_path: Path) -> None:
    mounts = _doctor._host_programs(tmp_path)
    assert "/usr" in [mount["destination"] for mount in mounts]
    assert all("ro" in mount["options"] for mount in mounts)


@pytest.mark.parametrize(("state", "code"), [(_doctor.OK, 0), (_doctor.WARNING, 0), (_doctor.MISSING, 1)])
def test_only_what_nothing_works_without_is_a_failure(state: str, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    checks = [_doctor.Check("a", _doctor.OK, ""), _doctor.Check("b", state, ""), _doctor.Check("c", _doctor.OK, "")]
    monkeypatch.setattr(_doctor, "_checks", lambda settings: checks)
    monkeypatch.setattr("logging.basicConfig", lambda **settings: None)  # it would silence the tests that come after
    assert _doctor.doctor.main([], standalone_mode=False, obj=Settings()) == code


@pytest.mark.parametrize(
    ("files", "state", "detail"),
    [
        ({"cgroup.controllers": "cpuset cpu io memory pids"}, "ok", "v2: cpu, memory, pids"),
        ({"cgroup.controllers": "cpuset cpu io pids"}, "warning", "v2 without memory"),
        ({"cpu/x": "", "memory/x": "", "pids/x": ""}, "ok", "v1: cpu, memory, pids"),
        ({"cpu/x": "", "pids/x": ""}, "warning", "v1 without memory"),
        ({}, "missing", "none"),
    ],
)
def test_doctors_look_at_cgroups(
    files: dict[str, str], state: str, detail: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_doctor, "SYSTEMD", tmp_path / "none")
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    check = _doctor._cgroups(tmp_path)
    assert (check.state, check.detail) == (state, detail)
    assert bool(check.hint) == (state != "ok")


@pytest.mark.parametrize(
    ("options", "state"), [("rw,nsdelegate,memory_recursiveprot", "ok"), ("rw,relatime", "warning")], ids=str
)
def test_doctors_see_that_cgroup2_has_lost_what_systemd_mounts_it_with(
    options: str, state: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_doctor, "SYSTEMD", tmp_path)
    monkeypatch.setattr(_doctor, "MOUNTS", tmp_path / "mounts")
    (tmp_path / "mounts").write_text(f"proc /proc proc rw 0 0\ncgroup2 {tmp_path} cgroup2 {options} 0 0\n")
    (tmp_path / "cgroup.controllers").write_text("cpu memory pids")
    check = _doctor._cgroups(tmp_path)
    assert (check.state, "remount,nsdelegate" in check.hint) == (state, state == "warning")


@pytest.mark.parametrize(
    ("release", "script", "state", "words"),
    [
        ("6.1.0-13-amd64", "echo Version: 3.17.1", "warning", "Linux 6 needs CRIU 4"),
        ("5.10.0", "echo Version: 3.17.1", "ok", ""),
        ("6.0.0", "echo Version: 3.17.1", "warning", "Linux 6 needs CRIU 4"),
        ("6.1.0", "echo Version: 4.0", "ok", ""),
        (
            "6.1.0",
            '[ "$1" = check ] && { echo Error; exit 1; }; echo Version: 4.1',
            "warning",
            "the kernel",
        ),
        ("6.1.0", "exit 1", "warning", "--reinstall criu"),
    ],
)
def test_doctors_look_at_criu(
    release: str, script: str, state: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A script stands in for CRIU: no machine has all of these versions and kernels."""
    (tmp_path / "criu").write_text(f"#!/bin/sh\n{script}\n")
    (tmp_path / "criu").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    check = _doctor._criu(release)
    assert check.state == state, check
    assert words in check.hint


BROKEN = "iptables: error while loading shared libraries: libxtables.so.12: cannot open shared object file"
NO_NFNETLINK = "iptables/1.8.9 Failed to initialize nft: Protocol not supported"
NO_NFT = "iptables v1.8.9 (nf_tables): Could not fetch rule set generation id: Invalid argument"
NO_TABLE = "iptables v1.8.9 (legacy): can't initialize iptables table `filter': Table does not exist"


@pytest.mark.parametrize(
    ("version", "listing", "words"),
    [
        ((0, "iptables v1.8.9 (nf_tables)"), (0, "Chain INPUT"), ""),
        ((1, NO_NFNETLINK), (1, NO_NFNETLINK), "the kernel lacks nf_tables"),
        ((0, "iptables v1.8.9 (nf_tables)"), (4, NO_NFT), "the kernel lacks nf_tables"),
        ((0, "iptables v1.8.9 (legacy)"), (3, NO_TABLE), "or ip_tables"),
        ((127, BROKEN), (127, BROKEN), "--reinstall iptables"),
    ],
    ids=["works", "no nfnetlink", "no nf_tables", "no ip_tables", "broken"],
)
def test_doctors_know_a_kernel_that_lacks_what_iptables_needs(
    version: tuple[int, str], listing: tuple[int, str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A script stands in for iptables, with its words on such kernels."""
    script = "#!/bin/sh\n"
    for (code, text), condition in ((version, '[ "$1" = --version ]'), (listing, "true")):
        script += f"if {condition}; then echo {shlex.quote(text)}; exit {code}; fi\n"
    (tmp_path / "iptables").write_text(script)
    (tmp_path / "iptables").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    check = _doctor._iptables()
    assert (check.state, words in check.hint) == ("warning" if words else "ok", True), check
    assert "reinstall" in words or "reinstall" not in check.hint


def test_doctors_look_at_kernels() -> None:
    assert _doctor._kernel("4.14.0-generic").state == "warning"
    assert _doctor._kernel("4.15.1").state == "ok"
    assert _doctor._kernel("10.0").state == "ok"
