"""Users, looked up as dockerd does (Go: ``daemon.getUser`` and moby/sys/user's ``GetExecUserPath``)."""

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
"""The kernel's limit."""
_DEPTH_MAX = 64
"""The most directories above a file. The container controls the depth, and each directory takes a descriptor."""
_SIZE_MAX = 16 << 20
"""The most bytes to read of a file, whose length the container controls."""
_LINE_MAX = 1 << 20
"""The most bytes of a line. One line is in memory at a time, and its fields take many times as much."""
_GROUPS_MAX = 1 << 16
"""The most groups that a process can have."""


def resolved(user: User, additional_gids: Sequence[int], rootfs: str | None) -> dict[str, Any]:
    """Returns the ``process.user`` of a user such as ``"nobody"``, ``"1000:1000"``, ``1000`` or ``(1000, 1000)``.

    As in dockerd, a user in the root's ``/etc/passwd`` gets the group given there and, unless a group is named, those
    in ``/etc/group``. A number that is not listed there gets group 0.

    Raises:
        InvalidArgumentError: the user or group does not exist, or it is a name and there is no root to look it up in.
    """
    name, group, *_ = [*_text(user).split(":"), ""]
    name = name or "0"
    number, gid, groups = _number(name), 0, []
    # A number is never a name, even if a user has that name.
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
    """Validates additional groups. Raises InvalidArgumentError."""
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
    """Returns a numeric field of a line; 0 if there is none, as in moby."""
    return int(line[field]) if len(line) > field and re.fullmatch("[+-]?[0-9]{1,18}", line[field]) else 0


def _groups(rootfs: str | None) -> Iterator[list[str]]:
    return (line for line in _lines(rootfs, "etc/group") if not line[0].startswith("#"))


def _lines(rootfs: str | None, file: str) -> Iterator[list[str]]:
    """Yields the fields of a file's lines; nothing if the file does not exist, as in dockerd."""
    if rootfs is None:
        return
    with contextlib.suppress(OSError), os.fdopen(_open_inside(rootfs, file), "rb") as found:
        left = _SIZE_MAX
        while line := found.readline(min(left, _LINE_MAX)):
            left -= len(line)
            if text := line.decode(errors="surrogateescape").strip():
                yield text.split(":")


def _open_inside(rootfs: str, file: str) -> int:
    """Opens a regular file in the root. Links are resolved as in the container, so they never lead out of the root.

    A running container may change its files meanwhile, so each step starts from a descriptor instead of a path.
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
        # Refuse kernel files: they have no size (/proc/kmsg), or no blocks on a file system without any (/sys). A
        # container's links may point at files that it may not read itself, and reading them may block or upset a
        # device.
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
