"""``Client``: libcontainerd's client for one daemon and namespace."""

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
    """A libcontainerd client (Go: ``libcontainerd.NewClient``). It delivers events as soon as it exists.

    Closing the client leaves containers and tasks as they are.

    Args:
        address: the absolute path of containerd's socket.
        namespace: containerd's namespace; dockerd's is ``moby``.
        state_dir: the directory for bundles and FIFOs, with a subdirectory for each container, and for runc's state.
            The default is ``/run/pyctd/<namespace>``. Clients of two daemons need two.
        backend: receives the events: an object with a ``process_event`` method, or a callable with the same three
            arguments.
        gaps: whether the backend also hears that events were lost; see ``events``.
        timeout: the most seconds that connecting may take.

    Raises:
        InvalidArgumentError: the address is relative or too long, the namespace is not a valid containerd identifier,
            or backend is a coroutine function, which only ``pyctd.aio.Client`` can await.
        UnavailableError: no daemon is listening there.
        PermissionDeniedError: this user may not use the socket.
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
        """Returns the daemon's version (Go: ``Client.Version``)."""
        return run(operations.client_version(self._handle), timeout)

    def load_container(self, id: str, *, timeout: float | None = None) -> Container:
        """Returns an existing container (Go: ``Client.LoadContainer``).

        Raises:
            NotFoundError: no container has that id.
        """
        return Container(id, run(operations.client_load_container(self._handle, id), timeout))

    def containers(self, *filters: str, timeout: float | None = None) -> list[ContainerInfo]:
        """Lists all containers in the client's namespace, including other clients' (Go: containerd's
        ``Client.Containers``; libcontainerd has no list).

        Args:
            filters: filters in containerd's syntax, such as ``id==web`` or ``labels."com.example.role"==db``. The list
                has the containers that match any of them, or all containers if there are no filters.
            timeout: the most seconds that the call may take.

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
        """Creates a container and its bundle directory (Go: ``Client.NewContainer``).

        Args:
            id: a containerd identifier: letters and digits, separated by single ``.``, ``_`` or ``-``; at most 76
                characters.
            spec: an OCI runtime spec with at least ``root``, ``process`` and ``linux``: a mapping, JSON text, or the
                path of a file or bundle. See ``pyctd.spec.default`` and ``pyctd.spec.SpecLike``. Without a
                ``cgroupsPath`` the container gets its own cgroup below ``/pyctd``.
            shim: the runtime's name.
            runtime_options: the runtime's options by name, such as ``{"BinaryName": "/usr/bin/crun"}``, converted as
                dockerd converts them (Go: ``shimopts.Generate``). The default for runc's ``Root`` is a directory in
                ``state_dir``.
            opts: further options, from ``pyctd.options``.
            timeout: the most seconds that the call may take.

        Raises:
            ConflictError: the id is in use.
            InvalidArgumentError: the id, the spec or an option is malformed. For a spec, the message gives the JSON
                path of the error.
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
        """Like ``new_container``, but first deletes any container with that id and kills its task (Go:
        ``libcontainerd.ReplaceContainer``).

        Raises:
            InvalidArgumentError: the id, the spec or an option is malformed. In that case nothing has been deleted.
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
        """Returns an iterator over the events from now on. Each call returns a new one, and the backend still gets
        every event.

        After a gap, containerd is asked which processes ended meanwhile, and their exits follow the ``GAP`` event. If
        containerd no longer knows how a process ended, its exit has the exit code 255 and an ``error``, and may be
        reported again, with its code. When one gap follows another, any of these exits may be reported again.

        Args:
            container_id: only events of this container, or of these containers.
            process_id: only events of this process, or of these: an exec's id, or the container's id for its init
                process. Events of the whole container (oom, paused, resumed) have an empty process id.
            event: only events of this type, or of these types.
            gaps: also report that events were lost because the daemon or the connection was down, which Go's client
                never does. Once events arrive again, an event of type ``EventType.GAP`` comes first, whatever the
                filters. In its ``info``, ``exited_at`` is the time since which events were lost, and ``error`` is the
                reason.

        Raises:
            InvalidArgumentError: there is no such event type.
            ClosedError: the client is closed.
        """
        self._check_open()
        stream = EventStream(EventFilter.of(container_id, process_id, event, gaps), self._router.at_stream_end())
        self._router.add(stream)
        return stream

    def close(self) -> None:
        """Closes the connection and the event streams, and releases the tasks' streams. A second call does nothing."""
        with interrupts_pass():
            self._close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
