"""Thread names for the system and its tools (gdb, top, /proc). Python sets none before 3.14."""

from __future__ import annotations

import contextlib
import sys
import threading

__all__ = ["EVENTS", "adopt_thread", "name_thread"]

EVENTS = "pyctd-events"
"""The name of threads that run event handlers."""

_adopted = threading.local()


def name_thread(name: str) -> str:
    """Names this thread, and with it the threads that C or Go start from it. Returns its previous name."""
    with contextlib.suppress(OSError), open("/proc/thread-self/comm", "r+") as comm:
        before = comm.read().rstrip("\n")
        comm.seek(0)
        comm.write(name)
        return before
    return name


def adopt_thread(name: str) -> None:
    """Makes this thread, which Go started, look like a Python thread: names it, and sets ``threading``'s trace and
    profile functions. Only the first call on a thread has an effect."""
    if hasattr(_adopted, "name"):
        return
    _adopted.name = name
    name_thread(name)
    threading.current_thread().name = name
    if trace := threading.gettrace():
        sys.settrace(trace)
    if profile := threading.getprofile():
        sys.setprofile(profile)
