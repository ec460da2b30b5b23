"""The built-in stdio callbacks.

A stdio callback is called with a ``DirectIO`` while its process is being created, on one of Go's threads. It returns
the process's IO: containerd's client calls the IO's ``cancel``, ``wait`` and ``close`` whenever it would call them on
Go's ``cio.IO``. If it returns None, the process runs without streams.
"""

from __future__ import annotations

import codecs
import contextlib
import io
import logging
import os
import sys
import threading
from collections.abc import Callable
from functools import partial
from types import EllipsisType
from typing import BinaryIO, Union

from . import _arguments
from ._streams.builtin import BuiltInCallback
from ._streams.direct import IO, Config, DirectIO, StdioCallback, Stream
from ._streams.keys import DetachKeys
from ._streams.lines import Splitter
from ._streams.pumped import PumpedIO
from ._streams.pumps import Pump, Reader, readers, writers
from ._streams.sinks import FileSink, Sink, discard
from .errors import InvalidArgumentError

__all__ = [
    "IO",
    "Config",
    "DirectIO",
    "FileSink",
    "Sink",
    "StdioCallback",
    "Stream",
    "capture",
    "files",
    "inherit",
    "lines",
    "null",
    "sinks",
    "terminal",
]

_log = logging.getLogger("pyctd.stdio")

Target = Union[str, "os.PathLike[str]", BinaryIO]
OnError = Callable[[str, OSError], object]


class _Callback(BuiltInCallback):
    """What the callbacks that pump on threads share."""

    def __init__(self) -> None:
        self._io: PumpedIO | None = None

    def __call__(self, dio: DirectIO) -> IO | None:
        self.use()
        with contextlib.ExitStack() as opened:
            pumps = self._pumps(dio, opened)
            self._io = self._make(dio, pumps, opened.pop_all())
        return self._io

    def _make(self, dio: DirectIO, pumps: list[Pump], opened: contextlib.ExitStack) -> PumpedIO:
        return PumpedIO(dio, pumps, opened)

    def _pumps(self, dio: DirectIO, opened: contextlib.ExitStack) -> list[Pump]:
        raise NotImplementedError

    def wait(self, *, patient: bool = False) -> bool:
        """Waits at most 2 seconds for the end of stdout and stderr. Call it after the process has exited.

        Args:
            patient: do not count the time that sinks take, for example to write to a pipe with a slow reader.

        Returns:
            Whether both streams have ended.
        """
        patient = _arguments.flag("patient", patient)
        if self._io is None:
            return True
        return self._io.drain_patiently() if patient else self._io.drain()


def null() -> StdioCallback:
    """Runs the process without streams: its output is discarded and its stdin is empty."""
    return lambda dio: None


class Capturing:
    """What the blocking and the asyncio ``capture`` share: the captured output."""

    def __init__(self, stdin: bytes | None, limit: int | None) -> None:
        self._stdin = _arguments.stdin(stdin)
        if limit is not None and _arguments.number("limit", limit) < 0:
            raise InvalidArgumentError(f"limit must be None or a number of bytes from 0 up, not {limit!r}")
        self.with_stdin: bool = stdin is not None
        self.truncated: bool = False
        self._limit = limit
        self._kept = (io.BytesIO(), io.BytesIO())  # getvalue() does not copy

    @property
    def stdout(self) -> bytes:
        """The output on stdout so far; with a terminal, both streams."""
        return self._kept[0].getvalue()

    @property
    def stderr(self) -> bytes:
        """The output on stderr so far."""
        return self._kept[1].getvalue()

    def _keep(self, which: int, data: bytes) -> None:
        kept = self._kept[which]
        if self._limit is not None and kept.tell() + len(data) > self._limit:
            self.truncated = True
            data = data[: self._limit - kept.tell()]
        kept.write(data)


class capture(Capturing, _Callback):
    """Captures the process's output. ``stdout`` and ``stderr`` are complete once ``wait()`` or ``delete()`` has
    returned.

    Args:
        stdin: bytes to write to the process's stdin, which is then closed. A terminal stays open and gets a Ctrl-D at
            the end. None: no stdin.
        limit: the most bytes to keep of each stream; the rest is read and discarded. None: no limit.

    Attributes:
        stdout: the output on stdout so far; with a terminal, both streams.
        stderr: the output on stderr so far.
        truncated: whether the limit was exceeded.
    """

    def __init__(self, stdin: bytes | None = None, *, limit: int | None = None) -> None:
        _Callback.__init__(self)
        Capturing.__init__(self, stdin, limit)

    def _pumps(self, dio: DirectIO, opened: contextlib.ExitStack) -> list[Pump]:
        out, err = partial(self._keep, 0), partial(self._keep, 1)
        return [*readers(dio, out, err), *writers(dio, self._stdin)]


