"""The uses of stdio callbacks, without a process."""

from __future__ import annotations

import contextvars
import gc
import threading
import time
import weakref
from typing import Any

import pytest

import pyctd
from pyctd import _native
from pyctd._streams.attach import Attachment, attaching, call_io, run_callback
from pyctd._streams.builtin import BuiltInCallback
from pyctd._streams.interrupts import interrupts_pass

FAILED, ATTACHED = 0, 1
CANCEL, WAIT, CLOSE = 0, 1, 2


def fifos() -> _native.NativeStdio:
    """A process's, of which there is no handle in Go."""
    _native.load()
    return _native.NativeStdio(1, False, "", "/nowhere/stdout", "/nowhere/stderr")


class Own:
    """An IO of the test's own."""

    def __init__(self, dio: pyctd.DirectIO) -> None:
        self.dio = dio

    def config(self) -> pyctd.Config:
        return self.dio.config()

    def cancel(self) -> None: ...

    def wait(self) -> None: ...

    def close(self) -> None: ...


def test_nothing_is_kept_of_an_io_after_its_last_call() -> None:
    made: list[weakref.ref[Own]] = []

    def callback(dio: pyctd.DirectIO) -> Own:
        io = Own(dio)
        made.append(weakref.ref(io))
        return io

    with attaching(callback) as attachment:
        cookie = attachment.cookie
        assert run_callback(cookie, fifos()) == ATTACHED
    del attachment
    for call in (CANCEL, WAIT):
        call_io(cookie, call)
        assert made[0]()
    call_io(cookie, CLOSE)
    gc.collect()
    assert not made[0]()


def test_streams_are_given_back_with_the_last_call_though_somebody_keeps_them() -> None:
    with attaching(Own) as attachment:
        assert run_callback(attachment.cookie, fifos()) == ATTACHED
    io: Any = attachment.io
    call_io(attachment.cookie, CANCEL)
    assert not io.dio._handle.closed
    call_io(attachment.cookie, CLOSE)
    assert io.dio._handle.closed


def test_an_io_is_called_in_the_context_of_the_call_that_passed_its_callback() -> None:
    place: contextvars.ContextVar[str] = contextvars.ContextVar("place")
    seen: list[str] = []

    class Noting(Own):
        def cancel(self) -> None:
            seen.append(place.get())
            place.set("changed")

    place.set("the call's")
    with attaching(Noting) as attachment:
        assert run_callback(attachment.cookie, fifos()) == ATTACHED
    place.set("another")
    for _ in range(2):
        call_io(attachment.cookie, CANCEL)
    call_io(attachment.cookie, CLOSE)
    assert (seen, place.get()) == (["the call's"] * 2, "another")


def test_nothing_is_kept_of_a_callback_whose_call_has_failed() -> None:
    class Callback:
        def __call__(self, dio: pyctd.DirectIO) -> None: ...

    callback = Callback()
    gone = weakref.ref(callback)
    with pytest.raises(ZeroDivisionError), attaching(callback) as attachment:
        raise ZeroDivisionError
    cookie = attachment.cookie
    del attachment, callback
    gc.collect()
    assert not gone()
    assert run_callback(cookie, fifos()) == FAILED


def test_no_process_is_made_for_a_callback_whose_call_fails_while_it_runs() -> None:
    uses: list[Attachment] = []

    def callback(dio: pyctd.DirectIO) -> Own:
        uses[0].forget()
        return Own(dio)

    with attaching(callback) as attachment:
        uses.append(attachment)
        assert run_callback(attachment.cookie, fifos()) == FAILED


def test_what_interrupts_an_io_is_raised_once_go_has_returned_or_logged(caplog: pytest.LogCaptureFixture) -> None:
    class Interrupted(Own):
        def cancel(self) -> None:
            raise KeyboardInterrupt

    with attaching(Interrupted) as attachment:
        assert run_callback(attachment.cookie, fifos()) == ATTACHED
    with pytest.raises(KeyboardInterrupt), interrupts_pass():
        call_io(attachment.cookie, CANCEL)
    assert not caplog.text
    call_io(attachment.cookie, CANCEL)
    assert "KeyboardInterrupt" in caplog.text
    call_io(attachment.cookie, CLOSE)


def test_of_two_uses_at_once_one_is_refused() -> None:
    class Slow(BuiltInCallback):
        def refuse_used(self) -> None:
            super().refuse_used()
            time.sleep(0.05)  # for the other use to come

    callback = Slow()
    refused: list[pyctd.InvalidArgumentError] = []

    def use() -> None:
        try:
            callback.use()
        except pyctd.InvalidArgumentError as error:
            refused.append(error)

    users = [threading.Thread(target=use) for _ in range(2)]
    for user in users:
        user.start()
    for user in users:
        user.join(60)
    assert len(refused) == 1
