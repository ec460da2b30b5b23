"""Namespaces: the container's own, the host's, or another's."""

from __future__ import annotations

import os
from typing import Any

from ..errors import InvalidArgumentError

__all__ = ["cgroup_default", "namespaces"]

PRIVATE, HOST = "private", "host"


def namespaces(defaults: list[dict[str, Any]], wanted: dict[str, str]) -> list[dict[str, Any]]:
    """Applies the wanted modes to moby's namespaces: each is ``private``, ``host`` or the path of one to join.

    Raises:
        InvalidArgumentError: a mode is none of these.
    """
    kinds = {namespace["type"]: namespace for namespace in defaults}
    for name, mode in wanted.items():
        kind = _KINDS[name]
        if mode == HOST:
            kinds.pop(kind, None)
        elif mode == PRIVATE:
            kinds[kind] = {"type": kind}
        elif isinstance(mode, str) and mode.startswith("/"):
            kinds[kind] = {"type": kind, "path": mode}
        else:
            raise InvalidArgumentError(
                f'{name} must be "private", "host" or the path of a namespace,'
                f' such as "/proc/1/ns/{_FILES.get(kind, kind)}", not {mode!r}'
            )
    return list(kinds.values())


_KINDS = {"network": "network", "ipc": "ipc", "pid": "pid", "uts": "uts", "cgroupns": "cgroup"}
_FILES = {"network": "net"}


def cgroup_default() -> str:
    """dockerd's default for the cgroup namespace: private with cgroup v2, the host's with v1."""
    return PRIVATE if os.path.exists("/sys/fs/cgroup/cgroup.controllers") else HOST
