"""Routes Go's callbacks: events to their clients, stdio to its callbacks, log records to logging."""

from __future__ import annotations

import json
import logging
import weakref
from typing import Protocol

from . import _native
from ._streams.attach import call_io, run_callback

__all__ = ["Receiver", "receivers"]


class Receiver(Protocol):
    """A client's router, as seen from here."""

    def listens(self) -> bool: ...
    def receive(self, event: _native.NativeEvent) -> bool: ...


#: Cookie to router.
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


class Host:
    """Implements ``_native.Host``."""

    def event(self, event: _native.NativeEvent) -> bool:
        receiver = receivers.get(event.cookie)
        return receiver is None or not receiver.listens() or receiver.receive(event)

    def stdio(self, cookie: int, native: _native.NativeStdio) -> int:
        return run_callback(cookie, native)

    def io(self, cookie: int, call: int) -> None:
        call_io(cookie, call)

    def log(self, level: int, text: str, fields: str) -> None:
        values = json.loads(fields) if fields else {}
        name = "pyctd.containerd" if values.get("module") == "containerd" else "pyctd.libcontainerd"
        logger = logging.getLogger(name)
        severity = _LEVELS[min(max(level, 0), len(_LEVELS) - 1)]
        if logger.isEnabledFor(severity):
            suffix = "".join(f" {key}={value}" for key, value in values.items() if key != "module")
            logger.log(severity, "%s%s", text, suffix, extra={"fields": values})


# Without it, Python prints these on stderr in programs that configure no logging. The calls raise the errors anyway.
logging.getLogger("pyctd.libcontainerd").addHandler(logging.NullHandler())

_native.set_host(Host())
