"""Passes this program's terminal or streams, and its signals, to a process."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import FrameType

import click

from ..errors import DeadlineExceededError, Error, UnavailableError
from ..process import Process
from ..stdio import IO, Config, DirectIO, StdioCallback
from ._leaving import Unread, leave, raise_left
from ._own import Own

__all__ = [
    "Forwarding",
    "NoTerminalError",
    "check_input",
    "end_on_signals",
    "exit_code",
    "forwarded_signals",
    "kept",
    "logged",
    "streams",
]

SIGNALS_UNTIL_KILL = 3
PATIENCE = 10.0
"""Seconds that containerd may take to accept a request to end."""
UNREAD_GRACE = 0.5
"""Seconds that a process has to end once it is told that nobody reads its output."""
REQUESTS_TO_END = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT}


def streams(tty: bool, interactive: bool, signals: Forwarding | None = None, *, may_leave: bool = True) -> Own:
    """A person's terminal, or whatever else this program has for streams.

    Args:
        tty: whether the process has a terminal.
        interactive: whether it reads what comes here.
        signals: what tells it when nobody reads its output any more, as a pipe would. None: this program then leaves.
        may_leave: whether a person can leave it behind, with the keys for that.
    """
    return Own(
        stdin=interactive,
        terminal=tty and os.isatty(1) and (os.isatty(0) or not interactive),
        may_leave=may_leave,
        unread=partial(leave, Unread) if signals is None else signals.tell_unread,
    )


def console_size(tty: bool) -> os.terminal_size | None:
    """The size of a person's terminal, for a process to have from its start."""
    try:
        return os.get_terminal_size(1) if tty else None
    except OSError:  # what is not a terminal has no size
        return None


def check_input(tty: bool, interactive: bool) -> None:
    """Refuses a stdin that is not a terminal for a process that has one, in docker's words and with its exit code."""
    if tty and interactive and not os.isatty(0):
        raise NoTerminalError("the input device is not a TTY")


class NoTerminalError(click.ClickException):
    """There is no terminal here for the process's."""

    exit_code = 1


def kept(dio: DirectIO) -> IO:
    """Leaves a process's streams open for a later attach. The process blocks once their pipes are full."""
    return dio


class _Logged:
    """The IO of a process whose output containerd's shim writes to the end of a file."""

    def __init__(self, dio: DirectIO, path: str) -> None:
        self._dio = dio
        self._path = Path(os.path.abspath(path))

    def config(self) -> Config:
        """The streams by two names of the file: of one name the shim closes it for both when stdout ends, and what
        stderr says then is lost. A path that the shim can't take for a URI has to be one, and with it one name."""
        if "%" in str(self._path):
            return Config(False, "", self._path.as_uri(), self._path.as_uri())
        return Config(False, "", f"{self._path}", f"{self._path.parent}/./{self._path.name}")

    def cancel(self) -> None:
        self._dio.cancel()

    def wait(self) -> None:
        pass

    def close(self) -> None:
        self._dio.close()


def logged(path: str) -> StdioCallback:
    """Has containerd's shim write the output to the end of a file, whoever else is there."""

    def attach(dio: DirectIO) -> IO:
        # The shim would make one that everybody may read. If it can't be made, that is for the shim to say.
        with contextlib.suppress(OSError):
            os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NONBLOCK, 0o600))
        return _Logged(dio, path)

    return attach


def _heeded(*numbers: signal.Signals) -> list[signal.Signals]:
    """Returns the given signals, except those ignored at startup (as under ``nohup``)."""
    return [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]


def end_on_signals() -> None:
    """Has the usual requests to end do so in order, so that what was started is taken down."""

    def end(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    for number in _heeded(signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, end)
    signal.signal(signal.SIGALRM, raise_left)


class Forwarding:
    """Sends signals of this program on to the process that it is told; what arrives earlier waits.

    The third request to end kills: an init process may ignore the others. A request that containerd does not take
    within PATIENCE, or since it is away, ends this program instead.

    Attributes:
        given_up: whether it has come to that.
        ended: to be set when the process has ended.
    """

    def __init__(self, numbers: list[signal.Signals]) -> None:
        self.given_up = False
        self._arrived: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._process: Process | None = None
        self._there = threading.Event()
        self._over = threading.Event()
        self.ended = threading.Event()
        # On a thread of its own: a signal's handler runs in the midst of the call that it interrupts.
        self._thread = threading.Thread(target=self._forward, name="pyctd-signals", daemon=True)
        self._before = {number: signal.signal(number, self._arrive) for number in numbers}
        self._thread.start()

    def _arrive(self, number: int, frame: FrameType | None) -> None:
        if self.given_up and number in REQUESTS_TO_END:
            raise SystemExit(128 + number)
        self._arrived.put(number)

    def tell_unread(self) -> None:
        """Sends the signal that a process gets whose output nobody reads, and leaves one that does not heed it."""
        self._arrived.put(signal.SIGPIPE)

    def to(self, process: Process) -> None:
        """Where they go."""
        self._process = process
        self._there.set()

    def _forward(self) -> None:
        ends = 0
        while number := self._arrived.get():
            ends += number in (signal.SIGINT, signal.SIGTERM)
            sent = self._send(signal.SIGKILL if ends >= SIGNALS_UNTIL_KILL else number)
            if number == signal.SIGPIPE and not self.ended.wait(UNREAD_GRACE) and not self._over.is_set():
                leave(Unread)
            if sent or self._over.is_set():
                continue
            if number in REQUESTS_TO_END:
                self.given_up = True
                thread = threading.main_thread().ident
                assert thread is not None
                signal.pthread_kill(thread, number)
            elif self._process is None:
                self._arrived.put(number)

    def _send(self, number: int) -> bool:
        """Whether the process has been sent it in time, or has ended."""
        self._there.wait(PATIENCE)
        if self._process is None:
            return False
        try:
            self._process.kill(number, timeout=PATIENCE)
        except (DeadlineExceededError, UnavailableError):
            return False
        except Error:
            pass
        return True

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Requests to end are this program's own meanwhile."""
        numbers = REQUESTS_TO_END & self._before.keys()
        for number in numbers:
            signal.signal(number, self._before[number])
        try:
            yield
        finally:
            for number in numbers:
                signal.signal(number, self._arrive)

    def close(self) -> None:
        """Has signals do what they did before, once what has arrived is sent, unless that takes long."""
        self._over.set()
        self._there.set()
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._arrived.put(0)
        self._thread.join(1.0)


@contextlib.contextmanager
def forwarded_signals(wanted: bool = True) -> Iterator[Forwarding]:
    """What sends this program's signals on; none where that is not wanted."""
    numbers = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2]
    forwarding = Forwarding(_heeded(*numbers) if wanted else [])
    try:
        yield forwarding
    finally:
        forwarding.close()


def exit_code(process: Process, own: Own, signals: Forwarding) -> int:
    """Waits for a process's end, passing signals on to it, and for all that it wrote, which may take whoever reads it
    any time: signals end this program then."""
    signals.to(process)
    code = process.wait().exit_code
    signals.ended.set()
    with signals.paused():
        own.whole()
    return code
