"""``Process``, awaitable."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._calls import operations
from ..process import ProcessCore
from ..types import ExitStatus, Status
from ._loop import in_thread, run
from .stdio import LoopIO

if TYPE_CHECKING:
    import signal as signals

__all__ = ["Process"]


class Process(ProcessCore):
    """A process in a container, like ``pyctd.Process``.

    Attributes:
        id: the exec's id; for a task, the container's id.
        container_id: the container's id.
        pid: the process id on the host.
    """

    async def kill(self, signal: int | str | signals.Signals, *, timeout: float | None = None) -> None:
        """As ``pyctd.Process.kill`` (Go: ``Process.Kill``)."""
        await run(operations.process_kill(self._handle, signal), timeout)

    async def resize(self, width: int, height: int, *, timeout: float | None = None) -> None:
        """As ``pyctd.Process.resize`` (Go: ``Process.Resize``)."""
        await run(operations.process_resize(self._handle, width, height), timeout)

    async def wait(self, *, timeout: float | None = None) -> ExitStatus:
        """As ``pyctd.Process.wait`` (Go: containerd's ``Process.Wait``)."""
        until = self._until(timeout)
        if self._exit is None:
            status = await run(operations.process_wait(self._handle), timeout)
            self._exit = status
        if isinstance(self._io, LoopIO):
            await self._io.drained(until)
        elif not self._io.drain(0):
            await in_thread(lambda: self._io.drain(until))
        return self._exit

    async def delete(self, *, timeout: float | None = None) -> ExitStatus:
        """As ``pyctd.Process.delete`` (Go: ``Process.Delete``)."""
        status = await run(operations.process_delete(self._handle), timeout)
        self._exit = status
        return status

    async def close_stdin(self, *, timeout: float | None = None) -> None:
        """As ``pyctd.Process.close_stdin`` (Go: containerd's ``CloseIO`` with ``WithStdinCloser``)."""
        await run(operations.process_close_stdin(self._handle), timeout)

    async def status(self, *, timeout: float | None = None) -> Status:
        """As ``pyctd.Process.status`` (Go: ``Task.Status``)."""
        return await run(operations.process_status(self._handle), timeout)
