"""The Go library: loaded once, refused after a fork, shut down at exit; and the handles that it gives out."""

import atexit
import logging
import mmap
import os
import resource
import sys
import threading
import time
from typing import Any, NamedTuple

from .. import errors
from .._threads import name_thread

__all__ = [
    "Counts",
    "Handle",
    "counts",
    "cut_off",
    "forked",
    "load",
    "match_log_level",
    "refuse_closed",
    "refuse_forked",
    "release",
    "state",
    "usable",
]

SHUTDOWN_GRACE_NS = 500_000_000
UNDO = 10.0
"""Seconds that the interpreter's end waits for Go to undo what was cut off: a daemon that hangs never answers."""
UNDO_SLICE_NS = 100_000_000
NEEDED_DESCRIPTORS = 16
NEEDED_MIB = 2500
"""Of address space, where that is limited. Go reserves 1,000 at once and uses few; each thread takes up to 136 more."""

_WARNING, _INFO, _DEBUG = 3, 4, 5  # logrus's
_LOGGERS = tuple(map(logging.getLogger, ("pyctd.libcontainerd", "pyctd.containerd")))


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
        self.pid: int | None = None  # of the process that has loaded it, or begun to
        self.closed = False
        self.log_level = _WARNING


state = _State()


def _after_fork_in_child() -> None:
    if state.lib is not None:
        state.lib.pyctd_py_own(0)
    if state.pid is not None:
        state.pid = 0  # in a pid namespace of its own a child may have its parent's number


os.register_at_fork(after_in_child=_after_fork_in_child)


def forked() -> bool:
    """Whether this is a child of the process that has loaded the library, forked by Python or by C."""
    return state.pid is not None and state.pid != os.getpid()


def refuse_forked() -> None:
    """Raises ForkedError in a forked child."""
    if forked():
        raise errors.ForkedError(
            "pyctd was used before this process was forked, and its Go runtime does not survive a fork: "
            "make the client after the fork, or use multiprocessing's 'spawn' or 'forkserver'"
        )


def cut_off() -> bool:
    """Whether this is a daemon thread that the interpreter's exit leaves behind."""
    return state.closed and threading.current_thread() is not threading.main_thread()


def refuse_closed() -> None:
    """Raises ClosedError when the interpreter is exiting, but ends a thread that is cut off by that quietly: it is no
    error of its program."""
    if state.closed:
        if cut_off():
            raise SystemExit
        raise errors.ClosedError("pyctd is shut down: the interpreter is exiting")


def usable() -> bool:
    """Whether Go may be called: it is loaded, this is not a forked child, and the interpreter is not on its way out."""
    return state.lib is not None and not (state.closed or sys.is_finalizing() or forked())


def load() -> Any:
    """The library; loaded when first asked for."""
    if state.lib is not None and not state.closed and state.pid == os.getpid():  # nearly always
        return state.lib
    refuse_forked()
    refuse_closed()
    state.pid = os.getpid()  # before the lock: a child that is forked meanwhile must not wait for it
    with state.lock:
        if state.lib is None:
            name = name_thread("pyctd-go")  # which Go's threads inherit
            try:
                _load()
            finally:
                name_thread(name)
    return state.lib


def _refuse_subinterpreter() -> None:
    """CFFI refuses those with a GIL of their own; in the others Go's callbacks would enter the main interpreter."""
    import ctypes  # which takes longer than all that is loaded with it

    get, number = ctypes.pythonapi.PyInterpreterState_Get, ctypes.pythonapi.PyInterpreterState_GetID
    get.restype, number.argtypes, number.restype = ctypes.c_void_p, [ctypes.c_void_p], ctypes.c_int64
    if number(get()) != 0:
        raise ImportError("pyctd does not support subinterpreters: use it in the main one, or in another process")


def _refuse_green_threads() -> None:
    """gevent and eventlet make greenlets of threads and their locks. Go's threads, which call back into Python, have no
    hub and would wait for ever."""
    asked = (
        ("gevent", "gevent.monkey", "is_module_patched", "threading"),
        ("eventlet", "eventlet.patcher", "is_monkey_patched", "thread"),
    )
    for library, module, question, thread in asked:
        patched = getattr(sys.modules.get(module), question, lambda name: False)
        if patched(thread) or patched("select"):
            raise errors.FailedPreconditionError(
                f"{library} has patched thread or select, and pyctd needs the system's threads: leave them unpatched"
                " (thread=False, select=False), or use pyctd in a process of its own"
            )


