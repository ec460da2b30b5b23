"""``Client``: libcontainerd's client on one daemon and namespace."""

from __future__ import annotations

import itertools
import json
import logging
import os
import threading
import warnings
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

from . import _host, _native
from ._json import to_json
from .container import Container
from .errors import ClosedError, InvalidArgumentError
from .events import BY_NUMBER, Backend, Chosen, Event, EventFilter, EventInfo, EventStream, EventType, Handler
from .options import Option
from .spec import SpecLike
from .spec._given import spec_json
from .types import Version, to_datetime

__all__ = ["RUNC_SHIM", "Client", "check_address"]

RUNC_SHIM = "io.containerd.runc.v2"
SOCKET_PATH_MAX = 107
"""Bytes that a Unix socket's path may have."""

_log = logging.getLogger("pyctd.events")
_cookies = itertools.count(1)


def check_address(address: str | os.PathLike[str]) -> str:
    """A socket's path as gRPC needs it. Raises InvalidArgumentError when it can't be one."""
    path = os.fspath(address).removeprefix("unix://")
    if not path.startswith("/"):
        raise InvalidArgumentError(
            f"address must be the absolute path of containerd's socket, not {path!r}: try {os.path.abspath(path)!r}"
        )
    if len(os.fsencode(path)) > SOCKET_PATH_MAX:
        raise InvalidArgumentError(
            f"address {path!r} is too long: a Unix socket's path has at most {SOCKET_PATH_MAX} bytes"
        )
    return path


