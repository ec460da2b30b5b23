"""The Go library behind CFFI, which no other package touches.

1. ``import pyctd`` does not load the library: the import stays cheap, and a process may fork before it uses pyctd.
2. The first call does (``loading``). It first checks that this process can hold Go, and gives Go the functions of
   ``externs``.
3. A ``Queue`` starts operations and hands over their completions (``queue``).
4. What Go makes is a number here, and has an owner: its ``Handle`` releases it, at the latest when it is collected.
5. Go calls the functions of ``externs`` on threads of its own: with events, for stdio, and to log. They pass it on to a
   ``Host``, which is above this package.
6. A forked child may not use the library (``library``).
7. At exit, ``loading`` waits until Go has undone what was cut off, and shuts the library down.
"""

from .externs import (
    Host,
    NativeEvent,
    NativeStdio,
    acknowledge,
    listen,
    set_host,
    set_stdio_config,
)
from .handle import Argument, Handle
from .library import Counts, counts, cut_off, forked, refuse_closed, refuse_forked, state, usable
from .loading import load
from .queue import Answer, Completion, Queue

__all__ = [
    "Answer",
    "Argument",
    "Completion",
    "Counts",
    "Handle",
    "Host",
    "NativeEvent",
    "NativeStdio",
    "Queue",
    "acknowledge",
    "counts",
    "cut_off",
    "forked",
    "listen",
    "load",
    "refuse_closed",
    "refuse_forked",
    "set_host",
    "set_stdio_config",
    "state",
    "usable",
]