class sinks(_Callback):
    """Passes the output to sinks as it arrives: functions that take bytes, each called on its stream's own thread.

    An exception from a sink is logged, and the sink is called again with the next bytes.

    Args:
        stdout: receives stdout; with a terminal, both streams. None: discarded.
        stderr: receives stderr. None: discarded.
        stdin: what the process reads: bytes, or anything that ``files`` accepts. None: no stdin.
    """

    def __init__(
        self, stdout: Sink | None = None, stderr: Sink | None = None, *, stdin: bytes | Target | None = None
    ) -> None:
        super().__init__()
        _arguments.receiver("stdout", stdout)
        _arguments.receiver("stderr", stderr)
        self.with_stdin: bool = stdin is not None
        self._sinks = (stdout or discard, stderr or discard)
        self._stdin = stdin
        if not isinstance(stdin, bytes):
            _resolved("stdin", stdin)

    def _pumps(self, dio: DirectIO, opened: contextlib.ExitStack) -> list[Pump]:
        source = self._stdin if isinstance(self._stdin, bytes) else _source(self._stdin, opened)
        return [*readers(dio, *self._sinks), *writers(dio, source)]


class lines(_Callback):
    """Calls a function with each line of the output as it arrives, without its newline, on the stream's own thread.

    The carriage return that a terminal puts before each newline is removed too.

    Args:
        on_stdout: receives the lines of stdout; with a terminal, of both streams. None: discarded.
        on_stderr: receives the lines of stderr. None: discarded. The default is ``on_stdout``, which is then called
            with one line at a time.
        encoding: how to decode the lines; undecodable bytes become U+FFFD.
        limit: the most bytes to keep of a line; the rest of the line is discarded. None: no limit.

    Attributes:
        truncated: whether a line was longer than the limit. The first such line is also logged.
    """

    def __init__(
        self,
        on_stdout: Callable[[str], object] | None = None,
        on_stderr: Callable[[str], object] | EllipsisType | None = ...,
        *,
        encoding: str = "utf-8",
        limit: int | None = 1 << 20,
    ) -> None:
        super().__init__()
        _arguments.receiver("on_stdout", on_stdout)
        if on_stderr is ...:
            on_stderr = on_stdout
        _arguments.receiver("on_stderr", on_stderr)
        codecs.lookup(_arguments.text("encoding", encoding))
        if limit is not None and _arguments.number("limit", limit) <= 0:
            raise InvalidArgumentError(f"limit must be None or a number of bytes above 0, not {limit!r}")
        self.truncated: bool = False
        self._handlers = (on_stdout, on_stderr)
        self._encoding = encoding
        self._limit = limit

    def _pumps(self, dio: DirectIO, opened: contextlib.ExitStack) -> list[Pump]:
        on_stdout, on_stderr = self._handlers
        one_at_a_time = threading.Lock()
        locks = one_at_a_time, one_at_a_time if on_stdout == on_stderr else threading.Lock()
        return [
            self._line_reader(stream, handler or (lambda line: None), lock, dio.config().terminal)
            for stream, handler, lock in zip((dio.stdout, dio.stderr), self._handlers, locks, strict=True)
            if stream is not None
        ]

    def _line_reader(
        self, stream: Stream, handler: Callable[[str], object], lock: threading.Lock, terminal: bool
    ) -> Reader:
        def take(line: bytes) -> None:
            text = (line.removesuffix(b"\r") if terminal else line).decode(self._encoding, "replace")
            try:
                with lock:
                    handler(text)
            except Exception:
                _log.exception("the receiver of %s raised", stream.name)

        def cut() -> None:
            if not self.truncated:
                self.truncated = True
                _log.warning("%s has a line of more than %d bytes, which is cut there", stream.name, self._limit)

        split = Splitter(take, self._limit, cut)
        return Reader(stream, split, split.end)


class files(_Callback):
    """Connects the streams to files: paths, which are opened and closed, or binary files with a descriptor.

    Args:
        stdin: the file that the process reads to its end; as in ``capture``, stdin is then closed. None: no stdin.
        stdout: the file for stdout; an existing one at a path is overwritten. None: discarded.
        stderr: the file for stderr. The same path as for stdout puts both into one file. None: discarded.
        on_error: called with a stream's name and its first write error; the rest of the stream is discarded. None: each
            error is logged, and the next bytes are tried again.
    """

    def __init__(
        self,
        stdin: Target | None = None,
        stdout: Target | None = None,
        stderr: Target | None = None,
        *,
        on_error: OnError | None = None,
    ) -> None:
        super().__init__()
        _arguments.receiver("on_error", on_error)
        self.with_stdin: bool = stdin is not None
        self._on_error = on_error
        self._targets = {"stdin": stdin, "stdout": stdout, "stderr": stderr}
        for name, given in self._targets.items():
            _resolved(name, given)

    def _pumps(self, dio: DirectIO, opened: contextlib.ExitStack) -> list[Pump]:
        by_path: dict[str, int] = {}

        def sink(name: str) -> Sink:
            target = _resolved(name, self._targets[name])
            if target is None:
                return discard
            if isinstance(target, str):
                if target not in by_path:
                    by_path[target] = _opened(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, opened)
                target = by_path[target]
            return _file_sink(name, target, self._on_error)

        source = _source(self._targets["stdin"], opened)
        return [*readers(dio, sink("stdout"), sink("stderr")), *writers(dio, source)]


