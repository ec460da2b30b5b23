"""The names of threads, as the system and its tools (gdb, top, /proc) see them: Python gives none before 3.14."""

from __future__ import annotations

import contextlib
import sys
import threading

__all__ = ["EVENTS", "adopt_thread", "name_thread"]

EVENTS = "pyctd-events"
"""The name of threads that run handlers of events."""

_adopted = threading.local()


def name_thread(name: str) -> str:
    """Names this thread, and with it those that C or Go will start from it; the name that it had."""
    with contextlib.suppress(OSError), open("/proc/thread-self/comm", "r+") as comm:
        before = comm.read().rstrip("\n")
        comm.seek(0)
        comm.write(name)
        return before
    return name


def adopt_thread(name: str) -> None:
    """Makes this thread, which Go has started, look like one of Python's: with a name, and traced and profiled as
    ``threading`` has it. Only the first time on each thread does anything."""
    if hasattr(_adopted, "name"):
        return
    _adopted.name = name
    name_thread(name)
    threading.current_thread().name = name
    if trace := threading.gettrace():
        sys.settrace(trace)
    if profile := threading.getprofile():
        sys.setprofile(profile)
