"""The only module that touches CFFI: calls, callbacks and the lifetimes of handles.

The life of a call: ``call`` starts an operation in Go, which answers with its number at once; the operation runs on a
goroutine; its completion lands on the call's queue and makes the queue's eventfd readable; ``call`` has been polling
that descriptor, so that other threads ran and Ctrl-C was heard, and now drains the queue.

The Go library is loaded by the first call that needs it, never by ``import pyctd``: the import stays cheap, and a
process may fork before it uses pyctd.
"""

from __future__ import annotations

import atexit
import logging
import math
import os
import select
import sys
import threading
import weakref
from collections.abc import Callable
from types import TracebackType
from typing import Any, NamedTuple, Protocol

from . import errors

__all__ = ["Completion", "Counts", "Handle", "NativeEvent", "NativeStdio", "call", "counts", "host"]

ABI_VERSION = 1
CANCEL_GRACE = 10.0
"""Seconds that an interrupted call waits for Go to tell how its cancelled operation ended."""
SHUTDOWN_GRACE_NS = 500_000_000
LOG_LEVEL = 5  # logrus's debug: Python's logging decides what is shown

_log = logging.getLogger("pyctd")


class Completion(NamedTuple):
    """The outcome of an operation that went well; pyctd.h tells what each field means."""

    code: int
    value: int
    sec: int
    nsec: int
    data: bytes
    detail: bytes = b""


class Counts(NamedTuple):
    """What is alive on the Go side."""

    handles: int
    operations: int
    pending_events: int
    goroutines: int


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


#: Set by pyctd._host when it is imported: that module is above this one.
host: Host | None = None


class _State:
    """The loaded library and what this process may still do with it."""

    def __init__(self) -> None:
        self.ffi: Any = None
        self.lib: Any = None
        self.lock = threading.Lock()
        self.forked = False
        self.closed = False


_state = _State()


def _after_fork_in_child() -> None:
    _state.forked = _state.lib is not None
    _state.lock = threading.Lock()


os.register_at_fork(after_in_child=_after_fork_in_child)


def usable() -> bool:
    """Whether Go may be called: it is loaded, this is not a forked child, and the interpreter is not on its way out."""
    return _state.lib is not None and not (_state.forked or _state.closed or sys.is_finalizing())


def load() -> Any:
    """The library; loaded when first asked for."""
    if _state.forked:
        raise errors.ForkedError(
            "pyctd was used before this process was forked, and its Go runtime does not survive a fork: "
            "make the client after the fork, or use multiprocessing's 'spawn' or 'forkserver'"
        )
    if _state.closed:
        _end_daemon_thread()
        raise errors.ClosedError("pyctd is shut down: the interpreter is exiting")
    if _state.lib is not None:
        return _state.lib
    with _state.lock:
        if _state.lib is None:
            _load()
    return _state.lib


def _load() -> None:
    from . import _ffi

    ffi, lib = _ffi.ffi, _ffi.lib
    if lib.pyctd_abi_version() != ABI_VERSION:
        raise ImportError(
            f"libpyctd speaks ABI {lib.pyctd_abi_version()}, this pyctd speaks {ABI_VERSION}: reinstall pyctd"
        )
    _define_callbacks(ffi)
    callbacks = ffi.new(
        "pyctd_callbacks *",
        (lib.pyctd_py_on_events, lib.pyctd_py_on_stdio, lib.pyctd_py_on_io, lib.pyctd_py_on_log),
    )
    if failed := lib.pyctd_init(callbacks, LOG_LEVEL):
        raise ImportError(f"libpyctd did not initialise: {failed}")
    _state.ffi, _state.lib = ffi, lib
    atexit.register(_shutdown)


def _shutdown() -> None:
    if usable():
        _state.closed = True
        _state.lib.pyctd_shutdown(SHUTDOWN_GRACE_NS)


# -- callbacks: they run on Go's threads; nothing may escape from them, SystemExit included --------------------------


def _swallow(kind: type[BaseException], value: BaseException, trace: TracebackType) -> None:
    if not sys.is_finalizing():
        _log.error("a callback raised", exc_info=(kind, value, trace))


