"""Mounts: those that people add, and how they go with moby's."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import InvalidArgumentError

__all__ = ["bind", "merged", "tmpfs"]


def bind(
    source: str | os.PathLike[str],
    target: str,
    *,
    read_only: bool = False,
    recursive: bool = True,
    propagation: str = "rprivate",
) -> dict[str, Any]:
    """Returns a mount of a file or directory of the host, with the options that dockerd sets for ``-v``.

    Args:
        source: the file or directory to mount; made absolute. runc refuses one that does not exist.
        target: where to mount it, an absolute path in the container.
        read_only: whether to mount it read-only. Mounts below source keep the host's setting. dockerd makes those
            read-only too if the kernel and runc can: the mount option ``rro`` instead of ``ro``.
        recursive: whether to include mounts below source.
        propagation: ``private``, ``shared`` or ``slave``, or one of these with a leading ``r``.

    Raises:
        InvalidArgumentError: target is not absolute, or the propagation is unknown.
    """
    modes = [r + mode for r in ("", "r") for mode in ("private", "shared", "slave")]
    if propagation not in modes:
        raise InvalidArgumentError(f"propagation must be one of {', '.join(modes)}, not {propagation!r}")
    options = ["rbind" if recursive else "bind", *(["ro"] if read_only else []), propagation]
    return {"destination": _target(target), "type": "bind", "source": os.path.abspath(source), "options": options}


def tmpfs(target: str, *, size: int | None = None, mode: int | None = None, executable: bool = False) -> dict[str, Any]:
    """Returns a tmpfs mount, with the options that dockerd sets for ``--tmpfs``.

    Args:
        target: where to mount it, an absolute path in the container.
        size: the most bytes that it may hold; None leaves the kernel's default, half of the memory.
        mode: the permissions of its root, such as ``0o700``; None leaves 0o1777. If target is an existing directory,
            runc before 1.2 uses that directory's permissions.
        executable: whether programs in it can be executed.

    Raises:
        InvalidArgumentError: target is not absolute, or a number is out of range.
    """
    options = ["nosuid", "nodev", "rprivate"]
    if not executable:
        options.insert(0, "noexec")
    for name, value, text, most in (("size", size, "d", 2**63 - 1), ("mode", mode, "o", 0o7777)):
        if value is not None:
            if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= most:
                raise InvalidArgumentError(f"{name} must be a number from 1 to {most:#{text}}, not {value!r}")
            options.append(f"{name}={value:{text}}")
    return {"destination": _target(target), "type": "tmpfs", "source": "tmpfs", "options": options}


def merged(defaults: list[dict[str, Any]], mounts: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Combines moby's mounts with the given ones, as dockerd does (Go: ``withMounts``).

    A given mount replaces moby's mount on the same path, and one on /dev also replaces all mounts below it. The given
    mounts are ordered by depth, so that none hides another.
    """
    for mount in mounts:
        if not isinstance(mount, Mapping) or not isinstance(mount.get("destination"), str):
            raise InvalidArgumentError(
                f'mounts must be OCI mounts with a "destination", as of spec.bind, not {mount!r:.200}'
            )
    targets = {mount["destination"] for mount in mounts}
    kept = [
        mount
        for mount in defaults
        if mount["destination"] not in targets and not ("/dev" in targets and mount["destination"].startswith("/dev/"))
    ]
    return kept + sorted(map(dict, mounts), key=lambda mount: os.path.normpath(mount["destination"]).count("/"))


def _target(path: str) -> str:
    if not isinstance(path, str) or not path.startswith("/"):
        raise InvalidArgumentError(f"target must be an absolute path in the container, not {path!r}")
    return path
