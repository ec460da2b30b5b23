"""The keywords for specs: each is declared, typed and documented here, and nowhere else.

The annotations are not postponed, because importing the module would compile each of them.
"""

import os
from collections.abc import Mapping, Sequence
from typing import Any, TypedDict, TypeVar

from ._user import User
from ._userns import Mappings

__all__ = ["DefaultKeywords", "ProcessKeywords", "ResourceKeywords", "part_of", "refuse_unknown"]

Env = Mapping[str, str] | Sequence[str]
Rlimits = Mapping[str, int | tuple[int, int]]
ConsoleSize = tuple[int, int]


class ProcessKeywords(TypedDict, total=False):
    """The keywords of ``process``, which ``default`` takes too."""

    cwd: str
    """the working directory, an absolute path in the container. The default is ``/``."""
    env: Env
    """the environment, as a mapping or ``NAME=value`` strings. dockerd's PATH, and TERM with a terminal, are preset."""
    terminal: bool
    """whether the process gets a terminal."""
    console_size: ConsoleSize | None
    """the terminal's initial width and height in characters, such as ``os.get_terminal_size()``. None: 0 and 0, until
    ``Process.resize`` sets them."""
    user: User
    """``"user"``, ``"user:group"``, a uid or ``(uid, gid)``. The default is root. As in dockerd, names and a user's
    groups are looked up in files under rootfs. Without rootfs only numbers are accepted, and the default group is 0."""
    additional_gids: Sequence[int]
    """further groups, by number."""
    cap_add: Sequence[str]
    """capabilities to add to dockerd's, with or without ``CAP_``, or ``ALL``."""
    cap_drop: Sequence[str]
    """capabilities to drop, or ``ALL``, which leaves only those in cap_add."""
    rlimits: Rlimits | None
    """limits by name, such as ``{"nofile": 1024, "core": (0, -1)}``: one number for both the soft and the hard limit,
    or a pair; -1 is unlimited."""
    no_new_privileges: bool
    """whether to disable setuid binaries and file capabilities."""


class ResourceKeywords(TypedDict, total=False):
    """The keywords of ``resources``, which ``default`` takes too. A resource that is None or not given is unlimited."""

    memory: int | None
    """bytes, at least 6 MiB: ``64 << 20`` is docker's ``64m``."""
    memory_swap: int | None
    """bytes of memory and swap together, at least memory; -1 is unlimited. The default in ``default`` is twice memory
    if the kernel counts swap. As in dockerd, an update with -1 leaves an existing limit alone: to remove it, give
    ``update_resources`` ``{"memory": {"swap": -1}}``."""
    memory_reservation: int | None
    """bytes, at most memory, to which the kernel tries to shrink the container when memory is short."""
    cpus: float | None
    """CPUs' worth of time, such as 1.5: from 0.01 to the number of CPUs."""
    cpu_shares: int | None
    """the weight relative to others; 1024 is usual."""
    cpuset_cpus: str | None
    """the CPUs to run on, such as ``"0-2,7"``."""
    cpuset_mems: str | None
    """the memory nodes to use."""
    pids_limit: int | None
    """the most processes and threads; 0 or less is unlimited."""


class DefaultKeywords(ProcessKeywords, ResourceKeywords, total=False):
    """The keywords of ``default``."""

    readonly: bool
    """whether the root is mounted read-only."""
    hostname: str | None
    """the container's host name, also as HOSTNAME in its environment. None leaves the host's."""
    mounts: Sequence[Mapping[str, Any]]
    """OCI mounts, such as those from ``bind`` and ``tmpfs``. They replace default mounts on the same paths, and are
    sorted by depth."""
    shm_size: int
    """bytes of /dev/shm. The default is 64 MiB."""
    devices: Sequence[str | os.PathLike[str]]
    """devices of the host, as ``/dev/fuse`` or ``HOST:CONTAINER:rwm``."""
    host_network: bool
    """whether to use the host's network; short for ``network="host"``."""
    network: str
    """the network namespace: ``"private"``, which is the default, ``"host"``, or the path of one to join."""
    pid: str
    """the PID namespace, likewise."""
    ipc: str
    """the namespace of System V IPC, likewise. With ``"host"``, /dev/shm is also the host's."""
    uts: str
    """the UTS namespace, which has the host name, likewise."""
    cgroupns: str | None
    """the cgroup namespace, likewise. None is dockerd's choice: ``"private"`` with cgroup v2, otherwise ``"host"``."""
    uid_mappings: Mappings
    """the user ids of a new user namespace, as ranges ``(container_id, host_id, size)`` or ``options.IDMapping``. The
    default is the host's user namespace. The root's files must belong to the mapped host ids; ``options.new_snapshot``
    can shift them."""
    gid_mappings: Mappings
    """the group ids of the user namespace, likewise."""
    cgroups_path: str | None
    """the cgroup. None lets ``new_container`` choose one that no other container has."""


Keywords = TypeVar("Keywords", ProcessKeywords, ResourceKeywords)


def part_of(given: DefaultKeywords, keywords: type[Keywords]) -> Keywords:
    """Returns those of the given keywords that are in ``keywords``."""
    known: Any = keywords
    return {name: value for name, value in given.items() if name in known.__optional_keys__}  # type: ignore[return-value]


def refuse_unknown(function: str, given: Mapping[str, object], keywords: Any) -> None:
    """Raises TypeError for an unknown keyword, as Python does for a parameter."""
    for name in given:
        if name not in keywords.__optional_keys__:
            raise TypeError(f"{function}() got an unexpected keyword argument {name!r}")
