"""The keywords that make a spec: each is stated, typed and documented here, and nowhere else.

The annotations are not postponed: an import would compile each of them.
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
    """The keywords of ``process``, which are ``default``'s too."""

    cwd: str
    """the working directory, an absolute path in the container; ``/`` unless given."""
    env: Env
    """the environment, as a mapping or as ``NAME=value`` strings, added to dockerd's PATH, and TERM with a terminal."""
    terminal: bool
    """whether the process gets a terminal."""
    console_size: ConsoleSize | None
    """the terminal's width and height in characters from the start, such as ``os.get_terminal_size()``. None: 0 and 0,
    until ``Process.resize`` sets them."""
    user: User
    """``"user"``, ``"user:group"``, a uid or ``(uid, gid)``; root unless given. Names, and the groups of a user, are
    looked up in the files of rootfs as dockerd does. Without rootfs there are only numbers, and the group is 0 unless
    given."""
    additional_gids: Sequence[int]
    """further groups, by number."""
    cap_add: Sequence[str]
    """capabilities to add to dockerd's, with or without ``CAP_``, or ``ALL``."""
    cap_drop: Sequence[str]
    """capabilities to drop, or ``ALL``, which leaves those of cap_add."""
    rlimits: Rlimits | None
    """limits by name, such as ``{"nofile": 1024, "core": (0, -1)}``: one number for both limits, or the soft and the
    hard one; -1 is unlimited."""
    no_new_privileges: bool
    """whether setuid binaries and file capabilities have no effect."""


class ResourceKeywords(TypedDict, total=False):
    """The keywords of ``resources``, which are ``default``'s too. What is None, or not given, is not limited."""

    memory: int | None
    """bytes, at least 6 MiB: ``64 << 20`` is docker's ``64m``."""
    memory_swap: int | None
    """bytes of memory and swap together, at least memory; -1 is unlimited. ``default`` takes twice memory unless given,
    where the kernel counts swap. An update leaves an existing limit alone with -1, as dockerd does: give
    ``update_resources`` ``{"memory": {"swap": -1}}`` to lift one."""
    memory_reservation: int | None
    """bytes, at most memory, that the kernel presses the container down to when it runs short."""
    cpus: float | None
    """CPUs' worth of time, such as 1.5: from 0.01 to as many as there are."""
    cpu_shares: int | None
    """the weight against others; 1024 is usual."""
    cpuset_cpus: str | None
    """the CPUs to run on, such as ``"0-2,7"``."""
    cpuset_mems: str | None
    """the memory nodes to use."""
    pids_limit: int | None
    """how many processes and threads there may be; 0 or less is unlimited."""


class DefaultKeywords(ProcessKeywords, ResourceKeywords, total=False):
    """The keywords of ``default``."""

    readonly: bool
    """whether the root is mounted read-only."""
    hostname: str | None
    """the container's host name, also as HOSTNAME in its environment. None leaves the host's."""
    mounts: Sequence[Mapping[str, Any]]
    """OCI mounts, such as ``bind`` and ``tmpfs`` make. They replace default ones on the same paths, and are sorted by
    depth."""
    shm_size: int
    """bytes of /dev/shm; 64 MiB unless given."""
    devices: Sequence[str | os.PathLike[str]]
    """devices of the host, as ``/dev/fuse`` or ``HOST:CONTAINER:rwm``."""
    host_network: bool
    """whether the network is the host's; short for ``network="host"``."""
    network: str
    """the network namespace: ``"private"``, which is the default, ``"host"``, or the path of one to join."""
    pid: str
    """the namespace of processes, likewise."""
    ipc: str
    """the namespace of System V IPC, likewise; with ``"host"`` /dev/shm is the host's, too."""
    uts: str
    """the namespace of the host name, likewise."""
    cgroupns: str | None
    """the namespace of cgroups, likewise. None is dockerd's choice: ``"private"`` with cgroup v2, else ``"host"``."""
    uid_mappings: Mappings
    """the user ids of a user namespace, as ranges ``(container_id, host_id, size)`` or ``options.IDMapping``. Unless
    given, the user namespace is the host's. The files of the root belong to ids of the host, as
    ``options.new_snapshot`` shifts them."""
    gid_mappings: Mappings
    """its group ids, likewise."""
    cgroups_path: str | None
    """the cgroup. None leaves it to ``new_container``, which takes one that no other container has."""


Keywords = TypeVar("Keywords", ProcessKeywords, ResourceKeywords)


def part_of(given: DefaultKeywords, keywords: type[Keywords]) -> Keywords:
    """Those of the given keywords that a function with fewer of them has."""
    known: Any = keywords
    return {name: value for name, value in given.items() if name in known.__optional_keys__}  # type: ignore[return-value]


def refuse_unknown(function: str, given: Mapping[str, object], keywords: Any) -> None:
    """Raises TypeError for a keyword that the function does not have, as Python does for a parameter."""
    for name in given:
        if name not in keywords.__optional_keys__:
            raise TypeError(f"{function}() got an unexpected keyword argument {name!r}")