class Client:
    """A libcontainerd client (Go: ``libcontainerd.NewClient``). Its events flow from the moment that it exists.

    Closing it leaves containers and tasks as they are.

    Args:
        address: the absolute path of containerd's socket.
        namespace: containerd's namespace; dockerd's is ``moby``.
        state_dir: where bundles and FIFOs live, one directory a container; ``/run/pyctd/<namespace>`` unless given.
        backend: takes the events: an object with ``process_event``, or a callable of the same three arguments.
        timeout: seconds that connecting may take.

    Raises:
        InvalidArgumentError: the address is relative or too long, or the namespace is no identifier of containerd's.
        UnavailableError: no daemon listens there.
        PermissionDeniedError: the socket may not be used.
        DeadlineExceededError: the timeout ran out.
    """

    def __init__(
        self,
        address: str | os.PathLike[str],
        namespace: str = "moby",
        state_dir: str | os.PathLike[str] | None = None,
        backend: Handler | None = None,
        *,
        timeout: float | None = None,
    ) -> None:
        self.address = check_address(address)
        self.namespace = namespace
        self.state_dir = os.path.abspath(f"/run/pyctd/{namespace}" if state_dir is None else state_dir)
        if backend is not None and not callable(getattr(backend, "process_event", backend)):
            raise InvalidArgumentError(f"backend must be a callable or have process_event: {backend!r}")
        self._handler = backend.process_event if isinstance(backend, Backend) else backend
        self._streams: set[EventStream] = set()
        self._lock = threading.Lock()
        self._handler_errors = 0
        cookie = next(_cookies)
        _host.receivers[cookie] = self
        made = _native.call("client_new", timeout, self.address, namespace, self.state_dir, cookie)
        self._handle = _native.Handle(made.value, f"client of {self.address}")

    def version(self, *, timeout: float | None = None) -> Version:
        """The daemon's version (Go: ``Client.Version``)."""
        return Version(**json.loads(_native.call("client_version", timeout, self._handle).data))

    def load_container(self, id: str, *, timeout: float | None = None) -> Container:
        """A container that exists (Go: ``Client.LoadContainer``).

        Raises:
            NotFoundError: there is none of that id.
        """
        loaded = _native.call("client_load_container", timeout, self._handle, id)
        return Container(id, _native.Handle(loaded.value, f"container {id!r}"))

    def new_container(
        self,
        id: str,
        spec: SpecLike,
        shim: str = RUNC_SHIM,
        runtime_options: Mapping[str, Any] | None = None,
        opts: Sequence[Option] = (),
        *,
        timeout: float | None = None,
    ) -> Container:
        """Makes a container and its bundle directory (Go: ``Client.NewContainer``).

        Args:
            id: an identifier of containerd's: letters and digits, with single ``.``, ``_``, ``-`` between; 76 at most.
            spec: an OCI runtime spec with at least ``root``, ``process`` and ``linux``, as a mapping, JSON text, or the
                path of a file or a bundle; see ``pyctd.spec.default`` and ``pyctd.spec.SpecLike``.
            shim: the runtime's name.
            runtime_options: the runtime's options by name, such as ``{"BinaryName": "/usr/bin/crun"}``, converted as
                dockerd does (Go: ``shimopts.Generate``).
            opts: further options, from ``pyctd.options``.
            timeout: seconds that it may take.

        Raises:
            ConflictError: the id is in use.
            InvalidArgumentError: the id, the spec or an option is malformed; a fault of the spec is named by its JSON
                path.
        """
        return self._new_container(0, id, spec, shim, runtime_options, opts, timeout)

    def replace_container(
        self,
        id: str,
        spec: SpecLike,
        shim: str = RUNC_SHIM,
        runtime_options: Mapping[str, Any] | None = None,
        opts: Sequence[Option] = (),
        *,
        timeout: float | None = None,
    ) -> Container:
        """As ``new_container``, but a container of that id is first deleted, its task killed (Go:
        ``libcontainerd.ReplaceContainer``).

        Raises:
            InvalidArgumentError: the id, the spec or an option is malformed; nothing was deleted then.
        """
        return self._new_container(1, id, spec, shim, runtime_options, opts, timeout)

    def _new_container(
        self,
        replace: int,
        id: str,
        spec: SpecLike,
        shim: str,
        runtime_options: Mapping[str, Any] | None,
        opts: Sequence[Option],
        timeout: float | None,
    ) -> Container:
        for opt in opts:
            if not isinstance(opt, Option):
                raise InvalidArgumentError(f"opts must come from pyctd.options, not {opt!r}")
        made = _native.call(
            "client_new_container",
            timeout,
            self._handle,
            replace,
            id,
            spec_json(spec),
            shim,
            b"" if runtime_options is None else to_json("runtime_options", runtime_options),
            b"[" + b",".join(to_json("opts", {"name": opt.name, "value": opt.value}) for opt in opts) + b"]",
        )
        return Container(id, _native.Handle(made.value, f"container {id!r}"))

    @property
    def handler_errors(self) -> int:
        """How many times the backend has raised. Each is logged by ``pyctd.events``, and by libcontainerd too."""
        return self._handler_errors

    def events(
        self,
        *,
        container_id: Chosen[str] = None,
        process_id: Chosen[str] = None,
        event: Chosen[EventType | str] = None,
    ) -> EventStream:
        """Iterates over the events from now on; each call has an iterator of its own, beside the backend.

        Args:
            container_id: only those of this container, or of these.
            process_id: only those of this process, or of these: an exec's id, or the container's for its init process.
                Events of the whole container (oom, paused, resumed) have an empty one.
            event: only those of this type, or of these.

        Raises:
            InvalidArgumentError: there is no such type of event.
            ClosedError: the client is closed.
        """
        if self._handle.closed:
            raise ClosedError(f"client of {self.address} is closed")
        stream = EventStream(EventFilter.of(container_id, process_id, event), self._streams.discard)
        self._streams.add(stream)
        return stream

    def listens(self) -> bool:
        """Whether anybody takes events. For pyctd's own use."""
        return self._handler is not None or bool(self._streams)

    def receive(self, native: _native.NativeEvent) -> None:
        """Takes an event from Go and acknowledges it. For pyctd's own use."""
        failed = ""
        try:
            kind = BY_NUMBER[native.type] if native.type < len(BY_NUMBER) else BY_NUMBER[0]
            info = EventInfo(
                native.container_id,
                native.process_id,
                native.pid,
                native.exit_code,
                to_datetime(native.sec, native.nsec),
                native.sec * 10**9 + native.nsec,
                native.error,
            )
            for stream in tuple(self._streams):
                stream.put(Event(native.container_id, kind, info))
            if self._handler is not None:
                self._handler(native.container_id, kind, info)
        except BaseException as error:  # whatever a handler does, the next event must come
            failed = f"{type(error).__name__}: {error}"
            with self._lock:
                self._handler_errors += 1
            _log.exception("the handler of events raised")
        finally:
            _native.acknowledge(native.token, failed)

    def close(self) -> None:
        """Ends the connection and the event streams, and lets go of the tasks' streams; a second time does nothing."""
        self._handle.close()
        for stream in tuple(self._streams):
            stream.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        handle = getattr(self, "_handle", None)
        if handle is not None and not handle.closed and _native.usable():
            warnings.warn(f"unclosed {self!r}", ResourceWarning, source=self, stacklevel=2)

    def __repr__(self) -> str:
        state = " closed" if getattr(self, "_handle", None) is None or self._handle.closed else ""
        return f"<Client {self.address} {self.namespace}{state}>"
