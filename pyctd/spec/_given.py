"""The forms that a spec may take: a mapping, JSON text, or a file."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from typing import Any, TypeAlias

from .._json import to_json
from ..errors import InvalidArgumentError
from ._check import check

__all__ = ["SpecLike", "process_json", "resources_json", "spec_json"]

SpecLike: TypeAlias = Mapping[str, Any] | str | bytes | os.PathLike[str]
"""A mapping; JSON text (a str that starts with ``{``, or bytes); or the path of a JSON file.

A spec may also be the path of a bundle, a directory with a ``config.json``. In a file, a relative ``root.path`` and
relative sources of bind mounts are resolved against the file's directory, as runc resolves them against the bundle.
containerd itself would use its own bundle, elsewhere.
"""

_SIZE_MAX = 16 << 20
"""The most bytes of a file: messages to containerd may not be longer."""


def spec_json(given: SpecLike) -> bytes:
    """Returns a spec as JSON for Go. Raises InvalidArgumentError if it is unreadable or invalid."""
    return _checked("spec", given)


def process_json(given: SpecLike) -> bytes:
    """Like spec_json, for the ``process`` of an exec."""
    return _checked("process", given)


def resources_json(given: SpecLike) -> bytes:
    """Like spec_json, for ``linux.resources``."""
    return _checked("resources", given)


def _checked(kind: str, given: SpecLike) -> bytes:
    if isinstance(given, Mapping):
        # Check what Go will read: the mapping may contain tuples, mappings other than dict, or numbers as names.
        text = to_json(kind, given)
        check(kind, _parsed(kind, text.decode()))
        return text
    if isinstance(given, bytes):
        value = _decoded(kind, given)
    elif isinstance(given, str) and given.lstrip().startswith("{"):
        value = _parsed(kind, given)
    elif isinstance(given, (str, os.PathLike)) and os.fspath(given):
        value = _read(kind, given)
    else:
        raise InvalidArgumentError(
            f"{kind} must be a mapping (a JSON object), JSON text or the path of a file, not {type(given).__name__}"
        )
    check(kind, value)
    return to_json(kind, value)


class _Fraction(float):
    """A number written with a decimal point or an exponent. Go does not accept one as an integer, not even 1.0."""

    def is_integer(self) -> bool:
        return False


def _parsed(what: str, text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_object, parse_float=_Fraction, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise InvalidArgumentError(
            f"{what} is not JSON: line {error.lineno}, column {error.colno}: {error.msg}"
        ) from None
    except (ValueError, RecursionError) as error:
        raise InvalidArgumentError(f"{what} is not JSON that Go would read: {error}") from None


def _decoded(what: str, data: bytes) -> Any:
    try:
        return _parsed(what, data.decode())
    except UnicodeDecodeError as error:
        line, column = data.count(b"\n", 0, error.start) + 1, error.start - data.rfind(b"\n", 0, error.start)
        raise InvalidArgumentError(f"{what} is not UTF-8: line {line}, column {column}: {error.reason}") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"an object has the name {twice!r} twice")
    return value


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number in JSON")


def _read(kind: str, given: str | os.PathLike[str]) -> Any:
    path = os.path.abspath(given)
    try:
        if kind == "spec" and os.path.isdir(path):
            path = os.path.join(path, "config.json")
        with open(path, "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if not (stat.S_ISREG(mode) or stat.S_ISFIFO(mode)):
                raise InvalidArgumentError(f"{kind} can't be read: {path!r} is neither a file nor a pipe")
            data = file.read(_SIZE_MAX + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        said = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise InvalidArgumentError(
            f"{kind} can't be read from {path!r}: {said} (a str that does not start with {{ is taken as a path)"
        ) from error
    if len(data) > _SIZE_MAX:
        raise InvalidArgumentError(f"{kind} in {path!r} is longer than {_SIZE_MAX} bytes")
    value = _decoded(f"{kind} in {path!r}", data)
    if kind == "spec":
        _from_bundle(value, os.path.dirname(path))
    return value


def _from_bundle(spec: Any, bundle: str) -> None:
    """Makes the paths absolute that runc resolves against the bundle. The spec has not been validated yet."""
    if not isinstance(spec, dict):
        return
    root, mounts = spec.get("root"), spec.get("mounts")
    if isinstance(root, dict) and isinstance(root.get("path"), str):
        root["path"] = os.path.join(bundle, root["path"])
    for mount in mounts if isinstance(mounts, list) else ():
        if isinstance(mount, dict) and isinstance(mount.get("source"), str) and _is_bind(mount):
            mount["source"] = os.path.join(bundle, mount["source"])


def _is_bind(mount: dict[str, Any]) -> bool:
    options = mount.get("options")
    return mount.get("type") == "bind" or (isinstance(options, list) and ("bind" in options or "rbind" in options))
