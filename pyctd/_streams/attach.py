"""The registry of stdio callbacks. It keeps each from the call that passes it until the last call of its IO.

Go knows a callback only by its cookie, with which it calls ``run_callback`` and ``call_io``.
"""

from __future__ import annotations

import contextlib
import contextvars
import itertools
import logging
from collections.abc import Iterator
from typing import Any

from .. import _arguments, _native, errors
from . import interrupts
from .builtin import BuiltInCallback, BuiltInIO
from .direct import IO, Config, DirectIO, StdioCallback, release

__all__ = ["Attachment", "attaching", "call_io", "run_callback"]

_log = logging.getLogger("pyctd.stdio")

_FAILED, _ATTACHED, _NONE = range(3)
_FORGET = 3


class Attachment:
    """One use of a callback, from the call that passes it to the last call of its IO.

    The callback and its IO run in the context (``contextvars``) of the call that passes the callback.
    """

    def __init__(self, callback: StdioCallback | None) -> None:
        _arguments.stdio_callback(callback)
        if isinstance(callback, BuiltInCallback):
            callback.refuse_used()  # before anything is made; use() refuses a simultaneous second use
        self.callback = callback
        self.dio: DirectIO | None = None  # until the last call: the callback's IO might not keep it alive
        self.io: IO | None = None
        self.error: BaseException | None = None
        self.context: contextvars.Context = contextvars.copy_context()
        self.cookie: int = 0
        self.wants_stdin: bool = bool(getattr(callback, "with_stdin", False))  # of a built-in callback or a similar one
        if callback is not None:
            self.cookie = next(_cookies)
            _attachments[self.cookie] = self

    @property
    def hooks(self) -> BuiltInIO:
        """The IO if it is a built-in one; otherwise one that does nothing."""
        return self.io if isinstance(self.io, BuiltInIO) else BuiltInIO()

    def forget(self) -> None:
        """Called if the call that passed the callback failed or was interrupted. The callback is not called any more.
        An IO that exists already still is: Go closes it, at the latest with its client."""
        if self.io is None:
            self.end()

    def end(self) -> None:
        """Removes the attachment from the registry: no more calls will come."""
        self.dio = None
        _attachments.pop(self.cookie, None)


_cookies = itertools.count(1)
_attachments: dict[int, Attachment] = {}


@contextlib.contextmanager
def attaching(callback: Any) -> Iterator[Attachment]:
    """Wraps a call that takes a stdio callback. The callback's exception becomes the cause of the call's error."""
    attachment = Attachment(callback)
    try:
        yield attachment
    except errors.StdioError as error:
        error.args = (f"the stdio callback raised {attachment.error!r}",)
        raise error from attachment.error
    except BaseException:
        attachment.forget()
        raise


def run_callback(cookie: int, native: _native.NativeStdio) -> int:
    """Runs the callback behind cookie. Returns a pyctd_stdio_answer."""
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
    return _ATTACHED if cookie in _attachments else _FAILED  # forgotten meanwhile: its process must not be created


def _checked(io: Any, native: _native.NativeStdio) -> IO | None:
    """Checks that containerd's client can call what a callback returned, and passes its config to Go."""
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


def call_io(cookie: int, call: int) -> None:
    """Forwards one call of containerd's client to the IO behind cookie."""
    attachment = _attachments.get(cookie)
    if attachment is None or attachment.io is None:
        return
    if call == _FORGET:  # as in Go, a custom IO is then garbage once unreferenced
        attachment.end()
        attachment.hooks.on_forgotten()
        return
    name = ("cancel", "wait", "close")[call]
    dio = attachment.dio
    if name == "close":
        attachment.end()
    try:
        attachment.context.copy().run(getattr(attachment.io, name))
    except BaseException as raised:
        if not interrupts.hold(raised):
            _log.exception("%s of %r raised", name, attachment.io)
    if name == "close" and dio is not None:
        release(dio)
