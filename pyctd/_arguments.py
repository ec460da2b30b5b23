"""Argument checks, one per kind. Each names the argument in the InvalidArgumentError that it raises.

Both faces make the same checks: these run in shared code (``_calls.operations``, ``_clientcore``, ``_streams``), never
in a method of one face.
"""

from __future__ import annotations

import math
import operator
import os
from types import BuiltinFunctionType
from typing import Any

from .errors import InvalidArgumentError

__all__ = [
    "descriptor",
    "directory",
    "flag",
    "is_unicode",
    "not_unicode",
    "number",
    "path",
    "receiver",
    "seconds",
    "stdio_callback",
    "text",
]


def _wrong(name: str, wanted: str, value: object) -> InvalidArgumentError:
    return InvalidArgumentError(f"{name} must be {wanted}, not {value!r:.200}")


def is_unicode(value: str) -> bool:
    """Whether UTF-8 can encode a string. Python keeps undecodable bytes of file names and arguments as lone surrogates.
    JSON would replace each with another character, and so name a different file."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def not_unicode(name: str, value: str) -> InvalidArgumentError:
    """The error for a string that UTF-8 can't encode."""
    return InvalidArgumentError(f"{name} must be Unicode, not {value!r}: containerd takes no other text")


def _unicode(name: str, value: str) -> str:
    if not is_unicode(value):
        raise not_unicode(name, value)
    return value


def text(name: str, value: object) -> str:
    """A string."""
    if not isinstance(value, str):
        raise _wrong(name, "a string", value)
    return _unicode(name, value)


def number(name: str, value: object) -> int:
    """A whole number."""
    try:
        return operator.index(value)  # type: ignore[arg-type]
    except TypeError as error:
        raise _wrong(name, "a whole number", value) from error


def flag(name: str, value: object) -> bool:
    """True or False. Other values have a truth value only by accident, such as bytes meant for stdin."""
    if not isinstance(value, bool):
        raise _wrong(name, "True or False", value)
    return value


def seconds(value: object) -> float | None:
    """A timeout."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or math.isnan(value) or value < 0:
        raise _wrong("timeout", "None or a number of seconds from 0 up", value)
    return value


def path(name: str, value: object) -> str:
    """A path as text."""
    if not isinstance(value, (str, os.PathLike)) or not isinstance(given := os.fspath(value), str):
        raise _wrong(name, "a path (a str or an os.PathLike of one)", value)
    return _unicode(name, given)


def directory(name: str, value: object) -> str:
    """The absolute path of a directory. An empty path is refused: it would mean the current directory."""
    if not (given := path(name, value)):
        raise InvalidArgumentError(f"{name} must be the path of a directory, not empty")
    return os.path.abspath(given)


def descriptor(name: str, value: Any) -> int:
    """The descriptor of an open file."""
    try:
        return int(value.fileno())
    except (AttributeError, TypeError, OSError, ValueError) as error:  # not a file, in memory, closed
        raise _wrong(name, "an open file with a descriptor", value) from error


def receiver(name: str, value: object) -> None:
    """A callable or None."""
    if value is not None and not callable(value):
        raise _wrong(name, "a callable or None", value)


def stdin(value: object) -> bytes | None:
    """What to write to a process's stdin, or None."""
    if value is not None and not isinstance(value, (bytes, bytearray)):
        raise InvalidArgumentError(f"stdin must be bytes, not {type(value).__name__}")
    return None if value is None else bytes(value)


def stdio_callback(value: object) -> None:
    """A stdio callback or None. Python's built-in functions, above all ``print``, are refused: they return no IO, so
    the process would run without streams."""
    receiver("attach_stdio", value)
    if isinstance(value, BuiltinFunctionType):
        raise InvalidArgumentError(
            f"attach_stdio must be a stdio callback such as pyctd.stdio.capture(), not {value!r:.200}: "
            "pyctd.stdio.lines() calls a function with each line of output"
        )
