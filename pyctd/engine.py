"""``Engine``: a private containerd, for programs that have no other to use."""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import socket
import struct
import tempfile
import warnings
import weakref
from pathlib import Path
from types import TracebackType

from . import _arguments, _binaries, _native
from ._calls import Call, Operation, operations, run, run_call
from ._clientcore import check_address
from .client import Client
from .errors import ClosedError, Error, InvalidArgumentError, PermissionDeniedError
from .events import Handler
from .types import EngineProgram

__all__ = ["Engine"]

LOG_LEVELS = ("trace", "debug", "info", "warn", "error", "fatal", "panic")

_log = logging.getLogger("pyctd")

_running: weakref.WeakSet[Engine] = weakref.WeakSet()


class Engine:
    """A private containerd. It is restarted if it dies, and closing the engine stops it with everything that it runs.

    The engine is moby's ``libcontainerd/supervisor``, which dockerd uses for the same purpose; CRI is off. containerd,
    its shim and runc come from the first of these that is given or installed: ``path``, the directory in
    ``PYCTD_ENGINE_PATH``, the package ``pyctd-engine`` (``pip install 'pyctd[engine]'``), PATH. ``versions`` shows
    which. containerd keeps the PATH that the engine started with, and its log goes to the ``pyctd.containerd`` logger.
    With ``address``, the engine uses the daemon there and neither starts nor stops one.

    Args:
        address: the socket of a containerd that is already running.
        root: the directory for persistent data. The default is a temporary one, which is removed with the engine.
        state: the directory for transient data, including the socket. The default is a temporary one, which is removed
            with the engine.
        path: the directory of containerd, its shim and runc. Programs that it lacks come from PATH.
        log_level: containerd's log level: trace, debug, info, warn, error, fatal or panic.
        timeout: the most seconds that the start may take. moby's supervisor itself gives up after 15.

    Raises:
        PermissionDeniedError: this process is not root.
        FailedPreconditionError: containerd or runc was not found, or another user may write to a directory.
        InvalidArgumentError: the address, or the path that the socket would have, is not valid for a socket.
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
        self._handle: _native.Handle | None = None
        self._binaries: _binaries.Binaries | None = None
        self._temporary: list[Path] = []
        self._closed = False
        self.root: Path
        self.state: Path
        _arguments.seconds(timeout)
        directories = {"root": root, "state": state}
        if address is not None:
            if (root, state, path) != (None, None, None):
                raise InvalidArgumentError(
                    "address names a containerd that runs already: it takes no root or state, nor a path"
                )
            self.address: str = check_address(address)
            return
        if log_level not in LOG_LEVELS:
            raise InvalidArgumentError(f"log_level must be one of {', '.join(LOG_LEVELS)}, not {log_level!r}")
        given = [None if one is None else Path(_arguments.directory(name, one)) for name, one in directories.items()]
        _check_user()
        self._binaries = _binaries.choose(path)
        self._binaries.check()
        try:
            self.root, self.state = (self._temporary_directory() if one is None else one for one in given)
            check_address(self.state / "containerd.sock")
            root_path, state_path = os.fspath(self.root), os.fspath(self.state)
            operation = operations.engine_start(root_path, state_path, log_level, self._binaries.search, self._own)
            starting = Call(operation, timeout)
        except BaseException:
            self._remove_directories()
            raise
        try:
            run_call(starting, self._abandon)
        except BaseException as error:
            if isinstance(error, Error) or not starting.started:  # otherwise _abandon removes them
                self._remove_directories()
            raise

    def _own(self, started: _native.Completion) -> None:
        self.address = started.data.decode()
        self._handle = _native.Handle(started.value, "engine")
        _running.add(self)

    def _temporary_directory(self) -> Path:
        """Chooses a path only. Go creates the directory after checking its parents: if others may write to a parent,
        another user could replace the directory with a link."""
        path = Path(tempfile.gettempdir(), f"pyctd-{os.urandom(6).hex()}")
        self._temporary.append(path)
        return path

    @property
    def pid(self) -> int | None:
        """The process id of this engine's containerd; None while none is running."""
        if self._handle is None or self._closed:
            return None
        # Ask the kernel who owns the socket: a pid file outlives its process, and its number may be reused. But if a
        # cleaner of /tmp has removed the state directory, another user could put a link there to any daemon's socket,
        # which then has another name. The peer's pid may also have been reused, by another user's process.
        with socket.socket(socket.AF_UNIX) as daemon:
            daemon.setblocking(False)
            try:
                daemon.connect(self.address)
                peer = struct.unpack("3i", daemon.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
                mine = daemon.getpeername() == self.address and self._is_daemon(*peer[:2])
                return peer[0] if mine else None
            except OSError:
                return None

    @property
    def versions(self) -> dict[str, EngineProgram]:
        """The programs that the engine runs, by name: ``containerd``, ``containerd-shim-runc-v2`` and ``runc``.

        This runs each program to ask for its version, which takes some tenths of a second. Empty with ``address``.
        """
        return {} if self._binaries is None else self._binaries.versions()

    def _is_daemon(self, pid: int, user: int) -> bool:
        """Whether a process runs with the engine's configuration and was not started by another user or a container."""
        process = Path("/proc", str(pid))
        own = (process.joinpath("ns", space).samefile(f"/proc/self/ns/{space}") for space in ("user", "pid"))
        if user != os.geteuid() or not all(own):
            return False
        arguments = process.joinpath("cmdline").read_bytes().split(b"\0")
        return os.fsencode(os.path.normpath(self.state / "containerd.toml")) in arguments

    def client(
        self,
        namespace: str = "moby",
        backend: Handler | None = None,
        *,
        gaps: bool = False,
        timeout: float | None = None,
    ) -> Client:
        """Returns a client of this engine, with its bundles in the engine's state directory. See ``Client`` for the
        arguments."""
        client = Client(self.address, namespace, self.bundles(namespace), backend, gaps=gaps, timeout=timeout)
        client._engine = self
        return client

    def bundles(self, namespace: str) -> Path | None:
        """Returns the directory for a namespace's bundles. None, if the engine has an ``address``, leaves it to the
        client.

        Raises:
            ClosedError: the engine is closed.
        """
        if self._closed:
            raise ClosedError("engine is closed")
        name = _arguments.text("namespace", namespace)
        return None if self._handle is None else self.state / "bundles" / name

    def close(self, *, timeout: float | None = None) -> None:
        """Deletes the engine's tasks and containers, stops its containerd and removes its temporary directories.

        A task that can't be deleted within twenty seconds, for example because its shim hangs, is killed together with
        its shim. A second call does nothing, and neither does a call in a forked child: the engine belongs to the
        parent.
        """
        _arguments.seconds(timeout)
        if self._closed:
            return
        if self._handle is None or _native.forked():
            self._closed = True
            return
        stopping = Call(self._discard(self._handle), timeout)
        try:
            self._closed = True
            _running.discard(self)
            if _native.usable():
                run_call(stopping)
        except BaseException:
            if not stopping.started:
                self._closed = False
                _running.add(self)
            raise
        finally:
            if self._closed:
                self._handle.disown()

    def _discard(self, handle: _native.Handle) -> Operation[None]:
        return operations.engine_discard(handle, self.root in self._temporary, self.state in self._temporary)

    def _abandon(self, started: _native.Completion | None) -> None:
        """Cleans up after an interrupted start."""
        self._closed = True
        _running.discard(self)
        if started is not None and not started.kind:
            with contextlib.suppress(Error):
                run(self._discard(_native.Handle(started.value, "engine")), None)
        self._remove_directories()

    def _remove_directories(self) -> None:
        """Removes the temporary directories, which are empty after a failed start."""
        for directory in self._temporary:
            with contextlib.suppress(OSError):
                directory.rmdir()

    def __enter__(self) -> Engine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_handle", None) is not None and not self._closed and _native.usable():
            self._close_forgotten()

    def _close_forgotten(self) -> None:
        text = f"unclosed {self!r}"
        try:
            self.close()
        finally:  # if warnings are errors, this one raises
            warnings.warn(text, ResourceWarning, source=self, stacklevel=3)

    def __repr__(self) -> str:
        return f"<Engine {getattr(self, 'address', '?')}{' closed' if self._closed else ''}>"


def _check_user() -> None:
    if os.geteuid() != 0:
        raise PermissionDeniedError(
            "starting a private containerd needs root: run as root, "
            "or give the address of a containerd that you may use"
        )


@atexit.register
def _close_forgotten() -> None:
    if _native.usable():
        for engine in tuple(_running):
            try:
                engine._close_forgotten()
            except Exception:  # still close the others
                _log.exception("closing %r, which was forgotten", engine)
