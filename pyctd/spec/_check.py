"""Checks against the OCI schema; errors have the JSON path.

As OCI requires, the schema ignores unknown names, and Go drops them. A limit with a typo in its name would be no limit,
so a name that nearly matches a known one is an error here. So is one in another case, which Go accepts but OCI does
not.
"""

from __future__ import annotations

import difflib
import json
from typing import TYPE_CHECKING, Any

from ..errors import InvalidArgumentError

if TYPE_CHECKING:
    from fastjsonschema import JsonSchemaValueException

__all__ = ["check"]

_LIKE = 0.8
"""The similarity, as measured by difflib, from which one name counts as a typo of another."""
_LONGER = 2
"""The most by which their lengths may differ: ``netDevices``, from a later OCI, is no typo of ``devices``."""


def check(kind: str, value: Any) -> None:
    """Raises InvalidArgumentError if value is not valid for its kind: spec, process or resources.

    The value may contain only the types that json.loads returns.
    """
    # Deferred, because they would add 5 ms to `import pyctd`.
    from fastjsonschema import JsonSchemaValueException

    from . import _schema

    try:
        _schema.validate({kind: value})
    except JsonSchemaValueException as fault:
        raise InvalidArgumentError(_said(fault)) from None
    _check_names(kind, value, _schema.PROPERTIES[kind], _schema.PROPERTIES)


def _said(fault: JsonSchemaValueException) -> str:
    if fault.rule == "required" and fault.name is not None:
        path = fault.name.removeprefix("data.")
        missing = [name for name in fault.rule_definition if name not in fault.value]
        why = ": libcontainerd needs its root, process and linux, OCI its ociVersion" if path == "spec" else ""
        return f"{path} has no {', '.join(json.dumps(name) for name in missing)}{why}"
    hint = ": leave the name out where there is nothing to say" if fault.value is None else ""
    return f"{fault.message.removeprefix('data.')}, not {_shown(fault.name or '', fault.value)}{hint}"


def _shown(path: str, value: Any) -> str:
    """Shows a value unless it may be secret: an environment, or anything that may contain one."""
    if value and (".env" in path or isinstance(value, (dict, list))):
        return {"dict": "an object", "list": "an array", "str": "that string"}.get(type(value).__name__, "that value")
    return f"{value!r:.200}"


def _check_names(path: str, value: Any, known: dict[str, str], kinds: dict[str, dict[str, str]]) -> None:
    if isinstance(value, list):
        for number, item in enumerate(value):
            _check_names(f"{path}[{number}]", item, known, kinds)
    elif isinstance(value, dict):
        for name, inner in value.items():
            if name not in known:
                _check_unknown(path, name, known)
            elif known[name]:
                _check_names(f"{path}.{name}", inner, kinds[known[name]], kinds)


def _check_unknown(path: str, name: str, known: dict[str, str]) -> None:
    lower = {candidate.lower(): candidate for candidate in known if abs(len(candidate) - len(name)) <= _LONGER}
    for near in difflib.get_close_matches(name.lower(), lower, n=1, cutoff=_LIKE):
        raise InvalidArgumentError(
            f'{path}.{name} is unknown to OCI and would be ignored: did you mean "{lower[near]}"?'
        )
