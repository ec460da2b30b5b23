"""Users, found as dockerd finds them (Go: ``daemon.getUser`` and moby/sys/user's ``GetExecUserPath``)."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import re
import stat
from collections.abc import Iterator, Sequence
from typing import Any

from ..errors import InvalidArgumentError

__all__ = ["User", "gids", "resolved"]

User = str | int | tuple[int, int]

_ID_MAX = 2**31 - 1
_LINKS_MAX = 40
"""As many as the kernel follows."""
_DEPTH_MAX = 64
"""Directories that a file may be below: each takes a descriptor, and how many there are, a container decides."""
_SIZE_MAX = 16 << 20
"""Bytes of a file that are looked at: how long it is, a container decides."""
_LINE_MAX = 1 << 20
"""Bytes of a line, of which one is in memory at a time: split into its fields it takes many times as much."""
_GROUPS_MAX = 1 << 16
"""As many as a process can have."""


def resolved(user: User, additional_gids: Sequence[int], rootfs: str | None) -> dict[str, Any]:
    """The ``process.user`` of a user such as ``"nobody"``, ``"1000:1000"``, ``1000`` or ``(1000, 1000)``.

    As in dockerd a user who stands in the root's ``/etc/passwd`` has the group given there and, unless a group is
    named, those of ``/etc/group``; a number that does not stand there has group 0.

    Raises:
        InvalidArgumentError: there is no such user or group, or a name is given without a root to look it up in.
    """
    name, group, *_ = [*_text(user).split(":"), ""]
    name = name or "0"
    number, gid, groups = _number(name), 0, []
    # A number is never a name, not even where a user is called so.
    found = next(
        (
            line
            for line in _lines(rootfs, "etc/passwd")
            if (line[0] == name if number is None else _at(line, 2) == number)
        ),
        None,
    )
    if found is not None:
        number, gid = _at(found, 2), _at(found, 3)
        if found[0] and not group:
            member = (_at(line, 2) for line in _groups(rootfs) if found[0] in ":".join(line[3:4]).split(","))
            groups = list(itertools.islice(member, _GROUPS_MAX))
    elif number is None:
        raise _unknown("user", name, rootfs, "etc/passwd")
    if group:
        gid = _group(group, rootfs)
    return {"uid": number, "gid": gid, "additionalGids": [gid, *groups, *gids(additional_gids)]}


def gids(numbers: Sequence[int]) -> Sequence[int]:
    """Further groups, checked. Raises InvalidArgumentError."""
    for number in numbers:
        if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number <= _ID_MAX:
            raise InvalidArgumentError(f"additional_gids must be numbers from 0 to {_ID_MAX}, not {number!r}")
    return numbers


def _text(user: User) -> str:
    if isinstance(user, str):
        return user
    numbers = (user,) if isinstance(user, int) else user
    if isinstance(user, bool) or not isinstance(numbers, tuple) or len(numbers) not in (1, 2):
        raise InvalidArgumentError(f'user must be "name", "1000:1000", 1000 or (1000, 1000), not {user!r}')
    for number in numbers:
        if isinstance(number, bool) or not isinstance(number, int):
            raise InvalidArgumentError(f"user must be a tuple of two numbers, a uid and a gid, not {user!r}")
    return ":".join(map(str, numbers))


def _number(text: str) -> int | None:
    if not re.fullmatch("-?[0-9]{1,20}", text):
        return None
    if not 0 <= int(text) <= _ID_MAX:
        raise InvalidArgumentError(f"user and group ids must be in the range from 0 to {_ID_MAX}, not {text}")
    return int(text)


def _group(name: str, rootfs: str | None) -> int:
    gid = _number(name)
    if gid is not None:
        return gid
    found = next((line for line in _groups(rootfs) if line[0] == name), None)
    if found is None:
        raise _unknown("group", name, rootfs, "etc/group")
    return _at(found, 2)


def _at(line: list[str], field: int) -> int:
    """A number of a line; 0 where there is none, as in moby."""
    return int(line[field]) if len(line) > field and re.fullmatch("[+-]?[0-9]{1,18}", line[field]) else 0


def _groups(rootfs: str | None) -> Iterator[list[str]]:
    return (line for line in _lines(rootfs, "etc/group") if not line[0].startswith("#"))


def _lines(rootfs: str | None, file: str) -> Iterator[list[str]]:
    """The fields of a file's lines; none where it is not there, as in dockerd."""
    if rootfs is None:
        return
    with contextlib.suppress(OSError), os.fdopen(_open_inside(rootfs, file), "rb") as found:
        left = _SIZE_MAX
        while line := found.readline(min(left, _LINE_MAX)):
            left -= len(line)
            if text := line.decode(errors="surrogateescape").strip():
                yield text.split(":")


def _open_inside(rootfs: str, file: str) -> int:
    """Opens a regular file of the root, its links followed as in the container: never out of it.

    A container that runs may change its files meanwhile. So each step goes from a descriptor, and not by a path.
    """
    steps, way, links = file.split("/")[::-1], [os.open(rootfs, os.O_PATH | os.O_DIRECTORY)], 0
    try:
        while steps:
            step = steps.pop()
            if step == "..":
                _leave(way, max(1, len(way) - 1))
            elif step not in ("", "."):
                if len(way) > _DEPTH_MAX:
                    raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
                at = os.open(step, os.O_PATH | os.O_NOFOLLOW, dir_fd=way[-1])
                way.append(at)
                if stat.S_ISLNK(os.fstat(at).st_mode):
                    target = os.readlink("", dir_fd=at)
                    if (links := links + 1) > _LINKS_MAX:
                        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
                    _leave(way, 1 if target.startswith("/") else len(way) - 1)
                    steps += target.split("/")[::-1]
        found = os.fstat(way[-1])
        # The kernel's own tell no size, as /proc/kmsg does not, or take no room where there is none, as in /sys. A
        # container may lead there though it may not read them; the read may block, or a device not stand it.
        taken = found.st_size and (found.st_blocks or os.fstatvfs(way[-1]).f_blocks)
        if not stat.S_ISREG(found.st_mode) or not taken:
            raise OSError(errno.EINVAL, "not a file with text in it")
        return os.open(f"/proc/self/fd/{way[-1]}", os.O_RDONLY | os.O_NONBLOCK)
    finally:
        _leave(way, 0)


def _leave(way: list[int], length: int) -> None:
    while len(way) > length:
        os.close(way.pop())


def _unknown(what: str, name: str, rootfs: str | None, file: str) -> InvalidArgumentError:
    if rootfs is None:
        return InvalidArgumentError(
            f"{what} {name!r} can't be looked up without a root file system: give rootfs, or a number"
        )
    return InvalidArgumentError(f"unable to find {what} {name!r} in /{file} of {rootfs!r}")
