"""A container's default spec, as dockerd makes it."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import InvalidArgumentError
from . import _moby
from ._devices import device
from ._keywords import DefaultKeywords, ProcessKeywords, ResourceKeywords, part_of, refuse_unknown
from ._mounts import bind, merged
from ._namespaces import HOST, PRIVATE, cgroup_default, namespaces
from ._process import process
from ._resources import resources, swap_is_limited
from ._userns import user_namespace

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["default"]

_SHM_SIZE = 64 << 20
_SYSCTLS = {
    "net.ipv4.ping_group_range": "0 2147483647",  # echo requests without CAP_NET_RAW
    "net.ipv4.ip_unprivileged_port_start": "0",  # ports under 1024 without CAP_NET_BIND_SERVICE
}


def default(
    rootfs: str | os.PathLike[str] | None,
    args: Sequence[str],
    **given: Unpack[DefaultKeywords],
) -> dict[str, Any]:
    """Returns a spec with dockerd's defaults: moby's ``oci.DefaultLinuxSpec()`` and what dockerd adds for every
    container.

    It differs from ``docker run``: it has no seccomp, AppArmor or SELinux profile; the network has only ``lo``; the
    host name is the host's; there is no /etc/hosts, /etc/hostname or /etc/resolv.conf; the client chooses the cgroup.
    docs/specs.md explains each difference.

    Args:
        rootfs: the directory that becomes the container's root, made absolute. Containers write to the directory
            itself, and share it, unless ``readonly`` is set. None is ``rootfs`` in containerd's bundle, where it mounts
            a container's snapshot.
        args: the command and its arguments.
        **given: see ``DefaultKeywords``.

    Raises:
        InvalidArgumentError: an argument is malformed, two contradict each other, or a directory, user, group,
            capability or device does not exist.
    """
    refuse_unknown("default", given, DefaultKeywords)
    hostname = given.get("hostname")
    modes = _modes(given)
    if hostname is not None and modes["uts"] != PRIVATE:
        raise InvalidArgumentError(f"hostname needs a namespace of the container's own, not uts={modes['uts']!r}")
    limits = part_of(given, ResourceKeywords)
    if isinstance(memory := limits.get("memory"), int) and limits.get("memory_swap") is None and swap_is_limited():
        limits["memory_swap"] = min(2 * memory, 2**63 - 1)

    spec = _moby.default_spec()
    path = "rootfs" if rootfs is None else _directory(rootfs)
    spec["root"] = {"path": path, "readonly": given.get("readonly", False)}
    spec["process"] = process(args, rootfs=rootfs, **part_of(given, ProcessKeywords))
    # Without a value it would be the daemon's own, which often protects it from the OOM killer.
    spec["process"]["oomScoreAdj"] = 0
    if hostname is not None:
        spec["hostname"] = hostname
        if not any(variable.startswith("HOSTNAME=") for variable in spec["process"]["env"]):
            spec["process"]["env"].insert(1, f"HOSTNAME={hostname}")
    spec["mounts"] = _mounts(spec["mounts"], given, modes)

    linux = spec["linux"]
    linux["namespaces"] = namespaces(linux["namespaces"], modes)
    linux |= (users := user_namespace(given.get("uid_mappings", ()), given.get("gid_mappings", ()), modes))
    if users:
        linux["namespaces"].append({"type": "user"})
    if modes["network"] == PRIVATE and (sysctls := _sysctls(mapped=bool(users))):
        linux["sysctl"] = sysctls
    for node, rule in map(device, given.get("devices", ())):
        linux.setdefault("devices", []).append(node)
        linux["resources"]["devices"].append(rule)
    linux["resources"] |= resources(**limits)
    if (cgroups_path := given.get("cgroups_path")) is not None:
        linux["cgroupsPath"] = cgroups_path
    return spec


def _modes(given: DefaultKeywords) -> dict[str, str]:
    """Returns the mode of each namespace: private, host, or a path."""
    network = given.get("network", PRIVATE)
    if given.get("host_network", False):
        if network not in (PRIVATE, HOST):
            raise InvalidArgumentError(f"host_network contradicts network={network!r}")
        network = HOST
    return {
        "network": network,
        "pid": given.get("pid", PRIVATE),
        "ipc": given.get("ipc", PRIVATE),
        "uts": given.get("uts", PRIVATE),
        "cgroupns": given.get("cgroupns") or cgroup_default(),
    }


def _mounts(defaults: list[dict[str, Any]], given: DefaultKeywords, modes: Mapping[str, str]) -> list[dict[str, Any]]:
    """Merges dockerd's mounts with the given ones."""
    mounts = given.get("mounts", ())
    targets = {mount.get("destination") for mount in mounts if isinstance(mount, Mapping)}
    shared = [bind("/dev/shm", "/dev/shm")] if modes["ipc"] == HOST and "/dev/shm" not in targets else []
    return merged(_with_shm_size(defaults, given.get("shm_size", _SHM_SIZE)), [*shared, *mounts])


def _directory(rootfs: str | os.PathLike[str]) -> str:
    """Returns the absolute path of a root directory, which must exist unless this user may not look."""
    path = os.path.abspath(rootfs)
    try:
        exists = stat.S_ISDIR(os.stat(path).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        exists = False
    except OSError:
        exists = True
    if not exists:
        raise InvalidArgumentError(
            f"rootfs {os.fspath(rootfs)!r} is not a directory: pyctd pulls no images. Unpack one to a directory, or"
            " give None and use pyctd.options.new_snapshot with an image that containerd has"
        )
    return path


def _with_shm_size(mounts: list[dict[str, Any]], size: int) -> list[dict[str, Any]]:
    if isinstance(size, bool) or not isinstance(size, int) or size <= 0:
        raise InvalidArgumentError(f"shm_size must be a number of bytes above 0, not {size!r}")
    for mount in mounts:
        if mount["destination"] == "/dev/shm":
            mount["options"].append(f"size={size}")
    return mounts


def _sysctls(mapped: bool) -> dict[str, str]:
    """Returns dockerd's sysctls, except those that this kernel lacks and the one that fails in a user namespace."""
    with open("/proc/self/uid_map") as file:
        mapped = mapped or file.read().split() != ["0", "0", "4294967295"]
    return {
        name: value
        for name, value in _SYSCTLS.items()
        if os.path.exists("/proc/sys/" + name.replace(".", "/")) and not (mapped and "ping" in name)
    }
