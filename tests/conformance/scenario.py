"""Scenarios: files of steps that the Go reference and the Python side both run. docs/conformance.md describes them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

__all__ = ["DIRECTORY", "Place", "Scenario", "Step", "expand", "load", "merge"]

DIRECTORY = Path(__file__).parent / "scenarios"
_REPEAT = re.compile(r"\$\{repeat (\S+) (\d+)\}")


@dataclass(frozen=True)
class Step:
    """One operation and its arguments."""

    do: str
    args: Mapping[str, Any]

    @classmethod
    def of(cls, raw: Any, values: Mapping[str, str]) -> Step:
        """From YAML: a word, or a mapping of the word to its arguments; with its values put in."""
        raw = json.loads(expand(json.dumps(raw, ensure_ascii=False), values))
        if isinstance(raw, str):
            return cls(raw, {})
        ((do, args),) = raw.items()
        return cls(do, args)


@dataclass(frozen=True)
class Scenario:
    """What is to be done, and what is said of it.

    Attributes:
        name: its name, of its file and in it: ``stdio::echo``.
        about: what it shows.
        steps: as the file has them.
        daemon: ``own``, where it harms its daemon.
        order: ``process``, where events are compared by process, and moments not at all.
        events: ``lossy``, where it is chance which events come: some are sent while nobody listens.
        differs: why traces differ in more than a step's outcome, where that is meant.
        differs_in: the places in the trace where they do, as patterns of a shell's.
        daemons: the daemons that it is for; all unless given.
        needs: ``immutable``, where it makes a directory immutable, which not every file system can.
    """

    name: str
    about: str
    steps: list[Any]
    daemon: str = ""
    order: str = ""
    events: str = ""
    differs: str = ""
    differs_in: list[str] = field(default_factory=list)
    daemons: list[str] = field(default_factory=list)
    needs: str = ""

    def __post_init__(self) -> None:
        if bool(self.differs) != bool(self.differs_in):
            raise ValueError(f"{self.name}: differs and differs_in need each other")

    def without_differences(self) -> Scenario:
        """The scenario for Go beside Go: nothing is meant to differ."""
        steps = [
            raw
            if isinstance(raw, str)
            else {do: {k: v for k, v in args.items() if k != "differs"} for do, args in raw.items()}
            for raw in self.steps
        ]
        return replace(self, steps=steps, differs="", differs_in=[])


@dataclass(frozen=True)
class Place:
    """Where one side runs one scenario."""

    address: str
    rootfs: str
    base: str
    dir: str
    namespace: str

    @property
    def state(self) -> str:
        """libcontainerd's state directory."""
        return f"{self.dir}/state"

    def values(self) -> dict[str, str]:
        """What a scenario can name."""
        return {
            "dir": self.dir,
            "state": self.state,
            "rootfs": self.rootfs,
            "namespace": self.namespace,
            "address": self.address,
        }


def expand(text: str, values: Mapping[str, str]) -> str:
    """Puts values where a text has ``${name}``, and a text many times where it has ``${repeat TEXT TIMES}``."""
    text = _REPEAT.sub(lambda match: match[1] * int(match[2]), text)
    for name, value in values.items():
        text = text.replace(f"${{{name}}}", value)
    return text


def load(file: Path) -> list[Scenario]:
    """The scenarios of a file, in the order of their names."""
    return [
        Scenario(f"{file.stem}::{name}", **raw) for name, raw in sorted(yaml.safe_load(file.read_text("utf-8")).items())
    ]


def merge(into: Any, patch: Any) -> Any:
    """RFC 7386's merge patch: objects are merged, null removes, anything else replaces."""
    if not isinstance(patch, Mapping):
        return patch
    merged = dict(into) if isinstance(into, Mapping) else {}
    for name, change in patch.items():
        if change is None:
            merged.pop(name, None)
        else:
            merged[name] = merge(merged.get(name), change)
    return merged
