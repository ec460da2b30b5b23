"""What goes to Go as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from .errors import InvalidArgumentError

__all__ = ["to_json"]


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
