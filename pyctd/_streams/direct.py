"""A process's streams as Go hands them over: ``DirectIO``, which a stdio callback takes, and ``IO``, which it returns.

The functions at the end are for pyctd's own IOs, which do more with a stream than its owner may.
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
    """Go's ``cio.IO``. An exception that its methods raise is logged, but for ``config``'s, which fails the call."""

    def config(self) -> Config:
        """The streams that containerd is to give the process: those of ``DirectIO.config``, or others, such as a log
        URI for stdout (``file:///…``, ``binary:///…``). Asked once, when the callback has returned."""

    def cancel(self) -> object:
        """Gives up streams that are not open yet. The process has ended, or was never made."""

    def wait(self) -> object:
        """Returns when the streams are done with. ``delete`` waits for it, so it must not wait for ever."""

    def close(self) -> object:
        """Lets go of everything; the last call."""


class StreamCalls(NamedTuple):
    """The two calls of a stream's life: the one comes to a descriptor, the other ends what Go has of the stream."""

    opening: Operation[int]
    closing: Operation[None]


class Stream(io.RawIOBase):
    """One stream of a process: a raw binary file on a descriptor of the very FIFO that Go opened.

    The descriptor is had at the first use, which waits until the process's side has opened the FIFO too. When that
    never happens because the process is gone, reading finds the end of the file and writing raises BrokenPipeError.
    Closing it ends what other threads read and write, with ValueError.
    """

    def __init__(self, handle: _native.Handle, which: int) -> None:
        self._handle = handle
        self._which = which
        self._lock = threading.Lock()  # while it is opened and closed
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
        """The descriptor, in blocking mode. Raises OSError when the process is gone."""
        fd = self._open()
        if fd is None:
            raise OSError(f"the process's {self.name} was closed before it was opened")
        return fd

    def _opened(self) -> Fifo | None:
        """Where the bytes move; None when the process is gone."""
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
        """Reads what is there into buffer, waiting for some; how many bytes, 0 at the end."""
        if not self.readable():
            raise io.UnsupportedOperation("read")
        fifo = self._opened()
        return 0 if fifo is None else fifo.move(os.readv, [buffer])

    def write(self, data: ReadableBuffer) -> int:
        """Writes all of data, however long the process takes to read it; how many bytes.

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
        """Closes the descriptors. From now on the process counts as gone."""
        with self._lock:
            self._gone = True
            fd, self._fd = self._fd, None
            fifo, self._fifo = self._fifo, None
        if fifo is not None:
            fifo.close()
        if fd is not None:
            os.close(fd)

    def close(self) -> None:
        """Closes the stream. For stdin this also tells containerd (CloseIO), so that the process reads its end."""
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
                # CloseIO answers so when the process has ended by itself; libcontainerd has nowhere to tell it either.
                _log.debug("closing %s: %s", self.name, error)

    def __del__(self) -> None:
        """Gives back what is this object's own. Closing, as a file's end does, would tell whatever task the container
        has by then that its stdin has ended; Go closes nothing that is garbage."""
        if hasattr(self, "_lock"):
            self._let_go()


class DirectIO:
    """Go's ``cio.DirectIO``: the streams of a process, in the caller's hands.

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
        """``DirectIO.Wait``: returns at once, as Go's does, since nobody copies these streams but the caller."""

    def close(self) -> None:
        """``DirectIO.Close``: closes every stream and removes the FIFOs.

        As in Go it does not tell containerd that stdin has ended: a process that still runs does not read its end
        until ``stdin`` is closed.
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
    """Takes a stream over, with the calls that open and end it. The object counts as closed."""
    calls = stream._calls()
    io.RawIOBase.close(stream)
    return calls


def let_go(stream: Stream) -> None:
    """Closes a stream's descriptors and nothing else. From now on its process counts as gone."""
    stream._let_go()


def leave(stream: Stream) -> None:
    """Closes a stream object, and leaves the process's stream open."""
    io.RawIOBase.close(stream)
    stream._let_go()


def release(dio: DirectIO) -> None:
    """Gives the handle of closed streams back, unless it is still needed to end stdin."""
    if dio.stdin is None or dio.stdin.closed:
        dio._handle.close()
