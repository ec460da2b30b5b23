"""``Container``, awaitable."""

from __future__ import annotations

import os
from collections.abc import Mapping

from .._calls import operations
from .._streams.attach import attaching
from .._streams.builtin import Control
from .._streams.direct import StdioCallback
from ..container import ContainerCore
from ..types import ContainerInfo
from ._loop import run
from .task import Task

__all__ = ["Container"]


class Container(ContainerCore):
    """A container, like ``pyctd.Container``. ``Client`` has the methods that return one.

    Attributes:
        id: the container's id.
    """

    async def start(
        self,
        checkpoint_dir: str | os.PathLike[str] = "",
        with_stdin: bool = False,
        attach_stdio: StdioCallback | None = None,
        *,
        timeout: float | None = None,
    ) -> Task:
        """As ``pyctd.Container.start`` (Go: ``Container.Start``). The callback is called on one of Go's threads."""
        return await self._new_task(checkpoint_dir, with_stdin, attach_stdio, True, timeout)

    async def new_task(
        self,
        checkpoint_dir: str | os.PathLike[str] = "",
        with_stdin: bool = False,
        attach_stdio: StdioCallback | None = None,
        *,
        timeout: float | None = None,
    ) -> Task:
        """As ``pyctd.Container.new_task`` (Go: ``Container.NewTask``)."""
        return await self._new_task(checkpoint_dir, with_stdin, attach_stdio, False, timeout)

    async def _new_task(
        self,
        checkpoint_dir: str | os.PathLike[str],
        with_stdin: bool,
        attach_stdio: StdioCallback | None,
        start: bool,
        timeout: float | None,
    ) -> Task:
        with attaching(attach_stdio) as attachment:
            operation = operations.container_new_task(self._handle, checkpoint_dir, with_stdin, attachment, start)
            made = await run(operation, timeout)
        task = Task(self.id, self.id, made, attachment.hooks)
        attachment.hooks.on_started(Control(made[0]), attached=False)
        return task

    async def task(self, *, timeout: float | None = None) -> Task:
        """As ``pyctd.Container.task`` (Go: ``Container.Task``)."""
        return await self.attach_task(None, timeout=timeout)

    async def attach_task(self, attach_stdio: StdioCallback | None, *, timeout: float | None = None) -> Task:
        """As ``pyctd.Container.attach_task`` (Go: ``Container.AttachTask``)."""
        with attaching(attach_stdio) as attachment:
            made = await run(operations.container_task(self._handle, attachment.cookie), timeout)
        task = Task(self.id, self.id, made, attachment.hooks)
        attachment.hooks.on_started(Control(made[0]), attached=True)
        return task

    async def delete(self, *, timeout: float | None = None) -> None:
        """As ``pyctd.Container.delete`` (Go: ``Container.Delete``)."""
        await run(operations.container_delete(self._handle), timeout)

    async def info(self, *, timeout: float | None = None) -> ContainerInfo:
        """As ``pyctd.Container.info`` (Go: containerd's ``Container.Info``)."""
        return await run(operations.container_info(self._handle), timeout)

    async def set_labels(self, labels: Mapping[str, str], *, timeout: float | None = None) -> dict[str, str]:
        """As ``pyctd.Container.set_labels`` (Go: containerd's ``Container.SetLabels``)."""
        return await run(operations.container_set_labels(self._handle, labels), timeout)
