"""``pyctd doctor``: whether this machine has what pyctd needs, and what to do where it has not."""

from __future__ import annotations

import os
import platform
import re
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click

from .. import _binaries, _native, _programs, spec
from ..client import Client
from ..errors import Error, InvalidArgumentError, PermissionDeniedError
from ._output import STYLES, show_json
from ._settings import Settings, pass_settings, shared

__all__ = ["doctor"]

OK, WARNING, MISSING = "ok", "warning", "missing"

KERNEL_MIN = (4, 15)
"""Older ones have no cgroup v2 that runc can use."""
CONTROLLERS = ("cpu", "memory", "pids")
RUN_TIMEOUT = 30.0
"""Seconds that each call may take for the container that is tried."""
CGROUPS = Path("/sys/fs/cgroup")
MOUNTS = Path("/proc/self/mounts")
SYSTEMD = Path("/run/systemd/system")
"""It exists where systemd runs."""


@dataclass(frozen=True)
class Check:
    """What was looked at, and what came of it.

    Attributes:
        name: what was looked at.
        state: ``ok``; ``warning`` for what some commands need; ``missing`` for what pyctd can't do without.
        detail: what was found.
        hint: what to do about it, or empty.
    """

    name: str
    state: str
    detail: str
    hint: str = ""


@click.command()
@click.option("--run", "runs", is_flag=True, help="also run a container, with the host's /bin/true")
@shared
@pass_settings
def doctor(settings: Settings, /, runs: bool) -> int:
    """Check this machine, and say what to install.

    The exit status is 1 where something is missing that pyctd can't do without, else 0.
    """
    checks = list(_checks(settings))
    if runs:
        checks.append(_container(settings))
    if settings.json:
        show_json(checks)
    else:
        width = max(len(check.name) for check in checks)
        for check in checks:
            state = click.style(f"{check.state:<7}", fg=STYLES[check.state])
            click.echo(f"{state}  {check.name:<{width}}  {check.detail}")
            if check.hint:
                click.echo(f"{'':7}  {'':{width}}  -> {check.hint}")
    return int(any(check.state == MISSING for check in checks))


def _checks(settings: Settings) -> Iterator[Check]:
    yield _system()
    yield _kernel(platform.release())
    yield _library()
    yield _user()
    yield _cgroups(CGROUPS)
    daemon = _daemon(settings)
    yield daemon
    yield from _engine(daemon.state == OK)
    yield _criu(platform.release())
    yield _iptables()
    yield _program("tar", "tar", ["--version"], "checkpoints")
    yield _program("ps", "procps", ["--version"], "pyctd top")


def _engine(runs: bool) -> Iterator[Check]:
    """Checks the programs of a private containerd. If a daemon is already running, the first may be missing."""
    try:
        binaries = _binaries.choose(None)
    except InvalidArgumentError as error:
        yield Check("engine", MISSING, str(error), f"unset {_binaries.VARIABLE}, or name a directory with containerd")
        return
    for name, flag in _binaries.PROGRAMS.items():
        what_for = "a private containerd (pyctd run --engine)" if name == "containerd" else "containers"
        package = "runc" if name == "runc" else "containerd"
        path = None if binaries.source == "PATH" else binaries.find(name)
        check = _program(name, package, [flag], what_for, path, "pip install 'pyctd[engine]' or ")
        if path is not None:
            check = replace(check, detail=f"{check.detail} ({binaries.source_of(path)})")
        yield check if name == "containerd" and runs else _worse(check)


def _worse(check: Check) -> Check:
    """Turns a warning into ``missing``, for something that pyctd can't do without."""
    return Check(check.name, MISSING if check.state == WARNING else check.state, check.detail, check.hint)


def _system() -> Check:
    libc = " ".join(platform.libc_ver()).strip() or "no glibc"
    machine = platform.machine()
    fits = platform.system() == "Linux" and machine in ("x86_64", "aarch64") and libc.startswith("glibc")
    found = f"{platform.system()} {machine}, {libc}"
    if not fits:
        return Check("system", MISSING, found, "pyctd is for Linux with glibc, on x86-64 or aarch64")
    return Check("system", OK, found, "")


