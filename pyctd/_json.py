"""What goes to Go as JSON, and what comes from there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from .errors import InvalidArgumentError

__all__ = ["from_json", "to_json"]

_decode = json.JSONDecoder().raw_decode


def from_json(data: bytes) -> Any:
    """What Go has written, with nothing around it: ``json.loads`` looks for an encoding and for blanks, and takes twice
    as long."""
    return _decode(data.decode())[0]


def to_json(what: str, value: Mapping[str, Any]) -> bytes:
    """A mapping as JSON. Raises InvalidArgumentError when it is none, or holds what JSON has no form for."""
    if not isinstance(value, Mapping):
        raise InvalidArgumentError(f"{what} must be a mapping (a JSON object), not {type(value).__name__}")
    try:
        return json.dumps(value, default=_plain, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidArgumentError(f"{what} has no form in JSON: {error}") from error


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"it holds a {type(value).__name__}")
