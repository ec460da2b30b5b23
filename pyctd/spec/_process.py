"""The process of a container, or a further one."""

from __future__ import annotations

import copy
import os
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import InvalidArgumentError
from ..types import ContainerInfo
from . import _caps, _moby
from ._keywords import ConsoleSize, Env, ProcessKeywords, refuse_unknown
from ._user import User, gids, resolved

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["process", "process_of"]

_RLIMIT_MAX = 2**64 - 1
_TERM = "xterm"


def process(
    args: Sequence[str],
    *,
    rootfs: str | os.PathLike[str] | None = None,
    **given: Unpack[ProcessKeywords],
) -> dict[str, Any]:
    """Returns the ``process`` part of a spec with dockerd's defaults. For an exec with a container's settings, use
    ``process_of``.

    Args:
        args: the command and its arguments.
        rootfs: the container's root, in which to look users up.
        **given: see ``ProcessKeywords``.

    Raises:
        InvalidArgumentError: an argument is malformed, or a user, group or capability does not exist.
    """
    refuse_unknown("process", given, ProcessKeywords)
    cwd, terminal = given.get("cwd", "/"), given.get("terminal", False)
    console_size, rlimits = given.get("console_size"), given.get("rlimits")
    cap_add, cap_drop = given.get("cap_add", ()), given.get("cap_drop", ())
    if isinstance(args, (str, bytes)) or not args or not all(isinstance(arg, str) for arg in args):
        raise InvalidArgumentError(
            f'args must be a list of at least one string, such as ["/bin/echo", "hello"], not {args!r}'
        )
    if not isinstance(cwd, str) or not cwd.startswith("/"):
        raise InvalidArgumentError(f"cwd must be an absolute path in the container, not {cwd!r}")
    basics = _moby.default_spec()["process"]["capabilities"]
    variables = {"PATH": _moby.path()} | ({"TERM": _TERM} if terminal else {})
    wanted: dict[str, Any] = {
        "terminal": terminal,
        "user": resolved(
            given.get("user", 0), given.get("additional_gids", ()), None if rootfs is None else os.fspath(rootfs)
        ),
        "args": list(args),
        "env": _listed(variables | _variables(given.get("env", ()))),
        "cwd": cwd,
        "capabilities": {kind: _caps.tweaked(names, cap_add, cap_drop) for kind, names in basics.items()},
    }
    if console_size is not None:
        wanted["consoleSize"] = _console_size(console_size, terminal)
    if rlimits:
        wanted["rlimits"] = [_rlimit(name, limit) for name, limit in rlimits.items()]
    if given.get("no_new_privileges", False):
        wanted["noNewPrivileges"] = True
    return wanted


def process_of(
    container: ContainerInfo | Mapping[str, Any],
    args: Sequence[str],
    *,
    cwd: str | None = None,
    env: Env = (),
    terminal: bool = False,
    console_size: ConsoleSize | None = None,
    user: User | None = None,
    additional_gids: Sequence[int] = (),
    rootfs: str | os.PathLike[str] | None = None,
) -> dict[str, Any]:
    """Returns the process that ``docker exec`` would run in a container, for ``Task.exec``: the container's own process
    with other arguments.

    It has the container's user and groups, environment, working directory, capabilities, limits, no_new_privileges,
    OOM score, and AppArmor and SELinux labels.

    Args:
        container: what ``Container.info`` returns, or the container's spec as a mapping.
        args: the command and its arguments.
        cwd: the working directory. The default is the container's.
        env: variables in addition to the container's, as a mapping or as ``NAME=value`` strings.
        terminal: whether the process gets a terminal, regardless of the container.
        console_size: the terminal's size, as in ``process``. The default is the container's.
        user: the user to run as, as in ``process``. The default is the container's user and groups.
        additional_gids: further groups, by number.
        rootfs: the root in which to look users up, such as ``f"/proc/{task.pid}/root"``. The default is the spec's root
            if its path is absolute; it is relative in a container with a snapshot.

    Raises:
        InvalidArgumentError: an argument is malformed, a user or group does not exist, or the container's spec has no
            process.
    """
    found = container.spec if isinstance(container, ContainerInfo) else container
    if not isinstance(found, Mapping) or not isinstance(found.get("process"), Mapping):
        if isinstance(container, ContainerInfo):
            raise InvalidArgumentError(f"the spec of container {container.id!r} has no process")
        raise InvalidArgumentError(
            f"container must be what Container.info() returns, or a spec with a process, not {type(container).__name__}"
        )
    own: dict[str, Any] = copy.deepcopy(dict(found["process"]))
    changed = process(args, cwd="/" if cwd is None else cwd, terminal=terminal, console_size=console_size)
    variables = dict(item.partition("=")[::2] for item in own.get("env") or ())
    if terminal:
        variables.setdefault("TERM", _TERM)
    else:
        own.pop("consoleSize", None)
        if own.get("terminal") and variables.get("TERM") == _TERM:  # it came with the container's terminal
            del variables["TERM"]
    own |= {name: changed[name] for name in ("args", "terminal", "consoleSize") if name in changed}
    own["env"] = _listed(variables | _variables(env))
    if cwd is not None:
        own["cwd"] = cwd
    if user is not None:
        root = rootfs or dict(found.get("root") or {}).get("path") or ""
        own["user"] = resolved(user, additional_gids, os.fspath(root) if os.path.isabs(root) else None)
    elif additional_gids:
        before = own.get("user") or {"uid": 0, "gid": 0}
        own["user"] = {**before, "additionalGids": [*before.get("additionalGids", ()), *gids(additional_gids)]}
    return own


def _console_size(size: ConsoleSize, terminal: bool) -> dict[str, int]:
    if not terminal:
        raise InvalidArgumentError("console_size needs a terminal: set terminal=True")
    if not (isinstance(size, tuple) and len(size) == 2 and all(isinstance(n, int) and 0 <= n < 2**16 for n in size)):
        raise InvalidArgumentError(f"console_size must be a width and a height from 0 to 65535, not {size!r}")
    return {"width": size[0], "height": size[1]}


def _listed(variables: Mapping[str, str]) -> list[str]:
    return [f"{name}={value}" for name, value in variables.items()]


def _variables(env: Env) -> dict[str, str]:
    if isinstance(env, Mapping):
        for name, value in env.items():
            if not isinstance(name, str) or not isinstance(value, str) or not name or "=" in name:
                shown = name.partition("=")[0] if isinstance(name, str) else name  # what follows may be a secret
                raise InvalidArgumentError(
                    f"env must map names without = to strings, not {shown!r} to {type(value).__name__}"
                )
        return dict(env)
    if isinstance(env, str) or not all(isinstance(item, str) and item.find("=") > 0 for item in env):
        raise InvalidArgumentError(
            f'env must be a mapping, or a list of strings such as "NAME=value", not {type(env).__name__}'
        )
    return {name: value for name, _, value in (item.partition("=") for item in env)}


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
