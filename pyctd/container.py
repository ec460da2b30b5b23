"""``Container``: what containerd keeps of a container, apart from what runs in it."""

from __future__ import annotations

import os
from collections.abc import Mapping

from . import _native
from ._calls import operations, run
from ._streams.attach import attaching
from ._streams.builtin import Control
from ._streams.direct import StdioCallback
from .task import Task
from .types import ContainerInfo

__all__ = ["Container", "ContainerCore"]


class ContainerCore:
    """What both faces of a container share."""

    def __init__(self, id: str, handle: _native.Handle) -> None:
        self.id = id
        self._handle = handle

    def close(self) -> None:
        """Releases this object, not the container; garbage collection does so too."""
        self._handle.close()

    def __repr__(self) -> str:
        return f"<Container {self.id}{' closed' if self._handle.closed else ''}>"


class Container(ContainerCore):
    """A container (Go: ``libcontainerd.Container``), to be had from a ``Client``.

    Attributes:
        id: its id.
    """

    def start(
        self,
        checkpoint_dir: str | os.PathLike[str] = "",
        with_stdin: bool = False,
        attach_stdio: StdioCallback | None = None,
        *,
        timeout: float | None = None,
    ) -> Task:
        """Makes the container's task and starts it; when the start fails, the task is deleted again.

        It is ``Container.Start`` of libcontainerd before it was split into ``NewTask`` and ``Task.Start``.

        Args:
            checkpoint_dir: a checkpoint to restore from, as ``Task.create_checkpoint`` writes it; empty for none. It
                stays, so that it can be restored again, and the container may be any with the same spec.
            with_stdin: whether the process gets a stdin. A built-in callback with something to send implies it.
            attach_stdio: is given the process's streams; see ``pyctd.stdio``. None: the process runs without streams.
            timeout: seconds to wait. A start is never cut off: one that takes longer, or that Ctrl-C interrupts, goes
                on in the background, and its task is then deleted. Until then the next ``start`` and ``delete`` wait.

        Raises:
            DeadlineExceededError: the timeout ran out.
            AlreadyExistsError: the container has a task, or another program restores the same checkpoint right now.
            InvalidArgumentError: checkpoint_dir is no directory with a checkpoint.
            NotFoundError: checkpoint_dir does not exist, or there is no ``criu`` to restore it.
            UnknownError: the runtime could not start the process; the text is the runtime's, and ``reason`` is
                ``command-not-found`` or ``command-not-executable`` where it is the command's fault. (A name that is
                nowhere on PATH is a NotFoundError with the former reason.) With ``deleted`` the container is gone.
                Where CRIU could not restore, ``__cause__`` is a ``CriuError`` with CRIU's own reason, as in
                ``Task.create_checkpoint``.
            StdioError: attach_stdio raised.
        """
        return self._new_task(checkpoint_dir, with_stdin, attach_stdio, True, timeout)

    def new_task(
        self,
        checkpoint_dir: str | os.PathLike[str] = "",
        with_stdin: bool = False,
        attach_stdio: StdioCallback | None = None,
        *,
        timeout: float | None = None,
    ) -> Task:
        """As ``start``, but the task is only created: ``Task.start`` starts it (Go: ``Container.NewTask``)."""
        return self._new_task(checkpoint_dir, with_stdin, attach_stdio, False, timeout)

    def _new_task(
        self,
        checkpoint_dir: str | os.PathLike[str],
        with_stdin: bool,
        attach_stdio: StdioCallback | None,
        start: bool,
        timeout: float | None,
    ) -> Task:
        with attaching(attach_stdio) as attachment:
            operation = operations.container_new_task(self._handle, checkpoint_dir, with_stdin, attachment, start)
            made = run(operation, timeout)
        task = Task(self.id, self.id, made, attachment.hooks)
        attachment.hooks.on_started(Control(made[0]), attached=False)
        return task

    def task(self, *, timeout: float | None = None) -> Task:
        """The container's task, without its streams (Go: ``Container.Task``).

        Raises:
            NotFoundError: it has none.
        """
        return self.attach_task(None, timeout=timeout)

    def attach_task(self, attach_stdio: StdioCallback | None, *, timeout: float | None = None) -> Task:
        """The container's task with its streams (Go: ``Container.AttachTask``), such as after this program's restart.

        One reader at a time: make sure that no other client holds the task's streams.

        Raises:
            NotFoundError: the container has no task.
            StdioError: attach_stdio raised.
        """
        with attaching(attach_stdio) as attachment:
            made = run(operations.container_task(self._handle, attachment.cookie), timeout)
        task = Task(self.id, self.id, made, attachment.hooks)
        attachment.hooks.on_started(Control(made[0]), attached=True)
        return task

    def delete(self, *, timeout: float | None = None) -> None:
        """Deletes the container and its bundle (Go: ``Container.Delete``).

        Raises:
            FailedPreconditionError: it has a task still.
            NotFoundError: it is gone already.
        """
        run(operations.container_delete(self._handle), timeout)

    def info(self, *, timeout: float | None = None) -> ContainerInfo:
        """What containerd stores of the container now: its spec, labels, extensions and more (Go: containerd's
        ``Container.Info``; libcontainerd has none).

        Raises:
            NotFoundError: the container is deleted.
        """
        return run(operations.container_info(self._handle), timeout)

    def set_labels(self, labels: Mapping[str, str], *, timeout: float | None = None) -> dict[str, str]:
        """Sets labels and returns all that the container has then (Go: containerd's ``Container.SetLabels``;
        libcontainerd has none).

        Args:
            labels: the labels to add or to change. An empty value removes a label. Labels that are not named stay.
            timeout: seconds that it may take.

        Raises:
            InvalidArgumentError: a label is longer than containerd allows (4096 bytes with its name), or it is
                ``com.docker/engine.bundle.path``, which belongs to libcontainerd, with another value.
            NotFoundError: the container is deleted.
        """
        return run(operations.container_set_labels(self._handle, labels), timeout)
