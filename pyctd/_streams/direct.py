"""A process's streams as Go hands them over: ``DirectIO``, which a stdio callback takes, and ``IO``, which it returns.

The functions at the end are for pyctd's own IOs, which may do more with a stream than users.
"""

from __future__ import annotations

import contextlib
import errno
import io
import logging
import os
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, Protocol

from .. import _native, errors
from .._calls import Operation, operations, run
from .fifo import Fifo

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer


__all__ = ["IO", "Config", "DirectIO", "StdioCallback", "Stream", "StreamCalls", "leave", "let_go", "release", "take"]

_log = logging.getLogger("pyctd.stdio")

STDIN, STDOUT, STDERR = range(3)


class Config(NamedTuple):
    """Go's ``cio.Config``: whether there is a terminal, and the FIFOs' paths (empty: no such stream)."""

    terminal: bool
    stdin: str
    stdout: str
    stderr: str


class IO(Protocol):
    """Go's ``cio.IO``. Exceptions in its methods are logged, except that an exception in ``config`` fails the call."""

    def config(self) -> Config:
        """The streams that containerd gives the process: those of ``DirectIO.config``, or others, such as a log URI for
        stdout (``file:///…``, ``binary:///…``). Called once, when the callback has returned."""

    def cancel(self) -> object:
        """Gives up streams that are not open yet: the process has ended or was never created."""

    def wait(self) -> object:
        """Returns when the streams are done. ``delete`` waits for it, so it must not block forever."""

    def close(self) -> object:
        """Releases everything. This is the last call."""


class StreamCalls(NamedTuple):
    """A stream's two calls to Go: ``opening`` returns a descriptor, ``closing`` closes Go's side of the stream."""

    opening: Operation[int]
    closing: Operation[None]


