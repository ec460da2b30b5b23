"""``Client``, awaitable."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import inspect
import os
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import Any, Union

from .. import _operations
from .._clientcore import RUNC_SHIM, ClientCore, discard
from ..events import Chosen, Event, EventFilter, EventInfo, EventType, Handler
from ..options import Option
from ..spec import SpecLike
from ..types import ContainerInfo, Version
from ._loop import at_loop_end, in_thread, run
from .container import Container
from .events import EventStream

__all__ = ["Client"]

AsyncHandler = Union[Handler, Callable[[str, EventType, EventInfo], Awaitable[object]]]  # noqa: UP007 (as Handler)
"""As ``Handler``, or a coroutine function, or a backend whose ``process_event`` is one, or what else returns an
awaitable."""


class Client(ClientCore):
    """A libcontainerd client, as ``pyctd.Client``: connected by ``await Client(…)`` or ``async with Client(…)``.

    Args:
        address: the absolute path of containerd's socket.
        namespace: containerd's namespace; dockerd's is ``moby``.
        state_dir: where bundles and FIFOs live, one directory a container, and runc's state; ``/run/pyctd/<namespace>``
            unless given. Clients of two daemons need two.
        backend: takes the events: an object with ``process_event``, or a callable of the same three arguments. A
            coroutine function runs on the event loop that connected the client, and no thread waits for it. Any other
            callable is called on a thread; where it returns an awaitable, that is awaited on the loop.
        gaps: whether the backend is also told when events were lost, as ``events`` has it.
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
        gaps: bool = False,
        timeout: float | None = None,
    ) -> None:
        super().__init__(address, namespace, state_dir, backend, gaps)
        self._timeout = timeout
        self._loop: asyncio.AbstractEventLoop | None = None
        self._one_at_a_time = asyncio.Lock()
        self._arrived: list[tuple[Event, int]] = []
        self._running: dict[int, Awaitable[object] | None] = {}  # None, or what no future has been made of, at first

    async def connect(self) -> Client:
        """Connects, and returns once events flow; a second time does nothing.

        Raises:
            InvalidArgumentError: the namespace is no identifier of containerd's.
            UnavailableError: no daemon listens there.
            PermissionDeniedError: the socket may not be used.
            DeadlineExceededError: the timeout ran out.
        """
        if self._connected is None:
            if self._loop is not (loop := asyncio.get_running_loop()):
                self._loop, self._one_at_a_time = loop, asyncio.Lock()  # which is one loop's
            async with self._one_at_a_time:
                if self._connected is None:
                    if self._handler is not None:
                        at_loop_end(self)
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

    async def containers(self, *filters: str, timeout: float | None = None) -> list[ContainerInfo]:
        """As ``pyctd.Client.containers`` (Go: containerd's ``Client.Containers``)."""
        return await run(_operations.containers(self._handle, filters), timeout)

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
        gaps: bool = False,
    ) -> EventStream:
        """As ``pyctd.Client.events``, for ``async for``."""
        self._check_open()
        stream = EventStream(EventFilter.of(container_id, process_id, event, gaps), self._at_stream_end())
        self._add_stream(stream)
        return stream

    @property
    def _is_closed(self) -> bool:
        return self._connected is not None and self._connected.closed

    def _handle_event(self, event: Event, token: int) -> None:
        if not self._is_coroutine_function:
            super()._handle_event(event, token)
            return
        assert self._loop is not None
        self._running[token] = None
        with self._lock:
            self._arrived.append((event, token))
            if len(self._arrived) > 1 and not self._loop.is_closed():
                return  # the loop is woken for the first: waking it costs more than a handler
        self._wake(self._run_handlers, self._context.copy())

    def _await_result(self, result: Awaitable[object], context: contextvars.Context, token: int) -> None:
        self._running[token] = result
        self._wake(partial(self._run_result, token), context)

    def _wake(self, work: Callable[[], object], context: contextvars.Context) -> None:
        assert self._loop is not None
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(work, context=context)
        if self._loop.is_closed():
            self.loop_ended()

    def _take_arrived(self) -> list[tuple[Event, int]]:
        with self._lock:
            arrived, self._arrived = self._arrived, []
        return arrived

    def _run_handlers(self) -> None:
        assert self._handler is not None
        for event, token in self._take_arrived():
            if token in self._running:
                self._run(token, partial(self._handler, *event))

    def _run_result(self, token: int) -> None:
        result = self._running.get(token)
        if result is not None:
            self._run(token, lambda: result)

    def _run(self, token: int, begin: Callable[[], Awaitable[object]]) -> None:
        if self._is_closed:  # the loop may be at its end, where a new task would never run
            discard(self._running.pop(token))
            self._settle(token, None)
            return
        try:
            task = asyncio.ensure_future(begin())
        except Exception as error:  # it does not take these arguments
            del self._running[token]
            self._settle(token, error)
            return
        self._running[token] = task  # the loop itself keeps no task alive
        task.add_done_callback(partial(self._handled, token))

    def _handled(self, token: int, done: asyncio.Future[object]) -> None:
        if token in self._running:
            del self._running[token]
            error = asyncio.CancelledError() if done.cancelled() else done.exception()
            # Whoever ends a loop cancels what runs there: with the client closed that is no failure of the handler.
            self._settle(token, None if self._is_closed and done.cancelled() else error)

    def loop_ended(self) -> None:
        """Nobody is left to handle what is under way, and the next events must come. For pyctd's own use."""
        assert self._loop is not None
        error = None if self._is_closed else RuntimeError("the event loop of the handler is closed")
        while self._running and self._loop.is_closed():
            token, result = self._running.popitem()
            discard(_never_begun(result) if isinstance(result, asyncio.Task) else result)
            self._settle(token, error)

    async def close(self) -> None:
        """As ``pyctd.Client.close``; handlers that run are left to end."""
        if self._connected is not None:
            await in_thread(self._close)  # whole, though the await is cancelled

    async def __aenter__(self) -> Client:
        return await self.connect()

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


def _never_begun(task: asyncio.Task[object]) -> Awaitable[object] | None:
    """The coroutine of a task that the loop made and never ran, as it does with what arrives while it closes."""
    coroutine = task.get_coro()
    if inspect.iscoroutine(coroutine) and inspect.getcoroutinestate(coroutine) == inspect.CORO_CREATED:
        return coroutine
    return None
