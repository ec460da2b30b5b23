"""Calls that block their thread until they end, and that Ctrl-C interrupts at once."""

import logging
import math
import select
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from .._native import Completion, Queue
from .call import Call, Operation

__all__ = ["run", "run_call"]

_log = logging.getLogger("pyctd")

PROMPT = 0.05
"""Seconds that an interrupted call waits for its cancelled operation to end. Ctrl-C must take effect within a tenth of
a second."""

LATE = 30.0
"""Seconds that a background thread then waits for it. The interpreter's exit waits for that thread."""

SIGNAL_SLICE = 0.2
"""Seconds after which a call on the main thread checks for a signal that did not wake it."""

T = TypeVar("T")

_MAIN_THREAD = threading.main_thread().ident


class _Waiter(Queue):
    """A queue for one call at a time. It can wait for that call's completion."""

    def __init__(self) -> None:
        super().__init__(1)
        self._poll = select.poll()
        self._poll.register(self.fd, select.POLLIN)

    def wait(self, seconds: float = math.inf) -> Completion | None:
        """Returns the completion, or None after so many seconds."""
        until = time.monotonic() + seconds
        # A signal that arrives between Python's last check and the system call does not interrupt it.
        longest = SIGNAL_SLICE if threading.get_ident() == _MAIN_THREAD else math.inf
        while not (self.drained or self._poll.poll(_milliseconds(min(longest, seconds)))):
            if (seconds := until - time.monotonic()) <= 0:
                return None
        return self.drain()[0]


def _milliseconds(seconds: float) -> float | None:
    return None if seconds == math.inf else seconds * 1000


# Idle queues. One queue per thread would live as long as its thread, and Go's threads, on which callbacks call pyctd
# again, live as long as the process.
_idle: list[_Waiter] = []
IDLE_LIMIT = 16

AtEnd = Callable[["Completion | None"], object]


def run(operation: Operation[T], timeout: float | None) -> T:
    """Calls an operation; see ``run_call``."""
    return run_call(Call(operation, timeout))


def run_call(call: Call[T], at_end: AtEnd | None = None) -> T:
    """Makes a call and returns its operation's result.

    An exception that interrupts the wait, such as Ctrl-C, cancels the operation and is raised at once. Its
    ``__context__`` is an ``Error`` with the outcome of the operation. If Go takes longer to clean up, the outcome is
    logged instead.

    Args:
        call: the call.
        at_end: if the call is interrupted, called once its operation has ended: with the completion, or None if that
            took too long. It runs on a thread of its own, and may block.

    Raises:
        Error: the operation failed. The class is that of the error's kind, the text is Go's.
    """
    try:
        queue = _idle.pop()
    except IndexError:
        queue = _Waiter()
    try:
        call.start(queue)
        done = queue.wait()
        assert done is not None
        call.finish(done)
    except BaseException as interrupt:
        if call.started:
            _abandon(queue, call, at_end, interrupt)
        raise
    queue.clear()
    if len(_idle) < IDLE_LIMIT:
        _idle.append(queue)
    return call.result()


def _abandon(queue: _Waiter, call: Call[Any], at_end: AtEnd | None, interrupt: BaseException) -> None:
    # The queue is not reused. Once it is gone, Go disposes of a completion that nobody waited for.
    done = None
    try:
        call.cancel()
        done = queue.wait(PROMPT)
    finally:
        if done is not None and at_end is None:
            call.abandon(interrupt, done)
        else:
            call.abandon(interrupt, None)
            _in_background(lambda: _end_late(queue, call, at_end))


def _in_background(work: Callable[[], None]) -> None:
    try:
        threading.Thread(target=work, name="pyctd-interrupted").start()
    except RuntimeError:  # can't start a thread, for example while the interpreter exits
        work()


def _end_late(queue: _Waiter, call: Call[Any], at_end: AtEnd | None) -> None:
    done = queue.wait(LATE)
    if at_end is not None:
        at_end(done)
    if done is not None:
        call.end_late(done)
    else:
        _log.warning("%s, which was interrupted, has not ended within %g s", call.operation.method, LATE)
