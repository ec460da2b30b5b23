"""Capabilities, added and dropped as dockerd does."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..errors import InvalidArgumentError
from . import _moby

__all__ = ["tweaked"]

_ALL = "ALL"


def tweaked(basics: Sequence[str], add: Iterable[str], drop: Iterable[str]) -> list[str]:
    """Adds and drops capabilities (Go: ``caps.TweakCapabilities``). The result has no duplicates.

    Raises:
        InvalidArgumentError: a capability is unknown, or not available on this machine.
    """
    added, dropped = _normalized("cap_add", add), _normalized("cap_drop", drop)
    if _ALL in added:
        wanted = [name for name in _available() if name not in dropped]
    elif _ALL in dropped:
        wanted = added
    else:
        wanted = [name for name in basics if name not in dropped] + added
    return list(dict.fromkeys(wanted))


def _normalized(what: str, names: Iterable[str]) -> list[str]:
    if isinstance(names, str):
        raise InvalidArgumentError(f"{what} must be a list of capabilities, not the string {names!r}: try [{names!r}]")
    return [_name(what, name) for name in names]


def _name(what: str, given: str) -> str:
    if not isinstance(given, str):
        raise InvalidArgumentError(f"{what} must be a list of strings, not of {given!r}")
    name = given.upper()
    if name == _ALL:
        return name
    name = "CAP_" + name.removeprefix("CAP_")
    known = _moby.capabilities()
    if name not in known:
        raise InvalidArgumentError(f"{what}: unknown capability {given!r}: there are ALL, {', '.join(known)}")
    if name not in _available():
        raise InvalidArgumentError(f"{what}: capability {given!r} is not available on this machine")
    return name


def _available() -> list[str]:
    """The known capabilities in this process's bounding set.

    dockerd uses its effective set, but it is always root, which the builder of a spec need not be. The bounding set is
    what the kernel, or a surrounding container, can grant.
    """
    with open("/proc/self/status") as status:
        bounding = next(int(line.split()[1], 16) for line in status if line.startswith("CapBnd:"))
    return [name for number, name in enumerate(_moby.capabilities()) if bounding >> number & 1]
