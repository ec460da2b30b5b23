"""Connects the user's terminal to a process: raw mode, window size, and restoring the terminal afterwards."""

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

#: Restores a terminal if the program that started this guard ends without doing so, for example when it is killed. The
#: guard's stdin then ends before a line has arrived.
_GUARD = 'read -r _ || "$1" "$0" <&1'


class RawMode:
    """Keeps a terminal in raw mode until ``leave``, or until this program ends in any way."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._lock = threading.Lock()
        self._before = termios.tcgetattr(fd)
        self._guard: subprocess.Popen[bytes] | None = None
        with contextlib.suppress(OSError, subprocess.CalledProcessError):  # no stty: ``leave`` and atexit remain
            stty = _programs.find("stty") or "/bin/stty"
            saved = subprocess.run([stty, "-g"], stdin=fd, capture_output=True, check=True).stdout.decode().strip()
            self._guard = subprocess.Popen(
                ["/bin/sh", "-c", _GUARD, saved, stty],
                stdin=subprocess.PIPE,
                stdout=fd,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # typed keys and a hang-up must not end it before us
            )
        self._left = False
        atexit.register(self.leave)
        tty.setraw(fd, termios.TCSANOW)

    def leave(self) -> None:
        """Restores the terminal. A second call does nothing, nor does a call in a forked child."""
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
    """Makes SIGWINCH wake the resizers, and then call its previous handler. Raises ValueError off the main thread."""
    before = signal.getsignal(signal.SIGWINCH)

    def changed(number: int, frame: FrameType | None) -> None:
        for resizer in tuple(_resizers):
            resizer.look.put(True)
        if callable(before):
            before(number, frame)

    signal.signal(signal.SIGWINCH, changed)


class Resizer(threading.Thread):
    """Keeps a process's terminal at the size of the user's terminal.

    It has its own thread, because a signal handler runs in the middle of the call that it interrupts. A handler must
    not take a lock either, hence the simple queue.
    """

    INTERVAL = 0.5
    """Polling interval in seconds where SIGWINCH can't be handled: only the main thread can install a handler."""

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
        """Checks the size whenever it may have changed: the body of the thread."""
        name_thread(self.name)
        size: os.terminal_size | None = None
        _resizers.append(self)
        goes_on = True
        while goes_on:
            with contextlib.suppress(OSError, errors.Error):  # the terminal or the process is gone
                if (now := os.get_terminal_size(self._fd)) != size:
                    size = now
                    if self._redraw:  # like docker attach: a program redraws when its size changes
                        self._redraw = False
                        self._control.resize(size.columns + 1, size.lines + 1)
                    self._control.resize(size.columns, size.lines)
            with contextlib.suppress(queue.Empty):
                goes_on = self.look.get(timeout=self._interval)
        _resizers.remove(self)


class TerminalIO(PumpedIO):
    """The IO of a process that is connected to the user's terminal.

    Args:
        dio, pumps, opened: as for ``PumpedIO``.
        input: the descriptor of the terminal to make raw; None: none.
        output: the descriptor of the terminal whose size the process gets.
        on_detach: called when the user has detached from the process.
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
        self._settled = threading.Event()  # the process runs or has ended
        # Set before the process starts, so that none of its input or output is lost or changed.
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
        """Keeps the process's terminal at the size of the user's, unless the process has already ended."""
        super().on_started(control, attached=attached)
        with self._lock:
            if not self._over:
                self._resizer = Resizer(self._output, control, redraw=attached)
        self._settled.set()

    def _pump_ended(self, pump: Pump) -> None:
        if isinstance(pump, Reader):  # the process has closed its terminal
            self._give_back()
        super()._pump_ended(pump)
        if isinstance(pump, Writer) and pump.detached:
            self._detached()

    def _detached(self) -> None:
        self._settled.wait()  # detaching from a process that is still starting could undo its start
        if not self._give_back():
            return
        self.detach()
        try:
            self._context.run(self._on_detach)
        except Exception:
            _log.exception("on_detach raised")

    def close(self) -> None:
        """``IO.close``: first restores the user's terminal."""
        self._give_back()
        super().close()

    def _give_back(self) -> bool:
        """Restores the terminal. Returns False if that was done before."""
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
