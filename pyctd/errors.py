"""The errors: a root class and a class for each kind of containerd's errdefs, with Go's exact text as the message.

An error also has what Go's text leaves out: which call failed, on which container and process, and with which timeout.
Python 3.11 and later show this in tracebacks as a note; Python 3.10 has only the attributes.
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
"""Why a call failed, if Go's kind does not tell.

``command-not-found`` and ``command-not-executable`` come from a start or an exec, and correspond to the exit codes 127
and 126. They are derived from the runtime's message by dockerd's own rules, which also mistake a missing mount or
working directory for a missing command. The others are the state of the task, process or container that rules out the
call.
"""

_STATE = re.compile(
    r"\bcannot \w+ (?:in )?(?:a )?(?:task in )?(created|running|paused|stopped|deleted)"
    r" (?:state|container|process|task)\b"
    r"|\btask must be stopped before deletion: (created|running|paused)\b"
)
"""The wording of runc's shim and of containerd."""

_STARTS = ("Container.start", "Container.new_task", "Task.start", "Task.exec")


def _command_reason(text: str) -> Reason | None:
    """Interprets the runtime's error about a command as dockerd does (Go: ``setExitCodeFromError``)."""
    _, runtime, words = text.lower().partition("oci runtime ")
    if not runtime or not words.startswith(("create failed", "start failed", "exec failed")):
        return None
    if "unable to retrieve oci runtime error" in words:  # the shim's own: it had no runtime to ask
        return None
    if "permission denied" in words or "is a directory" in words:
        return "command-not-executable"
    if any(part in words for part in ("not a directory", "executable file not found", "no such file or directory")):
        return "command-not-found"
    return None


class Error(Exception):
    """The base class of all of pyctd's errors. ``str(error)`` is Go's ``err.Error()`` if the error comes from Go.

    Attributes:
        call: the call that failed, such as ``Task.exec``; None if there was none, as for a malformed argument.
        container_id: the id of the container that the call was about, or None.
        process_id: the id of the process that the call was about: an exec's, or for a task the container's id.
        timeout: the ``timeout=`` of the call, in seconds.
        hint: what a person can do about it, if the code that raised the error says so, as pyctd's command line does.
    """

    call: str | None = None
    container_id: str | None = None
    process_id: str | None = None
    timeout: float | None = None
    hint: str | None = None

    @property
    def reason(self) -> Reason | None:
        """Why the call failed, if the message of containerd or the runtime tells it and the kind does not."""
        text = str(self)
        if self.call in _STARTS and (reason := _command_reason(text)):
            return reason
        if found := _STATE.search(text):
            return found[1] or found[2]  # type: ignore[return-value]
        if "process already finished" in text:
            return "stopped"
        # The bundle, where the FIFOs would be, is gone; containerd has not been asked yet.
        return "deleted" if "error creating fifo" in text and "no such file or directory" in text else None


class UnknownError(Error):
    """An error that errdefs does not classify, including most of runc's failures."""


class InvalidArgumentError(Error, ValueError):
    """An argument is malformed: an id, a spec, an option, a path."""


class NotFoundError(Error, LookupError):
    """The container, task, process or image does not exist."""


class AlreadyExistsError(Error):
    """Something with that name already exists, such as content or a snapshot."""


class ConflictError(Error):
    """The id is already in use by a container or by an exec of the same task, or another operation came in between."""


class PermissionDeniedError(Error, PermissionError):
    """The operating system or the daemon does not allow it."""


class ResourceExhaustedError(Error):
    """A quota, a limit or a message size is exceeded."""


class FailedPreconditionError(Error):
    """The object is in the wrong state for the operation: a running task cannot be deleted, for example."""


class UnavailableError(Error, ConnectionError):
    """The daemon cannot be reached. Retrying may succeed."""


class DeadlineExceededError(Error, TimeoutError):
    """The ``timeout`` ran out. The daemon may or may not have completed the request. The timeout kills no process."""


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
    """CRIU's own account of a failed checkpoint or restore, with a line for each error in its log.

    It is never raised itself. It is the ``__cause__`` of the error that the call raises, so tracebacks show it.
    """


class ForkedError(Error):
    """pyctd was used before a fork, and this is the child process. The Go runtime does not survive a fork.

    Create the client after the fork, or start the child with multiprocessing's ``spawn`` or ``forkserver``.
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
    """Adds to an error what it is about. Internal to pyctd."""
    error.call, error.container_id, error.process_id, error.timeout = call, container_id, process_id, timeout
    if sys.version_info >= (3, 11):
        about = [f"container {container_id!r}"] if container_id is not None else []
        about += [f"process {process_id!r}"] if process_id not in (None, container_id) else []
        about += [f"timeout {timeout:g} s"] if timeout is not None else []
        error.add_note(f"{call}: {', '.join(about)}" if about else call)
