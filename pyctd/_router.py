"""Carries a client's events from Go's callback to the client's streams and handler."""

from __future__ import annotations

import itertools
import threading
import weakref
from collections.abc import Callable

from . import _host, _native
from ._origin import Origin
from ._runner import Runner
from .events import BY_NUMBER, Event, EventInfo, EventStreamCore
from .types import to_datetime

__all__ = ["Router"]

_cookies = itertools.count(1)
_new = tuple.__new__


class Router:
    """Passes a client's events to its handler and its streams. The client owns it; it does not keep the client alive.

    Attributes:
        cookie: the number by which Go's callbacks find it.
        streams: the open streams.
    """

    def __init__(self, runner: Runner | None, gaps: bool) -> None:
        self.cookie: int = next(_cookies)
        self.streams: set[EventStreamCore] = set()
        self._runner = runner
        self._gaps = gaps
        self._client: _native.Handle | None = None
        self._lock = threading.RLock()
        _host.receivers[self.cookie] = self

    def connect(self, client: _native.Handle) -> None:
        """Called once the client is connected. From now on its events arrive, if anything receives them."""
        self._client = client
        if self._runner is not None:
            self._runner.client = client
        self._match_listening()

    def add(self, stream: EventStreamCore) -> None:
        """Opens a stream. If another thread has closed the client meanwhile, the stream ends at once."""
        with self._lock:
            self.streams.add(stream)
            self._match_listening()
        if self._client is None or self._client.closed:
            stream.close()

    def drop(self, stream: EventStreamCore) -> None:
        """Forgets a closed stream."""
        with self._lock:
            self.streams.discard(stream)
            self._match_listening()

    def at_stream_end(self) -> Callable[[EventStreamCore], None]:
        """The function that a stream calls when it is closed. It keeps neither the router nor its client alive."""
        drop = weakref.WeakMethod(self.drop)

        def at_end(stream: EventStreamCore) -> None:
            if (of_router := drop()) is not None:
                of_router(stream)

        return at_end

    def end(self) -> None:
        """Closes the streams."""
        for stream in tuple(self.streams):
            stream.close()

    def _match_listening(self) -> None:
        if self._client is not None:
            _native.listen(self._client, self.listens())

    def listens(self) -> bool:
        """Whether anything receives events."""
        return self._runner is not None or bool(self.streams)

    def receive(self, native: _native.NativeEvent) -> bool:
        """Takes an event from Go. Returns whether it is handled; if not, it is acknowledged later."""
        _, token, kind, pid, exit_code, sec, nsec, container_id, process_id, error, origin = native
        exited_at = to_datetime(sec, nsec)
        exited_at_ns = sec * 10**9 + nsec
        # Bypasses the named tuples' constructors, which take longer than everything else here.
        info = _new(EventInfo, (container_id, process_id, pid, exit_code, exited_at, exited_at_ns, error))
        event = _new(Event, (container_id, BY_NUMBER[kind] if kind < len(BY_NUMBER) else BY_NUMBER[0], info))
        came_from = Origin(origin)
        for stream in tuple(self.streams):
            stream.put(event, came_from)
        if self._runner is None or not came_from.wanted_by(self._gaps):
            return True
        return self._runner.handle(event, token)
