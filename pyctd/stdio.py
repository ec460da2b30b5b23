"""The stdio callbacks that are ready for use.

A stdio callback is called with a ``DirectIO`` while its process is being created, on a thread of Go's. What it returns
is the process's IO: containerd's client calls its ``cancel``, ``wait`` and ``close`` at the moments at which it calls
them on Go's ``cio.IO``. ``None`` runs the process without streams.
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
from ._streams.lines import Splitter
from ._streams.pumped import PumpedIO
from ._streams.pumps import Pump, Reader, readers, writers
from ._streams.sinks import Descriptor
from .errors import InvalidArgumentError

__all__ = [
    "IO",
    "Config",
    "DirectIO",
    "StdioCallback",
    "Stream",
    "capture",
    "files",
    "inherit",
    "lines",
    "null",
    "terminal",
]

_log = logging.getLogger("pyctd.stdio")

Target = Union[str, "os.PathLike[str]", BinaryIO]


class _Callback(BuiltInCallback):
    """What the callbacks share that pump on threads."""

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

    def wait(self) -> bool:
        """Waits for the ends of stdout and stderr, at most 2 s; whether they came. To be called after the exit."""
        return self._io is None or self._io.drain()


def null() -> StdioCallback:
    """Runs the process without streams: its output is thrown away, its stdin is empty."""
    return lambda dio: None


class Capturing:
    """What both faces of ``capture`` share: the output that is kept."""

    def __init__(self, stdin: bytes | None, limit: int | None) -> None:
        if stdin is not None and not isinstance(stdin, (bytes, bytearray)):
            raise InvalidArgumentError(f"stdin must be bytes, not {type(stdin).__name__}")
        if limit is not None and _arguments.number("limit", limit) < 0:
            raise InvalidArgumentError(f"limit must be None or a number of bytes from 0 up, not {limit!r}")
        self.with_stdin: bool = stdin is not None
        self.truncated: bool = False
        self._stdin = None if stdin is None else bytes(stdin)
        self._limit = limit
        self._kept = (io.BytesIO(), io.BytesIO())  # which give what they hold without a copy

    @property
    def stdout(self) -> bytes:
        """What the process wrote to stdout so far; with a terminal, to both."""
        return self._kept[0].getvalue()

    @property
    def stderr(self) -> bytes:
        """What it wrote to stderr so far."""
        return self._kept[1].getvalue()

    def _keep(self, which: int, data: bytes) -> None:
        kept = self._kept[which]
        if self._limit is not None and kept.tell() + len(data) > self._limit:
            self.truncated = True
            data = data[: self._limit - kept.tell()]
        kept.write(data)


class capture(Capturing, _Callback):
    """Keeps the process's output; ``stdout`` and ``stderr`` are whole once ``wait()`` or ``delete()`` has returned.

    Args:
        stdin: what to write to the process's stdin, which is then closed. With a terminal it stays open, and Ctrl-D is
            typed at the end. None: no stdin.
        limit: how many bytes to keep of each stream, at most; the rest is read and thrown away. None: all.

    Attributes:
        stdout: what the process wrote to stdout so far; with a terminal, to both.
        stderr: what it wrote to stderr so far.
        truncated: whether the limit was reached.
    """

    def __init__(self, stdin: bytes | None = None, *, limit: int | None = None) -> None:
        _Callback.__init__(self)
        Capturing.__init__(self, stdin, limit)

    def _pumps(self, dio: DirectIO, opened: contextlib.ExitStack) -> list[Pump]:
        out, err = partial(self._keep, 0), partial(self._keep, 1)
        return [*readers(dio, out, err), *writers(dio, self._stdin)]


class lines(_Callback):
    """Calls a function with each line of the output as it comes, without its newline, on the stream's own thread.

    A terminal puts a carriage return before each newline, which is left out, too.

    Args:
        on_stdout: takes stdout's lines; with a terminal, both streams'. None: thrown away.
        on_stderr: takes stderr's. None: thrown away. By default ``on_stdout`` takes them too, one line at a time.
        encoding: how to decode them; bytes that do not fit become U+FFFD.
        limit: how many bytes of a line to keep, at most; the rest of the line is thrown away. None: all.

    Attributes:
        truncated: whether a line was longer than the limit. The first one is logged, too.
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
        stdin: what the process reads, to its end, as ``capture`` has it. None: no stdin.
        stdout: where its stdout goes, from the file's start. None: thrown away.
        stderr: where its stderr goes; the same path as stdout's puts both into one file. None: thrown away.
    """

    def __init__(self, stdin: Target | None = None, stdout: Target | None = None, stderr: Target | None = None) -> None:
        super().__init__()
        self.with_stdin: bool = stdin is not None
        self._targets = {"stdin": stdin, "stdout": stdout, "stderr": stderr}
        for name, given in self._targets.items():
            _resolved(name, given)

    def _pumps(self, dio: DirectIO, opened: contextlib.ExitStack) -> list[Pump]:
        by_path: dict[str, int] = {}

        def descriptor(name: str, flags: int) -> int | None:
            target = _resolved(name, self._targets[name])
            if target is None or isinstance(target, int):
                return target
            if target not in by_path:
                by_path[target] = os.open(target, flags | os.O_CLOEXEC, 0o666)
                opened.callback(os.close, by_path[target])
            return by_path[target]

        source = descriptor("stdin", os.O_RDONLY)
        out, err = (descriptor(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC) for name in ("stdout", "stderr"))
        return [*readers(dio, Descriptor(out), Descriptor(err)), *writers(dio, source)]


def _resolved(name: str, target: Target | None) -> str | int | None:
    """The absolute path, or the descriptor, that a stream is connected to."""
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
    """

    def __init__(self, *, stdin: bool = False) -> None:
        super().__init__()
        self.with_stdin: bool = _arguments.flag("stdin", stdin)

    def _pumps(self, dio: DirectIO, opened: contextlib.ExitStack) -> list[Pump]:
        sys.stdout.flush()
        sys.stderr.flush()
        return [*readers(dio, Descriptor(1), Descriptor(2)), *writers(dio, 0 if self.with_stdin else None)]


