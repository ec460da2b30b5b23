"""Runs containers one after another on several threads, and retries while the daemon is down."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pyctd

from .box import unique

__all__ = ["Lives"]

T = TypeVar("T")
EXIT_CODE = 7
PATIENCE = 90.0
"""Seconds to retry one step: gRPC's pauses between connection attempts grow while there is no daemon."""

CUT_OFF = 1
"""The exit code of runc's own process if containerd is killed while runc starts the container's process."""

HALF_MADE = 3.0
"""Seconds after which to give up on a task that containerd 1.6 half created when it was killed."""


class Lives:
    """Creates, starts, waits for and deletes containers until told to stop.

    Attributes:
        asked: the ids of all containers.
        finished: those that completed.
        failed: those that ended with a containerd error other than unavailability.
        broken: those that ended otherwise: with a wrong exit code, or because containerd did not come back.
        started: those that a call or an event reported as started.
        told: those whose exit an event or ``wait`` reported.
        cut: how many calls exceeded their deadline.
        gaps: how many gaps in the events were reported.
    """

    def __init__(self, rootfs: Path, timeout: float | None = None) -> None:
        self.spec = pyctd.spec.default(rootfs, ["/bin/sh", "-c", f"sleep 0.2; exit {EXIT_CODE}"], readonly=True)
        self.timeout = timeout
        self.asked: set[str] = set()
        self.finished: set[str] = set()
        self.failed: dict[str, str] = {}
        self.broken: list[str] = []
        self.started: set[str] = set()
        self.told: set[str] = set()
        self.cut = 0
        self.gaps = 0
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def handle(self, id: str, event: pyctd.EventType, info: pyctd.EventInfo) -> None:
        """A client's backend."""
        if event is pyctd.EventType.GAP:
            self.gaps += 1
        elif event is pyctd.EventType.START:
            self.started.add(id)
        elif event is pyctd.EventType.EXIT:
            self.told.add(id)

    def begin(self, client: pyctd.Client, threads: int = 4) -> None:
        """Starts the threads."""
        self._threads = [threading.Thread(target=self._lead, args=(client,)) for _ in range(threads)]
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """Waits until the current containers have completed."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _lead(self, client: pyctd.Client) -> None:
        while not self._stop.is_set():
            id = unique("life")
            self.asked.add(id)
            try:
                self.lead(client, id)
            except pyctd.UnavailableError as error:
                self.broken.append(f"{id}: containerd does not come back: {error}")
            except pyctd.Error as error:
                self.failed[id] = f"{type(error).__name__}: {error}".replace(id, "…")
            except Exception as error:
                self.broken.append(f"{id}: {error!r}")
            time.sleep(random.uniform(0, 0.05))

    def lead(self, client: pyctd.Client, id: str) -> None:
        """Runs one container from creation to deletion."""
        container = self._make(client, id)
        task, again = self._start(container)
        self.started.add(id)
        try:
            status = self._again(task.wait)
        except pyctd.NotFoundError:  # containerd 2 forgets tasks that ended while it was down
            status = pyctd.ExitStatus(255, None, "forgotten")
        self.told.add(id)
        assert status.exit_code == EXIT_CODE or status.error or (again and status.exit_code == CUT_OFF), status
        self._gone(task.delete)
        self._gone(container.delete)
        if status.exit_code == CUT_OFF:
            self.failed[id] = "a start that containerd's end cut off: exit code 1"
        else:
            self.finished.add(id)

    def _again(self, call: Callable[..., T]) -> T:
        """Calls until the daemon answers."""
        until = time.monotonic() + PATIENCE
        while True:
            try:
                return call(timeout=self.timeout)
            except pyctd.DeadlineExceededError:
                self.cut += 1
            except pyctd.UnavailableError:
                if time.monotonic() > until:
                    raise
            time.sleep(0.05)

    def _make(self, client: pyctd.Client, id: str) -> pyctd.Container:
        try:
            return self._again(lambda timeout: client.new_container(id, self.spec, timeout=timeout))
        except pyctd.ConflictError:  # an earlier try succeeded, but its answer was lost
            return self._again(lambda timeout: client.load_container(id, timeout=timeout))

    def _start(self, container: pyctd.Container) -> tuple[pyctd.Task, bool]:
        """The running task, and whether an earlier try, whose answer was lost, started (and perhaps created) it."""
        until = time.monotonic() + HALF_MADE
        while True:
            try:
                return self._again(container.start), False
            except pyctd.AlreadyExistsError:
                pass
            try:
                task = self._again(container.task)
                if self._again(task.status).status != "created":
                    return task, True
                self._again(task.force_delete)
            except pyctd.NotFoundError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.2)

    def _gone(self, delete: Callable[..., object]) -> None:
        with contextlib.suppress(pyctd.NotFoundError):  # likewise
            self._again(delete)

    def sweep(self, client: pyctd.Client) -> list[str]:
        """Deletes all remaining containers, as after a restart. Returns the ids of those that can't be deleted."""
        kept = []
        for info in client.containers():
            try:
                container = client.load_container(info.id)
                with contextlib.suppress(pyctd.NotFoundError):
                    container.task().force_delete()
                container.delete()
            except pyctd.Error as error:
                kept.append(f"{info.id}: {error!r}")
        return kept
