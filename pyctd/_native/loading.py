"""Loads the Go library when it is first needed, and shuts it down at exit."""

import atexit
import ctypes
import mmap
import os
import resource
import sys
import time
from typing import Any

from .. import errors
from .._threads import name_thread
from . import externs
from .library import refuse_closed, refuse_forked, state, usable

__all__ = ["load"]

SHUTDOWN_GRACE_NS = 500_000_000
UNDO = 10.0
"""Seconds that the interpreter's exit waits for Go to undo interrupted calls. A daemon that hangs never answers."""
UNDO_SLICE_NS = 100_000_000
NEEDED_DESCRIPTORS = 16
NEEDED_MIB = 2500
"""Address space needed if it is limited. Go reserves 1,000 MiB at once but uses little; each thread takes up to 136."""


def load() -> Any:
    """Returns the library; the first call loads it."""
    if state.lib is not None and not state.closed and state.pid == os.getpid():  # the common case
        return state.lib
    refuse_forked()
    refuse_closed()
    state.pid = os.getpid()  # before taking the lock: a child forked meanwhile must not wait for it
    with state.lock:
        if state.lib is None:
            name = name_thread("pyctd-go")  # Go's threads inherit it
            try:
                _load()
            finally:
                name_thread(name)
    return state.lib


def _refuse_subinterpreter() -> None:
    """CFFI refuses subinterpreters with their own GIL. In others, Go's callbacks would enter the main interpreter."""
    get, number = ctypes.pythonapi.PyInterpreterState_Get, ctypes.pythonapi.PyInterpreterState_GetID
    get.restype, number.argtypes, number.restype = ctypes.c_void_p, [ctypes.c_void_p], ctypes.c_int64
    if number(get()) != 0:
        raise ImportError("pyctd does not support subinterpreters: use it in the main one, or in another process")


def _refuse_green_threads() -> None:
    """gevent and eventlet turn threads and locks into greenlets. Go's threads call back into Python but have no hub, so
    they would wait forever."""
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
    """While it is loaded, Go's runtime aborts the process if it gets no descriptor for its poller."""
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
    """Go's runtime aborts the process if it can't reserve its address space (``ulimit -v``)."""
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

    _refuse_subinterpreter()
    ffi, lib = _ffi.ffi, _ffi.lib
    if lib.pyctd_abi_version() != lib.PYCTD_ABI_VERSION:
        raise ImportError(
            f"libpyctd speaks ABI {lib.pyctd_abi_version()}, this pyctd speaks {lib.PYCTD_ABI_VERSION}: reinstall pyctd"
        )
    externs.define(ffi)
    failed = lib.pyctd_init(externs.structure(ffi, lib), state.log_level)
    if failed and failed != lib.PYCTD_ALREADY_EXISTS:  # initialised before: an interrupt came right after
        raise ImportError(f"libpyctd did not initialise: {failed}")
    lib.pyctd_py_own(1)
    state.ffi, state.lib = ffi, lib


# Registered on import, so that it runs after functions that the program registers later: those may still use pyctd.
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
    """Waits until Go has undone interrupted calls, which the process's exit would leave half done. It waits in slices,
    so that Ctrl-C can end the wait."""
    until = time.monotonic() + UNDO
    while state.lib.pyctd_undone(UNDO_SLICE_NS) and time.monotonic() < until:
        pass
