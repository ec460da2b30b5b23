"""Output by the line, from pipes of the test's own."""

from __future__ import annotations

import os
import threading
import time
from typing import Any

import pytest
from support.streams import End, Streams, feed, join

import pyctd
from pyctd import stdio


def lines_of(data: bytes, terminal: bool = False, **options: Any) -> tuple[list[str], stdio.lines]:
    """The lines of a stdout that brings data and ends."""
    seen: list[str] = []
    lines = stdio.lines(seen.append, **options)
    stream, target = os.pipe()
    dio: Any = Streams(stdout=End(stream), terminal=terminal)
    io: Any = lines(dio)
    feeding = feed(target, data)
    join(feeding, *io._pumps)
    return seen, lines


def test_a_long_line_takes_time_in_proportion_to_its_length() -> None:
    long = b"x" * (64 << 20)
    began = time.monotonic()
    seen, lines = lines_of(long + b"\nend", limit=None)
    assert time.monotonic() - began < 10  # by the square of its length: half a minute
    assert [len(line) for line in seen] == [64 << 20, 3]
    assert not lines.truncated


def test_a_line_has_a_limit_and_what_is_cut_is_told(caplog: pytest.LogCaptureFixture) -> None:
    seen, lines = lines_of(b"1234\n12345\n123456\n\nlast is long", limit=5)
    assert seen == ["1234", "12345", "12345", "", "last "]
    assert lines.truncated
    assert caplog.text.count("more than 5 bytes") == 1


def test_a_line_of_the_very_limit_is_whole() -> None:
    seen, lines = lines_of(b"12345\n1234\n", limit=5)
    assert seen == ["12345", "1234"]
    assert not lines.truncated


def test_a_line_without_end_fills_no_memory() -> None:
    seen, lines = lines_of(bytes(8 << 20))
    assert [len(line) for line in seen] == [1 << 20]
    assert lines.truncated


def test_lines_that_come_in_pieces() -> None:
    seen: list[str] = []
    lines = stdio.lines(seen.append, limit=5)
    stream, target = os.pipe()
    dio: Any = Streams(stdout=End(stream))
    io: Any = lines(dio)
    for byte in b"one\n\nseventeen\nlast":
        os.write(target, bytes([byte]))
    os.close(target)
    join(*io._pumps)
    assert seen == ["one", "", "seven", "last"]


@pytest.mark.parametrize(("terminal", "seen"), [(True, ["a", "b\r", "\rc"]), (False, ["a\r", "b\r\r", "\rc"])])
def test_the_return_that_a_terminal_puts_before_a_newline_is_no_part_of_the_line(
    terminal: bool, seen: list[str]
) -> None:
    assert lines_of(b"a\r\nb\r\r\n\rc", terminal)[0] == seen


def test_one_receiver_gets_both_streams_one_line_at_a_time() -> None:
    seen: list[str] = []
    at_once: list[int] = []
    inside = threading.Semaphore(1)

    def take(line: str) -> None:
        at_once.append(not inside.acquire(blocking=False))
        seen.append(line)
        time.sleep(0)  # gives way to the other
        inside.release()

    out, out_target = os.pipe()
    err, err_target = os.pipe()
    dio: Any = Streams(End(out), End(err))
    io: Any = stdio.lines(take)(dio)
    join(feed(out_target, b"out\n" * 2000), feed(err_target, b"err\n" * 2000), *io._pumps)
    assert (seen.count("out"), seen.count("err"), any(at_once)) == (2000, 2000, False)


def test_a_stream_without_a_receiver_is_thrown_away() -> None:
    for receivers, seen in (((None, True), ["err"]), ((True, None), ["out"]), ((None,), [])):
        got: list[str] = []
        out, out_target = os.pipe()
        err, err_target = os.pipe()
        lines = stdio.lines(*(got.append if one else None for one in receivers))
        dio: Any = Streams(End(out), End(err))
        io: Any = lines(dio)
        join(feed(out_target, b"out\n"), feed(err_target, b"err\n"), *io._pumps)
        assert got == seen


@pytest.mark.parametrize("limit", [0, -1])
def test_limits_that_are_none(limit: int) -> None:
    with pytest.raises(pyctd.InvalidArgumentError, match="limit must be None or a number of bytes above 0"):
        stdio.lines(print, limit=limit)
