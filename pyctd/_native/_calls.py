"""Operations: started, awaited, cancelled, and what came of them."""

import logging
import math
import os
import select
import struct
import threading
import time
from collections import deque
from collections.abc import Callable
from itertools import starmap
from typing import Any, Generic, NamedTuple, TypeVar

from .. import _arguments, errors
from ._library import Handle, load, match_log_level, refuse_closed, release, state

__all__ = [
    "Completion",
    "Operation",
    "Queue",
    "disown",
    "ends_later",
    "flatten",
    "give_back",
    "log_late",
    "outcome",
    "run",
    "tell",
]

_log = logging.getLogger("pyctd")

PROMPT = 0.05
"""Seconds that an interrupted call itself waits for Go to tell how its cancelled operation ended: Ctrl-C is to be heard
within a tenth of a second."""

LATE = 30.0
"""Seconds that a thread waits for that when the call did not hear of it. The interpreter's end waits for the thread."""

SIGNAL_SLICE = 0.2
"""Seconds after which a call on the main thread looks for a signal that it was not woken by."""

T = TypeVar("T")

_COMPLETION = struct.Struct("qiIQqiPNPN")
"""A pyctd_completion."""

_MAIN_THREAD = threading.main_thread().ident


class Completion(NamedTuple):
    """What an operation came to; pyctd.h tells what each field means."""

    op: int
    kind: int
    code: int
    value: int
    sec: int
    nsec: int
    data: bytes
    detail: bytes


class Operation(Generic[T]):
    """A call that is to be made once.

    Args:
        name: the operation is ``pyctd_<name>``.
        args: its arguments beyond the queue and the timeout. Strings are encoded and passed with their lengths.
        result: what the outcome means, when it went well; a handle that was made is owned then.
        makes: what containerd has then that it had not before, in words; empty for nothing.
        call: the method that makes it, where its name does not say that.
        id: the id of the container or exec that it is to find or make, and that no handle has yet.

    Attributes:
        answer: what the call has answered, once it is made.
        timeout: the seconds that it was started with.
    """

    __slots__ = ("_call", "_id", "answer", "args", "makes", "name", "result", "timeout")
    name: str
    args: tuple[str | bytes | int | Handle, ...]
    result: Callable[[Completion], T]
    makes: str

    def __init__(
        self,
        name: str,
        args: tuple[str | bytes | int | Handle, ...],
        result: Callable[[Completion], T],
        makes: str = "",
        call: str = "",
        id: str | None = None,
    ) -> None:
        self.name = name
        self.args = args
        self.result = result
        self.makes = makes
        self.answer: list[int] = []
        self.timeout: float | None = None
        self._call = call
        self._id = id

    @property
    def call(self) -> str:
        """The method that makes it, such as ``Container.delete``."""
        noun, _, verb = self.name.partition("_")
        return self._call or f"{noun.capitalize()}.{verb}"

    def told_by(self, error: errors.Error) -> errors.Error:
        """An error of it, which tells what it was about."""
        handle = next((arg for arg in self.args if isinstance(arg, Handle)), None)
        container_id, process_id = (handle.container_id, handle.process_id) if handle else (None, None)
        if self._id is not None:
            container_id, process_id = (self._id, None) if container_id is None else (container_id, self._id)
        errors.tell(error, self.call, container_id, process_id, self.timeout)
        return error

    @property
    def op(self) -> int:
        """Its number; 0 when it was not started."""
        return max((0, *self.answer))


