"""``PumpedIO``: the IO of a process whose bytes threads move, and its timeouts for the end of the output."""

from __future__ import annotations

import contextlib
import logging
import math
import threading
import time
from collections.abc import Callable, Sequence

from .. import errors
from .builtin import BuiltInIO, Control
from .direct import Config, DirectIO, let_go, release
from .pumps import Pump, Reader, Writer

__all__ = ["GRACE", "PumpedIO", "grace_end", "warn_of_late_end"]

_log = logging.getLogger("pyctd.stdio")

GRACE = 2.0
"""Seconds to wait for the end of an exited process's output, as in dockerd. A child that it left behind can hold its
streams open forever."""
SETTLING = 0.1
"""Seconds to wait again after that: containerd closes its side when the process is deleted."""


class PumpedIO(BuiltInIO):
    """The IO of a process whose streams are pumped.

    Args:
        dio: the process's streams.
        pumps: the threads that move the bytes.
        opened: the files that the pumps use; closed when the last pump has ended.
    """

    def __init__(self, dio: DirectIO, pumps: list[Pump], opened: contextlib.ExitStack) -> None:
        self._dio = dio
        self._pumps = pumps
        self._opened = opened
        self._lock = threading.Lock()
        self._left = len(pumps)
        self._forgotten = False
        self._close_stdin: Callable[[], object] | None = None
        self._stdin_ended = False
        self._first_drain: tuple[float, list[float]] | None = None  # the time, and each reader's ``taken()`` then
        if not pumps:
            opened.close()
        for started, pump in enumerate(pumps):
            pump.at_end = self._pump_ended
            try:
                pump.start()
            except Exception:  # out of threads or descriptors
                for other in pumps[:started]:
                    other.stop()
                self._leave(len(pumps) - started)
                raise

    def _pump_ended(self, pump: Pump) -> None:
        with self._lock:
            close_stdin = self._close_stdin
            closes = isinstance(pump, Writer) and not pump.terminal
            self._stdin_ended |= closes
        if closes and close_stdin is not None:
            _tell(close_stdin)
        self._leave(1)

    def _leave(self, pumps: int) -> None:
        """Records that so many pumps no longer use ``opened``. After the last, closes it."""
        with self._lock:
            self._left -= pumps
            last = self._left == 0
            forgotten = self._forgotten
        if last:
            self._opened.close()
            if forgotten:
                release(self._dio)

    def on_forgotten(self) -> None:
        """As ``BuiltInIO.on_forgotten``."""
        with self._lock:
            self._forgotten = True
            over = self._left == 0
        for pump in self._pumps:
            if isinstance(pump, Writer):  # which nobody reads any more
                pump.stop()
        if over:
            release(self._dio)

    def on_started(self, control: Control, *, attached: bool) -> None:
        """Closes an attached stdin in containerd when it ends. libcontainerd does so only for a stdin that it made.

        The caller may be an event loop, so this does not wait for CloseIO.
        """
        if not attached:
            return
        with self._lock:
            self._close_stdin = control.close_stdin
            ended = self._stdin_ended
        if ended:
            telling = threading.Thread(target=_tell, args=(control.close_stdin,), name="pyctd-stdin", daemon=True)
            try:
                telling.start()
            except RuntimeError:  # can't start a thread
                _tell(control.close_stdin)

    def config(self) -> Config:
        """``IO.config``: the DirectIO's own streams."""
        return self._dio.config()

    def cancel(self) -> None:
        """``IO.cancel``: does nothing. Go cancels the DirectIO itself, which ends pumps that wait for their streams."""

    @property
    def _readers(self) -> list[Reader]:
        return [pump for pump in self._pumps if isinstance(pump, Reader)]

    def _drain_began(self) -> tuple[float, list[float]]:
        if self._first_drain is None:
            self._first_drain = time.monotonic(), [pump.taken() for pump in self._readers]
        return self._first_drain

    def drain(self, until: float = math.inf) -> bool:
        """Waits for the ends of stdout and stderr, at most GRACE seconds after the first such wait began, and at most
        until ``until``. Returns whether they came."""
        began, _ = self._drain_began()
        return _join(self._readers, min(began + GRACE, until))

    def detach(self) -> None:
        """Detaches from a running process: stops the pumps, so that the next client to attach is its only reader."""
        for pump in self._pumps:
            pump.stop()
        _join(self._pumps, time.monotonic() + GRACE)

    def drain_patiently(self) -> bool:
        """Like ``drain``, but does not count the time that the receivers take."""
        return _join_patiently(self._readers, *self._drain_began())

    def wait(self) -> None:
        """``IO.wait``: like ``drain``, but logs output that did not end."""
        began, _ = self._drain_began()
        if not _join(self._readers, grace_end(began)):
            warn_of_late_end(self.config())

    def close(self) -> None:
        """``IO.close``: stops the pumps and closes the streams."""
        for pump in self._pumps:
            pump.stop()
        began, _ = self._drain_began()
        _join(self._pumps, grace_end(began))  # so that the next client to attach is their only reader
        taken = [pump.stream for pump in self._pumps]
        for stream in (self._dio.stdin, self._dio.stdout, self._dio.stderr):
            if stream is not None and stream not in taken:
                let_go(stream)


def warn_of_late_end(config: Config) -> None:
    """Logs that an exited process's output has not ended."""
    _log.warning(
        "%s did not end with its process within %g s: something that the process left behind holds it, "
        "or its receiver blocks",
        config.stdout,
        GRACE,
    )


def grace_end(first: float) -> float:
    """The deadline of another wait for the end of an exited process's output. The first wait began at ``first``."""
    return max(time.monotonic() + SETTLING, first + GRACE)


def _join(pumps: Sequence[Pump], until: float) -> bool:
    """Waits for pumps to end, at most until ``until``, but not for the current thread. Returns whether they did."""
    others = [pump for pump in pumps if pump is not threading.current_thread()]
    for pump in others:
        pump.join(max(0.0, until - time.monotonic()))
    return not any(pump.is_alive() for pump in others)


def _join_patiently(readers: list[Reader], began: float, before: list[float]) -> bool:
    """Like _join, until GRACE seconds after ``began`` plus the time that the receivers have taken beyond ``before``."""
    for pump, taken in zip(readers, before, strict=True):
        while pump.is_alive() and (left := began + GRACE + pump.taken() - taken - time.monotonic()) > 0:
            pump.join(max(left, GRACE / 10))
    return not any(pump.is_alive() for pump in readers)


def _tell(close_stdin: Callable[[], object]) -> None:
    try:
        close_stdin()
    except errors.Error as error:  # the process has already exited
        _log.debug("closing stdin: %s", error)