def _define_callbacks(ffi: Any) -> None:
    def text(data: Any, length: int) -> str:
        return str(ffi.buffer(data, length)[:], "utf-8", "replace") if data else ""

    @ffi.def_extern(name="pyctd_py_on_events", onerror=_swallow)  # type: ignore[misc]
    def on_events(events: Any, count: int) -> None:
        if host is not None and usable():
            host.events(
                [
                    NativeEvent(
                        e.cookie,
                        e.token,
                        e.type,
                        e.pid,
                        e.exit_code,
                        e.sec,
                        e.nsec,
                        text(e.container_id, e.container_id_len),
                        text(e.process_id, e.process_id_len),
                        text(e.error, e.error_len) if e.error else None,
                    )
                    for e in ffi.unpack(events, count)
                ]
            )

    @ffi.def_extern(name="pyctd_py_on_stdio", onerror=_swallow, error=0)  # type: ignore[misc]
    def on_stdio(cookie: int, io: Any) -> int:
        if host is None or not usable():
            return 0
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

    @ffi.def_extern(name="pyctd_py_on_io", onerror=_swallow)  # type: ignore[misc]
    def on_io(cookie: int, io_call: int) -> None:
        if host is not None and usable():
            host.io(cookie, io_call)

    @ffi.def_extern(name="pyctd_py_on_log", onerror=_swallow)  # type: ignore[misc]
    def on_log(level: int, message: Any, message_len: int, fields: Any, fields_len: int) -> None:
        if host is not None and usable():
            host.log(level, text(message, message_len), text(fields, fields_len))


# -- operations ------------------------------------------------------------------------------------------------------


class _Queue:
    """A completion queue, for one call at a time."""

    def __init__(self) -> None:
        lib = load()
        fd = _state.ffi.new("int32_t *")
        self.handle = lib.pyctd_queue_new(fd)
        if not self.handle:
            raise errors.ResourceExhaustedError(
                "no completion queue could be made: is the limit of open files reached?"
            )
        _finalize(self, self.handle)
        self.poll = select.poll()
        self.poll.register(fd[0], select.POLLIN)
        self.out = _state.ffi.new("pyctd_completion *")

    def take(self, timeout: float | None = None) -> tuple[int, Completion] | None:
        """The kind and the rest of the completion, waited for; None when the seconds run out first."""
        if not self.poll.poll(None if timeout is None else timeout * 1000):
            return None
        count = _state.lib.pyctd_queue_drain(self.handle, self.out, 1)
        if count < 0:
            raise errors.BY_KIND[-count]("the completion queue is closed")
        done = self.out
        data, detail = _take_bytes(done.data, done.len), _take_bytes(done.detail, done.detail_len)
        return done.kind, Completion(done.code, done.value, done.sec, done.nsec, data, detail)


def _take_bytes(data: Any, length: int) -> bytes:
    if not data:
        return b""
    taken: bytes = _state.ffi.buffer(data, length)[:]
    _state.lib.pyctd_free(data)
    return taken


# Queues that no call uses now. One for each thread would be kept for as long as the thread lives, and Go's threads, on
# which callbacks call back into pyctd, live as long as the process.
_idle: list[_Queue] = []
IDLE_LIMIT = 16


def idle_queues() -> int:
    """How many queues, each a handle and a descriptor, are kept for reuse."""
    return len(_idle)


def _take_queue() -> _Queue:
    try:
        return _idle.pop()
    except IndexError:
        return _Queue()


def _timeout_ns(timeout: float | None) -> int:
    if timeout is None:
        return -1
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or math.isnan(timeout) or timeout < 0:
        raise errors.InvalidArgumentError(f"timeout must be None or a number of seconds from 0 up, not {timeout!r}")
    return min(int(min(timeout, 1e10) * 1e9), 2**63 - 1)


def _flatten(args: tuple[Any, ...]) -> list[Any]:
    flat: list[Any] = []
    for arg in args:
        if isinstance(arg, str):
            try:
                arg = arg.encode()
            except UnicodeEncodeError as error:
                raise errors.InvalidArgumentError(f"not valid Unicode: {arg!r}") from error
        if isinstance(arg, bytes):
            flat += (arg, len(arg))
        elif isinstance(arg, Handle):
            flat.append(arg.number)
        else:
            flat.append(arg)
    return flat