class Stream(io.RawIOBase):
    """One stream of a process: a raw binary file on a descriptor of the same FIFO that Go opened.

    The first use gets the descriptor, and waits until the process has opened its side of the FIFO. If the process is
    gone and never does, reads return end-of-file and writes raise BrokenPipeError. Closing the stream interrupts other
    threads' reads and writes with ValueError.
    """

    def __init__(self, handle: _native.Handle, which: int) -> None:
        self._handle = handle
        self._which = which
        self._lock = threading.Lock()  # held while opening and closing
        self._fd: int | None = None
        self._fifo: Fifo | None = None
        self._gone = False
        self.name = ("stdin", "stdout", "stderr")[which]

    def readable(self) -> bool:
        """Whether this is stdout or stderr."""
        return self._which != STDIN

    def writable(self) -> bool:
        """Whether this is stdin."""
        return self._which == STDIN

    def _open(self) -> int | None:
        if self.closed:
            raise ValueError("I/O operation on closed file")
        if self._fd is None and not self._gone:
            try:
                fd = run(self._calls().opening, None)
            except errors.ClosedError:
                self._gone = True
                return None
            with self._lock:
                if self._fd is None and not (self._gone or self.closed):
                    self._fd = fd
                else:
                    os.close(fd)
        return self._fd

    def _calls(self) -> StreamCalls:
        return StreamCalls(
            operations.stdio_open(self._handle, self._which), operations.stdio_close_stream(self._handle, self._which)
        )

    def fileno(self) -> int:
        """The descriptor, in blocking mode. Raises OSError if the process is gone."""
        fd = self._open()
        if fd is None:
            raise OSError(f"the process's {self.name} was closed before it was opened")
        return fd

    def _opened(self) -> Fifo | None:
        """The FIFO to read or write; None if the process is gone."""
        if self._open() is None:
            return None
        with self._lock:
            if self._fifo is None and self._fd is not None:
                fifo = Fifo(os.O_WRONLY if self.writable() else os.O_RDONLY)
                try:
                    fifo.open(self._fd)
                    self._fifo = fifo
                except OSError as error:
                    if error.errno != errno.ENXIO:  # nobody reads it any more
                        raise
            return self._fifo

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Waits for bytes and reads those available into buffer. Returns their number; 0 at the end."""
        if not self.readable():
            raise io.UnsupportedOperation("read")
        fifo = self._opened()
        return 0 if fifo is None else fifo.move(os.readv, [buffer])

    def write(self, data: ReadableBuffer) -> int:
        """Writes all of data, however long the process takes to read it. Returns its length in bytes.

        Raises:
            BrokenPipeError: the process is gone.
        """
        if not self.writable():
            raise io.UnsupportedOperation("write")
        fifo = self._opened()
        if fifo is None:
            raise BrokenPipeError(f"the process's {self.name} is closed")
        return fifo.write(data)

    def _let_go(self) -> None:
        """Closes the descriptors. From now on, the process counts as gone."""
        with self._lock:
            self._gone = True
            fd, self._fd = self._fd, None
            fifo, self._fifo = self._fifo, None
        if fifo is not None:
            fifo.close()
        if fd is not None:
            os.close(fd)

    def close(self) -> None:
        """Closes the stream. For stdin, this also tells containerd (CloseIO), so that the process reads end-of-file."""
        if self.closed:
            return
        super().close()
        self._let_go()
        if _native.usable():
            try:
                run(self._calls().closing, None)
            except errors.ClosedError:
                pass  # the client is closed
            except errors.Error as error:
                # CloseIO fails when the process has already exited. libcontainerd does not report it either.
                _log.debug("closing %s: %s", self.name, error)

    def __del__(self) -> None:
        """Closes only this object's own descriptors. ``close``, which a file's finalizer calls, would end the stdin of
        whatever task the container has by then. Go does not close garbage streams either."""
        if hasattr(self, "_lock"):
            self._let_go()


class DirectIO:
    """Go's ``cio.DirectIO``: the streams of a process, for the caller to use directly.

    Attributes:
        stdin: a ``Stream`` to write to, or None without ``with_stdin``.
        stdout: a ``Stream`` to read from; with a terminal it carries stderr too.
        stderr: a ``Stream`` to read from, or None with a terminal.
    """

    def __init__(self, native: _native.NativeStdio) -> None:
        self._handle = _native.Handle(native.handle, "the streams")
        self._config = Config(native.terminal, native.stdin, native.stdout, native.stderr)
        self.stdin: Stream | None = Stream(self._handle, STDIN) if native.stdin else None
        self.stdout: Stream | None = Stream(self._handle, STDOUT) if native.stdout else None
        self.stderr: Stream | None = Stream(self._handle, STDERR) if native.stderr else None

    def __repr__(self) -> str:
        return f"<DirectIO {self._config.stdout}>"

    def config(self) -> Config:
        """``DirectIO.Config``."""
        return self._config

    def cancel(self) -> None:
        """``DirectIO.Cancel``: gives up streams that the process has not opened."""
        self._run(operations.stdio_cancel(self._handle))

    def wait(self) -> None:
        """``DirectIO.Wait``: returns at once, like Go's, because only the caller copies these streams."""

    def close(self) -> None:
        """``DirectIO.Close``: closes every stream and removes the FIFOs.

        As in Go, it does not tell containerd that stdin has ended: a running process does not read end-of-file until
        ``stdin`` is closed.
        """
        for stream in (self.stdout, self.stderr):
            if stream is not None:
                stream.close()
        if self.stdin is not None:
            let_go(self.stdin)
        self._run(operations.stdio_close(self._handle))
        release(self)

    def _run(self, operation: Operation[None]) -> None:
        if _native.usable():
            with contextlib.suppress(errors.ClosedError):  # Go has closed it already
                run(operation, None)


StdioCallback = Callable[[DirectIO], IO | None]
"""libcontainerd's ``StdioCallback``."""


def take(stream: Stream) -> StreamCalls:
    """Takes over a stream: marks the object as closed, and returns the calls that open and close the stream."""
    calls = stream._calls()
    io.RawIOBase.close(stream)
    return calls


def let_go(stream: Stream) -> None:
    """Closes only a stream's descriptors. From now on, its process counts as gone."""
    stream._let_go()


def leave(stream: Stream) -> None:
    """Closes a stream object but leaves the process's stream open."""
    io.RawIOBase.close(stream)
    stream._let_go()


def release(dio: DirectIO) -> None:
    """Releases the handle of closed streams, unless it is still needed to close stdin."""
    if dio.stdin is None or dio.stdin.closed:
        dio._handle.close()
