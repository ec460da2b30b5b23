"""Code that both pyctd sides share."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyctd

TRUE = ["/bin/true"]


def each(count: int, operation: Callable[[], object]) -> list[int]:
    """Measures count operations, one after the other."""
    samples = []
    clock = time.perf_counter_ns
    for _ in range(count):
        begun = clock()
        operation()
        samples.append(clock() - begun)
    return samples


class Steps:
    """Takes the time of one step of each of many lives.

    Attributes:
        samples: what it took.
    """

    def __init__(self, step: str) -> None:
        self._step = step
        self.samples: list[int] = []

    @contextlib.contextmanager
    def __call__(self, step: str) -> Iterator[None]:
        """Runs a step."""
        begun = time.perf_counter_ns()
        yield
        if step == self._step:
            self.samples.append(time.perf_counter_ns() - begun)


class Exits:
    """A backend that measures the age of each exit event when its handler runs."""

    def __init__(self) -> None:
        self.ages: list[int] = []

    def __call__(self, container_id: str, event: pyctd.EventType, info: pyctd.EventInfo) -> None:
        if event is pyctd.EventType.EXIT:
            self.ages.append(time.time_ns() - info.exited_at_ns)

    def waits(self, count: int) -> Iterator[float]:
        """Yields seconds to sleep, until so many events have arrived."""
        until = time.monotonic() + 30
        while len(self.ages) < count:
            if time.monotonic() > until:
                raise TimeoutError("an exit has brought no event")
            yield 0.001


class Countdown:
    """A backend that signals when it has received so many events."""

    def __init__(self, count: int, done: Callable[[], object]) -> None:
        self._left = itertools.count(count - 1, -1)  # next() is atomic, so any thread may call it
        self._done = done

    def __call__(self, container_id: str, event: pyctd.EventType, info: pyctd.EventInfo) -> None:
        if next(self._left) == 0:
            self._done()


class PyctdBench:
    """Ids, specs and streams."""

    def __init__(self, setup: dict[str, str]) -> None:
        self.setup = setup
        self.spec: dict[str, Any] = json.loads(Path(setup["spec"]).read_text())
        self.state = os.path.join(setup["state"], setup["namespace"])
        self._numbers = itertools.count(1)

    def id(self) -> str:
        return f"{self.setup['namespace']}-{next(self._numbers)}"

    def process(self, args: list[str]) -> dict[str, Any]:
        return {**self.spec["process"], "args": args}

    def of(self, args: list[str]) -> dict[str, Any]:
        return {**self.spec, "process": self.process(args)}


def stream_args(workload: str, count: int) -> list[str]:
    """The process that writes or reads count bytes or lines."""
    return {
        "stdout": ["/bin/dd", "if=/dev/zero", "bs=1M", f"count={count >> 20}"],
        "stdin": ["/bin/dd", "of=/dev/null", "bs=1M"],
        "lines": ["/bin/seq", str(count)],
    }[workload]


def take_line(line: str) -> None:
    pass


def callback(workload: str, count: int, mode: str) -> Any:
    """The callback of ``pyctd.stdio`` with this name, with its input if the workload is stdin."""
    if workload == "stdin":
        if mode == "capture":
            return pyctd.stdio.capture(stdin=bytes(count))
        source = os.fdopen(os.memfd_create("stdin"), "rb")
        os.ftruncate(source.fileno(), count)
        return pyctd.stdio.files(stdin=source)
    ready: dict[str, Callable[[], Any]] = {
        "capture": pyctd.stdio.capture,
        "files": lambda: pyctd.stdio.files(stdout=os.devnull),
        "inherit": pyctd.stdio.inherit,
        "lines": lambda: pyctd.stdio.lines(take_line),
    }
    return ready[mode]()
