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
"""Seconds by which a wait may exceed its timeout: with a timeout of 0, output from before the exit is still in
transit."""


class ProcessCore:
    """What the blocking and the asyncio ``Process`` share."""

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
        """Releases this object but leaves the process alone. Garbage collection does the same."""
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
    """A process in a container (Go: ``libcontainerd.Process``): an exec, unless it is a ``Task``.

    Attributes:
        id: the exec's id; for a task, the container's id.
        container_id: the container's id.
        pid: the process id on the host.
    """

    def kill(self, signal: int | str | signals.Signals, *, timeout: float | None = None) -> None:
        """Sends a signal (Go: ``Process.Kill``).

        Args:
            signal: a number, a ``signal.Signals``, or docker's name for it, such as ``SIGTERM`` or ``RTMIN+3``. 0 sends
                nothing and only checks that the process exists.
            timeout: the most seconds that the call may take.

        Raises:
            NotFoundError: the process has ended.
            InvalidArgumentError: there is no such signal.
        """
        run(operations.process_kill(self._handle, signal), timeout)

    def resize(self, width: int, height: int, *, timeout: float | None = None) -> None:
        """Sets the size of the process's terminal, in characters (Go: ``Process.Resize``)."""
        run(operations.process_resize(self._handle, width, height), timeout)

    def wait(self, *, timeout: float | None = None) -> ExitStatus:
        """Waits for the process to exit, even across restarts of the daemon (Go: containerd's ``Process.Wait``).

        A built-in stdio callback then has all of the output. The wait for the end of the output is limited to 2 seconds
        and to the timeout: a slow receiver, or a child that the process left behind, can hold the output up longer.

        Args:
            timeout: seconds to wait. The process keeps running when they elapse. 0 asks whether it has already exited.

        Raises:
            DeadlineExceededError: the process has not exited in time.
            NotFoundError: the process was deleted before anybody waited for it; or it ended while containerd 1.7 or 2
                was down, which then forgets the task and its exit code; or it is an exec whose shim has died.
            UnknownError: the task's shim has died. The exit event has the code 137.
        """
        until = self._until(timeout)
        if self._exit is None:
            self._exit = run(operations.process_wait(self._handle), timeout)
        self._io.drain(until)
        return self._exit

    def delete(self, *, timeout: float | None = None) -> ExitStatus:
        """Deletes the exited process and returns how it ended (Go: ``Process.Delete``).

        As in Go, this first waits for the end of the process's streams: at most 2 seconds with a built-in callback.

        Args:
            timeout: seconds to wait. A deletion is never cut short: it continues in the background, and the next
                ``delete`` of this object waits for it and returns its outcome.

        Raises:
            DeadlineExceededError: the timeout ran out.
            FailedPreconditionError: the process is still running.
            NotFoundError: the process is already deleted.
        """
        self._exit = run(operations.process_delete(self._handle), timeout)
        return self._exit

    def close_stdin(self, *, timeout: float | None = None) -> None:
        """Tells containerd that no more stdin will come (Go: containerd's ``CloseIO`` with ``WithStdinCloser``).

        The process sees end of file once every writer has closed the FIFO. Closing ``DirectIO.stdin`` does both.
        """
        run(operations.process_close_stdin(self._handle), timeout)

    def status(self, *, timeout: float | None = None) -> Status:
        """Returns the process's state (Go: ``Task.Status``).

        Raises:
            NotFoundError: the process is deleted.
        """
        return run(operations.process_status(self._handle), timeout)
