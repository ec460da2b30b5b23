"""Sinks, and the keys that detach a terminal."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from typing import Any

import pytest
from support.streams import Streams, feed, join, pipe

import pyctd
from pyctd import stdio
from pyctd._streams.fifo import Fifo
from pyctd._streams.keys import DetachKeys
from pyctd._streams.pumps import Reader


@pytest.fixture
def unread() -> Iterator[int]:
    """A pipe that nobody reads."""
    reading, writing = os.pipe()
    os.close(reading)
    yield writing
    os.close(writing)


def test_the_first_error_of_a_file_sink_is_reported_and_the_rest_is_thrown_away(unread: int) -> None:
    errors: list[OSError] = []
    sink = stdio.FileSink(unread, on_error=errors.append)
    sink(b"first")
    sink(b"second")
    assert [type(error) for error in errors] == [BrokenPipeError]


def test_each_error_of_a_file_sink_without_a_receiver_is_raised(unread: int) -> None:
    sink = stdio.FileSink(unread)
    for _ in range(2):
        with pytest.raises(BrokenPipeError):
            sink(b"x")


def test_sinks_take_the_bytes_of_their_streams(caplog: pytest.LogCaptureFixture) -> None:
    got: list[bytes] = []

    def raising(data: bytes) -> None:
        raise ZeroDivisionError

    (out, out_target), (err, err_target) = pipe(), pipe()
    io: Any = stdio.sinks(got.append, raising)(Streams(out, err))  # type: ignore[arg-type]
    join(feed(out_target, b"out"), feed(err_target, b"err"), *io._pumps)
    assert got == [b"out"]
    assert "ZeroDivisionError" in caplog.text


def test_output_that_can_not_be_read_for_want_of_descriptors_is_not_taken_for_its_end(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(self: Fifo, fd: int) -> None:
        raise OSError(errno.EMFILE, "no more descriptors")

    monkeypatch.setattr(Fifo, "open", refuse)
    stream, target = pipe()
    reader = Reader(stream, lambda data: None)
    reader.start()
    join(reader)
    os.close(target)
    assert "no more descriptors" in caplog.text


def test_detach_keys_in_dockers_notation() -> None:
    for text, typed in [
        ("ctrl-p,ctrl-q", b"\x10\x11"),
        ("ctrl-@", b"\x00"),
        ("ctrl-[", b"\x1b"),
        ("ctrl-_", b"\x1f"),
        ("DEL", b"\x7f"),
        ("a,b,c", b"abc"),
        ("ctrl-a,d", b"\x01d"),
    ]:
        keys = DetachKeys(text)
        assert (keys(b"x" + typed + b"y"), keys.found) == (b"x", True), text


def test_what_only_begins_as_the_keys_is_passed_on() -> None:
    keys = DetachKeys("a,a,b")
    assert b"".join(map(keys, [b"a", b"a", b"a", b"c", b"aa"])) == b"aaac"
    assert not keys.found
    assert (keys(b"b"), keys.found) == (b"", True)


def test_detach_keys_that_are_none() -> None:
    with pytest.raises(pyctd.InvalidArgumentError, match="detach_keys must be keys such as ctrl-p,ctrl-q"):
        DetachKeys("ctrl-p,ctrl-1")
