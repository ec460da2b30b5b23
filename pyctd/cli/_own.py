"""This program's own streams, or its terminal, for a process: what comes out of that gets there whole."""

from __future__ import annotations

from .. import stdio

__all__ = ["Inherited", "Own", "Terminal"]


class Own(stdio._Callback):
    """What the two below share."""

    def whole(self) -> None:
        """Waits, once the process has ended, for all that it wrote; the time that whoever reads it takes is his own."""
        if self._io is not None:
            self._io.drain(patient=True)


class Inherited(Own, stdio.inherit):
    """``stdio.inherit``, whole."""


class Terminal(Own, stdio.terminal):
    """``stdio.terminal``, whole."""
