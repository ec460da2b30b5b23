"""OCI runtime specs: a default one to start from. A spec is a plain dict; nothing here is needed to write another."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from .errors import InvalidArgumentError

__all__ = ["default", "process"]

_CAPABILITIES = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FSETID",
    "CAP_FOWNER",
    "CAP_MKNOD",
    "CAP_NET_RAW",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETFCAP",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT",
    "CAP_KILL",
    "CAP_AUDIT_WRITE",
]
_MASKED = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
]
_READONLY = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def _mount(target: str, kind: str, *options: str, source: str | None = None) -> dict[str, Any]:
    return {"destination": target, "type": kind, "source": source or kind, "options": list(options)}


def process(
    args: Sequence[str],
    *,
    cwd: str = "/",
    env: Mapping[str, str] | Sequence[str] = (),
    terminal: bool = False,
    uid: int = 0,
    gid: int = 0,
) -> dict[str, Any]:
    """The ``process`` part of a spec, which is also what ``Task.exec`` takes, with dockerd's default capabilities.

    Args:
        args: the command and its arguments.
        cwd: the working directory, an absolute path in the container.
        env: the environment, as a mapping or as ``NAME=value`` strings; PATH has dockerd's value unless it is given.
        terminal: whether the process gets a terminal.
        uid: the user id in the container.
        gid: the group id in the container.

    Raises:
        InvalidArgumentError: args is empty or not a list of strings, or cwd is not absolute.
    """
    if isinstance(args, (str, bytes)) or not args or not all(isinstance(arg, str) for arg in args):
        raise InvalidArgumentError(
            f'args must be a list of at least one string, such as ["/bin/echo", "hello"], not {args!r}'
        )
    if not cwd.startswith("/"):
        raise InvalidArgumentError(f"cwd must be an absolute path in the container, not {cwd!r}")
    variables = [f"{name}={value}" for name, value in env.items()] if isinstance(env, Mapping) else list(env)
    if not any(variable.startswith("PATH=") for variable in variables):
        variables.insert(0, _PATH)
    return {
        "terminal": terminal,
        "user": {"uid": uid, "gid": gid},
        "args": list(args),
        "env": variables,
        "cwd": cwd,
        "capabilities": {kind: list(_CAPABILITIES) for kind in ("bounding", "effective", "permitted")},
    }


def default(
    rootfs: str | os.PathLike[str],
    args: Sequence[str],
    *,
    cwd: str = "/",
    env: Mapping[str, str] | Sequence[str] = (),
    terminal: bool = False,
    readonly: bool = False,
    hostname: str | None = None,
    mounts: Sequence[Mapping[str, Any]] = (),
    cgroups_path: str | None = None,
) -> dict[str, Any]:
    """A spec with dockerd's default isolation, without its seccomp profile and with a network of its own that is empty.

    Args:
        rootfs: the directory that becomes the container's root; made absolute.
        args: the command and its arguments.
        cwd: the working directory, an absolute path in the container.
        env: the environment, as a mapping or as ``NAME=value`` strings.
        terminal: whether the process gets a terminal.
        readonly: whether the root is mounted read-only.
        hostname: the container's host name; None leaves the host's.
        mounts: OCI mounts on top of the default ones.
        cgroups_path: the cgroup; None lets runc take one named after the container's id.

    Raises:
        InvalidArgumentError: as ``process``.
    """
    linux: dict[str, Any] = {
        "namespaces": [{"type": kind} for kind in ("mount", "network", "uts", "pid", "ipc")],
        "maskedPaths": list(_MASKED),
        "readonlyPaths": list(_READONLY),
        "resources": {
            "devices": [
                {"allow": False, "access": "rwm"},
                {"allow": True, "type": "c", "major": 1, "minor": 5, "access": "rwm"},
                {"allow": True, "type": "c", "major": 1, "minor": 3, "access": "rwm"},
                {"allow": True, "type": "c", "major": 1, "minor": 9, "access": "rwm"},
                {"allow": True, "type": "c", "major": 1, "minor": 8, "access": "rwm"},
                {"allow": True, "type": "c", "major": 5, "minor": 0, "access": "rwm"},
                {"allow": True, "type": "c", "major": 5, "minor": 1, "access": "rwm"},
            ]
        },
    }
    if cgroups_path is not None:
        linux["cgroupsPath"] = cgroups_path
    spec: dict[str, Any] = {
        "ociVersion": "1.2.0",
        "root": {"path": os.path.abspath(rootfs), "readonly": readonly},
        "process": process(args, cwd=cwd, env=env, terminal=terminal),
        "mounts": [
            _mount("/proc", "proc", "nosuid", "noexec", "nodev"),
            _mount("/dev", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
            _mount("/dev/pts", "devpts", "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"),
            _mount("/sys", "sysfs", "nosuid", "noexec", "nodev", "ro"),
            _mount("/dev/mqueue", "mqueue", "nosuid", "noexec", "nodev"),
            _mount("/dev/shm", "tmpfs", "nosuid", "noexec", "nodev", "mode=1777", source="shm"),
            *map(dict, mounts),
        ],
        "linux": linux,
    }
    if hostname is not None:
        spec["hostname"] = hostname
    return spec
