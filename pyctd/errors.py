"""The errors: one root, one class for each kind of containerd's errdefs, and Go's exact text as message.

An error also has what Go's text leaves out: which call failed, on which container and process, and with which timeout.
Python 3.11 and later show that in tracebacks, as a note; 3.10 has no notes, only the attributes.
"""

from __future__ import annotations

import re
import sys
from typing import Literal

__all__ = [
    "AlreadyExistsError",
    "CanceledError",
    "ClosedError",
    "ConflictError",
    "CriuError",
    "DeadlineExceededError",
    "Error",
    "FailedPreconditionError",
    "ForkedError",
    "InternalError",
    "InvalidArgumentError",
    "NotFoundError",
    "PermissionDeniedError",
    "Reason",
    "ResourceExhaustedError",
    "StdioError",
    "UnavailableError",
    "UnimplementedError",
    "UnknownError",
]


Reason = Literal["command-not-found", "command-not-executable", "created", "running", "paused", "stopped", "deleted"]
"""Why a call failed, where Go's kind does not say it.

``command-not-found`` and ``command-not-executable`` come from a start or an exec, and are 127 and 126 as exit codes.
They are read from the runtime's words by dockerd's own rules, which take a mount or a working directory that is not
there for a command. The others are the state of the task, process or container that does not allow the call.
"""

_STATE = re.compile(
    r"\bcannot \w+ (?:in )?(?:a )?(?:task in )?(created|running|paused|stopped|deleted)"
    r" (?:state|container|process|task)\b"
    r"|\btask must be stopped before deletion: (created|running|paused)\b"
)
"""The words of runc's shim, and of containerd."""

_STARTS = ("Container.start", "Container.new_task", "Task.start", "Task.exec")


def _command_reason(text: str) -> Reason | None:
    """dockerd's reading of what the runtime says of a command that it can't run (Go: ``setExitCodeFromError``)."""
    _, runtime, words = text.lower().partition("oci runtime ")
    if not runtime or not words.startswith(("create failed", "start failed", "exec failed")):
        return None
    if "unable to retrieve oci runtime error" in words:  # the shim's own: there was no runtime that it could ask
        return None
    if "permission denied" in words or "is a directory" in words:
        return "command-not-executable"
    if any(part in words for part in ("not a directory", "executable file not found", "no such file or directory")):
        return "command-not-found"
    return None


class Error(Exception):
    """The root of all of pyctd's errors. ``str(error)`` is Go's ``err.Error()`` where the error comes from Go.

    Attributes:
        call: the call that failed, such as ``Task.exec``; None where none was made, as for a malformed argument.
        container_id: the id of the container that it was about; None where it was about none.
        process_id: the id of the process that it was about: an exec's, or the container's for its task.
        timeout: the ``timeout=`` of the call, in seconds.
        hint: what a person can do about it, if whoever raised the error has said so, as pyctd's command line does.
    """

    call: str | None = None
    container_id: str | None = None
    process_id: str | None = None
    timeout: float | None = None
    hint: str | None = None

    @property
    def reason(self) -> Reason | None:
        """Why the call failed, where the kind does not say it and the words of containerd or the runtime do."""
        text = str(self)
        if self.call in _STARTS and (reason := _command_reason(text)):
            return reason
        if found := _STATE.search(text):
            return found[1] or found[2]  # type: ignore[return-value]
        if "process already finished" in text:
            return "stopped"
        # Its bundle is gone, where the FIFOs would be; containerd has not been asked yet.
        return "deleted" if "error creating fifo" in text and "no such file or directory" in text else None


class UnknownError(Error):
    """An error that errdefs does not classify; most failures of runc come as this."""


class InvalidArgumentError(Error, ValueError):
    """An argument is malformed: an id, a spec, an option, a path."""


class NotFoundError(Error, LookupError):
    """There is no such container, task, process or image."""


class AlreadyExistsError(Error):
    """Something of that name exists already, such as content or a snapshot."""


class ConflictError(Error):
    """The id is in use already, by a container or by an exec of the same task; or another operation came in between."""


class PermissionDeniedError(Error, PermissionError):
    """The operating system or the daemon does not allow it."""


class ResourceExhaustedError(Error):
    """A quota, a limit or a message size is exceeded."""


class FailedPreconditionError(Error):
    """The object is not in the state that the operation needs, such as a running task that is to be deleted."""


class UnavailableError(Error, ConnectionError):
    """The daemon cannot be reached. The operation may succeed when it is tried again."""


class DeadlineExceededError(Error, TimeoutError):
    """The ``timeout`` ran out. The daemon may or may not have done what was asked; a process is not killed by it."""


class CanceledError(Error):
    """The operation was cancelled before it ended."""


class UnimplementedError(Error, NotImplementedError):
    """The daemon does not offer this."""


class InternalError(Error):
    """Something inside the daemon, or in pyctd's Go code, went wrong."""


class ClosedError(Error):
    """The client, container, task or process was closed, so this object can no longer be used."""


class StdioError(Error):
    """A stdio callback raised; ``__cause__`` is what it raised."""


class CriuError(Error):
    """What CRIU says of a checkpoint or a restore that failed, a line for each error in its log.

    It is not raised by itself: it is the ``__cause__`` of the error that the call raises, and so in its traceback.
    """


class ForkedError(Error):
    """pyctd was used before a fork, and this is the child: the Go runtime does not survive fork.

    Make the client after the fork, or start the child with multiprocessing's ``spawn`` or ``forkserver``.
    """


#: pyctd_kind to class.
BY_KIND: dict[int, type[Error]] = {
    1: UnknownError,
    2: InvalidArgumentError,
    3: NotFoundError,
    4: AlreadyExistsError,
    5: PermissionDeniedError,
    6: ResourceExhaustedError,
    7: FailedPreconditionError,
    8: ConflictError,
    9: UnavailableError,
    10: DeadlineExceededError,
    11: CanceledError,
    12: UnimplementedError,
    13: InternalError,
    14: ClosedError,
    15: StdioError,
}


def tell(error: Error, call: str, container_id: str | None, process_id: str | None, timeout: float | None) -> None:
    """Lets an error tell what it is about. For pyctd's own use."""
    error.call, error.container_id, error.process_id, error.timeout = call, container_id, process_id, timeout
    if sys.version_info >= (3, 11):
        about = [f"container {container_id!r}"] if container_id is not None else []
        about += [f"process {process_id!r}"] if process_id not in (None, container_id) else []
        about += [f"timeout {timeout:g} s"] if timeout is not None else []
        error.add_note(f"{call}: {', '.join(about)}" if about else call)
