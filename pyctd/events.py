"""Events: what libcontainerd reports through ``Backend.ProcessEvent``."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from enum import Enum
from types import TracebackType
from typing import Any, NamedTuple, Protocol, TypeVar, Union, runtime_checkable

from . import _arguments, _native
from ._origin import Origin
from .errors import InvalidArgumentError

__all__ = ["Backend", "Event", "EventInfo", "EventStream", "EventType", "Handler"]


class EventType(str, Enum):
    """libcontainerd's ``EventType``; each member equals Go's string.

    ``GAP`` is pyctd's own, and is sent only on request: see ``gaps`` in ``Client.events``.
    """

    UNKNOWN = "unknown"
    EXIT = "exit"
    OOM = "oom"
    CREATE = "create"
    START = "start"
    EXEC_ADDED = "exec-added"
    EXEC_STARTED = "exec-started"
    PAUSED = "paused"
    RESUMED = "resumed"
    GAP = "gap"

    def __str__(self) -> str:
        return self.value


#: In the order of pyctd_event_type.
BY_NUMBER = tuple(EventType)


class EventInfo(NamedTuple):
    """libcontainerd's ``EventInfo``.

    Attributes:
        container_id: the container's id.
        process_id: the exec's id, or the container's id for its init process; empty for oom, paused and resumed.
        pid: the process id on the host, or 0 if the event has none.
        exit_code: the exit code of an exit event.
        exited_at: the time of the exit, or for a gap the time since which events were lost; in UTC, to the microsecond.
            None for other events.
        exited_at_ns: the same time in nanoseconds since the epoch, or 0.
        error: the text of Go's ``EventInfo.Error``, or None.
    """

    container_id: str
    process_id: str = ""
    pid: int = 0
    exit_code: int = 0
    exited_at: datetime | None = None
    exited_at_ns: int = 0
    error: str | None = None


class Event(NamedTuple):
    """The three arguments of ``process_event``."""

    container_id: str
    event: EventType
    info: EventInfo


@runtime_checkable
class Backend(Protocol):
    """libcontainerd's ``Backend``: an object that receives events."""

    def process_event(self, container_id: str, event: EventType, info: EventInfo) -> object:
        """Handles one event. The container's next event comes once this returns; events of other containers arrive
        meanwhile, on other threads. An exception is logged, as libcontainerd logs an error of ProcessEvent."""


Handler = Union[Backend, Callable[[str, EventType, EventInfo], object]]  # noqa: UP007 (Python 3.10 cannot "or" a protocol with a generic callable at run time)
"""A backend, or a plain callable in its place."""

_T = TypeVar("_T", bound=str)
Chosen = Union[_T, Iterable[_T], None]  # noqa: UP007 (as above)
"""One, several, or None for all."""


class EventFilter(NamedTuple):
    """Selects the events of a stream: those that match every field. None matches everything."""

    container_ids: frozenset[str] | None
    process_ids: frozenset[str] | None
    events: frozenset[EventType] | None
    gaps: bool

    @classmethod
    def of(
        cls, container_id: Chosen[str], process_id: Chosen[str], event: Chosen[EventType | str], gaps: bool
    ) -> EventFilter:
        """Makes a filter from the arguments of ``Client.events``. Raises InvalidArgumentError."""
        kinds = _chosen("event", event)
        try:
            events = None if kinds is None else frozenset(map(EventType, kinds))
        except ValueError as error:
            raise InvalidArgumentError(f"{error}: there are {', '.join(EventType)}") from None
        gaps = _arguments.flag("gaps", gaps) or (events is not None and EventType.GAP in events)
        return cls(_chosen("container_id", container_id), _chosen("process_id", process_id), events, gaps)

    def takes(self, event: Event) -> bool:
        """Whether the filter passes the event. Every filter passes gaps."""
        return event.event is EventType.GAP or (
            (self.events is None or event.event in self.events)
            and (self.container_ids is None or event.container_id in self.container_ids)
            and (self.process_ids is None or event.info.process_id in self.process_ids)
        )


def _chosen(what: str, given: Chosen[str]) -> frozenset[str] | None:
    if given is None:
        return None
    chosen = [given] if isinstance(given, str) else list(given) if isinstance(given, Iterable) else [given]
    for one in chosen:
        if not isinstance(one, str):
            raise InvalidArgumentError(f"{what} must be a str or several of them, not {given!r:.200}")
    return frozenset(chosen)


def deadline(timeout: float | None) -> float | None:
    """The time at which a wait of so many seconds ends, on the clock of ``time.monotonic``."""
    seconds = _arguments.seconds(timeout)
    return None if seconds is None else time.monotonic() + seconds


class EventStreamCore:
    """What the blocking and the asyncio ``EventStream`` share."""

    def __init__(self, filter: EventFilter, on_close: Callable[[Any], object]) -> None:
        self._filter = filter
        self._on_close = on_close
        self._events: deque[Event] = deque()
        self._changed = threading.Condition()
        self._closed = False

    def put(self, event: Event, origin: Origin = Origin.NEWS) -> None:
        """Adds an event if it passes the filter. Internal to pyctd."""
        if not (self._filter.takes(event) and origin.wanted_by(self._filter.gaps)):
            return
        with self._changed:
            if not self._closed:
                self._events.append(event)
                self._notify()

    def _notify(self) -> None:
        """Wakes the waiting readers. Called with the lock held."""
        raise NotImplementedError

    def close(self) -> None:
        """Ends the stream. Events that have already arrived can still be read."""
        if _native.forked():  # the thread that held the lock does not exist in this process
            return
        with self._changed:
            self._closed = True
            self._notify()
        self._on_close(self)


class EventStream(EventStreamCore):
    """Iterates over a client's events as they arrive. The iteration ends when the stream or its client is closed.

    Unread events are kept without limit: close the stream when you are done, or use it as a context manager.
    """

    def _notify(self) -> None:
        self._changed.notify_all()

    def get(self, timeout: float | None = None) -> Event:
        """Returns the next event, after waiting for at most ``timeout`` seconds.

        Raises:
            TimeoutError: no event arrived in time.
            StopIteration: the stream is closed and all of its events have been read.
        """
        _native.refuse_forked()
        until = deadline(timeout)
        with self._changed:
            while not self._events:
                if self._closed:
                    raise StopIteration
                if not self._changed.wait(None if until is None else until - time.monotonic()):
                    raise TimeoutError(f"no event came within {timeout} s")
            return self._events.popleft()

    def __iter__(self) -> Iterator[Event]:
        return self

    def __next__(self) -> Event:
        return self.get()

    def __enter__(self) -> EventStream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
