"""User namespaces: how the container's ids map to the host's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..errors import InvalidArgumentError
from ..options import IDMapping, oci_mapping
from ._namespaces import HOST

__all__ = ["Mappings", "user_namespace"]

Mappings = Sequence[IDMapping | tuple[int, int, int]]

_IDS = 2**32 - 1
"""The kernel reserves the last 32-bit number for "no id"."""


def user_namespace(uids: Mappings, gids: Mappings, modes: dict[str, str]) -> dict[str, Any]:
    """Returns the ``uidMappings`` and ``gidMappings`` of a spec's ``linux``; neither for the host's user namespace.

    Raises:
        InvalidArgumentError: a range is malformed, only one kind is given, or a namespace of the host is requested that
            dockerd does not share with a user namespace.
    """
    if not uids and not gids:
        return {}
    if not uids or not gids:
        raise InvalidArgumentError("a user namespace needs both uid_mappings and gid_mappings")
    for name in ("network", "pid"):
        if modes[name] == HOST:
            raise InvalidArgumentError(f'{name}="host" can\'t be shared with a user namespace, as in dockerd')
    return {"uidMappings": _ranges("uid_mappings", uids), "gidMappings": _ranges("gid_mappings", gids)}


def _ranges(name: str, given: Mappings) -> list[dict[str, int]]:
    ranges = []
    for one in given:
        numbers = tuple(one) if isinstance(one, Sequence) and not isinstance(one, str) else ()
        if len(numbers) != 3 or not all(type(number) is int for number in numbers) or not _fits(*numbers):
            raise InvalidArgumentError(
                f"{name} must be ranges of ids (container_id, host_id, size), such as (0, 100000, 65536), not {one!r}"
            )
        ranges.append(oci_mapping(IDMapping._make(numbers)))
    return ranges


def _fits(container_id: int, host_id: int, size: int) -> bool:
    return size > 0 and all(0 <= first <= _IDS - size for first in (container_id, host_id))
