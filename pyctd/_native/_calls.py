"""Operations: started, awaited, cancelled, and what came of them."""

from __future__ import annotations

import math
import os
import select
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

from .. import errors
from ._library import Handle, end_daemon_thread, finalize, load, release, state

__all__ = ["CANCEL_GRACE", "Completion", "Operation", "Queue", "disown", "flatten", "outcome", "run"]

CANCEL_GRACE = 10.0
"""Seconds that an interrupted call waits for Go to tell how its cancelled operation ended."""

T = TypeVar("T")


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


@dataclass(frozen=True)
class Operation(Generic[T]):
    """A call that is still to be made.

    Attributes:
        name: the operation is ``pyctd_<name>``.
        args: its arguments beyond the queue and the timeout. Strings are encoded and passed with their lengths.
        result: what the outcome means, when it went well.
    """

    name: str
    args: tuple[str | bytes | int | Handle, ...]
    result: Callable[[Completion], T]


class Queue:
    """A completion queue and its descriptor, readable while completions wait."""

    def __init__(self, capacity: int) -> None:
        lib = load()
        fd = state.ffi.new("int32_t *")
        self.handle = lib.pyctd_queue_new(fd)
        if not self.handle:
            raise errors.ResourceExhaustedError(
                "no completion queue could be made: is the limit of open files reached?"
            )
        finalize(self, self.handle)
        self.fd: int = fd[0]
        self._capacity = capacity
        self._out = state.ffi.new("pyctd_completion[]", capacity)

    def start(self, operation: Operation[Any], timeout: float | None) -> int:
        """Starts an operation; its number."""
        timeout_ns, flat = _timeout_ns(timeout), flatten(operation.args)
        try:
            op: int = getattr(load(), "pyctd_" + operation.name)(self.handle, timeout_ns, *flat)
        except OverflowError as error:
            raise errors.InvalidArgumentError(f"a number is out of range: {error}") from error
        if op < 0:
            raise errors.BY_KIND[-op](f"{operation.name} could not be started")
        return op

    def cancel(self, op: int) -> None:
        """Cancels an operation's context; its completion still comes."""
        state.lib.pyctd_cancel(op)

    def drain(self) -> list[Completion]:
        """The completions that wait, at most as many as the queue's capacity."""
        count = state.lib.pyctd_queue_drain(self.handle, self._out, self._capacity)
        if count < 0:
            raise errors.BY_KIND[-count]("the completion queue is closed")
        return [
            Completion(
                done.op,
                done.kind,
                done.code,
                done.value,
                done.sec,
                done.nsec,
                _take_bytes(done.data, done.len),
                _take_bytes(done.detail, done.detail_len),
            )
            for done in self._out[0:count]
        ]


def _take_bytes(data: Any, length: int) -> bytes:
    if not data:
        return b""
    taken: bytes = state.ffi.buffer(data, length)[:]
    state.lib.pyctd_free(data)
    return taken


def _timeout_ns(timeout: float | None) -> int:
    if timeout is None:
        return -1
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or math.isnan(timeout) or timeout < 0:
        raise errors.InvalidArgumentError(f"timeout must be None or a number of seconds from 0 up, not {timeout!r}")
    return min(int(min(timeout, 1e10) * 1e9), 2**63 - 1)


def flatten(args: tuple[str | bytes | int | Handle, ...]) -> list[Any]:
    """Arguments as C takes them."""
    flat: list[Any] = []
    for arg in args:
        if isinstance(arg, str):
            try:
                arg = arg.encode()
            except UnicodeEncodeError as error:
                raise errors.InvalidArgumentError(f"not valid Unicode: {arg!r}") from error
        if isinstance(arg, bytes):
            flat += (arg, len(arg))
        elif isinstance(arg, Handle):
            flat.append(arg.number)
        else:
            flat.append(arg)
    return flat


def outcome(operation: Operation[T], done: Completion) -> T:
    """What an operation came to, or raises the error that it is."""
    if not done.kind:
        return operation.result(done)
    if state.closed:
        end_daemon_thread()
    reason = errors.CriuError(done.detail.decode("utf-8", "replace")) if done.detail else None
    raise errors.BY_KIND.get(done.kind, errors.UnknownError)(done.data.decode("utf-8", "replace")) from reason


def disown(operation: Operation[Any], done: Completion, interrupt: BaseException) -> None:
    """Releases what an operation has made for a caller who was interrupted, and lets the interrupt tell of it."""
    if done.kind:
        return
    if done.value >> 32:
        release(done.value)
    elif done.value:
        os.close(done.value)
    if hasattr(interrupt, "add_note"):  # Python 3.10 has no notes
        interrupt.add_note(f"pyctd: {operation.name} had succeeded by the time that it was interrupted")


class _Waiter(Queue):
    """A queue for one call at a time, which waits for it."""

    def __init__(self) -> None:
        super().__init__(1)
        self._poll = select.poll()
        self._poll.register(self.fd, select.POLLIN)

    def wait(self, seconds: float | None = None) -> Completion | None:
        """The completion; None when the seconds run out first."""
        return self.drain()[0] if self._poll.poll(None if seconds is None else seconds * 1000) else None


# Queues that no call uses now. One for each thread would be kept for as long as the thread lives, and Go's threads, on
# which callbacks call back into pyctd, live as long as the process.
_idle: list[_Waiter] = []
IDLE_LIMIT = 16


def run(operation: Operation[T], timeout: float | None) -> T:
    """Runs an operation and returns what it came to.

    An exception that interrupts the wait, Ctrl-C above all, cancels the operation and is raised once Go has told how it
    ended; what it may have made is released.

    Raises:
        Error: what went wrong, as the class of its kind with Go's text.
    """
    load()
    try:
        queue = _idle.pop()
    except IndexError:
        queue = _Waiter()
    op = queue.start(operation, timeout)
    try:
        done = queue.wait()
    except BaseException as interrupt:
        # The queue is not used again: if the grace runs out, or is interrupted too, then the completion that is still
        # to come is Go's to dispose of, which it does when the queue is gone.
        queue.cancel(op)
        done = queue.wait(CANCEL_GRACE)
        if done is not None:
            disown(operation, done, interrupt)
        raise
    assert done is not None
    if len(_idle) < IDLE_LIMIT:
        _idle.append(queue)
    return outcome(operation, done)
