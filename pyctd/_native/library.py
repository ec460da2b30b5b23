"""The state of the Go library in this process: not loaded, in use, unusable after a fork, or shut down."""

import logging
import os
import sys
import threading
from typing import Any, NamedTuple

from .. import errors

__all__ = [
    "Counts",
    "counts",
    "cut_off",
    "forked",
    "match_log_level",
    "refuse_closed",
    "refuse_forked",
    "state",
    "usable",
]

_WARNING, _INFO, _DEBUG = 3, 4, 5  # logrus levels
_LOGGERS = tuple(map(logging.getLogger, ("pyctd.libcontainerd", "pyctd.containerd")))


class Counts(NamedTuple):
    """The numbers of live objects on the Go side."""

    handles: int
    operations: int
    pending_events: int
    goroutines: int


class _State:
    """The loaded library, and whether this process may still use it."""

    def __init__(self) -> None:
        self.ffi: Any = None
        self.lib: Any = None
        self.lock = threading.Lock()
        self.pid: int | None = None  # of the process that loaded it or began to
        self.closed = False
        self.log_level = _WARNING


state = _State()


def _after_fork_in_child() -> None:
    if state.lib is not None:
        state.lib.pyctd_py_own(0)
    if state.pid is not None:
        state.pid = 0  # in its own PID namespace, a child can have the same PID as its parent


os.register_at_fork(after_in_child=_after_fork_in_child)


def forked() -> bool:
    """Whether this process was forked, by Python or C, from the one that loaded the library."""
    return state.pid is not None and state.pid != os.getpid()


def refuse_forked() -> None:
    """Raises ForkedError in a forked child."""
    if forked():
        raise errors.ForkedError(
            "pyctd was used before this process was forked, and its Go runtime does not survive a fork: "
            "make the client after the fork, or use multiprocessing's 'spawn' or 'forkserver'"
        )


def cut_off() -> bool:
    """Whether this is a daemon thread that is still running after the interpreter's exit began."""
    return state.closed and threading.current_thread() is not threading.main_thread()


def refuse_closed() -> None:
    """Raises ClosedError if the interpreter is exiting. A thread that the exit cuts off ends quietly instead,
    because that is not a bug in its program."""
    if state.closed:
        if cut_off():
            raise SystemExit
        raise errors.ClosedError("pyctd is shut down: the interpreter is exiting")


def usable() -> bool:
    """Whether Go may be called: it is loaded, this is not a forked child, and the interpreter is not exiting."""
    return state.lib is not None and not (state.closed or sys.is_finalizing() or forked())


def match_log_level() -> None:
    """Sets Go's log level to what Python's logging shows now. libcontainerd logs each event, and a record that nobody
    sees costs more than the event."""
    first, second = _LOGGERS
    if not (first.isEnabledFor(logging.INFO) or second.isEnabledFor(logging.INFO)):
        level = _WARNING
    elif not (first.isEnabledFor(logging.DEBUG) or second.isEnabledFor(logging.DEBUG)):
        level = _INFO
    else:
        level = _DEBUG
    if level != state.log_level:
        state.log_level = level
        state.lib.pyctd_set_log_level(level)


def counts() -> Counts:
    """Counts live objects on the Go side; all 0 if it is not loaded."""
    if not usable():
        return Counts(0, 0, 0, 0)
    out = state.ffi.new("pyctd_counts *")
    state.lib.pyctd_get_counts(out)
    return Counts(out.handles, out.operations, out.pending_events, out.goroutines)
