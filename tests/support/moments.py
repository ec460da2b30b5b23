"""Interrupts that come at a chosen moment, as Ctrl-C may come at any."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

import pyctd

OURS = str(Path(pyctd.__file__).parent)


class Interrupt:
    """Raises KeyboardInterrupt on this thread, once, and keeps it: before the line or instruction of pyctd's code that
    has the number, or at the first call of the function of that name.

    An interpreter looks for signals at fewer moments, but which they are changes from version to version.
    """

    def __init__(self, at: int | str, within: str = "") -> None:
        self.came = False
        self.told: BaseException | None = None
        self._at = at
        self._within = within
        self._seen = 0

    def __enter__(self) -> Interrupt:
        sys.settrace(self._trace)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> bool:
        sys.settrace(None)
        self.told = value and value.__context__
        return self.came and kind is KeyboardInterrupt

    def _trace(self, frame: FrameType, event: str, arg: Any) -> Any:
        code = frame.f_code
        if self.came or not code.co_filename.startswith(OURS) or self._within not in code.co_name:
            return None
        if event == "call":
            if code.co_name == self._at:
                self._come()
            frame.f_trace_opcodes = isinstance(self._at, int)
        elif event in ("line", "opcode"):  # from Python 3.12 on a function's first call has no opcodes
            self._seen += 1
            if self._seen == self._at:
                self._come()
        return self._trace

    def _come(self) -> None:
        self.came = True
        raise KeyboardInterrupt


def at_every_moment(call: Callable[[], object], within: str = "") -> Iterator[Interrupt]:
    """Calls it again and again, interrupted at one moment after another, until it comes to its end."""
    for moment in itertools.count(1):
        with Interrupt(moment, within) as interrupt:
            call()
        if not interrupt.came:
            assert moment > 10, "nothing was traced"
            return
        yield interrupt
