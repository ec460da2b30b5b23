"""The Go library: loaded once, refused after a fork, shut down at exit; and the handles that it gives out."""

from __future__ import annotations

import atexit
import os
import sys
import threading
import weakref
from collections.abc import Callable
from typing import Any, NamedTuple

from .. import errors

__all__ = ["Counts", "Handle", "counts", "end_daemon_thread", "finalize", "load", "release", "state", "usable"]

ABI_VERSION = 1
SHUTDOWN_GRACE_NS = 500_000_000
LOG_LEVEL = 5  # logrus's debug: Python's logging decides what is shown


class Counts(NamedTuple):
    """What is alive on the Go side."""

    handles: int
    operations: int
    pending_events: int
    goroutines: int


class _State:
    """The loaded library and what this process may still do with it."""

    def __init__(self) -> None:
        self.ffi: Any = None
        self.lib: Any = None
        self.lock = threading.Lock()
        self.forked = False
        self.closed = False


state = _State()


def _after_fork_in_child() -> None:
    state.forked = state.lib is not None
    state.lock = threading.Lock()


os.register_at_fork(after_in_child=_after_fork_in_child)


def usable() -> bool:
    """Whether Go may be called: it is loaded, this is not a forked child, and the interpreter is not on its way out."""
    return state.lib is not None and not (state.forked or state.closed or sys.is_finalizing())


def load() -> Any:
    """The library; loaded when first asked for."""
    if state.forked:
        raise errors.ForkedError(
            "pyctd was used before this process was forked, and its Go runtime does not survive a fork: "
            "make the client after the fork, or use multiprocessing's 'spawn' or 'forkserver'"
        )
    if state.closed:
        end_daemon_thread()
        raise errors.ClosedError("pyctd is shut down: the interpreter is exiting")
    if state.lib is not None:
        return state.lib
    with state.lock:
        if state.lib is None:
            _load()
    return state.lib


def _load() -> None:
    from .. import _ffi
    from . import _callbacks

    ffi, lib = _ffi.ffi, _ffi.lib
    if lib.pyctd_abi_version() != ABI_VERSION:
        raise ImportError(
            f"libpyctd speaks ABI {lib.pyctd_abi_version()}, this pyctd speaks {ABI_VERSION}: reinstall pyctd"
        )
    _callbacks.define(ffi)
    callbacks = ffi.new(
        "pyctd_callbacks *",
        (lib.pyctd_py_on_events, lib.pyctd_py_on_stdio, lib.pyctd_py_on_io, lib.pyctd_py_on_log),
    )
    if failed := lib.pyctd_init(callbacks, LOG_LEVEL):
        raise ImportError(f"libpyctd did not initialise: {failed}")
    state.ffi, state.lib = ffi, lib
    atexit.register(_shutdown)


def _shutdown() -> None:
    if usable():
        state.closed = True
        state.lib.pyctd_shutdown(SHUTDOWN_GRACE_NS)


def end_daemon_thread() -> None:
    """Ends a thread whose call was cut off by the interpreter's exit: quietly, for that is no error of its program."""
    if threading.current_thread() is not threading.main_thread():
        raise SystemExit


def counts() -> Counts:
    """What is alive on the Go side; all 0 while it is not loaded."""
    if not usable():
        return Counts(0, 0, 0, 0)
    out = state.ffi.new("pyctd_counts *")
    state.lib.pyctd_get_counts(out)
    return Counts(out.handles, out.operations, out.pending_events, out.goroutines)


def release(number: int) -> None:
    if usable():
        state.lib.pyctd_release(number)


def finalize(owner: object, number: int) -> weakref.finalize[[int], object]:
    """Releases a handle with its owner; not at exit, where the shutdown of the library takes all of them at once."""
    finalizer = weakref.finalize(owner, release, number)
    finalizer.atexit = False  # type: ignore[misc]
    return finalizer


class Handle:
    """Owns one handle: released by ``close``, or when nothing refers to it any more."""

    def __init__(self, number: int, what: str, on_close: Callable[[], object] | None = None) -> None:
        self._number = number
        self._what = what
        self._on_close = on_close
        self._finalizer = finalize(self, number)

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
