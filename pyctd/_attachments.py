"""The uses of stdio callbacks: from the call that passes one to the last call of the IO that it returned."""

from __future__ import annotations

import contextlib
import contextvars
import itertools
import logging
import math
import threading
from collections.abc import Iterator
from typing import Any, ClassVar

from . import _arguments, _native, _operations, errors
from .directio import IO, Config, DirectIO, StdioCallback

__all__ = ["Attachment", "Made", "ReadyCallback", "ReadyIO", "attach", "attaching", "interrupts_pass", "io_call"]

_log = logging.getLogger("pyctd.stdio")

_FAILED, _ATTACHED, _NONE = range(3)
_FORGET = 3


class Made:
    """What a ready IO may do with its process; both block."""

    def __init__(self, process: _native.Handle) -> None:
        self.process = process

    def resize(self, width: int, height: int) -> None:
        """As ``Process.resize``."""
        _native.run(_operations.process_resize(self.process, width, height), None)

    def close_stdin(self) -> None:
        """As ``Process.close_stdin``."""
        _native.run(_operations.process_close_stdin(self.process), None)


class ReadyIO:
    """What pyctd's own IOs are told beyond Go's calls."""

    def made(self, process: Made, existing: bool) -> None:
        """The process is there; existing tells that it ran already, and was attached to. Not on a thread of Go's."""

    def drain(self, until: float = math.inf) -> bool:
        """The process has ended: waits for the end of its output, within a bound, and until a moment of
        ``time.monotonic`` at most. Whether it came."""
        return True

    def forgotten(self) -> None:
        """The process was deleted through another object, and no further call comes: gives the streams back at their
        end."""


class ReadyCallback:
    """What pyctd's own stdio callbacks share: each is for one process.

    Attributes:
        with_stdin: whether it has something to send, so that the process needs a stdin.
    """

    with_stdin: bool = False
    _used: bool = False
    _using: ClassVar[threading.Lock] = threading.Lock()

    def use(self) -> None:
        """Takes it for a process. Raises InvalidArgumentError the second time."""
        with self._using:
            self.refuse_used()
            self._used = True

    def refuse_used(self) -> None:
        """Raises InvalidArgumentError where it has a process already."""
        if self._used:
            raise errors.InvalidArgumentError(
                f"this {type(self).__name__}() was used for a process already: make one for each"
            )


class Attachment:
    """One use of a callback: from the call that passes it to the last call of its IO.

    The callback and its IO are called in the context (``contextvars``) of that call.
    """

    def __init__(self, callback: StdioCallback | None, existing: bool) -> None:
        _arguments.stdio_callback(callback)
        if isinstance(callback, ReadyCallback):
            callback.refuse_used()  # before anything is made; at once with another use, use() does
        self.callback = callback
        self.existing = existing
        self.dio: DirectIO | None = None  # until the last call: what the callback returned need not hold it
        self.io: IO | None = None
        self.error: BaseException | None = None
        self.context: contextvars.Context = contextvars.copy_context()
        self.cookie: int = 0
        self.wants_stdin: bool = bool(getattr(callback, "with_stdin", False))  # a ready one's, or one's like it
        if callback is not None:
            self.cookie = next(_cookies)
            _attachments[self.cookie] = self

    def forget(self) -> None:
        """The call that passed the callback has failed, or was interrupted: the callback is not called any more. An IO
        that there is already still is: Go closes it, at the latest with its client."""
        if self.io is None:
            self.end()

    def end(self) -> None:
        """No call will come any more."""
        self.dio = None
        _attachments.pop(self.cookie, None)

    @property
    def ready(self) -> ReadyIO:
        """The IO, where it is a ready one; else one that does nothing."""
        return self.io if isinstance(self.io, ReadyIO) else ReadyIO()


_cookies = itertools.count(1)
_attachments: dict[int, Attachment] = {}


def _checked(io: Any, native: _native.NativeStdio) -> IO | None:
    """What a callback answered, if containerd's client can call it; its config is handed to Go."""
    if io is None:
        return None
    if not all(callable(getattr(io, name, None)) for name in ("config", "cancel", "wait", "close")):
        raise TypeError(
            f"a stdio callback must return an object with config, cancel, wait and close, or None, not {io!r:.200}"
        )
    config = io.config()
    if not isinstance(config, Config):
        raise TypeError(f"config() must return a pyctd.Config, not {config!r:.200}")
    if config != Config(native.terminal, native.stdin, native.stdout, native.stderr):
        for name, path in zip(("stdin", "stdout", "stderr"), config[1:], strict=True):
            _arguments.text(f"{name} of config()", path)
        _native.set_stdio_config(native.handle, *config)
    return io  # type: ignore[no-any-return]


def attach(cookie: int, native: _native.NativeStdio) -> int:
    """Runs the callback behind cookie; the answer is a pyctd_stdio_answer."""
    attachment = _attachments.get(cookie)
    if attachment is None or attachment.callback is None:
        return _FAILED
    callback, dio = attachment.callback, DirectIO(native)
    attachment.dio = dio
    try:
        attachment.io = attachment.context.copy().run(lambda: _checked(callback(dio), native))
    except BaseException as error:  # raised again by the call that passed the callback
        attachment.error = error
        attachment.forget()
        return _FAILED
    if attachment.io is None:
        attachment.forget()
        return _NONE
    return _ATTACHED if cookie in _attachments else _FAILED  # forgotten meanwhile: its process is not to be made


_interrupts: list[BaseException] | None = None
"""What signal handlers have raised in calls of ``io_call``, while ``interrupts_pass``."""


@contextlib.contextmanager
def interrupts_pass() -> Iterator[None]:
    """Around a call to Go that may call ``io_call`` on this very thread: what a signal's handler raises there, which
    can't pass through Go, is raised when the call has returned."""
    global _interrupts
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heard: list[BaseException] = []
    _interrupts = heard
    try:
        yield
    finally:
        _interrupts = None
        if heard:
            raise heard[0]


def io_call(cookie: int, call: int) -> None:
    """Carries one call of containerd's client to the IO behind cookie."""
    attachment = _attachments.get(cookie)
    if attachment is None or attachment.io is None:
        return
    if call == _FORGET:  # a custom IO is then garbage once nobody refers to it, as in Go
        attachment.end()
        attachment.ready.forgotten()
        return
    name = ("cancel", "wait", "close")[call]
    dio = attachment.dio
    if name == "close":
        attachment.end()
    try:
        attachment.context.copy().run(getattr(attachment.io, name))
    except BaseException as raised:
        heard = _interrupts
        if isinstance(raised, Exception) or threading.current_thread() is not threading.main_thread() or heard is None:
            _log.exception("%s of %r raised", name, attachment.io)
        else:
            heard.append(raised)
    if name == "close" and dio is not None:
        dio.settle()


@contextlib.contextmanager
def attaching(callback: Any, existing: bool = False) -> Iterator[Attachment]:
    """Around a call that takes a stdio callback: what that raised becomes the cause of the call's error."""
    attachment = Attachment(callback, existing)
    try:
        yield attachment
    except errors.StdioError as error:
        error.args = (f"the stdio callback raised {attachment.error!r}",)
        raise error from attachment.error
    except BaseException:
        attachment.forget()
        raise
