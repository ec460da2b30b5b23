"""The default spec of a container: dockerd's."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import InvalidArgumentError
from . import _moby
from ._devices import device
from ._mounts import bind, merged
from ._namespaces import HOST, PRIVATE, cgroup_default, namespaces
from ._process import ConsoleSize, Env, Rlimits, process
from ._resources import resources, swap_is_limited
from ._user import User
from ._userns import Mappings, user_namespace

__all__ = ["default"]

_SHM_SIZE = 64 << 20
_SYSCTLS = {
    "net.ipv4.ping_group_range": "0 2147483647",  # echo requests without CAP_NET_RAW
    "net.ipv4.ip_unprivileged_port_start": "0",  # ports under 1024 without CAP_NET_BIND_SERVICE
}


def default(
    rootfs: str | os.PathLike[str] | None,
    args: Sequence[str],
    *,
    cwd: str = "/",
    env: Env = (),
    terminal: bool = False,
    console_size: ConsoleSize | None = None,
    user: User = 0,
    additional_gids: Sequence[int] = (),
    cap_add: Sequence[str] = (),
    cap_drop: Sequence[str] = (),
    rlimits: Rlimits | None = None,
    no_new_privileges: bool = False,
    readonly: bool = False,
    hostname: str | None = None,
    mounts: Sequence[Mapping[str, Any]] = (),
    shm_size: int = _SHM_SIZE,
    devices: Sequence[str | os.PathLike[str]] = (),
    memory: int | None = None,
    memory_swap: int | None = None,
    memory_reservation: int | None = None,
    cpus: float | None = None,
    cpu_shares: int | None = None,
    cpuset_cpus: str | None = None,
    cpuset_mems: str | None = None,
    pids_limit: int | None = None,
    host_network: bool = False,
    network: str = PRIVATE,
    pid: str = PRIVATE,
    ipc: str = PRIVATE,
    uts: str = PRIVATE,
    cgroupns: str | None = None,
    uid_mappings: Mappings = (),
    gid_mappings: Mappings = (),
    cgroups_path: str | None = None,
) -> dict[str, Any]:
    """A spec with dockerd's defaults: moby's ``oci.DefaultLinuxSpec()`` and what dockerd adds for every container.

    It differs from what ``docker run`` would run: no seccomp, AppArmor or SELinux profile; the network has only ``lo``;
    the host name is the host's; no /etc/hosts, /etc/hostname, /etc/resolv.conf; the cgroup is the client's choice.
    docs/specs.md has each difference with its reason.

    Args:
        rootfs: the directory that becomes the container's root, made absolute. Containers write to the directory
            itself, and share it, unless ``readonly``. None is ``rootfs`` in the bundle that containerd makes, where it
            mounts a container's snapshot.
        args: the command and its arguments.
        cwd: the working directory, an absolute path in the container.
        env: the environment, as a mapping or as ``NAME=value`` strings, on top of dockerd's: PATH, and TERM with a
            terminal, and HOSTNAME with a host name.
        terminal: whether the process gets a terminal.
        console_size: as ``process`` takes it.
        user: as ``process`` takes it; names are looked up in rootfs.
        additional_gids: further groups, by number.
        cap_add: capabilities on top of dockerd's, with or without ``CAP_``, or ``ALL``.
        cap_drop: capabilities less, or ``ALL``.
        rlimits: as ``process`` takes them.
        no_new_privileges: whether setuid binaries and file capabilities are without effect.
        readonly: whether the root is mounted read-only.
        hostname: the container's host name; None leaves the host's.
        mounts: OCI mounts, as of ``bind`` and ``tmpfs``. They take the place of default ones on the same paths, and
            come in the order of their depth.
        shm_size: bytes of /dev/shm.
        devices: devices of the host, as ``/dev/fuse`` or ``HOST:CONTAINER:rwm``.
        memory: bytes, at least 6 MiB.
        memory_swap: bytes of memory and swap together; -1 is no limit. None is twice memory, where the kernel
            counts swap.
        memory_reservation: bytes, at most memory.
        cpus: CPUs' worth of time, such as 1.5.
        cpu_shares: the weight against others, 1024 being the usual.
        cpuset_cpus: the CPUs to run on, such as ``"0-2,7"``.
        cpuset_mems: the memory nodes to use.
        pids_limit: how many processes and threads there may be; 0 or less is no limit.
        host_network: whether the network is the host's; short for ``network="host"``.
        network: the network namespace: ``"private"``, ``"host"``, or the path of one to join.
        pid: the namespace of processes, likewise.
        ipc: the namespace of System V IPC, likewise; with ``"host"`` /dev/shm is the host's, too.
        uts: the namespace of the host name, likewise.
        cgroupns: the namespace of cgroups, likewise; None is dockerd's choice: ``"private"`` with cgroup v2, else
            ``"host"``.
        uid_mappings: the user ids of a user namespace, as ranges ``(container_id, host_id, size)`` or
            ``options.IDMapping``; none: the host's user namespace. The files of the root belong to ids of the host, as
            ``options.new_snapshot`` shifts them.
        gid_mappings: its group ids, likewise.
        cgroups_path: the cgroup; None leaves it to ``new_container``, which takes one that no other container has.

    Raises:
        InvalidArgumentError: an argument is malformed, two contradict each other, or there is no such directory, user,
            group, capability or device.
    """
    if host_network and network not in (PRIVATE, HOST):
        raise InvalidArgumentError(f"host_network contradicts network={network!r}")
    network = HOST if host_network else network
    if hostname is not None and uts != PRIVATE:
        raise InvalidArgumentError(f"hostname needs a namespace of the container's own, not uts={uts!r}")
    if isinstance(memory, int) and memory_swap is None and swap_is_limited():
        memory_swap = min(2 * memory, 2**63 - 1)

    spec = _moby.default_spec()
    spec["root"] = {"path": "rootfs" if rootfs is None else _directory(rootfs), "readonly": readonly}
    spec["process"] = process(
        args,
        cwd=cwd,
        env=env,
        terminal=terminal,
        console_size=console_size,
        user=user,
        additional_gids=additional_gids,
        cap_add=cap_add,
        cap_drop=cap_drop,
        rlimits=rlimits,
        no_new_privileges=no_new_privileges,
        rootfs=rootfs,
    )
    # Else it would be the daemon's, which is often spared.
    spec["process"]["oomScoreAdj"] = 0
    if hostname is not None:
        spec["hostname"] = hostname
        if not any(variable.startswith("HOSTNAME=") for variable in spec["process"]["env"]):
            spec["process"]["env"].insert(1, f"HOSTNAME={hostname}")
    shared = [bind("/dev/shm", "/dev/shm")] if ipc == HOST else []
    given = {mount.get("destination") for mount in mounts if isinstance(mount, Mapping)}
    spec["mounts"] = merged(
        _with_shm_size(spec["mounts"], shm_size), [*(shared if "/dev/shm" not in given else []), *mounts]
    )

    linux = spec["linux"]
    modes = {"network": network, "pid": pid, "ipc": ipc, "uts": uts, "cgroupns": cgroupns or cgroup_default()}
    linux["namespaces"] = namespaces(linux["namespaces"], modes)
    linux |= (users := user_namespace(uid_mappings, gid_mappings, modes))
    if users:
        linux["namespaces"].append({"type": "user"})
    if network == PRIVATE and (sysctls := _sysctls(mapped=bool(users))):
        linux["sysctl"] = sysctls
    for node, rule in map(device, devices):
        linux.setdefault("devices", []).append(node)
        linux["resources"]["devices"].append(rule)
    linux["resources"] |= resources(
        memory=memory,
        memory_swap=memory_swap,
        memory_reservation=memory_reservation,
        cpus=cpus,
        cpu_shares=cpu_shares,
        cpuset_cpus=cpuset_cpus,
        cpuset_mems=cpuset_mems,
        pids_limit=pids_limit,
    )
    if cgroups_path is not None:
        linux["cgroupsPath"] = cgroups_path
    return spec


def _directory(rootfs: str | os.PathLike[str]) -> str:
    """The path of a root directory. One that this user may not look at may exist."""
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
    """dockerd's, except those that this kernel lacks, and the one that fails in a user namespace."""
    with open("/proc/self/uid_map") as file:
        mapped = mapped or file.read().split() != ["0", "0", "4294967295"]
    return {
        name: value
        for name, value in _SYSCTLS.items()
        if os.path.exists("/proc/sys/" + name.replace(".", "/")) and not (mapped and "ping" in name)
    }
