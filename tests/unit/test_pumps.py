"""The threads that move bytes, between pipes and files of the test's own."""

from __future__ import annotations

import contextlib
import inspect
import os
import re
import select
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.box import eventually
from support.streams import End, Streams, drain, feed, join, pipe

from pyctd._streams import pumped
from pyctd._streams.pumped import PumpedIO
from pyctd._streams.pumps import Pump, Reader, Writer
from pyctd._streams.sinks import FileSink, splice_target
from pyctd._streams.terminal import Resizer

MANY = os.urandom(1 << 20) * 3 + b"end"


def full(fd: int) -> bool:
    """Whether a pipe takes no more."""
    poll = select.poll()
    poll.register(fd, select.POLLOUT)
    return not poll.poll(0)


@pytest.mark.parametrize("flags", [os.O_TRUNC, os.O_APPEND], ids=["from its start", "appended"])
def test_two_streams_into_one_file_lose_nothing(tmp_path: Path, flags: int) -> None:
    fd = os.open(tmp_path / "out", os.O_WRONLY | os.O_CREAT | flags)
    threads: list[threading.Thread] = []
    for letter in (b"a", b"b"):
        stream, target = pipe()
        reader = Reader(stream, FileSink(fd))
        reader.start()
        threads += (reader, feed(target, letter * (4 << 20)))
    join(*threads)
    os.close(fd)
    data = (tmp_path / "out").read_bytes()
    assert (data.count(b"a"), data.count(b"b")) == (4 << 20, 4 << 20)


def test_what_two_streams_may_share_is_not_spliced_into(tmp_path: Path) -> None:
    """The kernel takes no lock of a file's position then; what is lost depends on the moment."""
    with (tmp_path / "file").open("wb") as file:
        assert splice_target(FileSink(file.fileno())) is None
    reading, writing = os.pipe()
    assert splice_target(FileSink(writing)) == writing
    os.close(reading)
    os.close(writing)


def test_a_stream_into_a_pipe() -> None:
    stream, target = pipe()
    other, out = os.pipe()
    got: list[bytes] = []
    reader = Reader(stream, FileSink(out))
    reader.start()
    threads = feed(target, MANY), drain(other, got)
    join(reader, threads[0])
    os.close(out)
    join(threads[1])
    assert got == [MANY]


MIB = os.urandom(1 << 20)


def test_a_stream_into_a_pipe_that_does_not_block_is_whole() -> None:
    """Somebody who shares the pipe has made it non-blocking; its reader is slower than the stream."""
    stream, target = pipe()
    other, out = os.pipe()
    os.set_blocking(out, False)
    got: list[bytes] = []
    reader = Reader(stream, FileSink(out))
    reader.start()
    feeding = feed(target, MIB)
    eventually(lambda: full(out), "that the pipe is full")
    reading = drain(other, got)
    join(feeding, reader)
    os.close(out)
    join(reading)
    assert got == [MIB]


def test_a_pipe_that_does_not_block_and_nobody_reads_holds_up_no_close(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pumped, "GRACE", 0.1)
    stream, target = pipe()
    other, out = os.pipe()
    os.set_blocking(out, False)
    reader = Reader(stream, FileSink(out))
    dio: Any = Streams()
    io = PumpedIO(dio, [reader], contextlib.ExitStack())
    feeding = feed(target, MIB[: 3 << 16])  # for two pipes, and what the pump holds in between
    eventually(lambda: full(out), "that the pipe is full")
    join(feeding)
    closing = threading.Thread(target=io.close)
    closing.start()
    join(closing)
    os.close(other)  # from now on what is left is thrown away
    join(reader)
    os.close(out)


def test_a_pipe_that_nobody_reads_holds_up_no_process() -> None:
    """What can't be written is thrown away, and the stream is read on."""
    stream, target = pipe()
    other, out = os.pipe()
    os.close(other)
    reader = Reader(stream, FileSink(out))
    reader.start()
    join(feed(target, MANY), reader)
    os.close(out)


def test_time_that_a_receiver_takes_does_not_count_for_who_is_patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pumped, "GRACE", 0.1)
    stream, target = pipe()
    dio: Any = None
    goes_on = threading.Event()
    reader = Reader(stream, lambda data: goes_on.wait(60))
    io = PumpedIO(dio, [reader], contextlib.ExitStack())
    os.write(target, b"x")
    eventually(reader.taken)
    assert not io.drain()
    patient = threading.Thread(target=io.drain_patiently)
    patient.start()
    patient.join(0.5)
    assert patient.is_alive()
    goes_on.set()
    join(patient)
    assert reader.is_alive(), "what is merely held open is not waited for"
    os.close(target)
    join(reader)


def of_file(tmp_path: Path) -> int:
    (tmp_path / "in").write_bytes(MANY)
    return os.open(tmp_path / "in", os.O_RDONLY)


def of_pipe(tmp_path: Path) -> int:
    source, target = os.pipe()
    feed(target, MANY)
    return source


def of_pipe_that_does_not_block(tmp_path: Path) -> int:
    source = of_pipe(tmp_path)
    os.set_blocking(source, False)
    return source


@pytest.mark.parametrize(
    "source",
    [of_file, of_pipe, of_pipe_that_does_not_block, lambda path: MANY],
    ids=["a file", "a pipe", "a pipe that does not block", "bytes"],
)
def test_what_is_written_arrives_whole(tmp_path: Path, source: Callable[[Path], bytes | int]) -> None:
    reading, writing = os.pipe()
    stream: Any = End(writing)
    got: list[bytes] = []
    given = source(tmp_path)
    writer = Writer(stream, given)
    writer.start()
    join(drain(reading, got), writer)
    assert got == [MANY]
    if isinstance(given, int):
        os.close(given)


