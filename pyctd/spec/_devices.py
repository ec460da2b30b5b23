"""Devices of the host (Go: ``oci.DevicesFromPath``)."""

from __future__ import annotations

import os
import re
import stat
from typing import Any

from ..errors import InvalidArgumentError

__all__ = ["device"]


def device(given: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns the ``linux.devices`` entry and the cgroup rule for a device in docker's syntax:
    ``HOST[:CONTAINER[:rwm]]``.

    Raises:
        InvalidArgumentError: the device does not exist, or its permissions are not made of r, w and m.
    """
    if not isinstance(given, (str, os.PathLike)):
        raise InvalidArgumentError(
            f'devices must be paths, such as "/dev/fuse" or "/dev/sda:/dev/xvda:r", not {given!r}'
        )
    source, _, rest = os.fspath(given).partition(":")
    target, _, access = rest.partition(":")
    target, access = target or source, access or "rwm"
    if not re.fullmatch("[rwm]{1,3}", access) or not source.startswith("/") or not target.startswith("/"):
        raise InvalidArgumentError(
            f"devices must be absolute paths, with r, w and m for reading, writing and mknod, not {given!r}"
        )
    try:
        found = os.stat(source)
    except (OSError, ValueError) as error:
        raise InvalidArgumentError(f"device {source!r}: {getattr(error, 'strerror', None) or error}") from error
    if not (stat.S_ISCHR(found.st_mode) or stat.S_ISBLK(found.st_mode)):
        raise InvalidArgumentError(f"device {source!r} is no device node")
    kind = "c" if stat.S_ISCHR(found.st_mode) else "b"
    numbers = {"type": kind, "major": os.major(found.st_rdev), "minor": os.minor(found.st_rdev)}
    node = {
        "path": target,
        **numbers,
        "fileMode": stat.S_IMODE(found.st_mode),
        "uid": found.st_uid,
        "gid": found.st_gid,
    }
    return node, {"allow": True, **numbers, "access": access}
