"""``Operation`` describes what a call does. ``Call`` is one call of it, with a protocol that both faces follow."""

import logging
from collections.abc import Callable
from typing import Generic, TypeVar

from .. import _arguments, errors
from .._native import Answer, Argument, Completion, Handle, Queue, refuse_closed

__all__ = ["Call", "Operation"]

_log = logging.getLogger("pyctd")

T = TypeVar("T")


class Operation(Generic[T]):
    """An operation of the C ABI, with the decoder of its outcome.

    Args:
        export: its function in the C ABI.
        args: its arguments after the queue and the timeout.
        decode: converts a successful completion to the result. A handle in it gets its owner here.
        makes: a description of what the operation creates in containerd; empty: nothing.
        method: the method that makes the call, if the export's name doesn't give it.
        id: the id of the container or exec to find or make, if no handle has it yet.
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
        timeout: the seconds that it may take; None: unlimited.
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
        """Starts the operation. Its completion arrives on the queue."""
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
        """Takes the completion. Whatever the operation made gets its owner."""
        self._done = done
        if done.value:
            self._made.append(self.operation.decode(done))

    def result(self) -> T:
        """Returns the operation's result.

        Raises:
            Error: the operation failed. The class is that of the error's kind, the text is Go's.
        """
        if self._made:
            return self._made[0]
        assert self._done is not None, "the call is not finished"
        if not self._done.kind:
            return self.operation.decode(self._done)
        refuse_closed()
        raise self._error(self._done)

    def cancel(self) -> None:
        """Cancels the operation's context. Its completion still comes."""
        assert self._queue is not None
        self._queue.cancel(self.number)

    def abandon(self, interrupt: BaseException, done: Completion | None) -> None:
        """Sets the context of the exception that interrupted the call to the operation's outcome.

        Args:
            interrupt: the exception.
            done: the completion; None if it has not come yet. ``end_late`` then takes it later.
        """
        if done is None:
            words = f"{self.operation.method} is cancelled, but Go still cleans up: pyctd logs how it ends"
            outcome = self._about(errors.CanceledError(words))
        else:
            outcome = self._disown(done)
        outcome.__context__ = interrupt.__context__
        interrupt.__context__ = outcome

    def end_late(self, done: Completion) -> None:
        """Logs how the operation ended, if ``abandon`` did not know it yet."""
        level = logging.INFO if done.kind else logging.WARNING
        _log.log(level, "%s, which was interrupted, has ended: %s", self.operation.method, self._disown(done))

    def _disown(self, done: Completion) -> errors.Error:
        """Releases the handle or descriptor that the operation made. What it created in containerd stays, as in Go.

        Returns Go's error, or one of ours that describes what the operation did.
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
        """Adds the call's method, container, process and timeout to the error."""
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