def _file_sink(name: str, fd: int, on_error: OnError | None) -> FileSink:
    return FileSink(fd, on_error=None if on_error is None else partial(on_error, name))


def _source(target: Target | None, opened: contextlib.ExitStack) -> int | None:
    """The descriptor to read the process's stdin from."""
    found = _resolved("stdin", target)
    return _opened(found, os.O_RDONLY, opened) if isinstance(found, str) else found


def _opened(path: str, flags: int, opened: contextlib.ExitStack) -> int:
    fd = os.open(path, flags | os.O_CLOEXEC, 0o666)
    opened.callback(os.close, fd)
    return fd


def _resolved(name: str, target: Target | None) -> str | int | None:
    """The absolute path or the descriptor that a stream is connected to."""
    if target is None:
        return None
    if isinstance(target, (str, bytes, os.PathLike)):
        if not (path := _arguments.path(name, target)):
            raise InvalidArgumentError(f"{name} must be the path of a file, not empty")
        return os.path.abspath(path)
    return _arguments.descriptor(name, target)


class inherit(_Callback):
    """Passes the streams through to this process's own.

    Args:
        stdin: whether the process reads this process's stdin.
        on_error: as in ``files``. BrokenPipeError means that nobody reads the stream any more.
    """

    def __init__(self, *, stdin: bool = False, on_error: OnError | None = None) -> None:
        super().__init__()
        _arguments.receiver("on_error", on_error)
        self.with_stdin: bool = _arguments.flag("stdin", stdin)
        self._on_error = on_error

    def _pumps(self, dio: DirectIO, opened: contextlib.ExitStack) -> list[Pump]:
        sys.stdout.flush()
        sys.stderr.flush()
        out, err = (_file_sink(name, fd, self._on_error) for name, fd in (("stdout", 1), ("stderr", 2)))
        return [*readers(dio, out, err), *writers(dio, 0 if self.with_stdin else None)]


class terminal(_Callback):
    """Connects the user's terminal to a process that has its own (``terminal`` in its spec).

    Keys, including Ctrl-C, go straight to the process. The terminal is in raw mode from just before the process starts
    until the process or this program ends, for whatever reason. The process's terminal takes the size of the user's and
    follows its changes: at once if the call was made on the main thread, which can handle SIGWINCH, otherwise within
    half a second.

    Args:
        stdin: whether input goes to the process; if not, the terminal's mode is left alone.
        input: the terminal to read from: a descriptor, or a file that has one.
        output: the terminal to write to, likewise.
        on_error: as in ``files``.
        detach_keys: keys that detach the terminal and leave the process running, such as docker's ``ctrl-p,ctrl-q``.
            The terminal is restored, nothing more is read or written, and ``attach_task`` can attach again. None: every
            key goes to the process.
        on_detach: called on another thread after detaching, once the process runs. The process's ``wait()`` continues.

    Raises:
        InvalidArgumentError: output, or input if stdin is set, is not a terminal; or detach_keys is not a valid list of
            keys.
    """

    def __init__(
        self,
        *,
        stdin: bool = True,
        input: int | BinaryIO = 0,
        output: int | BinaryIO = 1,
        on_error: OnError | None = None,
        detach_keys: str | None = None,
        on_detach: Callable[[], object] | None = None,
    ) -> None:
        super().__init__()
        _arguments.receiver("on_error", on_error)
        _arguments.receiver("on_detach", on_detach)
        self.with_stdin: bool = _arguments.flag("stdin", stdin)
        self._on_error = on_error
        self._on_detach = on_detach or (lambda: None)
        self._keys = None if detach_keys is None else DetachKeys(_arguments.text("detach_keys", detach_keys))
        self._input = _terminal("input", input, "inherit(stdin=True)") if stdin else None
        self._output = _terminal("output", output, "inherit()")

    def _pumps(self, dio: DirectIO, opened: contextlib.ExitStack) -> list[Pump]:
        if not dio.config().terminal:
            raise InvalidArgumentError("the process has no terminal: set terminal=True in its spec, or use inherit()")
        sys.stdout.flush()
        out = _file_sink("stdout", self._output, self._on_error)
        return [*readers(dio, out, discard), *writers(dio, self._input, self._keys)]

    def _make(self, dio: DirectIO, pumps: list[Pump], opened: contextlib.ExitStack) -> PumpedIO:
        from ._streams.terminal import TerminalIO  # deferred: only terminals need its imports

        return TerminalIO(dio, pumps, opened, self._input, self._output, self._on_detach)


def _terminal(what: str, file: int | BinaryIO, instead: str) -> int:
    fd = file if isinstance(file, int) else _arguments.descriptor(what, file)
    if not os.isatty(fd):
        raise InvalidArgumentError(f"{what} must be a terminal, which descriptor {fd} is not: use {instead} for others")
    return fd
