"""What pyctd's built-in stdio callbacks share, on threads and on event loops."""

from __future__ import annotations

import math
import threading
from typing import ClassVar

from .. import _native, errors
from .._calls import operations, run

__all__ = ["BuiltInCallback", "BuiltInIO", "Control"]


class Control:
    """What a built-in IO may do to its process. Both calls block."""

    def __init__(self, process: _native.Handle) -> None:
        self.process = process

    def resize(self, width: int, height: int) -> None:
        """As ``Process.resize``."""
        run(operations.process_resize(self.process, width, height), None)

    def close_stdin(self) -> None:
        """As ``Process.close_stdin``."""
        run(operations.process_close_stdin(self.process), None)


class BuiltInIO:
    """The calls that a built-in IO gets beside those of Go's ``cio.IO``. Here they do nothing."""

    def on_started(self, control: Control, *, attached: bool) -> None:
        """The process is there. Called by the call that made it, not on a thread of Go's.

        Args:
            control: what the IO may do to the process.
            attached: whether the process ran before, and this is an attachment to it.
        """

    def on_forgotten(self) -> None:
        """The process was deleted through another object, so no further call comes: close the streams at their end."""

    def drain(self, until: float = math.inf) -> bool:
        """Waits for the end of an exited process's output: a bounded time, and at most until a moment of
        ``time.monotonic``. Returns whether the end came."""
        return True


class BuiltInCallback:
    """A built-in stdio callback. It serves one process.

    Attributes:
        with_stdin: whether it has something to send, so that the process needs a stdin.
    """

    with_stdin: bool = False
    _used: bool = False
    _using: ClassVar[threading.Lock] = threading.Lock()

    def use(self) -> None:
        """Takes it for a process. Raises InvalidArgumentError the second time."""
        with self._using:
            self.refuse_used()
            self._used = True

    def refuse_used(self) -> None:
        """Raises InvalidArgumentError if it has a process already."""
        if self._used:
            raise errors.InvalidArgumentError(
                f"this {type(self).__name__}() was used for a process already: make one for each"
            )
