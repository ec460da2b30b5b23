"""Containers for tests, with clean-up."""

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
"""Seconds to wait for a condition: machines stall now and then, and gRPC backs off between tries."""
SLEEP = ("/bin/sleep", "600")
OCI_VERSION = os.environ.get("OCI_VERSION")
"""The OCI version for the tests' specs, for runtimes that only know an older one."""


def unique(word: str = "test") -> str:
    """An id that no other test of this run uses."""
    return f"{word}-{os.getpid()}-{next(_numbers)}"


def default_spec(rootfs: Path, *args: str, **options: Any) -> dict[str, Any]:
    """A spec that runs args; sleep by default."""
    spec = pyctd.spec.default(rootfs, list(args or SLEEP), readonly=True, **options)
    return {**spec, "ociVersion": OCI_VERSION} if OCI_VERSION else spec


class Box:
    """Makes containers of one client, and deletes those that a test leaves behind."""

    def __init__(self, client: pyctd.Client, rootfs: Path) -> None:
        self.client = client
        self.rootfs = rootfs
        self.ids: list[str] = []

    def spec(self, *args: str, **options: Any) -> dict[str, Any]:
        return default_spec(self.rootfs, *args, **options)

    def container(self, *args: str, id: str | None = None, **options: Any) -> pyctd.Container:
        """A container that will run args; sleep by default."""
        return self.of(self.spec(*args, **options), id=id)

    def of(self, spec: dict[str, Any], *, id: str | None = None) -> pyctd.Container:
        """A container with the test's own spec."""
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
        """Runs args to the end and deletes everything. Returns the exit status and the captured output."""
        out = pyctd.stdio.capture(stdin=stdin)
        container = self.container(*args, **options)
        task = container.start(attach_stdio=out)
        task.wait(timeout=60)
        status = task.delete(timeout=60)
        container.delete(timeout=60)
        return status, out

    def ended(self, *args: str) -> pyctd.Task:
        """A task that has ended. It is not deleted, because containerd 2 may then lose the exit event."""
        task = self.container(*args).start()
        task.wait(timeout=60)
        return task

    def clean(self) -> None:
        """Deletes all remaining containers."""
        for id in self.ids:
            with contextlib.suppress(pyctd.NotFoundError, pyctd.InvalidArgumentError):
                container = self.client.load_container(id, timeout=60)
                with contextlib.suppress(pyctd.NotFoundError):
                    container.task(timeout=60).force_delete(timeout=60)
                container.delete(timeout=60)


class Hold:
    """A stdio callback that gives a process's streams to the test."""

    dio: Any

    def __call__(self, dio: pyctd.DirectIO) -> pyctd.IO:
        self.dio = dio
        return dio


class SlowIO:
    """An IO whose streams nobody reads, and whose ``wait`` blocks until the test sets ``go``."""

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
    """Waits until condition returns a true value. Returns that."""
    until = time.monotonic() + PATIENCE
    while not (value := condition()):
        assert time.monotonic() < until, f"{what} did not come true within {PATIENCE:.0f} s"
        time.sleep(0.02)
    return value
