"""``Process``: a process in a container, the init process or an exec."""

from __future__ import annotations

import json
import signal as signals

from . import _native
from .directio import Attachment
from .errors import InvalidArgumentError
from .types import ExitStatus, Status, to_datetime

__all__ = ["Process"]


LAST_SIGNAL = 64
"""Linux's last."""


def signal_number(signal: int | str | signals.Signals) -> int:
    """A signal's number, from its number or its name with or without SIG. Raises InvalidArgumentError."""
    number: int | None = None
    if isinstance(signal, str):
        name = signal.upper()
        found = getattr(signals, name if name.startswith("SIG") else f"SIG{name}", None)
        if name.isascii() and name.isdecimal():
            number = int(name)
        elif isinstance(found, signals.Signals):
            number = int(found)
    elif isinstance(signal, int) and not isinstance(signal, bool):
        number = int(signal)
    if number is None or not 0 <= number <= LAST_SIGNAL:
        raise InvalidArgumentError(
            f"signal must be a number from 0 to {LAST_SIGNAL}, a signal.Signals or a name such as 'SIGTERM',"
            f" not {signal!r}"
        )
    return number


def exit_status(done: _native.Completion) -> ExitStatus:
    return ExitStatus(
        done.code, to_datetime(done.sec, done.nsec), done.data.decode() or None, done.sec * 10**9 + done.nsec
    )


class Process:
    """A process in a container (Go: ``libcontainerd.Process``); an exec, where it is not a ``Task``.

    Attributes:
        id: the exec's id; for a task the container's.
        container_id: the container's id.
        pid: its process id on the host.
    """

    def __init__(self, id: str, container_id: str, made: _native.Completion, attachment: Attachment) -> None:
        self.id = id
        self.container_id = container_id
        self.pid = made.code
        self._handle = _native.Handle(made.value, f"{type(self).__name__.lower()} {id!r}")
        self._attachment = attachment
        self._exit: ExitStatus | None = None
        attachment.ready.made(self, attachment.existing)

    def kill(self, signal: int | str | signals.Signals, *, timeout: float | None = None) -> None:
        """Sends a signal (Go: ``Process.Kill``).

        Args:
            signal: its number, its name or a ``signal.Signals``.
            timeout: seconds that it may take.

        Raises:
            NotFoundError: the process has ended.
            InvalidArgumentError: there is no such signal.
        """
        _native.call("process_kill", timeout, self._handle, signal_number(signal))

    def resize(self, width: int, height: int, *, timeout: float | None = None) -> None:
        """Sets the size of the process's terminal, in characters (Go: ``Process.Resize``)."""
        _native.call("process_resize", timeout, self._handle, width, height)

    def wait(self, *, timeout: float | None = None) -> ExitStatus:
        """Waits until the process has exited, restarts of the daemon included (Go: containerd's ``Process.Wait``).

        The output that a ready stdio callback takes is whole then, unless something that the process left behind
        holds its streams open: that is waited for 2 seconds at most.

        Args:
            timeout: seconds to wait; the process lives on when they run out.

        Raises:
            DeadlineExceededError: it has not exited in time.
            NotFoundError: it was deleted before anybody waited for it, or it ended while the daemon was away and that
                is containerd 2, which then forgets the task and its exit code.
        """
        if self._exit is None:
            self._exit = exit_status(_native.call("process_wait", timeout, self._handle))
            self._attachment.ready.drain()
        return self._exit

    def delete(self, *, timeout: float | None = None) -> ExitStatus:
        """Deletes what is left of the exited process and returns how it ended (Go: ``Process.Delete``).

        It waits for the end of the process's streams first, as Go does: 2 seconds at most with a ready callback.

        Raises:
            FailedPreconditionError: it still runs.
            NotFoundError: it is deleted already.
        """
        self._exit = exit_status(_native.call("process_delete", timeout, self._handle))
        return self._exit

    def close_stdin(self, *, timeout: float | None = None) -> None:
        """Tells containerd that no more stdin will come (Go: containerd's ``CloseIO`` with ``WithStdinCloser``).

        The process reads the end of its stdin once every writer has closed the FIFO. Closing ``DirectIO.stdin`` does
        both.
        """
        _native.call("process_close_stdin", timeout, self._handle)

    def status(self, *, timeout: float | None = None) -> Status:
        """The process's state (Go: ``Task.Status``).

        Raises:
            NotFoundError: it is deleted.
        """
        done = _native.call("process_status", timeout, self._handle)
        return Status(json.loads(done.data)["status"], done.code, to_datetime(done.sec, done.nsec))

    def close(self) -> None:
        """Releases this object, not the process; garbage collection does so too."""
        self._handle.close()

    def __repr__(self) -> str:
        state = "closed" if self._handle.closed else f"pid {self.pid}"
        if self._exit is not None:
            state += f", exited {self._exit.exit_code}"
        name = self.id if self.id == self.container_id else f"{self.container_id}/{self.id}"
        return f"<{type(self).__name__} {name} ({state})>"