class Queue:
    """A completion queue and its descriptor, readable while completions wait."""

    def __init__(self, capacity: int) -> None:
        lib = load()
        fd = state.ffi.new("int32_t *")
        self.handle = lib.pyctd_queue_new(fd)
        if not self.handle:
            refuse_closed()
            raise errors.ResourceExhaustedError(
                "no completion queue could be made: is the limit of open files reached?"
            )
        self._owner = Handle(self.handle, "the completion queue")
        self.fd: int = fd[0]
        self._out = state.ffi.new("pyctd_completion[]", capacity)
        self._bytes = state.ffi.buffer(self._out)
        self._drain = ((self.handle, self._out, capacity),)
        self._drained: list[Any] = []  # how many completions Go has moved out, and then these
        assert len(self._bytes) == capacity * _COMPLETION.size

    @property
    def open(self) -> bool:
        """Whether it is not closed."""
        return not self._owner.closed

    def close(self) -> None:
        """Cancels what is in flight, of which nobody hears any more."""
        self._owner.close()

    def start(self, operation: Operation[Any], timeout: float | None) -> int:
        """Starts an operation; its number."""
        function = getattr(load(), "pyctd_" + operation.name)
        args = (self.handle, _timeout_ns(timeout), *flatten(operation.args))
        match_log_level()
        operation.timeout = timeout
        answer = operation.answer
        try:
            # An interrupt comes between two calls of C's, and loses what the former has returned: this one keeps it.
            answer.extend(starmap(function, (args,)))
        except OverflowError as error:
            raise operation.told_by(errors.InvalidArgumentError(f"a number is out of range: {error}")) from error
        op = answer[0]
        if op < 0:
            refuse_closed()
            raise operation.told_by(errors.BY_KIND[-op](f"{operation.call} could not be started"))
        return op

    def cancel(self, operation: Operation[Any]) -> None:
        """Cancels an operation's context; its completion still comes."""
        state.lib.pyctd_cancel(operation.op)

    def drain(self) -> deque[Completion]:
        """The completions that wait, at most as many as the queue's capacity.

        What an interrupt keeps from the caller is there the next time: it comes until ``taken`` is called.
        """
        drained = self._drained
        if not drained:
            drained.extend(starmap(state.lib.pyctd_queue_drain, self._drain))  # which keeps the number, as in start
        if len(drained) == 1:
            count = drained[0]
            if count < 0:
                drained.clear()
                raise errors.BY_KIND[-count]("the completion queue is closed")
            arrived: deque[Completion] = deque()
            copied: list[Any] = []
            new = tuple.__new__  # one attribute of CFFI's, or a named tuple's own constructor, is slower than all this
            for *numbers, data, size, detail, detail_size in _COMPLETION.iter_unpack(
                self._bytes[: count * _COMPLETION.size]
            ):
                fields = (*numbers, _copy(data, size, copied), _copy(detail, detail_size, copied))
                arrived.append(new(Completion, fields))
            drained.append(arrived)
            for data in copied:  # only now, for an interrupt before this has it all copied again
                state.lib.pyctd_free(data)
            return arrived
        return drained[1]  # type: ignore[no-any-return]

    def taken(self) -> None:
        """Lets ``drain`` go on to what comes next."""
        self._drained = []


def _copy(address: int, length: int, copied: list[Any]) -> bytes:
    if not address:
        return b""
    data = state.ffi.cast("char *", address)
    copied.append(data)
    copy: bytes = state.ffi.buffer(data, length)[:]
    return copy


def _timeout_ns(timeout: float | None) -> int:
    if (timeout := _arguments.seconds(timeout)) is None:
        return -1
    return min(int(min(timeout, 1e10) * 1e9), 2**63 - 1)


def flatten(args: tuple[str | bytes | int | Handle, ...]) -> list[Any]:
    """Arguments as C takes them."""
    flat: list[Any] = []
    for arg in args:
        if isinstance(arg, Handle):
            flat.append(arg.number)
            continue
        if isinstance(arg, str):
            arg = arg.encode()
        if isinstance(arg, bytes):
            flat += (arg, len(arg))
        else:
            flat.append(arg)
    return flat


def outcome(operation: Operation[T], done: Completion) -> T:
    """What an operation came to, or raises the error that it is."""
    if not done.kind:
        return operation.result(done)
    refuse_closed()
    raise _error(operation, done)


def _error(operation: Operation[Any], done: Completion) -> errors.Error:
    error = errors.BY_KIND.get(done.kind, errors.UnknownError)(done.data.decode("utf-8", "replace"))
    if done.detail:
        error.__cause__ = errors.CriuError(done.detail.decode("utf-8", "replace"))
    return operation.told_by(error)


def disown(operation: Operation[Any], done: Completion) -> errors.Error:
    """What came of an operation whose caller was interrupted: Go's error, or else one of ours that tells what it has
    done. Handles and descriptors are released; what containerd has is left to it, as Go leaves it."""
    if done.kind:
        return _error(operation, done)
    words = f"{operation.call} had succeeded by the time that it was interrupted"
    if operation.makes:
        words += f": {operation.makes} is there" + (f", with process id {done.code}" if done.code else "")
    elif not done.value and (result := operation.result(done)) is not None:
        words += f": {result!r:.200}"
    give_back(done)
    return operation.told_by(errors.CanceledError(words))


