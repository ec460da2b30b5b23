"""Containers for tests, which clean up after themselves."""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyctd

_numbers = itertools.count(1)
PATIENCE = 75.0
"""Seconds for what must come true: machines stand still now and then, and gRPC waits longer from try to try."""
SLEEP = ("/bin/sleep", "600")
OCI_VERSION = os.environ.get("OCI_VERSION")
"""The version of the OCI specification that tests' specs are to have, for runtimes that know an older one only."""


def unique(word: str = "test") -> str:
    """An id that no other test of this run has."""
    return f"{word}-{os.getpid()}-{next(_numbers)}"


def default_spec(rootfs: Path, *args: str, **options: Any) -> dict[str, Any]:
    """A spec of what runs args; sleep unless given."""
    spec = pyctd.spec.default(rootfs, list(args or SLEEP), readonly=True, **options)
    return {**spec, "ociVersion": OCI_VERSION} if OCI_VERSION else spec


class Box:
    """Makes containers of one client, and deletes what a test has left of them."""

    def __init__(self, client: pyctd.Client, rootfs: Path) -> None:
        self.client = client
        self.rootfs = rootfs
        self.ids: list[str] = []

    def spec(self, *args: str, **options: Any) -> dict[str, Any]:
        return default_spec(self.rootfs, *args, **options)

    def container(self, *args: str, id: str | None = None, **options: Any) -> pyctd.Container:
        """A container that will run args; sleep unless given."""
        return self.of(self.spec(*args, **options), id=id)

    def of(self, spec: dict[str, Any], *, id: str | None = None) -> pyctd.Container:
        """A container of a spec of the test's own."""
        id = id or unique()
        self.ids.append(id)
        return self.client.new_container(id, spec)

    def start(self, *args: str, stdin: bytes | None = None, **options: Any) -> tuple[pyctd.Task, pyctd.stdio.capture]:
        """A task that runs args, with its captured output."""
        out = pyctd.stdio.capture(stdin=stdin)
        return self.container(*args, **options).start(attach_stdio=out), out

    def run(
        self, *args: str, stdin: bytes | None = None, **options: Any
    ) -> tuple[pyctd.ExitStatus, pyctd.stdio.capture]:
        """What args came to, everything deleted."""
        out = pyctd.stdio.capture(stdin=stdin)
        container = self.container(*args, **options)
        task = container.start(attach_stdio=out)
        task.wait(timeout=60)
        status = task.delete(timeout=60)
        container.delete(timeout=60)
        return status, out

    def ended(self, *args: str) -> pyctd.Task:
        """A task that has ended. It is not deleted, for containerd 2 may lose the exit's event by that."""
        task = self.container(*args).start()
        task.wait(timeout=60)
        return task

    def clean(self) -> None:
        """Deletes every container that is left."""
        for id in self.ids:
            with contextlib.suppress(pyctd.NotFoundError, pyctd.InvalidArgumentError):
                container = self.client.load_container(id, timeout=60)
                with contextlib.suppress(pyctd.NotFoundError):
                    container.task(timeout=60).force_delete(timeout=60)
                container.delete(timeout=60)


class Hold:
    """A stdio callback that leaves a process's streams in the test's hands."""

    dio: Any

    def __call__(self, dio: pyctd.DirectIO) -> pyctd.IO:
        self.dio = dio
        return dio


class SlowIO:
    """The IO of streams that nobody reads, whose wait lasts until the test says go."""

    def __init__(self, dio: pyctd.DirectIO, go: threading.Event | None = None) -> None:
        self.dio = dio
        self.go = go

    def config(self) -> pyctd.Config:
        return self.dio.config()

    def cancel(self) -> None: ...

    def wait(self) -> None:
        if self.go is not None:
            self.go.wait(PATIENCE)

    def close(self) -> None:
        self.dio.close()


def eventually(condition: Callable[[], Any], what: str = "the condition") -> Any:
    """What condition returns once that is true."""
    until = time.monotonic() + PATIENCE
    while not (value := condition()):
        assert time.monotonic() < until, f"{what} did not come true within {PATIENCE:.0f} s"
        time.sleep(0.02)
    return value
