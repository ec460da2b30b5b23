"""The programs that run scenarios: the Go reference, and pyctd by each of its faces."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO, Any

from conformance.observer import REFERENCE
from conformance.scenario import DIRECTORY, Place

__all__ = ["BASE", "Side", "SideEnded"]

BASE = DIRECTORY.parent / "spec.yaml"


class SideEnded(Exception):
    """A side ended in the midst of a scenario: a crash, or a step that hangs."""


class Side:
    """One program, kept for many scenarios; started again after an end."""

    def __init__(self, name: str, command: list[str | Path], place: Place) -> None:
        self.name = name
        self._command = command
        self._place = place
        self._starts = 0
        self._process: subprocess.Popen[str] | None = None
        self._errors: IO[str] | None = None

    @classmethod
    def go(cls, name: str, place: Place, run: str) -> Side:
        """The reference: ``go`` itself, or the ``control``."""
        namespace = {"go": "go", "control": "gc"}[name] + run
        return cls(name, [REFERENCE, "run"], Place(place.address, place.rootfs, str(BASE), place.dir, namespace))

    @classmethod
    def python(cls, face: str, place: Place, run: str) -> Side:
        prefix = {"sync": "py", "asyncio": "io"}[face]
        command: list[str | Path] = [sys.executable, "-m", "conformance.runner", "--face", face]
        return cls(face, command, Place(place.address, place.rootfs, str(BASE), place.dir, f"{prefix}{run}"))

    def _start(self) -> subprocess.Popen[str]:
        self._starts += 1
        work = f"{self._place.dir}/{self._place.namespace[:2]}{self._starts}"
        os.makedirs(work, mode=0o711)
        options = {
            "address": self._place.address,
            "rootfs": self._place.rootfs,
            "base": self._place.base,
            "work": work,
            "namespace": f"{self._place.namespace}{self._starts}",
        }
        flags = [word for name, value in options.items() for word in (f"--{name}", value)]
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 (close closes it)
        return subprocess.Popen(
            [*self._command, *flags],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            cwd="/",
            env={**os.environ, "PYTHONPATH": str(DIRECTORY.parents[1])},
        )

    def run(self, file: Path, name: str) -> list[dict[str, Any]]:
        """The trace of one scenario. Raises SideEnded with what the program said last."""
        if self._process is None:
            self._process = self._start()
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        trace: list[dict[str, Any]] = []
        try:
            self._process.stdin.write(f"{file}::{name}\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            self._ended(trace)
        for line in self._process.stdout:
            trace.append(json.loads(line))
            if "end" in trace[-1]:
                return trace
        self._ended(trace)
        return trace

    def _ended(self, trace: list[dict[str, Any]]) -> None:
        words = self.close()
        last = json.dumps(trace[-1])[:2000] if trace else "nothing"
        raise SideEnded(f"{self.name} ended in the midst of a scenario.\nIts last line: {last}\nIts words: {words}")

    def close(self) -> str:
        """Ends the program; the last of what it said on stderr."""
        if self._process is None:
            return ""
        process, self._process = self._process, None
        assert process.stdin is not None
        assert process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        try:
            process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()
        assert self._errors is not None
        with self._errors as errors:
            errors.seek(0)
            return errors.read()[-4000:]
