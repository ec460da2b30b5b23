"""What must differ between two runs, and is therefore taken out of a trace before it is compared.

It is this and nothing else: process ids and moments, which become their numbers in the order in which they first
appear, so that what was the same stays the same; the run's own names (namespace, directories, the daemon's socket);
containerd's id; the random names that runc and Go give to temporary files; and the moment of a daemon's death at which
gRPC met it.
"""

from __future__ import annotations

import re
from typing import Any

__all__ = ["normalise"]

_PIDS = ("pid",)
_TIMES = ("exited_at", "exit_time", "read")
#: What is random in texts.
_RANDOM = (
    (re.compile(r"runc-process\d+"), "runc-process<random>"),
    (re.compile(r"/\.runc/[0-9a-f-]{36}"), "/.runc/<daemon>"),
    (
        re.compile(r'connection error: desc = "(transport|error reading)[^"]*"|error reading from server: EOF'),
        "<connection error of the moment>",
    ),
)


class _Numbers:
    """Numbers things in the order in which they first appear."""

    def __init__(self, what: str) -> None:
        self._what = what
        self.seen: dict[int, str] = {}

    def name(self, value: int) -> str:
        return self.seen.setdefault(value, f"<{self._what} {len(self.seen) + 1}>")


class _Run:
    def __init__(self, values: dict[str, str], concurrent: bool) -> None:
        # The longest first: the state directory lies in the scenario's.
        self._names = sorted(((value, f"<{name}>") for name, value in values.items()), key=lambda pair: -len(pair[0]))
        self._pids = _Numbers("pid")
        self._times = _Numbers("time")
        self._concurrent = concurrent

    def value(self, value: Any, name: str = "") -> Any:
        if isinstance(value, dict):
            return {self.text(key): self.value(value[key], key) for key in sorted(value)}
        if isinstance(value, list):
            return [self.value(item) for item in value]
        if isinstance(value, str):
            return self.text(value)
        if name in _PIDS and isinstance(value, int) and value > 0:
            return self._pids.name(value)
        if name in _TIMES and isinstance(value, int) and value > 0:
            return "<time>" if self._concurrent else self._times.name(value // 1000)  # Python has microseconds only
        return value

    def text(self, text: str) -> str:
        for value, name in self._names:
            text = text.replace(value, name)
        for random, name in _RANDOM:
            text = random.sub(name, text)
        return text


def normalise(trace: list[dict[str, Any]], *, concurrent: bool = False) -> list[dict[str, Any]]:
    """A trace without what must differ; its first line has the run's own names.

    Where processes end at the same time it is chance whether the shim reaps them at one moment or at two: in a
    concurrent trace every moment is the same.
    """
    run = _Run(trace[0]["values"], concurrent)
    head = {key: value for key, value in trace[0].items() if key != "values"}
    return [run.value(line) for line in [head, *trace[1:]]]
