"""Carries an interrupt past Go.

Go may call a stdio callback's IO on the very thread that called Go. What a signal's handler raises there (Ctrl-C, say)
can't unwind Go's stack: it is held until the call to Go has returned, and raised then.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

__all__ = ["hold", "interrupts_pass"]

_held: list[BaseException] | None = None
"""What was raised during the main thread's current call to Go; None outside of one."""


@contextlib.contextmanager
def interrupts_pass() -> Iterator[None]:
    """Around a call to Go that may call an IO on this very thread: raises what was held when Go has returned."""
    global _held
    if not _on_main_thread():  # only the main thread runs signal handlers
        yield
        return
    held: list[BaseException] = []
    _held = held
    try:
        yield
    finally:
        _held = None
        if held:
            raise held[0]


def hold(raised: BaseException) -> bool:
    """Holds an interrupt until the call to Go has returned. False: it is an ordinary error, or no call is under way."""
    held = _held
    if held is None or isinstance(raised, Exception) or not _on_main_thread():
        return False
    held.append(raised)
    return True


def _on_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
