"""A person's terminal, lent to a process: raw mode, its size, and its way back to what it was."""

from __future__ import annotations

import atexit
import contextlib
import contextvars
import functools
import logging
import os
import queue
import signal
import subprocess
import termios
import threading
import tty
from collections.abc import Callable
from types import FrameType

from .. import _native, _programs, errors
from .._threads import name_thread
from .builtin import Control
from .direct import DirectIO
from .pumped import PumpedIO
from .pumps import Pump, Reader, Writer

__all__ = ["TerminalIO"]

_log = logging.getLogger("pyctd.stdio")

#: Puts a terminal back when the program that it was started by ends without having done so itself, killed for example:
#: then its stdin ends before a line has come.
_GUARD = 'read -r _ || "$1" "$0" <&1'


class RawMode:
    """Raw mode of a terminal, until ``leave`` or the end of this program, whatever ends it."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._lock = threading.Lock()
        self._before = termios.tcgetattr(fd)
        self._guard: subprocess.Popen[bytes] | None = None
        with contextlib.suppress(OSError, subprocess.CalledProcessError):  # no stty: the ordinary ways back remain
            stty = _programs.find("stty") or "/bin/stty"
            saved = subprocess.run([stty, "-g"], stdin=fd, capture_output=True, check=True).stdout.decode().strip()
            self._guard = subprocess.Popen(
                ["/bin/sh", "-c", _GUARD, saved, stty],
                stdin=subprocess.PIPE,
                stdout=fd,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # what is typed, and a hang-up, must not end it before us
            )
        self._left = False
        atexit.register(self.leave)
        tty.setraw(fd, termios.TCSANOW)

    def leave(self) -> None:
        """Puts the terminal back as it was; a second time does nothing, and neither does a forked child."""
        if _native.forked():
            return
        with self._lock:
            if self._left:
                return
            self._left = True
        with contextlib.suppress(termios.error):  # the terminal is gone
            termios.tcsetattr(self._fd, termios.TCSANOW, self._before)
        if self._guard is not None:
            self._guard.communicate(b"\n")
        atexit.unregister(self.leave)


_resizers: list[Resizer] = []


@functools.cache
def _hear_of_sizes() -> None:
    """Wakes the resizers on SIGWINCH, beside whatever handled it before. Raises ValueError off the main thread."""
    before = signal.getsignal(signal.SIGWINCH)

    def changed(number: int, frame: FrameType | None) -> None:
        for resizer in tuple(_resizers):
            resizer.look.put(True)
        if callable(before):
            before(number, frame)

    signal.signal(signal.SIGWINCH, changed)


class Resizer(threading.Thread):
    """Gives a process the size of a terminal, and each new one.

    It does so on a thread of its own, for a signal's handler runs in the midst of the call that it interrupts; nor may
    a handler take a lock, hence the simple queue.
    """

    INTERVAL = 0.5
    """Seconds between two looks, where no signal can be heard: only the main thread may ask for them."""

    def __init__(self, fd: int, control: Control, redraw: bool) -> None:
        super().__init__(name="pyctd-resize", daemon=True)
        self._redraw = redraw
        self.look: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._fd = fd
        self._control = control
        self._interval: float | None = None
        try:
            _hear_of_sizes()
        except ValueError:
            self._interval = self.INTERVAL
        self.start()

    def stop(self) -> None:
        """Ends the thread."""
        self.look.put(False)

    def run(self) -> None:
        """Looks at the size whenever there may be a new one: the thread's own."""
        name_thread(self.name)
        size: os.terminal_size | None = None
        _resizers.append(self)
        goes_on = True
        while goes_on:
            with contextlib.suppress(OSError, errors.Error):  # the terminal or the process is gone
                if (now := os.get_terminal_size(self._fd)) != size:
                    size = now
                    if self._redraw:  # a program redraws at a change of size, as docker's attach has it
                        self._redraw = False
                        self._control.resize(size.columns + 1, size.lines + 1)
                    self._control.resize(size.columns, size.lines)
            with contextlib.suppress(queue.Empty):
                goes_on = self.look.get(timeout=self._interval)
        _resizers.remove(self)


class TerminalIO(PumpedIO):
    """The IO of a process that has a person's terminal.

    Args:
        dio, pumps, opened: as ``PumpedIO``'s.
        input: the descriptor of the terminal to make raw; None leaves it as it is.
        output: the descriptor of the terminal whose size the process gets.
        on_detach: called when the person has detached from the process.
    """

    def __init__(
        self,
        dio: DirectIO,
        pumps: list[Pump],
        opened: contextlib.ExitStack,
        input: int | None,
        output: int,
        on_detach: Callable[[], object],
    ) -> None:
        self._output = output
        self._on_detach = on_detach
        self._context = contextvars.copy_context()
        self._settled = threading.Event()  # the process runs, or is over
        # Before the process starts: what is typed and written from then on is neither lost nor changed.
        self._raw = None if input is None else RawMode(input)
        self._resizer: Resizer | None = None
        self._over = False
        try:
            super().__init__(dio, pumps, opened)
        except BaseException:
            if self._raw is not None:
                self._raw.leave()
            self._over = True
            self._settled.set()
            raise

    def on_started(self, control: Control, *, attached: bool) -> None:
        """Keeps the process's terminal at the size of the person's, unless the process is over already."""
        super().on_started(control, attached=attached)
        with self._lock:
            if not self._over:
                self._resizer = Resizer(self._output, control, redraw=attached)
        self._settled.set()

    def _pump_ended(self, pump: Pump) -> None:
        if isinstance(pump, Reader):  # the process has let go of its terminal
            self._give_back()
        super()._pump_ended(pump)
        if isinstance(pump, Writer) and pump.detached:
            self._detached()

    def _detached(self) -> None:
        self._settled.wait()  # whoever takes leave of a process that is still being started may undo its start
        if not self._give_back():
            return
        self.detach()
        try:
            self._context.run(self._on_detach)
        except Exception:
            _log.exception("on_detach raised")

    def close(self) -> None:
        """``IO.close``: gives the terminal back first."""
        self._give_back()
        super().close()

    def _give_back(self) -> bool:
        """Puts the terminal back as it was; False if that was done before."""
        with self._lock:
            first, self._over = not self._over, True
            raw, self._raw = self._raw, None
            resizer, self._resizer = self._resizer, None
        if resizer is not None:
            resizer.stop()
        if raw is not None:
            raw.leave()
        self._settled.set()
        return first
