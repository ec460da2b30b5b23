"""``Engine``, awaitable."""

from __future__ import annotations

import asyncio
import os
from types import TracebackType

from ..engine import Engine as BlockingEngine
from ..errors import ClosedError
from ..types import EngineProgram
from ._loop import in_thread
from .client import AsyncHandler, Client

__all__ = ["Engine"]


class Engine:
    """A containerd of one's own, as ``pyctd.Engine``: started by ``async with``, or by ``start``.

    Args:
        address: the socket of a containerd that runs already.
        root: the directory for what lasts; a temporary one unless given, which is removed with the engine.
        state: the directory for what does not, the socket among it; likewise.
        path: the directory of containerd, its shim and runc; what it lacks comes from PATH.
        log_level: containerd's log level: trace, debug, info, warn, error, fatal or panic.
        timeout: seconds that the start may take; moby's supervisor gives up after 15 by itself.
    """

    def __init__(
        self,
        address: str | os.PathLike[str] | None = None,
        *,
        root: str | os.PathLike[str] | None = None,
        state: str | os.PathLike[str] | None = None,
        path: str | os.PathLike[str] | None = None,
        log_level: str = "warn",
        timeout: float | None = None,
    ) -> None:
        self._start = lambda: BlockingEngine(
            address, root=root, state=state, path=path, log_level=log_level, timeout=timeout
        )
        self._engine: BlockingEngine | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._one_at_a_time = asyncio.Lock()

    async def start(self) -> Engine:
        """Starts it, as the construction of a ``pyctd.Engine`` does; a second time does nothing."""
        if self._engine is None:
            if self._loop is not (loop := asyncio.get_running_loop()):
                self._loop, self._one_at_a_time = loop, asyncio.Lock()  # which is one loop's
            lock = self._one_at_a_time
            # Two at once could not share the directories; a start that is cancelled keeps the lock until it is undone.
            await lock.acquire()
            if self._engine is None:
                started = await in_thread(self._start, BlockingEngine.close, lock.release)
                self._engine = started
            else:
                lock.release()
        return self

    @property
    def _started(self) -> BlockingEngine:
        if self._engine is None:
            raise ClosedError("engine is not started: use `async with`, or await start()")
        return self._engine

    @property
    def address(self) -> str:
        """The socket's path."""
        return self._started.address

    @property
    def pid(self) -> int | None:
        """The process id of the containerd that was started; None while there is none."""
        return self._started.pid

    @property
    def versions(self) -> dict[str, EngineProgram]:
        """As ``pyctd.Engine.versions``, which takes some tenths of a second."""
        return self._started.versions

    def client(
        self,
        namespace: str = "moby",
        backend: AsyncHandler | None = None,
        *,
        gaps: bool = False,
        timeout: float | None = None,
    ) -> Client:
        """A client of this engine, to be connected; its bundles live in the engine's own state directory."""
        bundles = self._started.bundles(namespace)
        client = Client(self.address, namespace, bundles, backend, gaps=gaps, timeout=timeout)
        client._engine = self._started
        return client

    async def close(self, *, timeout: float | None = None) -> None:
        """As ``pyctd.Engine.close``."""
        if self._engine is not None:
            engine = self._engine
            await in_thread(lambda: engine.close(timeout=timeout))

    async def __aenter__(self) -> Engine:
        return await self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<aio.Engine {'not started' if self._engine is None else self._engine.address}>"
