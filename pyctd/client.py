"""``Client``: libcontainerd's client on one daemon and namespace."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

from ._calls import operations, run
from ._clientcore import RUNC_SHIM, ClientCore
from ._runner import USE_INSTEAD
from ._streams.interrupts import interrupts_pass
from .container import Container
from .errors import InvalidArgumentError
from .events import Chosen, EventFilter, EventStream, EventType, Handler
from .options import Option
from .spec import SpecLike
from .types import ContainerInfo, Version

__all__ = ["Client"]


class Client(ClientCore):
    """A libcontainerd client (Go: ``libcontainerd.NewClient``). Its events flow from the moment that it exists.

    Closing it leaves containers and tasks as they are.

    Args:
        address: the absolute path of containerd's socket.
        namespace: containerd's namespace; dockerd's is ``moby``.
        state_dir: where bundles and FIFOs live, one directory a container, and runc's state; ``/run/pyctd/<namespace>``
            unless given. Clients of two daemons need two.
        backend: takes the events: an object with ``process_event``, or a callable of the same three arguments.
        gaps: whether the backend is also told when events were lost, as ``events`` has it.
        timeout: seconds that connecting may take.

    Raises:
        InvalidArgumentError: the address is relative or too long, the namespace is no identifier of containerd's, or
            backend is a coroutine function, which only ``pyctd.aio.Client`` can await.
        UnavailableError: no daemon listens there.
        PermissionDeniedError: the socket may not be used.
        DeadlineExceededError: the timeout ran out.
    """

    def __init__(
        self,
        address: str | os.PathLike[str],
        namespace: str = "moby",
        state_dir: str | os.PathLike[str] | None = None,
        backend: Handler | None = None,
        *,
        gaps: bool = False,
        timeout: float | None = None,
    ) -> None:
        super().__init__(address, namespace, state_dir, backend, gaps)
        if self._runner is not None and self._runner.is_coroutine_function:
            raise InvalidArgumentError(f"backend is a coroutine function: {USE_INSTEAD}")
        self._own(run(self._connecting(), timeout))

    def version(self, *, timeout: float | None = None) -> Version:
        """The daemon's version (Go: ``Client.Version``)."""
        return run(operations.client_version(self._handle), timeout)

    def load_container(self, id: str, *, timeout: float | None = None) -> Container:
        """A container that exists (Go: ``Client.LoadContainer``).

        Raises:
            NotFoundError: there is none of that id.
        """
        return Container(id, run(operations.client_load_container(self._handle, id), timeout))

    def containers(self, *filters: str, timeout: float | None = None) -> list[ContainerInfo]:
        """The containers in the client's namespace, whoever made them. It is containerd's own ``Client.Containers``:
        libcontainerd has no list.

        Args:
            filters: in containerd's syntax, such as ``id==web`` or ``labels."com.example.role"==db``; a container that
                matches any of them is listed. All are, when there are none.
            timeout: seconds that it may take.

        Raises:
            InvalidArgumentError: a filter is malformed.
        """
        return run(operations.client_containers(self._handle, filters), timeout)

    def new_container(
        self,
        id: str,
        spec: SpecLike,
        shim: str = RUNC_SHIM,
        runtime_options: Mapping[str, Any] | None = None,
        opts: Sequence[Option] = (),
        *,
        timeout: float | None = None,
    ) -> Container:
        """Makes a container and its bundle directory (Go: ``Client.NewContainer``).

        Args:
            id: an identifier of containerd's: letters and digits, with single ``.``, ``_``, ``-`` between; 76 at most.
            spec: an OCI runtime spec with at least ``root``, ``process`` and ``linux``, as a mapping, JSON text, or the
                path of a file or a bundle; see ``pyctd.spec.default`` and ``pyctd.spec.SpecLike``. Without a
                ``cgroupsPath`` the container gets a cgroup of its own below ``/pyctd``.
            shim: the runtime's name.
            runtime_options: the runtime's options by name, such as ``{"BinaryName": "/usr/bin/crun"}``, converted as
                dockerd does (Go: ``shimopts.Generate``). runc's ``Root`` is a directory in ``state_dir`` unless given.
            opts: further options, from ``pyctd.options``.
            timeout: seconds that it may take.

        Raises:
            ConflictError: the id is in use.
            InvalidArgumentError: the id, the spec or an option is malformed; a fault of the spec is named by its JSON
                path.
        """
        operation = operations.client_new_container(self._handle, False, id, spec, shim, runtime_options, opts)
        return Container(id, run(operation, timeout))

    def replace_container(
        self,
        id: str,
        spec: SpecLike,
        shim: str = RUNC_SHIM,
        runtime_options: Mapping[str, Any] | None = None,
        opts: Sequence[Option] = (),
        *,
        timeout: float | None = None,
    ) -> Container:
        """As ``new_container``, but a container of that id is first deleted, its task killed (Go:
        ``libcontainerd.ReplaceContainer``).

        Raises:
            InvalidArgumentError: the id, the spec or an option is malformed; nothing was deleted then.
        """
        operation = operations.client_new_container(self._handle, True, id, spec, shim, runtime_options, opts)
        return Container(id, run(operation, timeout))

    def events(
        self,
        *,
        container_id: Chosen[str] = None,
        process_id: Chosen[str] = None,
        event: Chosen[EventType | str] = None,
        gaps: bool = False,
    ) -> EventStream:
        """Iterates over the events from now on; each call has an iterator of its own, beside the backend.

        Args:
            container_id: only those of this container, or of these.
            process_id: only those of this process, or of these: an exec's id, or the container's for its init process.
                Events of the whole container (oom, paused, resumed) have an empty one.
            event: only those of this type, or of these.
            gaps: also what Go's client never tells: that events were lost, since the daemon or the connection to it was
                away. An event of the type ``EventType.GAP`` says so once events come again, whatever the filter; its
                ``info`` has the time since when as ``exited_at``, and the reason as ``error``. Then follow exits of
                processes that ended meanwhile, as containerd tells of them when asked: the exit of one that it knows
                nothing more of has the exit code 255 and an ``error``, and may be told again, with its code. Any may be
                where one gap follows another.

        Raises:
            InvalidArgumentError: there is no such type of event.
            ClosedError: the client is closed.
        """
        self._check_open()
        stream = EventStream(EventFilter.of(container_id, process_id, event, gaps), self._router.at_stream_end())
        self._router.add(stream)
        return stream

    def close(self) -> None:
        """Ends the connection and the event streams, and lets go of the tasks' streams; a second time does nothing."""
        with interrupts_pass():
            self._close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
