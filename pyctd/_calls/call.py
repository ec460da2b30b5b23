"""``Operation`` says what a call does, ``Call`` is one call of it: the protocol that both faces follow."""

import logging
from collections.abc import Callable
from typing import Generic, TypeVar

from .. import _arguments, errors
from .._native import Answer, Argument, Completion, Handle, Queue, refuse_closed

__all__ = ["Call", "Operation"]

_log = logging.getLogger("pyctd")

T = TypeVar("T")


class Operation(Generic[T]):
    """An operation of the C ABI, and what its outcome means.

    Args:
        export: its function of the C ABI.
        args: its arguments beyond the queue and the timeout.
        decode: what a successful completion means; a handle in it gets its owner here.
        makes: what containerd has afterwards that it did not have before, in words; empty for nothing.
        method: the method that makes the call, unless the export tells.
        id: the id of the container or exec to find or make, which no handle has yet.
    """

    __slots__ = ("_method", "args", "decode", "export", "id", "makes")
    export: str
    args: tuple[Argument, ...]
    decode: Callable[[Completion], T]
    makes: str
    id: str | None

    def __init__(
        self,
        export: str,
        args: tuple[Argument, ...],
        decode: Callable[[Completion], T],
        makes: str = "",
        method: str = "",
        id: str | None = None,
    ) -> None:
        self.export = export
        self.args = args
        self.decode = decode
        self.makes = makes
        self.id = id
        self._method = method

    @property
    def method(self) -> str:
        """The method that makes the call, such as ``Container.delete``."""
        noun, _, verb = self.export.removeprefix("pyctd_").partition("_")
        return self._method or f"{noun.capitalize()}.{verb}"


class Call(Generic[T]):
    """One call of an operation: started once, then finished or abandoned.

    Args:
        operation: what to call.
        timeout: seconds that it may take.
    """

    __slots__ = ("_done", "_made", "_number", "_queue", "_timeout", "operation")
    operation: Operation[T]

    def __init__(self, operation: Operation[T], timeout: float | None) -> None:
        self.operation = operation
        self._timeout = timeout
        self._number = Answer()
        self._queue: Queue | None = None
        self._done: Completion | None = None
        self._made: list[T] = []

    @property
    def started(self) -> bool:
        """Whether Go has started the operation."""
        return self._number.arrived and self._number.value > 0

    @property
    def number(self) -> int:
        """The number of the operation that Go has started."""
        return self._number.value

    def start(self, queue: Queue) -> None:
        """Starts the operation; its completion comes to the queue."""
        operation = self.operation
        self._queue = queue
        try:
            queue.start(operation.export, _nanoseconds(self._timeout), operation.args, self._number)
        except OverflowError as error:
            raise self._about(errors.InvalidArgumentError(f"a number is out of range: {error}")) from error
        if self._number.value < 0:
            refuse_closed()
            raise self._about(errors.BY_KIND[-self._number.value](f"{operation.method} could not be started"))

    def finish(self, done: Completion) -> None:
        """Takes the completion, and gives what the operation made its owner."""
        self._done = done
        if done.value:
            self._made.append(self.operation.decode(done))

    def result(self) -> T:
        """What the operation came to.

        Raises:
            Error: what went wrong, as the class of its kind with Go's text.
        """
        if self._made:
            return self._made[0]
        assert self._done is not None, "the call is not finished"
        if not self._done.kind:
            return self.operation.decode(self._done)
        refuse_closed()
        raise self._error(self._done)

    def cancel(self) -> None:
        """Cancels the operation's context; its completion still comes."""
        assert self._queue is not None
        self._queue.cancel(self.number)

    def abandon(self, interrupt: BaseException, done: Completion | None) -> None:
        """Tells what came of the operation, as the context of the exception that interrupted the call.

        Args:
            interrupt: the exception.
            done: the completion; None if it has not come yet. ``end_late`` takes it when it does.
        """
        if done is None:
            words = f"{self.operation.method} is cancelled, but Go still cleans up: pyctd logs how it ends"
            outcome = self._about(errors.CanceledError(words))
        else:
            outcome = self._disown(done)
        outcome.__context__ = interrupt.__context__
        interrupt.__context__ = outcome

    def end_late(self, done: Completion) -> None:
        """Logs how the operation ended, which ``abandon`` could not tell yet."""
        level = logging.INFO if done.kind else logging.WARNING
        _log.log(level, "%s, which was interrupted, has ended: %s", self.operation.method, self._disown(done))

    def _disown(self, done: Completion) -> errors.Error:
        """Releases what the operation made for its caller, and leaves to containerd what it has, as Go does.

        Returns Go's error, or one of ours that tells what the operation has done.
        """
        if done.kind:
            return self._error(done)
        operation = self.operation
        words = f"{operation.method} had succeeded by the time that it was interrupted"
        if operation.makes:
            words += f": {operation.makes} is there" + (f", with process id {done.code}" if done.code else "")
        elif not done.value and (result := operation.decode(done)) is not None:
            words += f": {result!r:.200}"
        done.give_back()
        return self._about(errors.CanceledError(words))

    def _error(self, done: Completion) -> errors.Error:
        error = errors.BY_KIND.get(done.kind, errors.UnknownError)(done.data.decode("utf-8", "replace"))
        if done.detail:
            error.__cause__ = errors.CriuError(done.detail.decode("utf-8", "replace"))
        return self._about(error)

    def _about(self, error: errors.Error) -> errors.Error:
        """The error, with the method, container, process and timeout of the call."""
        operation = self.operation
        handle = next((arg for arg in operation.args if isinstance(arg, Handle)), None)
        container_id, process_id = (handle.container_id, handle.process_id) if handle else (None, None)
        if operation.id is not None:
            container_id, process_id = (operation.id, None) if container_id is None else (container_id, operation.id)
        errors.tell(error, operation.method, container_id, process_id, self._timeout)
        return error


def _nanoseconds(timeout: float | None) -> int:
    if (timeout := _arguments.seconds(timeout)) is None:
        return -1
    return min(int(min(timeout, 1e10) * 1e9), 2**63 - 1)