class Attached:
    """A process that was attached to."""

    def __init__(self) -> None:
        self.told_by: list[threading.Thread] = []

    def close_stdin(self) -> None:
        self.told_by.append(threading.current_thread())


def test_the_end_of_an_attached_stdin_is_told_by_no_thread_of_the_callers() -> None:
    """The caller may be an event loop, and containerd may take its time."""
    reading, writing = os.pipe()
    stream: Any = End(writing)
    process: Any = Attached()
    dio: Any = None
    writer = Writer(stream, b"all")
    io = PumpedIO(dio, [writer], contextlib.ExitStack())
    join(writer)
    io.on_started(process, attached=True)
    eventually(lambda: process.told_by)
    assert threading.current_thread() not in process.told_by
    assert os.read(reading, 10) == b"all"
    os.close(reading)


def test_the_end_of_a_stdin_that_libcontainerd_made_is_told_by_it_alone() -> None:
    reading, writing = os.pipe()
    stream: Any = End(writing)
    process: Any = Attached()
    dio: Any = None
    writer = Writer(stream, b"all")
    io = PumpedIO(dio, [writer], contextlib.ExitStack())
    io.on_started(process, attached=False)
    join(writer)
    io.on_started(process, attached=False)
    assert process.told_by == []
    os.close(reading)


def test_what_is_in_the_pipe_when_a_pump_is_stopped_is_read() -> None:
    stream, target = pipe()
    got: list[bytes] = []
    goes_on = threading.Event()

    def take(data: bytes) -> None:
        got.append(data)
        goes_on.wait(60)

    reader = Reader(stream, take)
    reader.start()
    os.write(target, b"first")
    eventually(lambda: got)
    os.write(target, b"last")
    reader.stop()
    goes_on.set()
    join(reader)
    assert got == [b"first", b"last"]
    os.close(target)


def test_a_stopped_pump_does_not_read_for_ever() -> None:
    stream, target = pipe()
    os.set_blocking(target, False)

    def fill(data: bytes) -> None:
        with contextlib.suppress(BlockingIOError):  # somebody writes on, faster than this reads
            os.write(target, bytes(1 << 16))

    reader = Reader(stream, fill)
    fill(b"")
    reader.start()
    reader.stop()
    join(reader)
    os.close(target)


def test_pumps_that_do_not_all_start_leave_nothing() -> None:
    class Broken(Reader):
        def start(self) -> None:
            raise RuntimeError("no thread is to be had")

    before = sorted(os.listdir("/proc/self/fd"))
    (stream, target), (other, unread) = pipe(), pipe()
    closed = threading.Event()
    with contextlib.ExitStack() as opened:
        opened.callback(closed.set)
        started, broken = Reader(stream, lambda data: None), Broken(other, lambda data: None)
        dio: Any = Streams()
        with pytest.raises(RuntimeError, match="no thread"):
            PumpedIO(dio, [started, broken], opened.pop_all())
    join(started)
    assert closed.is_set(), "what they were to use stays open"
    other.close()
    os.close(target)
    os.close(unread)
    assert sorted(os.listdir("/proc/self/fd")) == before


def test_what_is_waited_for_again_may_end_a_little_later(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(pumped, "GRACE", 0.0)
    monkeypatch.setattr(pumped, "SETTLING", 60.0)
    stream, target = pipe()
    dio: Any = Streams()
    io = PumpedIO(dio, [Reader(stream, lambda data: None)], contextlib.ExitStack())
    end = threading.Timer(0.1, os.close, (target,))
    end.start()
    io.wait()
    assert not caplog.text
    join(end)


def test_a_receiver_may_close_its_own_streams(caplog: pytest.LogCaptureFixture) -> None:
    stream, target = pipe()
    dio: Any = Streams(stream)
    ios: list[PumpedIO] = []
    closed = threading.Event()

    def take(data: bytes) -> None:
        ios[0].close()
        closed.set()

    reader = Reader(stream, take)
    ios.append(PumpedIO(dio, [reader], contextlib.ExitStack()))
    os.write(target, b"x")
    join(reader)
    assert closed.is_set(), caplog.text
    os.close(target)


#: What threads have of their own, on some Python from 3.10 to 3.14.
THREADS_OWN = frozenset(
    [
        "_args",
        "_bootstrap",
        "_bootstrap_inner",
        "_context",
        "_daemonic",
        "_delete",
        "_handle",
        "_ident",
        "_initialized",
        "_invoke_excepthook",
        "_is_stopped",
        "_kwargs",
        "_name",
        "_native_id",
        "_os_thread_handle",
        "_started",
        "_stderr",
        "_stop",
        "_target",
        "_tstate_lock",
    ]
)


@pytest.mark.parametrize("kind", [Pump, Reader, Writer, Resizer])
def test_threads_of_ours_leave_those_of_every_python_what_is_theirs(kind: type[threading.Thread]) -> None:
    """3.14 has given them a _context, and so they ran in the one that was ours."""
    source = inspect.getsource(kind)
    assert not THREADS_OWN & set(re.findall(r"self\.(\w+)\b[^=\n]*= ", source))
    assert not THREADS_OWN & (vars(kind).keys() - vars(threading.Thread).keys())
