"""``Process``: a process in a container, the init process or an exec."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from . import _arguments, _native
from ._calls import operations, run
from ._calls.operations import signal_names, signal_number
from ._streams.builtin import BuiltInIO
from .types import ExitStatus, Status

if TYPE_CHECKING:
    import signal as signals

__all__ = ["Process", "ProcessCore", "signal_names", "signal_number"]

LATE = 0.1
"""Seconds that a wait may be late: what a process wrote before its exit is still on its way when its timeout is 0."""


class ProcessCore:
    """What both faces of a process share."""

    def __init__(self, id: str, container_id: str, made: tuple[_native.Handle, int], io: BuiltInIO) -> None:
        self.id = id
        self.container_id = container_id
        self._handle, pid = made
        self.pid: int = pid
        self._handle.what = f"{type(self).__name__.lower()} {id!r}"
        self._handle.container_id, self._handle.process_id = container_id, id
        self._io = io
        self._exit: ExitStatus | None = None

    def close(self) -> None:
        """Releases this object, not the process; garbage collection does so too."""
        self._handle.close()

    @staticmethod
    def _until(timeout: float | None) -> float:
        """Until when a wait with a timeout may wait for output."""
        seconds = _arguments.seconds(timeout)
        return math.inf if seconds is None else time.monotonic() + seconds + LATE

    def __repr__(self) -> str:
        state = "closed" if self._handle.closed else f"pid {self.pid}"
        if self._exit is not None:
            state += f", exited {self._exit.exit_code}"
        name = self.id if self.id == self.container_id else f"{self.container_id}/{self.id}"
        return f"<{type(self).__name__} {name} ({state})>"


class Process(ProcessCore):
    """A process in a container (Go: ``libcontainerd.Process``); an exec, where it is not a ``Task``.

    Attributes:
        id: the exec's id; for a task the container's.
        container_id: the container's id.
        pid: its process id on the host.
    """

    def kill(self, signal: int | str | signals.Signals, *, timeout: float | None = None) -> None:
        """Sends a signal (Go: ``Process.Kill``).

        Args:
            signal: its number, a ``signal.Signals``, or docker's name for it, such as ``SIGTERM`` or ``RTMIN+3``.
                0 sends nothing, and asks whether the process is there.
            timeout: seconds that it may take.

        Raises:
            NotFoundError: the process has ended.
            InvalidArgumentError: there is no such signal.
        """
        run(operations.process_kill(self._handle, signal), timeout)

    def resize(self, width: int, height: int, *, timeout: float | None = None) -> None:
        """Sets the size of the process's terminal, in characters (Go: ``Process.Resize``)."""
        run(operations.process_resize(self._handle, width, height), timeout)

    def wait(self, *, timeout: float | None = None) -> ExitStatus:
        """Waits until the process has exited, restarts of the daemon included (Go: containerd's ``Process.Wait``).

        The output that a built-in stdio callback takes is whole then, unless its receiver or something that the process
        left behind holds it up: the end of the output is waited for 2 seconds, and not beyond the timeout.

        Args:
            timeout: seconds to wait; the process lives on when they run out. 0 asks whether it has exited already.

        Raises:
            DeadlineExceededError: it has not exited in time.
            NotFoundError: it was deleted before anybody waited for it; or it ended while containerd 1.7 or 2 was away,
                which then forgets the task and its exit code; or it is an exec whose shim has died.
            UnknownError: the task's shim has died; its exit event has the code 137.
        """
        until = self._until(timeout)
        if self._exit is None:
            self._exit = run(operations.process_wait(self._handle), timeout)
        self._io.drain(until)
        return self._exit

    def delete(self, *, timeout: float | None = None) -> ExitStatus:
        """Deletes what is left of the exited process and returns how it ended (Go: ``Process.Delete``).

        It waits for the end of the process's streams first, as Go does: 2 seconds at most with a built-in callback.

        Args:
            timeout: seconds to wait. A deletion is never cut off: it goes on in the background, and the next ``delete``
                of this object waits for it and returns what came of it.

        Raises:
            DeadlineExceededError: the timeout ran out.
            FailedPreconditionError: it still runs.
            NotFoundError: it is deleted already.
        """
        self._exit = run(operations.process_delete(self._handle), timeout)
        return self._exit

    def close_stdin(self, *, timeout: float | None = None) -> None:
        """Tells containerd that no more stdin will come (Go: containerd's ``CloseIO`` with ``WithStdinCloser``).

        The process reads the end of its stdin once every writer has closed the FIFO. Closing ``DirectIO.stdin`` does
        both.
        """
        run(operations.process_close_stdin(self._handle), timeout)

    def status(self, *, timeout: float | None = None) -> Status:
        """The process's state (Go: ``Task.Status``).

        Raises:
            NotFoundError: it is deleted.
        """
        return run(operations.process_status(self._handle), timeout)
