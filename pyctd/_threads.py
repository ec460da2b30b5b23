"""The names of threads, as the system and its tools (gdb, top, /proc) see them: Python gives none before 3.14."""

from __future__ import annotations

import contextlib

__all__ = ["name_thread"]


def name_thread(name: str) -> str:
    """Names this thread, and with it those that C or Go will start from it; the name that it had."""
    with contextlib.suppress(OSError), open("/proc/thread-self/comm", "r+") as comm:
        before = comm.read().rstrip("\n")
        comm.seek(0)
        comm.write(name)
        return before
    return name
