"""``Task``: a container's init process and everything that runs with it."""

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
    """A running container (Go: ``libcontainerd.Task``). ``Container`` has the methods that return one."""

    def start(self, *, timeout: float | None = None) -> None:
        """Starts a task that was created with ``Container.new_task`` (Go: ``Task.Start``).

        Raises:
            FailedPreconditionError: the task has already been started.
            UnknownError: the runtime could not start the process, as in ``Container.start``. The task remains; delete
                it with ``force_delete``.
        """
        run(operations.task_start(self._handle), timeout)

    def pause(self, *, timeout: float | None = None) -> None:
        """Freezes every process of the task (Go: ``Task.Pause``).

        Raises:
            UnknownError: the task is not running; ``reason`` is its state.
        """
        run(operations.task_pause(self._handle), timeout)

    def resume(self, *, timeout: float | None = None) -> None:
        """Thaws a paused task (Go: ``Task.Resume``).

        Raises:
            UnknownError: the task is not paused; ``reason`` is its state.
        """
        run(operations.task_resume(self._handle), timeout)

    def stats(self, *, timeout: float | None = None) -> Stats:
        """Returns the task's resource usage, as its cgroup counts it (Go: ``Task.Stats``).

        The metrics are a ``pyctd.metrics.CgroupV1Metrics`` or a ``pyctd.metrics.CgroupV2Metrics``, depending on the
        machine's cgroup version; ``isinstance`` tells which. They remain available after the task has ended, until it
        is deleted.

        Raises:
            NotFoundError: the task is deleted.
            UnimplementedError: the shim sends metrics of another type, which the message names.
            UnknownError: the shim sends metrics of a type that libcontainerd does not know either.
        """
        return run(operations.task_stats(self._handle), timeout)

    def pids(self, *, timeout: float | None = None) -> list[ProcessInfo]:
        """Lists the processes inside the task, including those of execs, by their ids on the host (Go: ``Task.Pids``).

        A process that was started by an exec has the exec's id as ``exec_id``. The list is empty once the task has
        ended.

        Raises:
            NotFoundError: the task is deleted.
        """
        return run(operations.task_pids(self._handle), timeout)

    def summary(self, *, timeout: float | None = None) -> list[Summary]:
        """Returns what the runtime reports about each process (Go: ``Task.Summary``). The list is empty once the task
        has ended.

        On Linux this fails while the task is running, because runc's shim reports no details of the init process. Use
        :meth:`pids` instead.

        Raises:
            NotFoundError: the task is deleted.
            UnknownError: the details of a process cannot be decoded.
        """
        return run(operations.task_summary(self._handle), timeout)

    def force_delete(self, *, timeout: float | None = None) -> None:
        """Kills the task's processes and deletes it, whatever its state (Go: ``Task.ForceDelete``).

        Args:
            timeout: seconds to wait. A deletion is never cut short: it continues in the background, and this object's
                next deletion waits for it.
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
        """Starts another process in the task (Go: ``Task.Exec``).

        Args:
            process_id: a containerd identifier that is not in use in this task.
            spec: an OCI ``process`` object: a mapping, JSON text, or a file's path. As in Go, the process inherits
                nothing from the container. ``pyctd.spec.process_of`` builds what ``docker exec`` would run, with the
                container's user, environment and limits. ``pyctd.spec.process`` alone gives root with dockerd's default
                capabilities, whatever the container runs as.
            with_stdin: whether the process gets a stdin. A built-in callback that has input to send implies it.
            attach_stdio: receives the process's streams; see ``pyctd.stdio``. None: the process runs without streams.
            timeout: seconds to wait for the start. After a timeout or Ctrl-C the exec is killed and deleted in the
                background, and the next exec with its id waits for that.

        Raises:
            DeadlineExceededError: the timeout ran out.
            ConflictError: the id is in use.
            InvalidArgumentError: the id or the spec is malformed.
            NotFoundError: the task is deleted, or the command is not on PATH (``reason`` tells them apart).
            UnknownError: the runtime could not start the process. ``reason`` is ``command-not-found``,
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
        """Returns an exec that was started by another client, or by this program before it was restarted (Go:
        containerd's ``Task.LoadProcess``; libcontainerd has none).

        The exec can be waited for, killed and deleted. Its streams stay with the program that started it, and end when
        that program does. :meth:`pids` lists the ids of the running execs (``ProcessInfo.exec_id``). containerd has no
        list of execs that have ended, but this method finds them by their ids until they are deleted.

        Args:
            process_id: the exec's id.
            timeout: the most seconds that the call may take.

        Raises:
            NotFoundError: there is no such exec, or the task is deleted.
            InvalidArgumentError: the id is malformed, or it is the task's own.
        """
        made = run(operations.task_load_process(self._handle, process_id), timeout)
        return Process(process_id, self.container_id, made, BuiltInIO())

    def update_resources(self, resources: SpecLike, *, timeout: float | None = None) -> None:
        """Changes the limits of a created, running or paused task (Go: ``Task.UpdateResources``).

        Limits that are not given stay as they are. runc can change ``memory`` (``limit``, ``reservation`` and ``swap``,
        in bytes; -1 removes the limit), ``cpu`` (``shares``; ``quota`` and ``period`` in microseconds; ``cpus`` and
        ``mems`` as lists such as ``"0-2,7"``), ``pids.limit``, ``blockIO.weight`` and, with cgroup v2, the keys of
        ``unified``. The rest of the object, such as ``devices`` and ``hugepageLimits``, is ignored without an error.

        Args:
            resources: an OCI ``linux.resources`` object, such as ``{"memory": {"limit": 64 << 20}}``: a mapping, JSON
                text, or a file's path. See ``pyctd.spec.resources``.
            timeout: the most seconds that the call may take.

        Raises:
            InvalidArgumentError: resources is malformed. The message gives the JSON path of the error.
            NotFoundError: the task is deleted.
            UnknownError: the task has ended, or runc or the kernel rejects a value, such as a memory limit below the
                current usage or a CPU that the machine does not have. Other limits of the same call may have been
                changed.
        """
        run(operations.task_update_resources(self._handle, resources), timeout)

    def create_checkpoint(
        self, directory: str | os.PathLike[str], exit: bool = False, *, timeout: float | None = None
    ) -> None:
        """Writes a checkpoint of the task with CRIU (Go: ``Task.CreateCheckpoint``).

        containerd needs ``criu`` (version 4 or later for Linux 6), ``iptables`` and ``tar`` on its PATH. The task is
        frozen meanwhile. A checkpoint does not include file systems: restoring it takes a container with the same spec
        and root file system.

        Args:
            directory: where to write the checkpoint, for ``Container.start(checkpoint_dir=…)``: an empty directory, or
                one that does not exist yet and is created as dockerd creates it. It holds the task's memory. After an
                error it is empty or gone again.
            exit: whether to end the task with SIGKILL after the checkpoint, so that its exit code is 137.
            timeout: the most seconds that the call may take. CRIU is not cut short: it completes the checkpoint, and
                the task continues afterwards unless exit is set.

        Raises:
            AlreadyExistsError: the directory is not empty.
            FailedPreconditionError: exit is set, but libcontainerd would ignore it: the container comes from
                ``load_container``, or its shim is not named ``io.containerd.runc.v2``.
            InvalidArgumentError: the directory is a file, or it is not writable.
            NotFoundError: ``criu`` is not installed, or the task does not exist.
            UnknownError: the task is not running, or CRIU failed. If CRIU failed, the task continues, and ``__cause__``
                is a ``CriuError`` with CRIU's own reason, provided that its log is readable: by root on the daemon's
                machine.
        """
        run(operations.task_create_checkpoint(self._handle, directory, exit), timeout)
