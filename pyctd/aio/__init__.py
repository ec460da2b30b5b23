"""pyctd for asyncio: the same names as in ``pyctd``, awaitable.

    async with pyctd.aio.Client("/run/containerd/containerd.sock") as client:
        container = await client.new_container("web", pyctd.spec.default(rootfs, ["/bin/echo", "hello"]))
        task = await container.start(attach_stdio=(out := pyctd.aio.stdio.capture()))
        status = await task.wait()

Operations run in Go, and their outcomes reach the event loop through a single descriptor, so no operation needs a
thread.
Cancelling an awaiting task cancels the Go context of its call; ``timeout=`` sets that context's deadline, and
``asyncio.timeout`` cancels it. ``stdio`` has callbacks for the event loop; those of ``pyctd.stdio`` work too.
Everything that is not a call (specs, options, errors, values) comes from ``pyctd``.
"""

from . import stdio
from .client import Client
from .container import Container
from .engine import Engine
from .events import EventStream
from .process import Process
from .task import Task

__all__ = ["Client", "Container", "Engine", "EventStream", "Process", "Task", "stdio"]
