"""``Task``: a container's init process and all that runs with it."""

from __future__ import annotations

import os

from ._calls import operations, run
from ._streams.attach import attaching
from ._streams.builtin import BuiltInIO, Control
from ._streams.direct import StdioCallback
from .process import Process
from .spec import SpecLike
from .types import ProcessInfo, Stats, Summary

__all__ = ["Task"]


class Task(Process):
    """A running container (Go: ``libcontainerd.Task``), to be had from a ``Container``."""

    def start(self, *, timeout: float | None = None) -> None:
        """Starts a task that was created with ``Container.new_task`` (Go: ``Task.Start``).

        Raises:
            FailedPreconditionError: it is started already.
            UnknownError: the runtime could not start the process, as in ``Container.start``; the task stays, to be
                deleted with ``force_delete``.
        """
        run(operations.task_start(self._handle), timeout)

    def pause(self, *, timeout: float | None = None) -> None:
        """Freezes every process of the task (Go: ``Task.Pause``).

        Raises:
            UnknownError: the task is not running; ``reason`` has its state.
        """
        run(operations.task_pause(self._handle), timeout)

    def resume(self, *, timeout: float | None = None) -> None:
        """Thaws a paused task (Go: ``Task.Resume``).

        Raises:
            UnknownError: the task is not paused; ``reason`` has its state.
        """
        run(operations.task_resume(self._handle), timeout)

    def stats(self, *, timeout: float | None = None) -> Stats:
        """What the task uses, from its cgroup (Go: ``Task.Stats``).

        The metrics are a ``pyctd.metrics.CgroupV1Metrics`` or a ``pyctd.metrics.CgroupV2Metrics``, as the machine has
        it; ``isinstance`` tells which. A task that has ended still has them, until it is deleted.

        Raises:
            NotFoundError: the task is deleted.
            UnimplementedError: the shim sends metrics of another type, which the error names.
            UnknownError: likewise, where the type is not known to libcontainerd either.
        """
        return run(operations.task_stats(self._handle), timeout)

    def pids(self, *, timeout: float | None = None) -> list[ProcessInfo]:
        """The processes inside the task, its execs' too, by their ids on the host (Go: ``Task.Pids``).

        ``exec_id`` tells which of them an exec has started. A task that has ended has none.

        Raises:
            NotFoundError: the task is deleted.
        """
        return run(operations.task_pids(self._handle), timeout)

    def summary(self, *, timeout: float | None = None) -> list[Summary]:
        """What the runtime tells of each process (Go: ``Task.Summary``); nothing, of a task that has ended.

        runc's shim tells nothing of the init process, so that this fails on Linux while the task runs: :meth:`pids` has
        its processes.

        Raises:
            NotFoundError: the task is deleted.
            UnknownError: the details of a process can't be decoded.
        """
        return run(operations.task_summary(self._handle), timeout)

    def force_delete(self, *, timeout: float | None = None) -> None:
        """Kills the task's processes and deletes it, whatever its state (Go: ``Task.ForceDelete``).

        Args:
            timeout: seconds to wait. A deletion is never cut off: it goes on in the background, and the next one of
                this object waits for it.
        """
        run(operations.task_force_delete(self._handle), timeout)

    def exec(
        self,
        process_id: str,
        spec: SpecLike,
        with_stdin: bool = False,
        attach_stdio: StdioCallback | None = None,
        *,
        timeout: float | None = None,
    ) -> Process:
        """Starts a further process in the task (Go: ``Task.Exec``).

        Args:
            process_id: an identifier of containerd's, not in use in this task.
            spec: an OCI ``process`` object, as a mapping, JSON text or a file's path. As in Go, the process takes
                nothing from the container. ``pyctd.spec.process_of`` makes what ``docker exec`` would run, with the
                container's user, environment and limits. A bare ``pyctd.spec.process`` is root with dockerd's default
                capabilities, whatever the container runs as.
            with_stdin: whether the process gets a stdin. A built-in callback with something to send implies it.
            attach_stdio: is given the process's streams; see ``pyctd.stdio``. None: it runs without streams.
            timeout: seconds to wait for the start. An exec that takes longer, or that Ctrl-C interrupts, is killed and
                deleted in the background; the next exec with its id waits for that.

        Raises:
            DeadlineExceededError: the timeout ran out.
            ConflictError: the id is in use.
            InvalidArgumentError: the id or the spec is malformed.
            NotFoundError: the task is deleted, or the command is not on PATH (``reason`` tells them apart).
            UnknownError: the runtime could not start the process: ``reason`` has ``command-not-found`` or
                ``command-not-executable``, or the state of a task that is not running.
            StdioError: attach_stdio raised.
        """
        with attaching(attach_stdio) as attachment:
            operation = operations.task_exec(self._handle, process_id, spec, with_stdin, attachment)
            made = run(operation, timeout)
        process = Process(process_id, self.container_id, made, attachment.hooks)
        attachment.hooks.on_started(Control(made[0]), attached=False)
        return process

    def load_process(self, process_id: str, *, timeout: float | None = None) -> Process:
        """An exec that another client has started, or this program before its restart (Go: containerd's
        ``Task.LoadProcess``; libcontainerd has none).

        It can be waited for, killed and deleted. Its streams are not attached: they stay with the program that has
        started it, and end with that one. :meth:`pids` has the ids of the execs that run (``ProcessInfo.exec_id``).
        containerd has no list of those that have ended; they are found here by their ids until they are deleted.

        Args:
            process_id: the exec's id.
            timeout: seconds that it may take.

        Raises:
            NotFoundError: there is no such exec, or the task is deleted.
            InvalidArgumentError: the id is malformed, or is the task's own.
        """
        made = run(operations.task_load_process(self._handle, process_id), timeout)
        return Process(process_id, self.container_id, made, BuiltInIO())

    def update_resources(self, resources: SpecLike, *, timeout: float | None = None) -> None:
        """Changes limits of a task that is created, running or paused (Go: ``Task.UpdateResources``).

        What is not given stays as it is. runc changes limits of ``memory`` (``limit``, ``reservation`` and ``swap``, in
        bytes; -1 takes one away), of ``cpu`` (``shares``; ``quota`` and ``period`` in microseconds; ``cpus`` and
        ``mems`` as lists such as ``"0-2,7"``), ``pids.limit``, ``blockIO.weight``, and on cgroup v2 what ``unified``
        names. The rest of the object, such as ``devices`` and ``hugepageLimits``, changes nothing and is no error.

        Args:
            resources: an OCI ``linux.resources`` object, such as ``{"memory": {"limit": 64 << 20}}``, as a mapping,
                JSON text or a file's path; see ``pyctd.spec.resources``.
            timeout: seconds that it may take.

        Raises:
            InvalidArgumentError: resources is malformed; the fault is named by its JSON path.
            NotFoundError: the task is deleted.
            UnknownError: runc or the kernel does not take a value, such as a memory limit below what is in use or a CPU
                that the machine does not have, or the task has ended. Other limits of the same call may be changed.
        """
        run(operations.task_update_resources(self._handle, resources), timeout)

    def create_checkpoint(
        self, directory: str | os.PathLike[str], exit: bool = False, *, timeout: float | None = None
    ) -> None:
        """Writes a checkpoint of the task with CRIU (Go: ``Task.CreateCheckpoint``).

        It needs ``criu`` (version 4 or later for Linux 6), ``iptables`` and ``tar`` on containerd's PATH. The task
        stands still meanwhile. File systems are not part of a checkpoint: to be restored, it needs a container with the
        same spec and root file system.

        Args:
            directory: where to, for ``Container.start(checkpoint_dir=…)``: an empty directory, or one that does not
                exist yet, which is made as dockerd makes it. It holds the task's memory, and is empty or gone again
                after an error.
            exit: whether the task ends with it, killed by SIGKILL: its exit code is 137.
            timeout: seconds that it may take. CRIU is not cut off by it: the checkpoint goes on to its end, and so does
                the task after it, unless exit.

        Raises:
            AlreadyExistsError: the directory has files in it.
            FailedPreconditionError: exit with a container from ``load_container``, or one whose shim is not
                ``io.containerd.runc.v2`` by name: libcontainerd would ignore it.
            InvalidArgumentError: the directory is a file, or can't be written to.
            NotFoundError: there is no ``criu``, or no such task.
            UnknownError: CRIU failed, or the task is not running. In the former case ``__cause__`` is a ``CriuError``
                with CRIU's own reason, where its log can be read: by root on the daemon's machine. The task runs on.
        """
        run(operations.task_create_checkpoint(self._handle, directory, exit), timeout)
