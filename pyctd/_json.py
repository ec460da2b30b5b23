"""JSON to and from Go."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from . import _arguments
from .errors import InvalidArgumentError

__all__ = ["dumped", "from_json", "to_json"]

_decode = json.JSONDecoder().raw_decode


def from_json(data: bytes) -> Any:
    """Decodes JSON from Go: UTF-8, with no whitespace around it. ``json.loads`` checks for both and takes twice as
    long."""
    return _decode(data.decode())[0]


def to_json(what: str, value: Mapping[str, Any]) -> bytes:
    """A mapping as JSON. Raises InvalidArgumentError if it isn't a mapping, or holds something JSON can't express."""
    if not isinstance(value, Mapping):
        raise InvalidArgumentError(f"{what} must be a mapping (a JSON object), not {type(value).__name__}")
    return dumped(what, value)


def dumped(what: str, value: object) -> bytes:
    """Like to_json, for a value of any type. The error for text that is not Unicode names its JSON path."""
    try:
        return json.dumps(value, default=_plain, allow_nan=False, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        path, text = next(found for found in _texts(what, value) if not _arguments.is_unicode(found[1]))
        if ".env[" in path:  # what follows may be a secret
            text = f"{text.partition('=')[0]}=…"
        raise _arguments.not_unicode(path, text) from None
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidArgumentError(f"{what} has no form in JSON: {error}") from error


def _texts(path: str, value: object) -> Iterator[tuple[str, str]]:
    """The strings in a value, each with its JSON path."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield f"a name in {path}", str(name)
            yield from _texts(f"{path}.{name}" if str(name).isidentifier() else f"{path}[{name!r}]", inner)
    elif isinstance(value, (list, tuple)):
        for number, inner in enumerate(value):
            yield from _texts(f"{path}[{number}]", inner)


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"it holds a {type(value).__name__}")
