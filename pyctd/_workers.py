"""The threads that run handlers of events."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from ._threads import name_thread

__all__ = ["Workers"]

_log = logging.getLogger("pyctd.events")

Work = tuple[Callable[[Any], object], Any]


class Workers:
    """Daemon threads that run handlers: as many as there are handlers at work, each gone when idle.

    A pool of fixed size would let a few handlers that block hold up every other container's events; the executors of
    concurrent.futures are joined at exit, where a handler that blocks would keep the interpreter from ending.

    Handlers that return soon all run on one thread, for each change of threads costs more than a short handler. What
    waits behind one that does not is seen to by a second thread, the watcher: when nothing was taken for STALL seconds
    it lets as many more threads work as there are already. Beyond LIMIT they become more one by one, every CROWDED
    seconds: handlers that wait for one another's containers must all run in the end, but a crowd of them needs no crowd
    of threads at once.
    """

    LIMIT = 64
    IDLE = 5.0
    STALL = 0.001
    CROWDED = 0.2

    def __init__(self, settle: Callable[[], object] = lambda: None) -> None:
        """``settle`` is called when a thread has no more work, and now and then while others have: it does at once what
        work has left to be done with other's."""
        self._settle = settle
        self._work: deque[Work] = deque()
        self._lock = threading.Lock()
        self._parked: list[threading.Lock] = []  # what the threads without work wait for, each for its own
        self._threads = 0
        self._watched = False
        self._taken = 0.0  # when work was last taken

    def submit(self, work: Iterable[Work]) -> None:
        """Calls each function with its argument, on some thread, in no order."""
        with self._lock:
            self._work.extend(work)
            working = self._threads - len(self._parked) - self._watched
            unwatched = not self._watched and (working or len(self._work) > 1)  # before a thread has taken of it
            if not working or self._stalled():
                self._wake(1)
            if unwatched:
                self._watched = True
                self._work.appendleft((Workers._watch, self))  # the first to come watches, whatever the others take
                if not self._wake(1):
                    self._start()

    def _stalled(self) -> bool:
        return time.monotonic() - self._taken > self.STALL

    def _wake(self, count: int) -> bool:
        """Sets so many more threads to work; whether there was one to be had. Called with the lock held."""
        woken = False
        for _ in range(count):
            if self._parked:
                self._parked.pop().release()
                woken = True
            elif self._threads < self.LIMIT:
                woken |= self._start()
        return woken

    def _start(self) -> bool:
        self._threads += 1
        try:
            threading.Thread(target=self._run, name="pyctd-events", daemon=True).start()
        except RuntimeError:  # no thread to be had: the next one that is free takes the work
            self._threads -= 1
            return False
        return True

    def _watch(self) -> None:
        """Sees that what waits gets done. It is work itself: of two threads one works on, and the other watches."""
        crowded = False
        while True:
            time.sleep(self.CROWDED if crowded else self.STALL)
            self._settle()
            with self._lock:
                if not self._work:
                    self._watched = False
                    return
                if self._stalled():
                    crowded = not self._wake(max(1, self._threads - len(self._parked) - 1))
                    if crowded:
                        self._start()

    def _run(self) -> None:
        name_thread(threading.current_thread().name)
        gate = threading.Lock()
        gate.acquire()
        while True:
            try:
                function, argument = self._work.popleft()
            except IndexError:
                self._settle()
                if not self._park(gate):
                    return
                continue
            self._taken = time.monotonic()
            try:
                function(argument)
            except BaseException:  # a thread that ended here would be counted for ever
                _log.exception("what was to be done for an event raised")
            del function, argument  # an idle thread must not keep a client and its handler alive

    def _park(self, gate: threading.Lock) -> bool:
        """Waits for work; False when none came for IDLE seconds, and the thread is to go."""
        with self._lock:
            if self._work:
                return True
            self._parked.append(gate)
        if gate.acquire(timeout=self.IDLE):
            return True
        with self._lock:
            if gate in self._parked:
                self._parked.remove(gate)
                self._threads -= 1
                return False
        gate.acquire()  # it was opened in the last moment
        return True
