"""What Go's callbacks reach: events to their clients, stdio to its callbacks, log records to logging."""

from __future__ import annotations

import contextlib
import json
import logging
import threading
import weakref
from collections import deque
from collections.abc import Callable
from typing import Protocol

from . import _native, directio

__all__ = ["Receiver", "receivers"]


class Receiver(Protocol):
    """A client, as its events see it."""

    def listens(self) -> bool: ...
    def receive(self, event: _native.NativeEvent) -> None: ...


#: cookie to client.
receivers: weakref.WeakValueDictionary[int, Receiver] = weakref.WeakValueDictionary()

_LEVELS = (
    logging.CRITICAL,
    logging.CRITICAL,
    logging.ERROR,
    logging.WARNING,
    logging.INFO,
    logging.DEBUG,
    logging.DEBUG,
)


class _Workers:
    """Daemon threads that run handlers: as many as there are handlers at work, up to a limit, each gone when idle.

    A pool of fixed size would let a few handlers that block hold up every other container's events; the executors of
    concurrent.futures are joined at exit, where a handler that blocks would keep the interpreter from ending.
    """

    LIMIT = 64
    IDLE = 5.0

    def __init__(self) -> None:
        self._work: deque[Callable[[], None]] = deque()
        self._changed = threading.Condition()
        self._idle = 0
        self._threads = 0

    def submit(self, work: Callable[[], None]) -> None:
        with self._changed:
            if self._idle <= len(self._work) and self._threads < self.LIMIT:
                with contextlib.suppress(RuntimeError):  # no thread to be had: the next one that is free takes it
                    threading.Thread(target=self._run, args=[[work]], name="pyctd-events", daemon=True).start()
                    self._threads += 1
                    return
            self._work.append(work)
            self._changed.notify()

    def _run(self, first: list[Callable[[], None]]) -> None:
        work = first.pop()  # out of the list, which the thread keeps
        while True:
            work()
            del work  # an idle thread must not keep a client and its handler alive
            with self._changed:
                self._idle += 1
                woken = self._changed.wait_for(lambda: bool(self._work), self.IDLE)
                self._idle -= 1
                if not woken:
                    self._threads -= 1
                    return
                work = self._work.popleft()


class Host:
    """Implements ``_native.Host``."""

    def __init__(self) -> None:
        self._workers = _Workers()

    def events(self, events: list[_native.NativeEvent]) -> None:
        for event in events:
            receiver = receivers.get(event.cookie)
            if receiver is None or not receiver.listens():
                _native.acknowledge(event.token, "")
            else:
                self._workers.submit(lambda receiver=receiver, event=event: receiver.receive(event))  # type: ignore[misc]

    def stdio(self, cookie: int, native: _native.NativeStdio) -> int:
        return directio.attach(cookie, native)

    def io(self, cookie: int, call: int) -> None:
        directio.io_call(cookie, call)

    def log(self, level: int, text: str, fields: str) -> None:
        values = json.loads(fields) if fields else {}
        name = "pyctd.containerd" if values.get("module") == "containerd" else "pyctd.libcontainerd"
        logger = logging.getLogger(name)
        severity = _LEVELS[min(max(level, 0), len(_LEVELS) - 1)]
        if logger.isEnabledFor(severity):
            suffix = "".join(f" {key}={value}" for key, value in values.items() if key != "module")
            logger.log(severity, "%s%s", text, suffix, extra={"fields": values})


_native.set_host(Host())
