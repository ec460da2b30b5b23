"""The errors: one root, one class for each kind of containerd's errdefs, and Go's exact text as message."""

from __future__ import annotations

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
    "ResourceExhaustedError",
    "StdioError",
    "UnavailableError",
    "UnimplementedError",
    "UnknownError",
]


class Error(Exception):
    """The root of all of pyctd's errors. ``str(error)`` is Go's ``err.Error()`` where the error comes from Go."""


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
