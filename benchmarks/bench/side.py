"""The driver's view of a side: a program that answers requests."""

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
"""The time limit of a request, in seconds: a daemon or a shim may hang, from Go as well."""


class SideError(Exception):
    """A side cannot run a workload, or is not available; the message says why."""


class Side:
    """A separate program, so that no side's memory, threads or garbage affects another."""

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
        """Runs a request, and returns the time of each operation in nanoseconds. Raises SideError."""
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
        """The program's process id."""
        return self._process.pid

    @property
    def ended(self) -> bool:
        """Whether the program has ended, or was killed because it did not answer."""
        return self._process.poll() is not None

    def close(self) -> None:
        """Ends the program."""
        try:
            self._process.communicate(timeout=60)  # it ends at the end of its stdin
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
