"""The Go library behind CFFI. No other package touches it.

1. ``import pyctd`` does not load the library: the import stays cheap, and a process may fork before it uses pyctd.
2. The first call loads it (``loading``), after checking that this process can run Go. Go gets the functions of
   ``externs``.
3. A ``Queue`` starts operations and hands over their completions (``queue``).
4. An object that Go makes is a number here. Its ``Handle`` owns it, and releases it when collected at the latest.
5. Go calls the functions of ``externs`` on its own threads: for events, stdio and logging. They pass the calls on to a
   ``Host``, which is above this package.
6. A forked child may not use the library (``library``).
7. At exit, ``loading`` waits until Go has undone interrupted calls, and shuts the library down.
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