class terminal(_Callback):
    """Lends a person's terminal to a process that has one of its own (``terminal`` in its spec).

    What is typed goes to the process as it is, Ctrl-C too: the terminal is in raw mode from just before the process
    starts until it has ended, or this program has, whatever ends it. The process's terminal has the size of the
    person's, then and whenever that changes; at once where the call was made on the main thread, which may listen for
    SIGWINCH, else within half a second.

    Args:
        stdin: whether what is typed goes to the process; if not, the terminal stays as it is.
        input: the terminal that is typed on: a descriptor, or a file that has one.
        output: the terminal that is written on, likewise.

    Raises:
        InvalidArgumentError: input (where stdin is wanted) or output is no terminal.
    """

    def __init__(self, *, stdin: bool = True, input: int | BinaryIO = 0, output: int | BinaryIO = 1) -> None:
        super().__init__()
        self.with_stdin: bool = _arguments.flag("stdin", stdin)
        self._input = _terminal("input", input, "inherit(stdin=True)") if stdin else None
        self._output = _terminal("output", output, "inherit()")

    def _pumps(self, dio: DirectIO, opened: contextlib.ExitStack) -> list[Pump]:
        if not dio.config().terminal:
            raise InvalidArgumentError("the process has no terminal: set terminal=True in its spec, or use inherit()")
        sys.stdout.flush()
        return [*readers(dio, Descriptor(self._output), Descriptor(None)), *writers(dio, self._input)]

    def _make(self, dio: DirectIO, pumps: list[Pump], opened: contextlib.ExitStack) -> PumpedIO:
        from ._streams.terminal import TerminalIO  # here, for what it imports is for people at terminals only

        return TerminalIO(dio, pumps, opened, self._input, self._output)


def _terminal(what: str, file: int | BinaryIO, instead: str) -> int:
    fd = file if isinstance(file, int) else _arguments.descriptor(what, file)
    if not os.isatty(fd):
        raise InvalidArgumentError(f"{what} must be a terminal, which descriptor {fd} is not: use {instead} for others")
    return fd
