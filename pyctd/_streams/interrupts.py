"""Carries an interrupt past Go.

Go may call a stdio callback's IO on the same thread that called Go. An exception that a signal handler raises there
(Ctrl-C, for example) can't unwind Go's stack. It is held and raised when the call to Go has returned.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

__all__ = ["hold", "interrupts_pass"]

_held: list[BaseException] | None = None
"""The exceptions held during the main thread's current call to Go; None outside of a call."""


@contextlib.contextmanager
def interrupts_pass() -> Iterator[None]:
    """Wraps a call to Go that may call an IO on the same thread. Raises the held exception when Go has returned."""
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
    """Holds an interrupt until the call to Go has returned. Returns False for ordinary errors, or outside of a call."""
    held = _held
    if held is None or isinstance(raised, Exception) or not _on_main_thread():
        return False
    held.append(raised)
    return True


def _on_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
