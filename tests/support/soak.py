"""How much the tests of endurance do, and events by the thousand for them.

They are one and the same tests in ``make test``, where they are short, and in ``make soak``, which sets the numbers.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

__all__ = [
    *("ON", "PUBLISH", "SECOND", "Progress", "Publisher"),
    *("at_length", "built", "much", "publishing", "samples"),
]

PUBLISH = Path(__file__).parents[2] / ".venv" / "publish"
SECOND = PUBLISH.with_name("libsecond.so")

#: What a container runs for as long as a soak may take.
ON = ("/bin/sleep", str(10**6))

#: What a process was made of in the course of what it did, from its first call on.
samples: dict[str, list[dict[str, int]]] = {}


def much(name: str, short: int, run: str = "SOAK") -> int:
    """How many times: the environment's SOAK_<name>, or what suits the normal tests."""
    return int(os.environ.get(f"{run}_{name}", short))


def built(path: Path) -> Path:
    """A part of the tests that make has to build."""
    assert path.exists(), f"{path} is not built: run `make soak-tools`"
    return path


#: The time limit of a test that does so much of something: a day when it is told how much, and else a few minutes.
at_length = pytest.mark.timeout(
    24 * 3600 if any(name.startswith(("SOAK_", "CHAOS_", "FUZZ_")) for name in os.environ) else 400
)


class Progress:
    """Says every few seconds how far a test is, for whoever watches ``make soak``."""

    EVERY = 15.0

    def __init__(self, what: str, total: int) -> None:
        self._what, self._total = what, total
        self._done = 0
        self._began = self._said = time.monotonic()

    def add(self) -> None:
        """One more is done."""
        self.at(self._done + 1)

    def at(self, done: int) -> None:
        """So many are done."""
        self._done = done
        now = time.monotonic()
        if now - self._said > self.EVERY:
            self._said = now
            print(f"{self._what}: {self._done:,} of {self._total:,}, {now - self._began:.0f} s", flush=True)

    @property
    def rate(self) -> str:
        """How many a second, over all."""
        return f"{self._done / (time.monotonic() - self._began):,.0f} a second"


class Publisher:
    """``publish``, which has the daemon send events."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def start(self, count: int) -> None:
        """Asks for so many events, and does not wait for them."""
        assert self._process.stdin
        self._process.stdin.write(f"{count}\n")
        self._process.stdin.flush()

    def publish(self, count: int) -> None:
        """Has so many events sent; the daemon has taken them by the return."""
        self.start(count)
        assert self._process.stdout
        assert self._process.stdout.readline() == f"{count}\n", "publish has failed"


@contextlib.contextmanager
def publishing(address: str, namespace: str) -> Iterator[Publisher]:
    """A publisher of events of containers that do not exist; killed at the end, whatever it still has to send."""
    command = [str(built(PUBLISH)), "-address", address, "-namespace", namespace]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd="/") as process:
        try:
            yield Publisher(process)
        finally:
            process.kill()