def give_back(done: Completion) -> None:
    """Releases the handle, or closes the descriptor, that came of an operation of which nobody hears."""
    if done.value >> 32:
        release(done.value)
    elif done.value:
        os.close(done.value)


def ends_later(operation: Operation[Any]) -> errors.Error:
    """What is known of an interrupted operation that Go has not ended yet."""
    words = f"{operation.call} is cancelled, but Go still cleans up: pyctd logs how it ends"
    return operation.told_by(errors.CanceledError(words))


def log_late(operation: Operation[Any], done: Completion) -> None:
    """Logs how an operation ended, of which its interrupted call could not tell any more, and disowns it."""
    level = logging.INFO if done.kind else logging.WARNING
    _log.log(level, "%s, which was interrupted, has ended: %s", operation.call, disown(operation, done))


def tell(interrupt: BaseException, outcome: errors.Error) -> None:
    """Lets an interrupt tell of what it has interrupted, as its context."""
    outcome.__context__ = interrupt.__context__
    interrupt.__context__ = outcome


class _Waiter(Queue):
    """A queue for one call at a time, which waits for it."""

    def __init__(self) -> None:
        super().__init__(1)
        self._poll = select.poll()
        self._poll.register(self.fd, select.POLLIN)

    def wait(self, seconds: float = math.inf) -> Completion | None:
        """The completion; None when the seconds run out first."""
        until = time.monotonic() + seconds
        # A signal in the moment between Python's last look for one and the system call does not interrupt it.
        longest = SIGNAL_SLICE if threading.get_ident() == _MAIN_THREAD else math.inf
        while not (self._drained or self._poll.poll(_milliseconds(min(longest, seconds)))):
            if (seconds := until - time.monotonic()) <= 0:
                return None
        return self.drain()[0]


def _milliseconds(seconds: float) -> float | None:
    return None if seconds == math.inf else seconds * 1000


# Queues that no call uses now. One for each thread would be kept for as long as the thread lives, and Go's threads, on
# which callbacks call back into pyctd, live as long as the process.
_idle: list[_Waiter] = []
IDLE_LIMIT = 16

AtEnd = Callable[["Completion | None"], object]


def run(operation: Operation[T], timeout: float | None, at_end: AtEnd | None = None) -> T:
    """Runs an operation and returns what it came to.

    An exception that interrupts the wait, Ctrl-C above all, cancels the operation and is raised at once. What came of
    the operation is its ``__context__``, an ``Error``; where Go takes its time to clean up it is logged instead.

    Args:
        operation: what to run.
        timeout: seconds that it may take.
        at_end: called, if the operation is interrupted, when it has ended nevertheless; with what it came to, or None
            if that took too long. On a thread of its own, since it may take its time.

    Raises:
        Error: what went wrong, as the class of its kind with Go's text.
    """
    try:
        queue = _idle.pop()
    except IndexError:
        queue = _Waiter()
    made: list[T] = []
    try:
        queue.start(operation, timeout)
        done = queue.wait()
        assert done is not None
        if done.value:  # nobody owns it yet
            made.append(operation.result(done))
    except BaseException as interrupt:
        if operation.op:
            _interrupted(queue, operation, at_end, interrupt)
        raise
    queue.taken()
    if len(_idle) < IDLE_LIMIT:
        _idle.append(queue)
    return made[0] if made else outcome(operation, done)


def _interrupted(queue: _Waiter, operation: Operation[Any], at_end: AtEnd | None, interrupt: BaseException) -> None:
    # The queue is not used again: if nobody waits to the end then the completion that is still to come is Go's to
    # dispose of, which it does when the queue is gone.
    known = None
    try:
        queue.cancel(operation)
        known = queue.wait(PROMPT)
    finally:
        if known is None or at_end is not None:
            tell(interrupt, ends_later(operation))
            _in_background(lambda: _end_late(queue, operation, at_end))
        else:
            tell(interrupt, disown(operation, known))


def _in_background(work: Callable[[], None]) -> None:
    try:
        threading.Thread(target=work, name="pyctd-interrupted").start()
    except RuntimeError:  # no thread can be started, for example because the interpreter is ending
        work()


def _end_late(queue: _Waiter, operation: Operation[Any], at_end: AtEnd | None) -> None:
    done = queue.wait(LATE)
    if at_end is not None:
        at_end(done)
    if done is not None:
        log_late(operation, done)
    else:
        _log.warning("%s, which was interrupted, has not ended within %g s", operation.call, LATE)
