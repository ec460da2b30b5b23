"""``Engine``: a private containerd for programs that have none to use."""

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
    """A containerd of one's own: restarted when it dies, stopped with everything that it runs.

    It is moby's ``libcontainerd/supervisor``, with which dockerd does the same; CRI is off. containerd, its shim and
    runc come from ``path``, else from the directory in ``PYCTD_ENGINE_PATH``, else from the package ``pyctd-engine``
    (``pip install 'pyctd[engine]'``), else from PATH; ``versions`` tells. containerd keeps the PATH that the engine
    started with, and what it logs goes to the ``pyctd.containerd`` logger. With ``address`` nothing is started or
    stopped, and the daemon there is used.

    Args:
        address: the socket of a containerd that runs already.
        root: the directory for what lasts; a temporary one unless given, which is removed with the engine.
        state: the directory for what does not, the socket among it; likewise.
        path: the directory of containerd, its shim and runc; what it lacks comes from PATH.
        log_level: containerd's log level: trace, debug, info, warn, error, fatal or panic.
        timeout: seconds that the start may take; moby's supervisor gives up after 15 by itself.

    Raises:
        PermissionDeniedError: this is not root.
        FailedPreconditionError: there is no containerd or no runc, or another user may write to a directory.
        InvalidArgumentError: the address, or the path that the socket would have, can't be a socket's.
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
            if isinstance(error, Error) or not starting.started:  # else _abandon sees to them
                self._remove_directories()
            raise

    def _own(self, started: _native.Completion) -> None:
        self.address = started.data.decode()
        self._handle = _native.Handle(started.value, "engine")
        _running.add(self)

    def _temporary_directory(self) -> Path:
        """A path for one. Go makes it once it has checked the directories above: in one that others may write to,
        another user could replace it with a link."""
        path = Path(tempfile.gettempdir(), f"pyctd-{os.urandom(6).hex()}")
        self._temporary.append(path)
        return path

    @property
    def pid(self) -> int | None:
        """The process id of the containerd that serves this engine; None while there is none."""
        if self._handle is None or self._closed:
            return None
        # The kernel knows whose socket it is. A number in a file outlives its process, and is another's some day. But
        # when what cleans /tmp up has removed the state, another user can make a link there to any daemon's socket,
        # which has another name. Where its first process has ended, its number may be another user's process's, too.
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

        Each is asked for its version, which takes some tenths of a second. Empty with ``address``.
        """
        return {} if self._binaries is None else self._binaries.versions()

    def _is_daemon(self, pid: int, user: int) -> bool:
        """Whether a process has the engine's configuration, and no other user and no container can have made it."""
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
        """A client of this engine, whose bundles live in the engine's own state directory; the rest is ``Client``'s."""
        client = Client(self.address, namespace, self.bundles(namespace), backend, gaps=gaps, timeout=timeout)
        client._engine = self
        return client

    def bundles(self, namespace: str) -> Path | None:
        """Where the bundles of a namespace live; None is a client's own choice, with a containerd that ran already.

        Raises:
            ClosedError: the engine is closed.
        """
        if self._closed:
            raise ClosedError("engine is closed")
        name = _arguments.text("namespace", namespace)
        return None if self._handle is None else self.state / "bundles" / name

    def close(self, *, timeout: float | None = None) -> None:
        """Deletes the engine's tasks and containers, stops its containerd and removes its temporary directories.

        A task that can't be deleted within twenty seconds, as when its shim hangs, is killed together with its shim.
        A second time does nothing, and neither does a forked child: the engine is its parent's.
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
        """Takes down what an interrupted start has left."""
        self._closed = True
        _running.discard(self)
        if started is not None and not started.kind:
            with contextlib.suppress(Error):
                run(self._discard(_native.Handle(started.value, "engine")), None)
        self._remove_directories()

    def _remove_directories(self) -> None:
        """Removes the temporary ones after a start that has failed: there is nothing in them."""
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
        finally:  # where warnings are errors, this one raises
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
            except Exception:  # the others are to be closed all the same
                _log.exception("closing %r, which was forgotten", engine)
