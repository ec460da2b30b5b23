"""pyctd for asyncio: the same names as in ``pyctd``, awaitable.

    async with pyctd.aio.Client("/run/containerd/containerd.sock") as client:
        container = await client.new_container("web", pyctd.spec.default(rootfs, ["/bin/echo", "hello"]))
        task = await container.start(attach_stdio=(out := pyctd.aio.stdio.capture()))
        status = await task.wait()

Operations run in Go, and their outcomes come by one descriptor on the event loop: no operation takes a thread.
Cancelling an awaiting task cancels the Go context of its call; ``timeout=`` sets that context's deadline, and
``asyncio.timeout`` cancels. ``stdio`` has the event loop's own callbacks, and those of ``pyctd.stdio`` serve, too. What
is no call (specs, options, errors, values) is ``pyctd``'s.
"""

from . import stdio
from .client import Client
from .container import Container
from .engine import Engine
from .events import EventStream
from .process import Process
from .task import Task

__all__ = ["Client", "Container", "Engine", "EventStream", "Process", "Task", "stdio"]
