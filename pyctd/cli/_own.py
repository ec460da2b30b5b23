"""This program's own streams, or its terminal, for a process: all of its output arrives, or ``check`` says why not."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable

from .. import stdio
from ._leaving import leave

__all__ = ["Own"]

DETACH_KEYS = "ctrl-p,ctrl-q"
"""docker's, which leave the terminal of a process that runs on."""


class Own:
    """What a process gets of this program's streams.

    Args:
        stdin: whether it reads what comes here.
        terminal: whether it has the terminal.
        may_leave: whether a person can leave it behind, by the keys for that.
        unread: called when nobody reads its output any more.

    Attributes:
        callback: the stdio callback.
    """

    def __init__(self, *, stdin: bool, terminal: bool, may_leave: bool, unread: Callable[[], object]) -> None:
        self._unread = unread
        self._lost: list[tuple[str, OSError]] = []
        self.callback: stdio.inherit | stdio.terminal = (
            stdio.terminal(
                stdin=stdin,
                on_error=self._failed,
                detach_keys=DETACH_KEYS if stdin and may_leave else None,
                on_detach=leave,
            )
            if terminal
            else stdio.inherit(stdin=stdin, on_error=self._failed)
        )

    def _failed(self, stream: str, error: OSError) -> None:
        fd = 1 if stream == "stdout" else 2
        hung_up = error.errno == errno.EIO and stat.S_ISCHR(os.fstat(fd).st_mode)
        if isinstance(error, BrokenPipeError):
            self._unread()
        elif not hung_up:
            self._lost.append((stream, error))

    def whole(self) -> None:
        """Waits for all that an ended process wrote. The time that whoever reads it takes does not count."""
        self.callback.wait(patient=True)

    def check(self) -> None:
        """Raises OSError if what the process wrote could not be written."""
        for stream, error in self._lost:
            why = os.strerror(error.errno or 0)
            raise OSError(f"{stream} can't be written, and output is lost: {why}") from error
