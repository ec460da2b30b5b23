"""The part of a client that both faces share: its daemon and namespace, its connection, and its events."""

from __future__ import annotations

import atexit
import os
import warnings
import weakref
from collections.abc import Callable
from typing import Any

from . import _arguments, _native
from ._calls import Operation, operations
from ._router import Router
from ._runner import Runner
from .errors import ClosedError, InvalidArgumentError

__all__ = ["RUNC_SHIM", "ClientCore", "check_address"]

RUNC_SHIM = "io.containerd.runc.v2"
SOCKET_PATH_MAX = 107
"""The longest path of a Unix socket, in bytes."""


def check_address(address: str | os.PathLike[str]) -> str:
    """A socket's path as gRPC needs it. Raises InvalidArgumentError if it can't be one."""
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
        gaps = _arguments.flag("gaps", gaps)
        function = getattr(backend, "process_event", backend)
        self._runner = None if function is None else self._runner_of(function)
        self._router = Router(self._runner, gaps)
        self._connected: _native.Handle | None = None
        self._warned = False
        self._engine: object = None  # kept alive: a garbage-collected engine stops its containerd
        _clients.add(self)

    def _runner_of(self, function: Callable[..., Any]) -> Runner:
        return Runner(function)

    @property
    def _handle(self) -> _native.Handle:
        if self._connected is None:
            raise ClosedError(f"client of {self.address} is not connected")
        return self._connected

    def _connecting(self) -> Operation[_native.Handle]:
        return operations.client_new(self.address, self.namespace, self.state_dir, self._router.cookie)

    def _own(self, made: _native.Handle) -> None:
        self._connected = made
        self._router.connect(made)

    @property
    def handler_errors(self) -> int:
        """How many times the backend has raised. ``pyctd.events`` logs each exception, and libcontainerd does too."""
        return 0 if self._runner is None else self._runner.errors

    def _check_open(self) -> None:
        _native.refuse_forked()
        if self._handle.closed:
            raise ClosedError(f"client of {self.address} is closed")

    def _close(self) -> None:
        try:
            self._handle.close()
        finally:
            self._router.end()

    def __del__(self) -> None:
        _warn_if_open(self)

    def __repr__(self) -> str:
        state = " closed" if getattr(self, "_connected", None) is None or self._handle.closed else ""
        return f"<Client {getattr(self, 'address', '?')} {getattr(self, 'namespace', '?')}{state}>"


_clients: weakref.WeakSet[ClientCore] = weakref.WeakSet()


def _warn_if_open(client: ClientCore) -> None:
    """Warns once about an unclosed client."""
    handle = getattr(client, "_connected", None)
    if handle is not None and not (handle.closed or client._warned) and _native.usable():
        client._warned = True
        # The number makes each text unique: Python shows a warning once per text.
        text = f"unclosed {client!r}, client {client._router.cookie} of this process"
        warnings.warn(text, ResourceWarning, source=client, stacklevel=2)


@atexit.register
def _warn_at_exit() -> None:
    """Warns while Python is still intact: later, objects are finalized in any order, or not at all."""
    for client in tuple(_clients):
        _warn_if_open(client)
