"""Ways to leave what runs on: docker's ctrl-p ctrl-q, where every other key is the container's, and output that nobody
reads any more."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable
from types import FrameType

from .._streams.pumps import Pump, Writer
from ..stdio import DirectIO
from ._own import Terminal

__all__ = ["Leaving", "Left", "Unread", "leave", "raise_left"]

KEYS = b"\x10\x11"


class Left(BaseException):
    """The person at the terminal has left; the container runs on. Raised on the main thread, whatever it waits for.

    Attributes:
        exit_code: what the program ends with.
    """

    exit_code = 0


class Unread(Left):
    """Nobody reads the output any more. A program that does not heed it would end by SIGPIPE."""

    exit_code = 128 + signal.SIGPIPE


class Leaving(Terminal):
    """A terminal with the keys."""

    def _pumps(self, dio: DirectIO, opened: contextlib.ExitStack) -> list[Pump]:
        pumps = super()._pumps(dio, opened)
        for pump in pumps:
            if isinstance(pump, Writer):
                pump.filter = _Keys(self._leave_what_runs)
        return pumps

    def _leave_what_runs(self) -> None:
        self.started.wait()  # to leave a start would undo it
        leave()


class _Keys:
    """Hands on what is typed until the keys come. The first of them waits for the next, as with docker."""

    def __init__(self, leave: Callable[[], object]) -> None:
        self._leave = leave
        self._held = b""
        self._left = False

    def __call__(self, data: bytes) -> bytes:
        if self._left:
            threading.Event().wait()  # for ever: a pump that ends closes the stdin of what is to run on
        typed, keys, _ = (self._held + data).partition(KEYS)
        if keys:
            self._left = True
            self._leave()
            return typed
        self._held = KEYS[:1] if typed.endswith(KEYS[:1]) else b""
        return typed.removesuffix(self._held)


_how: type[Left] = Left


def leave(how: type[Left] = Left) -> None:
    """Raises it on the main thread."""
    global _how
    _how = how
    thread = threading.main_thread().ident
    assert thread is not None
    signal.pthread_kill(thread, signal.SIGALRM)


def raise_left(number: int, frame: FrameType | None) -> None:
    """What SIGALRM does in this program."""
    raise _how
