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
    """A private containerd, like ``pyctd.Engine``. Start it with ``async with`` or ``start``.

    Args:
        address: the socket of a containerd that is already running.
        root: the directory for persistent data. The default is a temporary one, which is removed with the engine.
        state: the directory for transient data, including the socket. The default is a temporary one, which is removed
            with the engine.
        path: the directory of containerd, its shim and runc. Programs that it lacks come from PATH.
        log_level: containerd's log level: trace, debug, info, warn, error, fatal or panic.
        timeout: the most seconds that the start may take. moby's supervisor itself gives up after 15.
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
        """Starts the engine, as constructing a ``pyctd.Engine`` does. A second call does nothing."""
        if self._engine is None:
            if self._loop is not (loop := asyncio.get_running_loop()):
                self._loop, self._one_at_a_time = loop, asyncio.Lock()  # a lock belongs to one loop
            lock = self._one_at_a_time
            # Two starts cannot share the directories. A cancelled start keeps the lock until it is undone.
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
        """The process id of this engine's containerd; None while none is running."""
        return self._started.pid

    @property
    def versions(self) -> dict[str, EngineProgram]:
        """As ``pyctd.Engine.versions``. It blocks for some tenths of a second."""
        return self._started.versions

    def client(
        self,
        namespace: str = "moby",
        backend: AsyncHandler | None = None,
        *,
        gaps: bool = False,
        timeout: float | None = None,
    ) -> Client:
        """Returns an unconnected client of this engine, with its bundles in the engine's state directory."""
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
