"""Ways to leave a running container: docker's detach keys, and output that nobody reads any more."""

from __future__ import annotations

import signal
import threading
from types import FrameType

__all__ = ["Left", "Unread", "leave", "raise_left"]


class Left(BaseException):
    """The person at the terminal has left; the container runs on. Raised on the main thread, whatever it waits for.

    Attributes:
        exit_code: what the program ends with.
    """

    exit_code = 0


class Unread(Left):
    """Nobody reads the output any more. A program that does not heed it would end by SIGPIPE."""

    exit_code = 128 + signal.SIGPIPE


_how: type[Left] = Left


def leave(how: type[Left] = Left) -> None:
    """Raises it on the main thread."""
    global _how
    _how = how
    thread = threading.main_thread().ident
    assert thread is not None
    signal.pthread_kill(thread, signal.SIGALRM)


def raise_left(number: int, frame: FrameType | None) -> None:
    """The handler of SIGALRM in this program."""
    raise _how
