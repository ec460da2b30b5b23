"""``Container``: containerd's record of a container, as opposed to the task that runs in it."""

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
    """What the blocking and the asyncio ``Container`` share."""

    def __init__(self, id: str, handle: _native.Handle) -> None:
        self.id = id
        self._handle = handle

    def close(self) -> None:
        """Releases this object but leaves the container alone. Garbage collection does the same."""
        self._handle.close()

    def __repr__(self) -> str:
        return f"<Container {self.id}{' closed' if self._handle.closed else ''}>"


class Container(ContainerCore):
    """A container (Go: ``libcontainerd.Container``). ``Client`` has the methods that return one.

    Attributes:
        id: the container's id.
    """

    def start(
        self,
        checkpoint_dir: str | os.PathLike[str] = "",
        with_stdin: bool = False,
        attach_stdio: StdioCallback | None = None,
        *,
        timeout: float | None = None,
    ) -> Task:
        """Creates the container's task and starts it. If the start fails, the task is deleted again.

        This is libcontainerd's former ``Container.Start``, which was split into ``NewTask`` and ``Task.Start``.

        Args:
            checkpoint_dir: the checkpoint to restore from, written by ``Task.create_checkpoint``; empty for none. The
                checkpoint stays and can be restored again, into any container with the same spec.
            with_stdin: whether the process gets a stdin. A built-in callback that has input to send implies it.
            attach_stdio: receives the process's streams; see ``pyctd.stdio``. None: the process runs without streams.
            timeout: seconds to wait. A start is never cut short: after a timeout or Ctrl-C it continues in the
                background, and its task is then deleted. The next ``start`` or ``delete`` waits for that.

        Raises:
            DeadlineExceededError: the timeout ran out.
            AlreadyExistsError: the container already has a task, or another program is restoring the same checkpoint.
            InvalidArgumentError: checkpoint_dir is not a directory that holds a checkpoint.
            NotFoundError: checkpoint_dir does not exist, or ``criu``, which restores it, is not installed. Also raised,
                with the reason ``command-not-found``, for a command name that is not on PATH.
            UnknownError: the runtime could not start the process. The text is the runtime's. If the command is at
                fault, ``reason`` is ``command-not-found`` or ``command-not-executable``; if the container is gone, it
                is ``deleted``. If CRIU could not restore, ``__cause__`` is a ``CriuError`` with CRIU's own reason, as
                in ``Task.create_checkpoint``.
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
        """Like ``start``, but only creates the task; ``Task.start`` starts it (Go: ``Container.NewTask``)."""
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
        """Returns the container's task without its streams (Go: ``Container.Task``).

        Raises:
            NotFoundError: the container has no task.
        """
        return self.attach_task(None, timeout=timeout)

    def attach_task(self, attach_stdio: StdioCallback | None, *, timeout: float | None = None) -> Task:
        """Returns the container's task with its streams, for example after this program was restarted (Go:
        ``Container.AttachTask``).

        Streams can have one reader at a time: make sure that no other client holds them.

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
            FailedPreconditionError: the container still has a task.
            NotFoundError: the container is already deleted.
        """
        run(operations.container_delete(self._handle), timeout)

    def info(self, *, timeout: float | None = None) -> ContainerInfo:
        """Returns containerd's current record of the container: its spec, labels, extensions and more (Go: containerd's
        ``Container.Info``; libcontainerd has none).

        Raises:
            NotFoundError: the container is deleted.
        """
        return run(operations.container_info(self._handle), timeout)

    def set_labels(self, labels: Mapping[str, str], *, timeout: float | None = None) -> dict[str, str]:
        """Sets labels and returns all labels that the container then has (Go: containerd's ``Container.SetLabels``;
        libcontainerd has none).

        Args:
            labels: the labels to add or change. An empty value removes the label. Other labels stay as they are.
            timeout: the most seconds that the call may take.

        Raises:
            InvalidArgumentError: a label is longer than containerd allows (4096 bytes including its name), or it would
                change ``com.docker/engine.bundle.path``, which belongs to libcontainerd.
            NotFoundError: the container is deleted.
        """
        return run(operations.container_set_labels(self._handle, labels), timeout)
