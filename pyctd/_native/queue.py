"""Completion queues: they start operations, and Go reports on them how each one ended."""

import os
import struct
from collections import deque
from collections.abc import Callable
from itertools import starmap
from typing import Any, NamedTuple

from .. import errors
from .handle import Argument, Handle, flatten, release
from .library import match_log_level, refuse_closed, state
from .loading import load

__all__ = ["Answer", "Completion", "Queue"]

_COMPLETION = struct.Struct("qiIQqiPNPN")
"""The layout of a pyctd_completion."""


class Completion(NamedTuple):
    """How an operation ended; pyctd.h documents the fields."""

    op: int
    kind: int
    code: int
    value: int
    sec: int
    nsec: int
    data: bytes
    detail: bytes

    def give_back(self) -> None:
        """Releases the handle or closes the descriptor that the operation made, because nobody needs it any more."""
        if self.value >> 32:
            release(self.value)
        elif self.value:
            os.close(self.value)


class Answer:
    """Holds the result of a C function, and never loses it to an interrupt.

    Python handles signals between bytecodes. An interrupt between the function's return and the assignment of its
    result would lose the result. Here, the call and the assignment are one step.
    """

    __slots__ = ("_answers",)

    def __init__(self) -> None:
        self._answers: list[int] = []

    def fetch(self, function: Callable[..., int], *args: Any) -> None:
        """Calls the function and keeps what it returns."""
        self._answers.extend(starmap(function, (args,)))

    @property
    def arrived(self) -> bool:
        """Whether the function has returned."""
        return bool(self._answers)

    @property
    def value(self) -> int:
        """The result."""
        return self._answers[0]


class _Batch:
    """Completions that Go hands over together.

    Attributes:
        count: how many Go has moved to the queue's memory.
        copies: the completions; None until they are copied from that memory.
    """

    __slots__ = ("copies", "count")

    def __init__(self) -> None:
        self.count = Answer()
        self.copies: deque[Completion] | None = None


class Queue:
    """A completion queue. Its descriptor is readable while completions are waiting."""

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
        self._capacity = capacity
        self._out = state.ffi.new("pyctd_completion[]", capacity)
        self._bytes = state.ffi.buffer(self._out)
        self._batch = _Batch()
        assert len(self._bytes) == capacity * _COMPLETION.size

    @property
    def open(self) -> bool:
        """Whether the queue is open."""
        return not self._owner.closed

    def close(self) -> None:
        """Cancels the operations in flight and drops their completions."""
        self._owner.close()

    def start(self, export: str, timeout_ns: int, args: tuple[Argument, ...], number: Answer) -> None:
        """Starts an operation.

        Args:
            export: its function in the C ABI.
            timeout_ns: its timeout; -1: none.
            args: the arguments after the queue and the timeout.
            number: receives the operation's number, or the negated kind of an error.

        Raises:
            OverflowError: a number is too large for its C type.
        """
        function = getattr(load(), export)
        flat = flatten(args)
        match_log_level()
        number.fetch(function, self.handle, timeout_ns, *flat)

    def cancel(self, op: int) -> None:
        """Cancels an operation's context; its completion still comes."""
        state.lib.pyctd_cancel(op)

    @property
    def drained(self) -> bool:
        """Whether ``drain`` can return completions without asking Go."""
        return self._batch.count.arrived

    def drain(self) -> deque[Completion]:
        """Returns the waiting completions, at most as many as the queue's capacity.

        It returns the same ones until ``clear`` is called, so an interrupt loses none.
        """
        batch = self._batch
        if batch.copies is not None:
            return batch.copies
        if not batch.count.arrived:
            batch.count.fetch(state.lib.pyctd_queue_drain, self.handle, self._out, self._capacity)
        count = batch.count.value
        if count < 0:
            self.clear()
            raise errors.BY_KIND[-count]("the completion queue is closed")
        copies: deque[Completion] = deque()
        copied: list[Any] = []
        new = tuple.__new__  # a single CFFI attribute or named tuple constructor is slower than all this
        for *numbers, data, size, detail, detail_size in _COMPLETION.iter_unpack(
            self._bytes[: count * _COMPLETION.size]
        ):
            fields = (*numbers, _copy(data, size, copied), _copy(detail, detail_size, copied))
            copies.append(new(Completion, fields))
        batch.copies = copies
        for data in copied:  # not earlier: after an interrupt, everything is copied again
            state.lib.pyctd_free(data)
        return copies

    def clear(self) -> None:
        """Drops the drained completions: the next ``drain`` asks Go."""
        self._batch = _Batch()


def _copy(address: int, length: int, copied: list[Any]) -> bytes:
    if not address:
        return b""
    data = state.ffi.cast("char *", address)
    copied.append(data)
    copy: bytes = state.ffi.buffer(data, length)[:]
    return copy
