"""The events of a scenario on the Python side."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pyctd
from conformance.streams import PATIENCE, Mistake

__all__ = ["Events"]

PROBE = "conformance-probe"
QUIET = 0.2
"""Seconds without an event after which no more are expected."""

LATE = 3.0
"""Seconds for which an exit event is waited for whose process is gone. It may be lost, as when the daemon was away."""


class Events:
    """A backend that keeps what it is told."""

    def __init__(self, order: str) -> None:
        self._by_process = order == "process"
        self._changed = threading.Condition()
        self._of: dict[str, list[pyctd.Event]] = {}
        self._probes = 0

    def process_event(self, container_id: str, event: pyctd.EventType, info: pyctd.EventInfo) -> None:
        with self._changed:
            if container_id == PROBE:
                self._probes += 1
            else:
                self._of.setdefault(container_id, []).append(pyctd.Event(container_id, event, info))
            self._changed.notify_all()

    def containers(self) -> list[str]:
        with self._changed:
            return sorted(self._of)

    def wait(self, id: str, types: list[str]) -> None:
        """Waits until a container had as many events of each type as types has."""

        def there() -> bool:
            return not Counter(types) - Counter(str(event.event) for event in self._of.get(id, []))

        with self._changed:
            if not self._changed.wait_for(there, PATIENCE):
                raise Mistake("the events waited for did not come")

    def ready(self, publish: Callable[[], object]) -> None:
        """Publishes events until one comes back."""
        with self._changed:
            before = self._probes
        until = time.monotonic() + PATIENCE
        while True:
            failed = None
            try:
                publish()
            except RuntimeError as error:
                failed = error
            with self._changed:
                if self._changed.wait_for(lambda: self._probes > before, 0.05):
                    return
            if time.monotonic() > until:
                raise Mistake("events do not flow") from failed

    def settle(self) -> None:
        """Waits until no event has come for a while: the last ones of a scenario may be on their way."""

        def count() -> int:
            return sum(map(len, self._of.values()))

        with self._changed:
            self._changed.wait_for(lambda: not self._owed(), LATE)
            before = -1
            while before != count():
                seen = before = count()
                self._changed.wait_for(lambda seen=seen: count() != seen, QUIET)  # type: ignore[misc]

    def _owed(self) -> bool:
        """Whether a process is gone whose exit was not told."""
        running = set()
        for events in self._of.values():
            for event in events:
                if event.event in (pyctd.EventType.START, pyctd.EventType.EXEC_STARTED):
                    running.add(event.info.pid)
                elif event.event is pyctd.EventType.EXIT:
                    running.discard(event.info.pid)
        return any(not os.path.exists(f"/proc/{pid}") for pid in running)

    def print(self, id: str) -> list[dict[str, Any]]:
        """A container's events with all their fields."""
        with self._changed:
            events = list(self._of.get(id, []))
        if self._by_process:
            events.sort(key=lambda event: event.info.process_id)
        return [
            {
                "event": str(event.event),
                "container_id": event.info.container_id,
                "process_id": event.info.process_id,
                "pid": event.info.pid,
                "exit_code": event.info.exit_code,
                "exited_at": event.info.exited_at_ns,
                "error": event.info.error,
            }
            for event in events
        ]
