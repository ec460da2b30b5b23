"""``Client``, awaitable."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from types import TracebackType
from typing import Any, Union

from .._calls import operations
from .._clientcore import RUNC_SHIM, ClientCore
from ..events import Chosen, EventFilter, EventInfo, EventType, Handler
from ..options import Option
from ..spec import SpecLike
from ..types import ContainerInfo, Version
from ._loop import at_loop_end, in_thread, run
from ._runner import LoopRunner
from .container import Container
from .events import EventStream

__all__ = ["Client"]

AsyncHandler = Union[Handler, Callable[[str, EventType, EventInfo], Awaitable[object]]]  # noqa: UP007 (as Handler)
"""A ``Handler`` that may also be a coroutine function, a backend whose ``process_event`` is one, or anything else that
returns an awaitable."""


class Client(ClientCore):
    """A libcontainerd client, like ``pyctd.Client``. Connect it with ``await Client(…)`` or ``async with Client(…)``.

    Args:
        address: the absolute path of containerd's socket.
        namespace: containerd's namespace; dockerd's is ``moby``.
        state_dir: the directory for bundles and FIFOs, with a subdirectory for each container, and for runc's state.
            The default is ``/run/pyctd/<namespace>``. Clients of two daemons need two.
        backend: receives the events: an object with a ``process_event`` method, or a callable with the same three
            arguments. A coroutine function runs on the event loop that connected the client, without a thread. Any
            other callable is called on a thread; if it returns an awaitable, the loop awaits it.
        gaps: whether the backend also hears that events were lost; see ``events``.
        timeout: the most seconds that connecting may take.

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
        gaps: bool = False,
        timeout: float | None = None,
    ) -> None:
        super().__init__(address, namespace, state_dir, backend, gaps)
        self._timeout = timeout
        self._loop: asyncio.AbstractEventLoop | None = None
        self._one_at_a_time = asyncio.Lock()

    def _runner_of(self, function: Callable[..., Any]) -> LoopRunner:
        return LoopRunner(function)

    async def connect(self) -> Client:
        """Connects, and returns once events flow. A second call does nothing.

        Raises:
            InvalidArgumentError: the namespace is not a valid containerd identifier.
            UnavailableError: no daemon is listening there.
            PermissionDeniedError: this user may not use the socket.
            DeadlineExceededError: the timeout ran out.
        """
        if self._connected is None:
            if self._loop is not (loop := asyncio.get_running_loop()):
                self._loop, self._one_at_a_time = loop, asyncio.Lock()  # a lock belongs to one loop
            async with self._one_at_a_time:
                if self._connected is None:
                    if isinstance(self._runner, LoopRunner):
                        self._runner.loop = loop
                        at_loop_end(self._runner)
                    self._own(await run(self._connecting(), self._timeout))
        return self

    def __await__(self) -> Generator[Any, None, Client]:
        return self.connect().__await__()

    async def version(self, *, timeout: float | None = None) -> Version:
        """As ``pyctd.Client.version`` (Go: ``Client.Version``)."""
        return await run(operations.client_version(self._handle), timeout)

    async def load_container(self, id: str, *, timeout: float | None = None) -> Container:
        """As ``pyctd.Client.load_container`` (Go: ``Client.LoadContainer``)."""
        return Container(id, await run(operations.client_load_container(self._handle, id), timeout))

    async def containers(self, *filters: str, timeout: float | None = None) -> list[ContainerInfo]:
        """As ``pyctd.Client.containers`` (Go: containerd's ``Client.Containers``)."""
        return await run(operations.client_containers(self._handle, filters), timeout)

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
        operation = operations.client_new_container(self._handle, False, id, spec, shim, runtime_options, opts)
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
        operation = operations.client_new_container(self._handle, True, id, spec, shim, runtime_options, opts)
        return Container(id, await run(operation, timeout))

    def events(
        self,
        *,
        container_id: Chosen[str] = None,
        process_id: Chosen[str] = None,
        event: Chosen[EventType | str] = None,
        gaps: bool = False,
    ) -> EventStream:
        """As ``pyctd.Client.events``, for ``async for``."""
        self._check_open()
        stream = EventStream(EventFilter.of(container_id, process_id, event, gaps), self._router.at_stream_end())
        self._router.add(stream)
        return stream

    async def close(self) -> None:
        """Like ``pyctd.Client.close``. Running handlers continue to their end."""
        if self._connected is not None:
            await in_thread(self._close)  # completes even if the await is cancelled

    async def __aenter__(self) -> Client:
        return await self.connect()

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
