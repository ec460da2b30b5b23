"""The process of a container, or a further one."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import InvalidArgumentError
from . import _caps, _moby
from ._user import User, resolved

__all__ = ["ConsoleSize", "Env", "Rlimits", "process"]

Env = Mapping[str, str] | Sequence[str]
Rlimits = Mapping[str, int | tuple[int, int]]
ConsoleSize = tuple[int, int]

_RLIMIT_MAX = 2**64 - 1


def process(
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
    rootfs: str | os.PathLike[str] | None = None,
) -> dict[str, Any]:
    """The ``process`` part of a spec, which is also what ``Task.exec`` takes, with dockerd's default capabilities.

    Args:
        args: the command and its arguments.
        cwd: the working directory, an absolute path in the container.
        env: the environment, as a mapping or as ``NAME=value`` strings, on top of dockerd's: PATH, and TERM with a
            terminal.
        terminal: whether the process gets a terminal.
        console_size: the terminal's width and height in characters from the start, such as
            ``os.get_terminal_size()``. None: 0 and 0, until ``Process.resize`` sets them.
        user: ``"user"``, ``"user:group"``, a uid or ``(uid, gid)``. Names, and the groups of a user, are looked up in
            the files of rootfs as dockerd does; without rootfs there are only numbers, and the group is 0 unless given.
        additional_gids: further groups, by number.
        cap_add: capabilities on top of dockerd's, with or without ``CAP_``, or ``ALL``.
        cap_drop: capabilities less, or ``ALL``, which leaves those of cap_add.
        rlimits: limits by name, such as ``{"nofile": 1024, "core": (0, -1)}``: both limits, or soft and hard; -1 is
            none.
        no_new_privileges: whether setuid binaries and file capabilities are without effect.
        rootfs: the container's root, to look users up in.

    Raises:
        InvalidArgumentError: an argument is malformed, or there is no such user, group or capability.
    """
    if isinstance(args, (str, bytes)) or not args or not all(isinstance(arg, str) for arg in args):
        raise InvalidArgumentError(
            f'args must be a list of at least one string, such as ["/bin/echo", "hello"], not {args!r}'
        )
    if not isinstance(cwd, str) or not cwd.startswith("/"):
        raise InvalidArgumentError(f"cwd must be an absolute path in the container, not {cwd!r}")
    basics = _moby.default_spec()["process"]["capabilities"]
    wanted: dict[str, Any] = {
        "terminal": terminal,
        "user": resolved(user, additional_gids, None if rootfs is None else os.fspath(rootfs)),
        "args": list(args),
        "env": _environment(env, {"TERM": "xterm"} if terminal else {}),
        "cwd": cwd,
        "capabilities": {kind: _caps.tweaked(names, cap_add, cap_drop) for kind, names in basics.items()},
    }
    if console_size is not None:
        wanted["consoleSize"] = _console_size(console_size, terminal)
    if rlimits:
        wanted["rlimits"] = [_rlimit(name, limit) for name, limit in rlimits.items()]
    if no_new_privileges:
        wanted["noNewPrivileges"] = True
    return wanted


def _console_size(size: ConsoleSize, terminal: bool) -> dict[str, int]:
    if not terminal:
        raise InvalidArgumentError("console_size needs a terminal: set terminal=True")
    if not (isinstance(size, tuple) and len(size) == 2 and all(isinstance(n, int) and 0 <= n < 2**16 for n in size)):
        raise InvalidArgumentError(f"console_size must be a width and a height from 0 to 65535, not {size!r}")
    return {"width": size[0], "height": size[1]}


def _environment(env: Env, defaults: dict[str, str]) -> list[str]:
    if isinstance(env, Mapping):
        for name, value in env.items():
            if not isinstance(name, str) or not isinstance(value, str) or not name or "=" in name:
                shown = name.partition("=")[0] if isinstance(name, str) else name  # what follows may be a secret
                raise InvalidArgumentError(
                    f"env must map names without = to strings, not {shown!r} to {type(value).__name__}"
                )
        given = dict(env)
    elif isinstance(env, str) or not all(isinstance(item, str) and item.find("=") > 0 for item in env):
        raise InvalidArgumentError(
            f'env must be a mapping, or a list of strings such as "NAME=value", not {type(env).__name__}'
        )
    else:
        given = {name: value for name, _, value in (item.partition("=") for item in env)}
    return [f"{name}={value}" for name, value in ({"PATH": _moby.path()} | defaults | given).items()]


def _rlimit(name: str, limit: int | tuple[int, int]) -> dict[str, Any]:
    kind = f"RLIMIT_{name.upper().removeprefix('RLIMIT_')}"
    both = limit if isinstance(limit, tuple) else (limit, limit)
    if not re.fullmatch("RLIMIT_[A-Z]+", kind) or len(both) != 2:
        raise InvalidArgumentError(f'rlimits must be like {{"nofile": 1024, "core": (0, -1)}}, not {name!r}: {limit!r}')
    for value in both:
        if isinstance(value, bool) or not isinstance(value, int) or not -1 <= value <= _RLIMIT_MAX:
            raise InvalidArgumentError(
                f"rlimits[{name!r}] must be from 0 to {_RLIMIT_MAX}, or -1 for none, not {value!r}"
            )
    soft, hard = (_RLIMIT_MAX if value == -1 else value for value in both)
    if soft > hard:
        raise InvalidArgumentError(f"rlimits[{name!r}]: the soft limit {both[0]} is above the hard one {both[1]}")
    return {"type": kind, "soft": soft, "hard": hard}