def _version(text: str) -> tuple[int, int]:
    found = re.search(r"(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def _kernel(release: str) -> Check:
    if _version(release) < KERNEL_MIN:
        return Check("kernel", WARNING, release, f"runc is made for {'.'.join(map(str, KERNEL_MIN))} and later")
    return Check("kernel", OK, release)


def _library() -> Check:
    try:
        _native.load()
    except (Error, ImportError, OSError) as error:
        return Check("library", MISSING, str(error), "install pyctd again: pip install --force-reinstall pyctd")
    return Check("library", OK, "pyctd's Go library loads")


def _user() -> Check:
    if os.geteuid() == 0:
        return Check("user", OK, "root")
    return Check("user", WARNING, f"user {os.geteuid()}", "containers need root, unless containerd's socket is yours")


def _cgroups(root: Path) -> Check:
    try:
        have, version = (root / "cgroup.controllers").read_text().split(), "v2"
    except OSError:
        have, version = [name for name in CONTROLLERS if (root / name).is_dir()], "v1"
    if not have:
        return Check("cgroups", MISSING, "none", f"mount them: mount -t cgroup2 none {root}")
    lacks = [name for name in CONTROLLERS if name not in have]
    if lacks:
        hint = f"limits on {', '.join(lacks)} will fail: enable it for the kernel (cgroup_enable={lacks[0]})"
        return Check("cgroups", WARNING, f"{version} without {', '.join(lacks)}", hint)
    if version == "v2" and SYSTEMD.is_dir() and "nsdelegate" not in _options(root):
        hint = (
            "systemd mounts it with that, and a checkpoint or a container with cgroupns=host takes it away: "
            f"mount -o remount,nsdelegate,memory_recursiveprot {root}"
        )
        return Check("cgroups", WARNING, "v2 is mounted without nsdelegate", hint)
    return Check("cgroups", OK, f"{version}: {', '.join(CONTROLLERS)}")


def _options(mount: Path) -> list[str]:
    lines = [line.split() for line in MOUNTS.read_text().splitlines()]
    return next((line[3].split(",") for line in reversed(lines) if line[1] == str(mount)), [])


def _daemon(settings: Settings) -> Check:
    try:
        with settings.client() as client:
            return Check("daemon", OK, f"containerd {client.version().version} at {settings.socket}")
    except PermissionDeniedError as error:
        return Check("daemon", MISSING, str(error), "run this as root")
    except (Error, OSError) as error:
        hint = "start it (systemctl start containerd), name another with --address, or use pyctd run --engine"
        return Check("daemon", MISSING if settings.address else WARNING, str(error), hint)


def _container(settings: Settings) -> Check:
    """Checks that a container runs, which the checks of the parts cannot prove."""
    began = time.monotonic()
    try:
        with (
            settings.client_or_engine(settings.nothing_there()) as client,
            tempfile.TemporaryDirectory(prefix="pyctd-doctor-") as root,
        ):
            code = _code_of(
                client, spec.default(root, [_programs.find("true") or "/bin/true"], mounts=_host_programs(Path(root)))
            )
    except (Error, OSError) as error:
        return Check("container", MISSING, str(error), "the words are runc's or containerd's: see troubleshooting.md")
    took = f"it took {time.monotonic() - began:.1f} s"
    if code:
        return Check("container", MISSING, f"one ran and ended with {code} instead of 0; {took}")
    return Check("container", OK, f"one ran, and {took}")


def _host_programs(root: Path) -> list[dict[str, Any]]:
    """The mounts that give an empty root the host's programs and libraries."""
    mounts = []
    for name in ("bin", "lib", "lib64", "sbin", "usr", "nix"):
        host = Path("/", name)
        if host.is_symlink():
            (root / name).symlink_to(host.readlink())
        elif host.is_dir():
            mounts.append(spec.bind(host, f"/{name}", read_only=True))
    return mounts


def _code_of(client: Client, wanted: dict[str, Any]) -> int:
    """The exit code of a container that is gone afterwards."""
    container = client.new_container(f"doctor-{uuid.uuid4().hex[:12]}", wanted, timeout=RUN_TIMEOUT)
    try:
        task = container.start(timeout=RUN_TIMEOUT)
        try:
            return task.wait(timeout=RUN_TIMEOUT).exit_code
        finally:
            task.force_delete(timeout=RUN_TIMEOUT)
    finally:
        container.delete(timeout=RUN_TIMEOUT)


def _program(
    name: str, package: str, ask: list[str], what_for: str, path: str | None = None, better: str = ""
) -> Check:
    """Checks for a program and its version. A missing program is a warning."""
    path = path or _programs.find(name)
    if path is None:
        hint = f"{what_for} need{_s(what_for)} it: {better}apt-get install {package}"
        return Check(name, WARNING, "not on PATH", hint)
    code, told = _programs.ask([path, *ask])
    if code:
        return Check(name, WARNING, f"{path} does not run: {told}", f"apt-get install --reinstall {package}")
    version = _programs.version_in(told)
    return Check(name, OK, f"{version} at {path}" if version else path)


def _s(what: str) -> str:
    return "" if what.endswith("s") else "s"


def _criu(release: str) -> Check:
    check = _program("criu", "criu", ["--version"], "checkpoints")
    if check.state != OK:
        return check
    if _version(release) >= (6, 0) and _version(check.detail) < (4, 0):
        return Check("criu", WARNING, check.detail, "Linux 6 needs CRIU 4, as Debian 13 has it")
    path = _programs.find("criu")
    code, told = _programs.ask([path or "criu", "check"]) if os.geteuid() == 0 else (0, "")
    if code:
        return Check(
            "criu", WARNING, f"its check says: {told}", "the kernel lacks what CRIU needs: no checkpoints here"
        )
    return check


def _iptables() -> Check:
    """Whether it works as CRIU uses it: in a network namespace of its own."""
    check = _program("iptables", "iptables", ["--version"], "checkpoints")
    code, told = 0, check.detail
    if check.state == OK and os.geteuid() == 0:
        unshare, iptables = (_programs.find(name) or f"/usr/sbin/{name}" for name in ("unshare", "iptables"))
        code, told = _programs.ask([unshare, "--net", iptables, "-n", "-L"])
    if not code and check.state == OK:
        return check
    if not re.search(r"\bnft\b|nf_tables|initialize iptables", told):  # its words for a kernel without its tables
        return check
    hint = (
        "the kernel lacks nf_tables, or ip_tables for iptables-legacy: load it (modprobe nf_tables), "
        "or choose the other iptables (update-alternatives --config iptables)"
    )
    return Check("iptables", WARNING, told, hint)
