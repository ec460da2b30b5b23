"""What both faces of a client share: whom it talks to, and where its events go."""

from __future__ import annotations

import atexit
import contextlib
import contextvars
import itertools
import logging
import os
import threading
import warnings
import weakref
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from . import _arguments, _host, _native, _operations
from .errors import ClosedError, InvalidArgumentError
from .events import BY_NUMBER, Event, EventInfo, EventStreamCore, meant_for
from .types import to_datetime

__all__ = ["RUNC_SHIM", "ClientCore", "check_address", "discard"]

RUNC_SHIM = "io.containerd.runc.v2"
SOCKET_PATH_MAX = 107
"""Bytes that a Unix socket's path may have."""

_log = logging.getLogger("pyctd.events")
_cookies = itertools.count(1)
_new = tuple.__new__


def discard(result: Awaitable[object] | None) -> None:
    """Nobody will await it: a coroutine would warn of that when it is collected."""
    if isinstance(result, Coroutine):
        result.close()


def _is_coroutine_function(handler: Callable[..., Any]) -> bool:
    import inspect  # slow to import, and not needed without a handler

    return any(map(inspect.iscoroutinefunction, (handler, type(handler).__call__)))


def check_address(address: str | os.PathLike[str]) -> str:
    """A socket's path as gRPC needs it. Raises InvalidArgumentError when it can't be one."""
    path = _arguments.path("address", address).removeprefix("unix://")
    if not path.startswith("/"):
        raise InvalidArgumentError(
            f"address must be the absolute path of containerd's socket, not {path!r}: try {os.path.abspath(path)!r}"
        )
    if len(os.fsencode(path)) > SOCKET_PATH_MAX:
        raise InvalidArgumentError(
            f"address {path!r} is too long: a Unix socket's path has at most {SOCKET_PATH_MAX} bytes"
        )
    return path


