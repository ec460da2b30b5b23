"""``Task``, awaitable."""

from __future__ import annotations

import os

from .._calls import operations
from .._streams.attach import attaching
from .._streams.builtin import BuiltInIO, Control
from .._streams.direct import StdioCallback
from ..spec import SpecLike
from ..types import ProcessInfo, Stats, Summary
from ._loop import run
from .process import Process

__all__ = ["Task"]


class Task(Process):
    """A running container, like ``pyctd.Task``. ``Container`` has the methods that return one."""

    async def start(self, *, timeout: float | None = None) -> None:
        """As ``pyctd.Task.start`` (Go: ``Task.Start``)."""
        await run(operations.task_start(self._handle), timeout)

    async def pause(self, *, timeout: float | None = None) -> None:
        """As ``pyctd.Task.pause`` (Go: ``Task.Pause``)."""
        await run(operations.task_pause(self._handle), timeout)

    async def resume(self, *, timeout: float | None = None) -> None:
        """As ``pyctd.Task.resume`` (Go: ``Task.Resume``)."""
        await run(operations.task_resume(self._handle), timeout)

    async def stats(self, *, timeout: float | None = None) -> Stats:
        """As ``pyctd.Task.stats`` (Go: ``Task.Stats``)."""
        return await run(operations.task_stats(self._handle), timeout)

    async def pids(self, *, timeout: float | None = None) -> list[ProcessInfo]:
        """As ``pyctd.Task.pids`` (Go: ``Task.Pids``)."""
        return await run(operations.task_pids(self._handle), timeout)

    async def summary(self, *, timeout: float | None = None) -> list[Summary]:
        """As ``pyctd.Task.summary`` (Go: ``Task.Summary``)."""
        return await run(operations.task_summary(self._handle), timeout)

    async def force_delete(self, *, timeout: float | None = None) -> None:
        """As ``pyctd.Task.force_delete`` (Go: ``Task.ForceDelete``)."""
        await run(operations.task_force_delete(self._handle), timeout)

    async def exec(
        self,
        process_id: str,
        spec: SpecLike,
        with_stdin: bool = False,
        attach_stdio: StdioCallback | None = None,
        *,
        timeout: float | None = None,
    ) -> Process:
        """As ``pyctd.Task.exec`` (Go: ``Task.Exec``). The callback is called on one of Go's threads."""
        with attaching(attach_stdio) as attachment:
            made = await run(operations.task_exec(self._handle, process_id, spec, with_stdin, attachment), timeout)
        process = Process(process_id, self.container_id, made, attachment.hooks)
        attachment.hooks.on_started(Control(made[0]), attached=False)
        return process

    async def load_process(self, process_id: str, *, timeout: float | None = None) -> Process:
        """As ``pyctd.Task.load_process`` (Go: containerd's ``Task.LoadProcess``)."""
        made = await run(operations.task_load_process(self._handle, process_id), timeout)
        return Process(process_id, self.container_id, made, BuiltInIO())

    async def update_resources(self, resources: SpecLike, *, timeout: float | None = None) -> None:
        """As ``pyctd.Task.update_resources`` (Go: ``Task.UpdateResources``)."""
        await run(operations.task_update_resources(self._handle, resources), timeout)

    async def create_checkpoint(
        self, directory: str | os.PathLike[str], exit: bool = False, *, timeout: float | None = None
    ) -> None:
        """As ``pyctd.Task.create_checkpoint`` (Go: ``Task.CreateCheckpoint``)."""
        await run(operations.task_create_checkpoint(self._handle, directory, exit), timeout)
