"""What Go calls: on its own threads, and nothing may escape, SystemExit included."""

import contextlib
import logging
import struct
import sys
from collections import deque
from types import TracebackType
from typing import Any, NamedTuple, Protocol

from .. import errors
from .handle import Handle, flatten
from .library import match_log_level, state, usable

__all__ = [
    "Host",
    "NativeEvent",
    "NativeStdio",
    "acknowledge",
    "acknowledge_settled",
    "acknowledge_soon",
    "define",
    "listen",
    "set_host",
    "set_stdio_config",
]

_log = logging.getLogger("pyctd")

_EVENT = struct.Struct("QQqiiIIIIii")
"""A pyctd_event."""


class NativeEvent(NamedTuple):
    """A pyctd_event, copied."""

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
    """A pyctd_stdio, copied."""

    handle: int
    terminal: bool
    stdin: str
    stdout: str
    stderr: str


class Host(Protocol):
    """What the callbacks reach; each method must neither block for long nor raise."""

    def events(self, events: list[NativeEvent]) -> None: ...
    def stdio(self, cookie: int, stdio: NativeStdio) -> int: ...
    def io(self, cookie: int, call: int) -> None: ...
    def log(self, level: int, text: str, fields: str) -> None: ...


_host: Host | None = None


def set_host(host: Host) -> None:
    """Says who takes the callbacks: pyctd._host, which is above this package."""
    global _host
    _host = host


def _swallow(kind: type[BaseException], value: BaseException, trace: TracebackType) -> None:
    if not sys.is_finalizing():
        _log.error("a callback raised", exc_info=(kind, value, trace))


def unpack_events(array: Any, strings: bytes) -> list[NativeEvent]:
    """The events of a batch. One attribute of CFFI's costs as much as all of an event here."""
    events = []
    at = 0
    new = tuple.__new__  # a named tuple's own constructor takes longer than the rest
    for cookie, token, sec, nsec, kind, pid, code, container, process, error, origin in _EVENT.iter_unpack(array):
        container_id = strings[at : (at := at + container)].decode("utf-8", "replace")
        process_id = strings[at : (at := at + process)].decode("utf-8", "replace")
        text = None if error < 0 else strings[at : (at := at + error)].decode("utf-8", "replace")
        fields = (cookie, token, kind, pid, code, sec, nsec, container_id, process_id, text, origin)
        events.append(new(NativeEvent, fields))
    return events


def structure(ffi: Any, lib: Any) -> Any:
    """The pyctd_callbacks with the functions that ``define`` defines."""
    functions = (lib.pyctd_py_on_events, lib.pyctd_py_on_stdio, lib.pyctd_py_on_io, lib.pyctd_py_on_log)
    return ffi.new("pyctd_callbacks *", (ffi.sizeof("pyctd_callbacks"), *functions))


def define(ffi: Any) -> None:
    """Gives CFFI the functions that pyctd_init is to hand to Go."""
    assert ffi.sizeof("pyctd_event") == _EVENT.size

    def text(data: Any, length: int) -> str:
        return str(ffi.buffer(data, length)[:], "utf-8", "replace") if data else ""

    @ffi.def_extern(name="pyctd_py_on_events", onerror=_swallow)  # type: ignore[misc]
    def on_events(events: Any, count: int, strings: Any, strings_len: int) -> None:
        if _host is not None and usable():
            match_log_level()
            _host.events(unpack_events(ffi.buffer(events, count * _EVENT.size), ffi.buffer(strings, strings_len)[:]))

    @ffi.def_extern(name="pyctd_py_on_stdio", onerror=_swallow, error=0)  # type: ignore[misc]
    def on_stdio(cookie: int, io: Any) -> int:
        if _host is None or not usable():
            return 0
        return _host.stdio(
            cookie,
            NativeStdio(
                io.stdio,
                bool(io.terminal),
                text(io.stdin_path, io.stdin_path_len),
                text(io.stdout_path, io.stdout_path_len),
                text(io.stderr_path, io.stderr_path_len),
            ),
        )

    @ffi.def_extern(name="pyctd_py_on_io", onerror=_swallow)  # type: ignore[misc]
    def on_io(cookie: int, io_call: int) -> None:
        if _host is not None and usable():
            _host.io(cookie, io_call)

    @ffi.def_extern(name="pyctd_py_on_log", onerror=_swallow)  # type: ignore[misc]
    def on_log(level: int, message: Any, message_len: int, fields: Any, fields_len: int) -> None:
        if _host is not None and usable():
            _host.log(level, text(message, message_len), text(fields, fields_len))


def acknowledge(token: int, error: str = "") -> None:
    """Lets the next event of the same container come."""
    if usable():
        text = error.encode("utf-8", "replace")
        state.lib.pyctd_event_ack(token, text, len(text))


#: Of events that are to be acknowledged with others.
_settled: deque[int] = deque()
TOGETHER = 64
"""How many events are acknowledged at once, at most: each call into Go gives the GIL away and takes it again."""


def acknowledge_soon(token: int) -> None:
    """As ``acknowledge``, with what follows: whoever calls it also calls ``acknowledge_settled`` before it waits."""
    _settled.append(token)
    if len(_settled) >= TOGETHER:
        acknowledge_settled()


def acknowledge_settled() -> None:
    """Acknowledges what was put off."""
    while _settled:
        tokens: list[int] = []
        with contextlib.suppress(IndexError):  # other threads take of them, too
            while len(tokens) < TOGETHER:
                tokens.append(_settled.popleft())
        if tokens and usable():
            state.lib.pyctd_event_ack_all(tokens, len(tokens))


def listen(client: Handle, on: bool) -> None:
    """Says whether a client's events are to come, if it is open: each that nobody takes costs as much as one that is
    taken."""
    if usable():
        with contextlib.suppress(errors.ClosedError):
            state.lib.pyctd_client_listen(client.number, int(on))


def set_stdio_config(handle: int, terminal: bool, stdin: str, stdout: str, stderr: str) -> None:
    """Gives the process other streams than its FIFOs; for the stdio callback of that handle, while it runs."""
    args = flatten((int(terminal), stdin, stdout, stderr))
    if failed := state.lib.pyctd_stdio_set_config(handle, *args):
        raise errors.BY_KIND[failed]("the streams of a process are set before it is made")
