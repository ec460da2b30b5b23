"""Ends of FIFOs whose reads and writes another thread can end."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pyctd import _native
from pyctd._streams.direct import STDIN, Stream, let_go
from pyctd._streams.fifo import Fifo

Pipe = tuple[int, int]


@pytest.fixture
def pipe(tmp_path: Path) -> Iterator[Pipe]:
    """A FIFO's descriptors to read and to write."""
    os.mkfifo(tmp_path / "fifo")
    both = os.open(tmp_path / "fifo", os.O_RDWR)
    reads = os.open(tmp_path / "fifo", os.O_RDONLY)
    yield reads, both
    os.close(reads)
    os.close(both)


def opened(fd: int, mode: int) -> Fifo:
    """The FIFO behind a descriptor."""
    fifo = Fifo(mode)
    fifo.open(fd)
    return fifo


def outcome_of(work: Callable[[], object], end: Callable[[], None]) -> object:
    """What work came to in a thread of its own, when it is ended in the midst."""
    found: list[object] = []
    begun = threading.Event()

    def run() -> None:
        begun.set()
        try:
            found.append(work())
        except ValueError as error:
            found.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    begun.wait(60)
    end()
    thread.join(60)
    assert not thread.is_alive(), "it still waits"
    return found[0]


def test_closing_ends_a_read(pipe: Pipe) -> None:
    end = opened(pipe[0], os.O_RDONLY)
    assert isinstance(outcome_of(lambda: end.move(os.read, 10), end.close), ValueError)
    with pytest.raises(ValueError, match="closed"):
        end.move(os.read, 10)


def test_closing_ends_a_write(pipe: Pipe) -> None:
    end = opened(pipe[1], os.O_WRONLY)

    def write() -> None:
        while True:
            end.move(os.write, bytes(4096))

    assert isinstance(outcome_of(write, end.close), ValueError)


def test_the_descriptor_given_stays_blocking(pipe: Pipe) -> None:
    end = opened(pipe[0], os.O_RDONLY)
    assert os.get_blocking(pipe[0])
    os.write(pipe[1], b"through")
    assert end.move(os.read, 10) == b"through"
    end.close()
    end.close()
    os.write(pipe[1], b"again")
    assert os.read(pipe[0], 10) == b"again"


def test_what_is_closed_in_the_midst_gives_its_descriptors_back(pipe: Pipe) -> None:
    before = sorted(os.listdir("/proc/self/fd"))
    end = opened(pipe[0], os.O_RDONLY)
    outcome_of(lambda: end.move(os.read, 10), end.close)
    assert sorted(os.listdir("/proc/self/fd")) == before


def test_a_descriptor_stays_open_while_it_is_used(pipe: Pipe) -> None:
    fifo = opened(pipe[0], os.O_RDONLY)
    used, closed = threading.Event(), threading.Event()
    found: list[bool] = []

    def use(fd: int) -> None:
        used.set()
        closed.wait(60)
        found.append(os.path.sameopenfile(fd, pipe[0]))

    user = threading.Thread(target=fifo.move, args=(use,))
    user.start()
    used.wait(60)
    fifo.close()
    closed.set()
    user.join(60)
    assert found == [True]


def test_a_stop_ends_waits_now_and_later(pipe: Pipe) -> None:
    fifo = Fifo(os.O_WRONLY)
    assert outcome_of(lambda: fifo.wait(pipe[0], 1), fifo.stop) is False
    assert fifo.wait(pipe[0], 1) is False
    fifo.close()
    fifo.stop()
    fifo.close()


def test_an_end_that_can_not_be_opened_leaves_no_descriptor(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    reads = os.open(tmp_path / "fifo", os.O_RDONLY | os.O_NONBLOCK)
    writes = os.open(tmp_path / "fifo", os.O_WRONLY)
    os.close(reads)
    before = sorted(os.listdir("/proc/self/fd"))
    with pytest.raises(OSError, match="No such device or address"):  # nobody reads it
        opened(writes, os.O_WRONLY)
    assert sorted(os.listdir("/proc/self/fd")) == before
    os.close(writes)


def test_a_stdin_that_nobody_reads_any_more_is_a_broken_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    reads = os.open(tmp_path / "fifo", os.O_RDONLY | os.O_NONBLOCK)
    _native.load()
    stdin = Stream(_native.Handle(1, "none"), STDIN)
    stdin._fd = os.open(tmp_path / "fifo", os.O_WRONLY)
    os.close(reads)
    with pytest.raises(BrokenPipeError):
        stdin.write(b"to nobody")
    let_go(stdin)


def test_a_stop_that_comes_too_late_leaves_what_has_got_its_number() -> None:
    fifo = Fifo(os.O_RDONLY)
    number = fifo._stop_fd
    fifo.close()
    other = os.eventfd(0, os.EFD_NONBLOCK)
    try:
        assert other == number
        fifo.stop()
        with pytest.raises(BlockingIOError):
            os.eventfd_read(other)
    finally:
        os.close(other)
