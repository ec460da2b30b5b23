"""The base of pyctd's built-in stdio callbacks, on threads and on event loops."""

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
    """The calls that a built-in IO gets in addition to those of Go's ``cio.IO``. By default they do nothing."""

    def on_started(self, control: Control, *, attached: bool) -> None:
        """Called once the process exists, by the call that created or attached to it and not on a Go thread.

        Args:
            control: what the IO may do to the process.
            attached: whether this is an attachment to an existing process.
        """

    def on_forgotten(self) -> None:
        """The last call, if the process was deleted through another object: close the streams at their end."""

    def drain(self, until: float = math.inf) -> bool:
        """Waits for the end of an exited process's output, for a bounded time and at most until ``until``
        (``time.monotonic``). Returns whether the end came."""
        return True


class BuiltInCallback:
    """A built-in stdio callback. It serves one process.

    Attributes:
        with_stdin: whether it has input to send, so that the process needs a stdin.
    """

    with_stdin: bool = False
    _used: bool = False
    _using: ClassVar[threading.Lock] = threading.Lock()

    def use(self) -> None:
        """Marks it as used by a process. Raises InvalidArgumentError the second time."""
        with self._using:
            self.refuse_used()
            self._used = True

    def refuse_used(self) -> None:
        """Raises InvalidArgumentError if a process already uses it."""
        if self._used:
            raise errors.InvalidArgumentError(
                f"this {type(self).__name__}() was used for a process already: make one for each"
            )
