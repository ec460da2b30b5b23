"""A side, as the driver sees it: a program that answers requests."""

from __future__ import annotations

import json
import select
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from .place import GO, Place

__all__ = ["Side", "SideError"]


PATIENCE = 180
"""Seconds that a side may take for one request: a daemon or a shim may hang, from Go as from Python."""


class SideError(Exception):
    """A side cannot do a workload, or is not to be had at all; the text says why."""


class Side:
    """A program of its own, so that no side's memory, threads or garbage is in another's way."""

    def __init__(self, name: str, place: Place) -> None:
        self.name = name
        command = [str(GO), "serve"] if name == "go" else [sys.executable, "-m", "bench.worker", name]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).resolve().parents[1],
        )
        try:
            self._ask(place.setup(name))
        except SideError:
            self.close()
            raise

    def run(self, workload: str, count: int, mode: str = "") -> list[int]:
        """What each operation took, in nanoseconds. Raises SideError."""
        answer = self._ask({"workload": workload, "count": count, "mode": mode})
        samples: list[int] = answer.get("samples", [])
        return samples

    def _ask(self, request: Mapping[str, object]) -> dict[str, list[int]]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            print(json.dumps(request), file=self._process.stdin, flush=True)
            if not select.select([self._process.stdout], [], [], PATIENCE)[0]:
                self._process.kill()
                self._process.wait()
                raise SideError(f"no answer within {PATIENCE} s")
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise SideError("its program has ended")
        answer: dict[str, list[int]] = json.loads(line)
        if error := answer.get("error"):
            raise SideError(error)
        return answer

    @property
    def pid(self) -> int:
        """Its program's process id."""
        return self._process.pid

    @property
    def ended(self) -> bool:
        """Whether its program has ended, or was killed since it did not answer."""
        return self._process.poll() is not None

    def close(self) -> None:
        """Ends it."""
        try:
            self._process.communicate(timeout=60)  # it ends with its stdin
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
