"""Handles, as Python owns them."""

from __future__ import annotations

import random
import signal
import time
from types import FrameType

import pytest

import pyctd
from pyctd import _native


class Came(Exception):
    """What the handler of a signal raises, as Ctrl-C raises KeyboardInterrupt."""


def make_and_drop(signal_after: float) -> None:
    """Handles, until a signal comes; for ten seconds at most."""
    until = time.monotonic() + 10
    signal.setitimer(signal.ITIMER_VIRTUAL, signal_after)
    while time.monotonic() < until:
        _native.Handle(1, "none")


def test_a_signal_that_comes_while_a_handle_is_let_go_is_not_lost() -> None:
    def come(number: int, frame: FrameType | None) -> None:
        raise Came

    _native.load()
    before = signal.signal(signal.SIGVTALRM, come)
    try:
        for _ in range(300):
            with pytest.raises(Came):
                make_and_drop(random.uniform(1e-4, 1e-3))
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def test_a_handle_that_is_closed() -> None:
    handle = _native.Handle(1, "none")
    handle.close()
    handle.close()
    assert handle.closed
    with pytest.raises(pyctd.ClosedError, match="none is closed"):
        _ = handle.number