def _refuse_few_descriptors() -> None:
    """Go's runtime ends the process when it finds no descriptor for its poller while it is loaded."""
    held: list[int] = []
    try:
        while len(held) < NEEDED_DESCRIPTORS:
            held.append(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        raise errors.ResourceExhaustedError(
            f"{len(held)} descriptors are left, and loading pyctd may take {NEEDED_DESCRIPTORS} ({error.strerror}): "
            "close some, or raise the limit of open files"
        ) from error
    finally:
        for fd in held:
            os.close(fd)


def _refuse_little_memory() -> None:
    """Go's runtime ends the process when it can't reserve its address space (``ulimit -v``)."""
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit == resource.RLIM_INFINITY:
        return
    try:
        mmap.mmap(-1, NEEDED_MIB << 20, mmap.MAP_PRIVATE, prot=0).close()
    except OSError as error:
        raise errors.ResourceExhaustedError(
            f"loading pyctd takes {NEEDED_MIB} MiB of address space, nearly all of it only reserved, and the limit of "
            f"{limit >> 20} MiB leaves less ({error.strerror}): raise it (ulimit -v)"
        ) from error


def _load() -> None:
    _refuse_green_threads()
    _refuse_few_descriptors()
    _refuse_little_memory()
    from .. import _ffi
    from . import _callbacks

    _refuse_subinterpreter()
    ffi, lib = _ffi.ffi, _ffi.lib
    if lib.pyctd_abi_version() != lib.PYCTD_ABI_VERSION:
        raise ImportError(
            f"libpyctd speaks ABI {lib.pyctd_abi_version()}, this pyctd speaks {lib.PYCTD_ABI_VERSION}: reinstall pyctd"
        )
    _callbacks.define(ffi)
    failed = lib.pyctd_init(_callbacks.structure(ffi, lib), state.log_level)
    if failed and failed != lib.PYCTD_ALREADY_EXISTS:  # as when an interrupt came after it the first time
        raise ImportError(f"libpyctd did not initialise: {failed}")
    lib.pyctd_py_own(1)
    state.ffi, state.lib = ffi, lib


def match_log_level() -> None:
    """Lets Go make the records that Python's logging would show now: libcontainerd has one for each event, and a record
    that nobody sees costs more than the event."""
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


# Registered with the import, so that it runs after what a program registers from then on: that may still use pyctd.
@atexit.register
def _shutdown() -> None:
    use = usable()
    try:
        if use:
            _see_undone()
    finally:
        state.closed = True
        if use:
            state.lib.pyctd_py_own(0)
            state.lib.pyctd_shutdown(SHUTDOWN_GRACE_NS)


def _see_undone() -> None:
    """Waits until what was cut off is undone, which the end of the process would leave half done. Ctrl-C ends the wait,
    which is why it comes in slices."""
    until = time.monotonic() + UNDO
    while state.lib.pyctd_undone(UNDO_SLICE_NS) and time.monotonic() < until:
        pass


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


class Handle:
    """Owns one handle: released by ``close``, or let go when nothing refers to it any more.

    ``close`` releases it at once: the IOs that a client has are closed when it returns, on this thread. The finalizer
    runs no code of Python's, neither its own nor an IO's, which is closed on a thread of Go's a little later. It may
    interrupt any code on any thread, so that a lock which an IO's ``close`` takes may be held by that very thread; and
    what a signal's handler raises in a finalizer is lost.

    Attributes:
        what: what it is, in words.
        container_id: the container that it is, or belongs to; None for others.
        process_id: the process that it is.
    """

    process_id: str | None = None

    def __init__(self, number: int, what: str, container_id: str | None = None) -> None:
        self._number = number
        self.what = what
        self.container_id = container_id
        self._owned = state.ffi.gc(state.ffi.cast("void *", number), state.lib.pyctd_py_release)
        self._closed = False

    @property
    def number(self) -> int:
        """The number to pass to Go. Raises ClosedError when closed."""
        if self._closed:
            raise errors.ClosedError(f"{self.what} is closed")
        return self._number

    @property
    def closed(self) -> bool:
        """Whether it is closed."""
        return self._closed

    def close(self) -> None:
        """Releases the handle; a second time does nothing."""
        self._closed = True
        release(self._number)
        state.ffi.release(self._owned)  # whose finalizer finds it released; where an interrupt came first, it does it

    def disown(self) -> None:
        """Forgets the handle, which Go has released already."""
        self._closed = True
        state.ffi.gc(self._owned, None)
