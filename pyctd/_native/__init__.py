"""The only package that touches CFFI: calls, callbacks and the lifetimes of handles.

The life of a call: it starts an operation in Go, which answers with its number at once; the operation runs on a
goroutine; its completion lands on a queue and makes the queue's eventfd readable. ``run`` polls that descriptor, so
that other threads run and Ctrl-C is heard, and drains the queue; ``pyctd.aio`` adds it to its event loop instead.
``_calls`` has the steps that both follow.

The Go library is loaded by the first call that needs it, never by ``import pyctd``: the import stays cheap, and a
process may fork before it uses pyctd.
"""

from ._blocking import run, run_call
from ._callbacks import (
    Host,
    NativeEvent,
    NativeStdio,
    acknowledge,
    listen,
    set_host,
    set_stdio_config,
)
from ._calls import Call, Operation
from ._queue import Completion, Queue
from .handle import Handle
from .library import Counts, counts, cut_off, forked, refuse_forked, state, usable
from .loading import load

__all__ = [
    "Call",
    "Completion",
    "Counts",
    "Handle",
    "Host",
    "NativeEvent",
    "NativeStdio",
    "Operation",
    "Queue",
    "acknowledge",
    "counts",
    "cut_off",
    "forked",
    "listen",
    "load",
    "refuse_forked",
    "run",
    "run_call",
    "set_host",
    "set_stdio_config",
    "state",
    "usable",
]
