"""``Client``, awaitable."""

from __future__ import annotations

import asyncio
import inspect
import os
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from types import TracebackType
from typing import Any, Union

from .. import _operations
from .._clientcore import RUNC_SHIM, ClientCore
from ..events import Chosen, Event, EventFilter, EventInfo, EventType, Handler
from ..options import Option
from ..spec import SpecLike
from ..types import Version
from ._loop import in_thread, run
from .container import Container
from .events import EventStream

__all__ = ["Client"]

AsyncHandler = Union[Handler, Callable[[str, EventType, EventInfo], Awaitable[object]]]  # noqa: UP007 (as Handler)
"""As ``Handler``, or a coroutine function, or a backend whose ``process_event`` is one."""


class Client(ClientCore):
    """A libcontainerd client, as ``pyctd.Client``: connected by ``await Client(…)`` or ``async with Client(…)``.

    Args:
        address: the absolute path of containerd's socket.
        namespace: containerd's namespace; dockerd's is ``moby``.
        state_dir: where bundles and FIFOs live, one directory a container; ``/run/pyctd/<namespace>`` unless given.
        backend: takes the events: an object with ``process_event``, or a callable of the same three arguments. A
            coroutine function runs on the event loop that connected the client, and no thread waits for it.
        timeout: seconds that connecting may take.

    Raises:
        InvalidArgumentError: the address is relative or too long.
    """

    def __init__(
        self,
        address: str | os.PathLike[str],
        namespace: str = "moby",
        state_dir: str | os.PathLike[str] | None = None,
        backend: AsyncHandler | None = None,
        *,
        timeout: float | None = None,
    ) -> None:
        super().__init__(address, namespace, state_dir, backend)
        self._timeout = timeout
        self._loop: asyncio.AbstractEventLoop | None = None
        self._running: set[asyncio.Future[object]] = set()

    async def connect(self) -> Client:
        """Connects, and returns once events flow; a second time does nothing.

        Raises:
            InvalidArgumentError: the namespace is no identifier of containerd's.
            UnavailableError: no daemon listens there.
            PermissionDeniedError: the socket may not be used.
            DeadlineExceededError: the timeout ran out.
        """
        if self._connected is None:
            self._loop = asyncio.get_running_loop()
            self._take(await run(self._connecting(), self._timeout))
        return self

    def __await__(self) -> Generator[Any, None, Client]:
        return self.connect().__await__()

    async def version(self, *, timeout: float | None = None) -> Version:
        """As ``pyctd.Client.version`` (Go: ``Client.Version``)."""
        return await run(_operations.client_version(self._handle), timeout)

    async def load_container(self, id: str, *, timeout: float | None = None) -> Container:
        """As ``pyctd.Client.load_container`` (Go: ``Client.LoadContainer``)."""
        return Container(id, await run(_operations.load_container(self._handle, id), timeout))

    async def new_container(
        self,
        id: str,
        spec: SpecLike,
        shim: str = RUNC_SHIM,
        runtime_options: Mapping[str, Any] | None = None,
        opts: Sequence[Option] = (),
        *,
        timeout: float | None = None,
    ) -> Container:
        """As ``pyctd.Client.new_container`` (Go: ``Client.NewContainer``)."""
        operation = _operations.new_container(self._handle, False, id, spec, shim, runtime_options, opts)
        return Container(id, await run(operation, timeout))

    async def replace_container(
        self,
        id: str,
        spec: SpecLike,
        shim: str = RUNC_SHIM,
        runtime_options: Mapping[str, Any] | None = None,
        opts: Sequence[Option] = (),
        *,
        timeout: float | None = None,
    ) -> Container:
        """As ``pyctd.Client.replace_container`` (Go: ``libcontainerd.ReplaceContainer``)."""
        operation = _operations.new_container(self._handle, True, id, spec, shim, runtime_options, opts)
        return Container(id, await run(operation, timeout))

    def events(
        self,
        *,
        container_id: Chosen[str] = None,
        process_id: Chosen[str] = None,
        event: Chosen[EventType | str] = None,
    ) -> EventStream:
        """As ``pyctd.Client.events``, for ``async for``."""
        self._check_open()
        stream = EventStream(EventFilter.of(container_id, process_id, event), self._streams.discard)
        self._streams.add(stream)
        return stream

    def _handle_event(self, event: Event, token: int) -> None:
        if not inspect.iscoroutinefunction(self._handler):
            super()._handle_event(event, token)
            return
        try:
            assert self._loop is not None
            self._loop.call_soon_threadsafe(self._run_handler, event, token)
        except RuntimeError as error:  # the loop is closed, and nobody is left to handle anything
            self._settle(token, error)

    def _run_handler(self, event: Event, token: int) -> None:
        assert self._handler is not None
        task = asyncio.ensure_future(self._handler(*event))
        self._running.add(task)  # the loop itself keeps no task alive
        task.add_done_callback(lambda done: self._handled(done, token))

    def _handled(self, done: asyncio.Future[object], token: int) -> None:
        self._running.discard(done)
        error = asyncio.CancelledError() if done.cancelled() else done.exception()
        self._settle(token, error)

    async def close(self) -> None:
        """As ``pyctd.Client.close``; handlers that run are left to end."""
        if self._connected is not None:
            await in_thread(self._connected.close)
        self._close_streams()

    async def __aenter__(self) -> Client:
        return await self.connect()

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