class ClientCore:
    """The state of a client. It has a handle once it is connected."""

    def __init__(
        self,
        address: str | os.PathLike[str],
        namespace: str,
        state_dir: str | os.PathLike[str] | None,
        backend: Any,
        gaps: bool,
    ) -> None:
        self.address: str = check_address(address)
        self.namespace = namespace
        self.state_dir: str = _arguments.directory(
            "state_dir", f"/run/pyctd/{namespace}" if state_dir is None else state_dir
        )
        if backend is not None and not callable(getattr(backend, "process_event", backend)):
            raise InvalidArgumentError(f"backend must be a callable or have process_event: {backend!r}")
        self._handler: Callable[..., Any] | None = getattr(backend, "process_event", backend)
        # Whether it can be seen to be one; what else returns a coroutine shows that when it is called.
        self._is_coroutine_function = self._handler is not None and _is_coroutine_function(self._handler)
        self._gaps = _arguments.flag("gaps", gaps)
        self._context = contextvars.copy_context()
        self._streams: set[EventStreamCore] = set()
        self._lock = threading.RLock()
        self._handler_errors = 0
        self._connected: _native.Handle | None = None
        self._warned = False
        self._engine: object = None  # the client keeps it: a collected engine would take its containerd down
        self._cookie = next(_cookies)
        _host.receivers[self._cookie] = self

    @property
    def _handle(self) -> _native.Handle:
        if self._connected is None:
            raise ClosedError(f"client of {self.address} is not connected")
        return self._connected

    def _connecting(self) -> _native.Operation[_native.Handle]:
        return _operations.client_new(self.address, self.namespace, self.state_dir, self._cookie)

    def _take(self, made: _native.Handle) -> None:
        self._connected = made
        self._match_listening()

    def _add_stream(self, stream: EventStreamCore) -> None:
        with self._lock:
            self._streams.add(stream)
            self._match_listening()
        if self._handle.closed:  # meanwhile, by another thread, which may have looked for streams before
            stream.close()

    def _drop_stream(self, stream: EventStreamCore) -> None:
        with self._lock:
            self._streams.discard(stream)
            self._match_listening()

    def _at_stream_end(self) -> Callable[[EventStreamCore], None]:
        """What a stream calls when it is closed; it does not keep the client."""
        drop = weakref.WeakMethod(self._drop_stream)

        def at_end(stream: EventStreamCore) -> None:
            if (of_client := drop()) is not None:
                of_client(stream)

        return at_end

    def _match_listening(self) -> None:
        _native.listen(self._handle, self.listens())

    @property
    def handler_errors(self) -> int:
        """How many times the backend has raised. Each is logged by ``pyctd.events``, and by libcontainerd too."""
        return self._handler_errors

    def _check_open(self) -> None:
        _native.refuse_forked()
        if self._handle.closed:
            raise ClosedError(f"client of {self.address} is closed")

    def listens(self) -> bool:
        """Whether anybody takes events. For pyctd's own use."""
        return self._handler is not None or bool(self._streams)

    def receive(self, native: _native.NativeEvent) -> None:
        """Takes an event from Go and acknowledges it. For pyctd's own use."""
        _, token, kind, pid, exit_code, sec, nsec, container_id, process_id, error, origin = native
        exited_at = to_datetime(sec, nsec)
        exited_at_ns = sec * 10**9 + nsec
        # Without the named tuples' own constructors, which take longer than all the rest.
        info = _new(EventInfo, (container_id, process_id, pid, exit_code, exited_at, exited_at_ns, error))
        event = _new(Event, (container_id, BY_NUMBER[kind] if kind < len(BY_NUMBER) else BY_NUMBER[0], info))
        if self._streams:
            for stream in tuple(self._streams):
                stream.put(event, origin)
        if origin and not meant_for(self._gaps, origin):  # nearly all are 0, and not worth a call
            _native.acknowledge_soon(token)
        else:
            self._handle_event(event, token)

    def _handle_event(self, event: Event, token: int) -> None:
        """Runs the handler, if there is one, and acknowledges the event.

        Each run has a copy of the context (``contextvars``) in which the client was made.
        """
        try:
            if self._handler is not None:
                context = self._context.copy()
                result = context.run(self._handler, *event)
                if result is not None and isinstance(result, Awaitable):
                    self._await_result(result, context, token)
                    return
        except BaseException as error:  # whatever a handler does, the next event must come
            self._settle(token, error)
        else:
            _native.acknowledge_soon(token)

    def _await_result(self, result: Awaitable[object], context: contextvars.Context, token: int) -> None:
        """Sees to what a handler has returned to be awaited, and to its event."""
        raise NotImplementedError

    def _settle(self, token: int, failed: BaseException | None) -> None:
        """Acknowledges an event, with what its handler raised, whatever becomes of telling that."""
        text = ""
        try:
            if failed is not None:
                text = type(failed).__name__
                with self._lock:
                    self._handler_errors += 1
                with contextlib.suppress(Exception):  # its own, when asked for its text
                    text += f": {failed}"
                with contextlib.suppress(Exception):  # of a handler of logging's
                    _log.error("the handler of events raised", exc_info=failed)
        finally:
            _native.acknowledge(token, text)

    def _close(self) -> None:
        try:
            self._handle.close()
        finally:
            for stream in tuple(self._streams):
                stream.close()

    def warn_if_open(self) -> None:
        """Warns once of a client that nobody has closed. For pyctd's own use."""
        handle = getattr(self, "_connected", None)
        if handle is not None and not (handle.closed or self._warned) and _native.usable():
            self._warned = True
            # With a number, for a warning is shown once for each text.
            text = f"unclosed {self!r}, client {self._cookie} of this process"
            warnings.warn(text, ResourceWarning, source=self, stacklevel=2)

    def __del__(self) -> None:
        self.warn_if_open()

    def __repr__(self) -> str:
        state = " closed" if getattr(self, "_connected", None) is None or self._handle.closed else ""
        return f"<Client {getattr(self, 'address', '?')} {getattr(self, 'namespace', '?')}{state}>"


@atexit.register
def _warn_at_exit() -> None:
    """While Python is whole: later its objects go in any order, or not at all."""
    for client in tuple(_host.receivers.values()):
        if isinstance(client, ClientCore):
            client.warn_if_open()
