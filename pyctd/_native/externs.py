"""The functions that Go calls, on its own threads. No exception may escape from them, not even SystemExit."""

import contextlib
import logging
import os
import struct
import sys
from collections.abc import Callable
from types import TracebackType
from typing import Any, NamedTuple, Protocol

from .. import errors
from .._threads import EVENTS, adopt_thread
from .handle import Handle, flatten
from .library import forked, match_log_level, state, usable

__all__ = [
    "Host",
    "NativeEvent",
    "NativeStdio",
    "acknowledge",
    "define",
    "listen",
    "set_host",
    "set_stdio_config",
]

_log = logging.getLogger("pyctd")

_EVENT = struct.Struct("QQqiiIIIIii")
"""The layout of a pyctd_event."""
_HANDLED, _PENDING = range(2)
"""The answers of pyctd_event_answer."""


class NativeEvent(NamedTuple):
    """A copy of a pyctd_event."""

    cookie: int
    token: int
    type: int
    pid: int
    exit_code: int
    sec: int
    nsec: int
    container_id: str
    process_id: str
    error: str | None
    origin: int


class NativeStdio(NamedTuple):
    """A copy of a pyctd_stdio."""

    handle: int
    terminal: bool
    stdin: str
    stdout: str
    stderr: str


class Host(Protocol):
    """Receives the callbacks. No method may raise. ``event`` returns whether the event is handled, and may block."""

    def event(self, event: NativeEvent) -> bool: ...
    def stdio(self, cookie: int, stdio: NativeStdio) -> int: ...
    def io(self, cookie: int, call: int) -> None: ...
    def log(self, level: int, text: str, fields: str) -> None: ...


_host: Host | None = None


def set_host(host: Host) -> None:
    """Sets the receiver of the callbacks: pyctd._host, which is above this package."""
    global _host
    _host = host


def _swallow(kind: type[BaseException], value: BaseException, trace: TracebackType) -> None:
    if not sys.is_finalizing():
        _log.error("a callback raised", exc_info=(kind, value, trace))


def unpack_event(event: Any, strings: bytes) -> NativeEvent:
    """Unpacks an event. Reading one attribute through CFFI takes as long as all of this."""
    cookie, token, sec, nsec, kind, pid, code, container, process, error, origin = _EVENT.unpack(event)
    container_id = strings[:container].decode("utf-8", "replace")
    process_id = strings[container : container + process].decode("utf-8", "replace")
    text = None if error < 0 else strings[container + process :].decode("utf-8", "replace")
    return NativeEvent(cookie, token, kind, pid, code, sec, nsec, container_id, process_id, text, origin)


def structure(ffi: Any, lib: Any) -> Any:
    """A pyctd_callbacks with the functions that ``define`` defines."""
    functions = (lib.pyctd_py_on_event, lib.pyctd_py_on_stdio, lib.pyctd_py_on_io, lib.pyctd_py_on_log)
    return ffi.new("pyctd_callbacks *", (ffi.sizeof("pyctd_callbacks"), *functions))


def define(ffi: Any) -> None:
    """Gives CFFI the functions that pyctd_init passes to Go."""
    assert ffi.sizeof("pyctd_event") == _EVENT.size

    def text(data: Any, length: int) -> str:
        return str(ffi.buffer(data, length)[:], "utf-8", "replace") if data else ""

    def extern(callback: Callable[..., Any], error: int | None = None) -> None:
        def call(*args: Any) -> Any:
            if _host is None or not usable():
                return error
            try:
                return callback(_host, *args)
            finally:
                if forked():  # the callback forked: a return would enter Go, whose other threads this child lacks
                    os._exit(0)

        ffi.def_extern(name=f"pyctd_py_{callback.__name__}", onerror=_swallow, error=error)(call)

    def on_event(host: Host, event: Any, strings: Any, strings_len: int) -> int:
        adopt_thread(EVENTS)
        match_log_level()
        handled = host.event(unpack_event(ffi.buffer(event, _EVENT.size), ffi.buffer(strings, strings_len)[:]))
        return _HANDLED if handled else _PENDING

    def on_stdio(host: Host, cookie: int, io: Any) -> int:
        return host.stdio(
            cookie,
            NativeStdio(
                io.stdio,
                bool(io.terminal),
                text(io.stdin_path, io.stdin_path_len),
                text(io.stdout_path, io.stdout_path_len),
                text(io.stderr_path, io.stderr_path_len),
            ),
        )

    def on_io(host: Host, cookie: int, io_call: int) -> None:
        host.io(cookie, io_call)

    def on_log(host: Host, level: int, message: Any, message_len: int, fields: Any, fields_len: int) -> None:
        host.log(level, text(message, message_len), text(fields, fields_len))

    extern(on_event, error=_HANDLED)
    extern(on_stdio, error=0)
    extern(on_io)
    extern(on_log)


def acknowledge(token: int, error: str = "") -> None:
    """Acknowledges an event that ``Host.event`` left pending, so that its container's next event comes."""
    if usable():
        text = error.encode("utf-8", "replace")
        state.lib.pyctd_event_ack(token, text, len(text))


def listen(client: Handle, on: bool) -> None:
    """Turns an open client's events on or off. Unwanted events cost as much as others."""
    if usable():
        with contextlib.suppress(errors.ClosedError):
            state.lib.pyctd_client_listen(client.number, int(on))


def set_stdio_config(handle: int, terminal: bool, stdin: str, stdout: str, stderr: str) -> None:
    """Gives the process other streams than its FIFOs. Only valid while the stdio callback of that handle runs."""
    args = flatten((int(terminal), stdin, stdout, stderr))
    if failed := state.lib.pyctd_stdio_set_config(handle, *args):
        raise errors.BY_KIND[failed]("the streams of a process are set before it is made")