def call(name: str, timeout: float | None, *args: str | bytes | int | Handle) -> Completion:
    """Runs the operation ``pyctd_<name>`` and returns its outcome.

    Strings are encoded and passed with their lengths. An exception that interrupts the wait, Ctrl-C above all, cancels
    the operation and is raised once Go has told how it ended; what it may have made is released.

    Raises:
        Error: what went wrong, as the class of its kind with Go's text.
    """
    lib = load()
    timeout_ns = _timeout_ns(timeout)
    flat = _flatten(args)
    queue = _take_queue()
    try:
        op = getattr(lib, "pyctd_" + name)(queue.handle, timeout_ns, *flat)
    except OverflowError as error:
        raise errors.InvalidArgumentError(f"a number is out of range: {error}") from error
    if op < 0:
        raise errors.BY_KIND[-op](f"{name} could not be started")
    try:
        done = queue.take()
    except BaseException as interrupt:
        # The queue is not used again: if the grace runs out, or is interrupted too, then the completion that is still
        # to come is Go's to dispose of, which it does when the queue is gone.
        lib.pyctd_cancel(op)
        done = queue.take(CANCEL_GRACE)
        if done is not None and done[0] == 0:
            _disown(done[1])
            if hasattr(interrupt, "add_note"):  # Python 3.10 has no notes
                interrupt.add_note(f"pyctd: {name} had succeeded by the time that it was interrupted")
        raise
    assert done is not None
    if len(_idle) < IDLE_LIMIT:
        _idle.append(queue)
    kind, completion = done
    if kind:
        if _state.closed:
            _end_daemon_thread()
        reason = errors.CriuError(completion.detail.decode("utf-8", "replace")) if completion.detail else None
        raise errors.BY_KIND.get(kind, errors.UnknownError)(completion.data.decode("utf-8", "replace")) from reason
    return completion


def _end_daemon_thread() -> None:
    """Ends a thread whose call was cut off by the interpreter's exit: quietly, for that is no error of its program."""
    if threading.current_thread() is not threading.main_thread():
        raise SystemExit


def _disown(completion: Completion) -> None:
    if completion.value >> 32:
        _release(completion.value)
    elif completion.value:
        os.close(completion.value)


def acknowledge(token: int, error: str) -> None:
    """Lets the next event of the same container come."""
    if usable():
        text = error.encode("utf-8", "replace")
        _state.lib.pyctd_event_ack(token, text, len(text))


def set_stdio_config(handle: int, terminal: bool, stdin: str, stdout: str, stderr: str) -> None:
    """Gives the process other streams than its FIFOs; for the stdio callback of that handle, while it runs."""
    args = _flatten((int(terminal), stdin, stdout, stderr))
    if failed := load().pyctd_stdio_set_config(handle, *args):
        raise errors.BY_KIND[failed]("the streams of a process are set before it is made")


def counts() -> Counts:
    """What is alive on the Go side; all 0 while it is not loaded."""
    if not usable():
        return Counts(0, 0, 0, 0)
    out = _state.ffi.new("pyctd_counts *")
    _state.lib.pyctd_get_counts(out)
    return Counts(out.handles, out.operations, out.pending_events, out.goroutines)


# -- handles ---------------------------------------------------------------------------------------------------------


def _release(number: int) -> None:
    if usable():
        _state.lib.pyctd_release(number)


def _finalize(owner: object, number: int) -> weakref.finalize[[int], object]:
    """Releases a handle with its owner; not at exit, where the shutdown of the library takes all of them at once."""
    finalizer = weakref.finalize(owner, _release, number)
    finalizer.atexit = False  # type: ignore[misc]
    return finalizer


class Handle:
    """Owns one handle: released by ``close``, or when nothing refers to it any more."""

    def __init__(self, number: int, what: str, on_close: Callable[[], object] | None = None) -> None:
        self._number = number
        self._what = what
        self._on_close = on_close
        self._finalizer = _finalize(self, number)

    @property
    def number(self) -> int:
        """The number to pass to Go. Raises ClosedError when closed."""
        if not self._finalizer.alive:
            raise errors.ClosedError(f"{self._what} is closed")
        return self._number

    @property
    def closed(self) -> bool:
        """Whether it is closed."""
        return not self._finalizer.alive

    def close(self) -> None:
        """Releases the handle; a second time does nothing."""
        self._finalizer()

    def disown(self) -> None:
        """Forgets the handle, which Go has released already."""
        self._finalizer.detach()
