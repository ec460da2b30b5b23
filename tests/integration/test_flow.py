"""How bytes flow: all of them, in both directions, at the pace of whoever is slower."""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
from pathlib import Path
from typing import Any

import pytest
from support import leaks
from support.box import Box, Hold, eventually

import pyctd

GIB = 1 << 30
BLOCK = os.urandom(1 << 20)


def test_stdin_comes_to_its_end(box: Box) -> None:
    status, out = box.run("/bin/cat", stdin=b"through and through\n")
    assert (status.exit_code, out.stdout) == (0, b"through and through\n")


def test_empty_stdin(box: Box) -> None:
    status, out = box.run("/bin/cat", stdin=b"")
    assert (status.exit_code, out.stdout) == (0, b"")


def test_stdin_that_nobody_reads(box: Box) -> None:
    status, _ = box.run("/bin/true", stdin=b"x" * (1 << 20))
    assert status.exit_code == 0


def test_stdin_closed_early_under_stress(box: Box) -> None:
    """Older versions lost the CloseIO of a stdin that was closed before the start, and cat never ended."""
    task, _ = box.start()
    failures: list[object] = []

    def cat(worker: int) -> None:
        for i in range(10):
            process = task.exec(
                f"cat-{worker}-{i}",
                pyctd.spec.process(["/bin/cat"]),
                attach_stdio=pyctd.stdio.capture(stdin=b""),
                timeout=60,
            )
            try:
                if process.wait(timeout=60).exit_code:
                    failures.append((worker, i))
            except pyctd.DeadlineExceededError:
                failures.append((worker, i, "never ended"))
                process.kill(9)
                process.wait(timeout=60)
            process.delete(timeout=60)

    workers = [threading.Thread(target=cat, args=(worker,)) for worker in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert failures == []


def test_stdin_closed_before_the_start(box: Box) -> None:
    for _ in range(5):

        def close_at_once(dio: pyctd.DirectIO) -> pyctd.IO:
            assert dio.stdin
            dio.stdin.close()
            return dio

        container = box.container("/bin/cat")
        task = container.start(with_stdin=True, attach_stdio=close_at_once)
        assert task.wait(timeout=60).exit_code == 0
        task.delete()
        container.delete()


TYPED = [b"", b"one\ntwo\n", b"one\ntwo", b"one\r"]


@pytest.mark.parametrize("typed", TYPED, ids=repr)
@pytest.mark.parametrize("from_file", [False, True], ids=["bytes", "file"])
def test_the_end_of_a_stdin_ends_what_reads_a_terminal_and_does_not_hang_it_up(
    box: Box, tmp_path: Path, typed: bytes, from_file: bool
) -> None:
    script = "cat > /dev/null; echo said >&2; exit 3"
    if from_file:
        (tmp_path / "in").write_bytes(typed)
        stdio: Any = pyctd.stdio.files(tmp_path / "in", tmp_path / "out")
    else:
        stdio = pyctd.stdio.capture(stdin=typed)
    task = box.container("/bin/sh", "-c", script, terminal=True).start(attach_stdio=stdio)
    assert task.wait(timeout=60).exit_code == 3
    task.delete(timeout=60)
    shown = (tmp_path / "out").read_bytes() if from_file else stdio.stdout
    assert shown.endswith(b"said\r\n")
    assert typed.rstrip() in shown.replace(b"\r\n", b"\n"), "the terminal's echo"


def test_a_terminals_stdin_stays_open_when_what_is_typed_has_ended(box: Box) -> None:
    """As with dockerd: what is not at its stdin runs on."""
    out = pyctd.stdio.capture(stdin=b"typed\n")
    task = box.container("/bin/sh", "-c", "cat; sleep 1; echo still", terminal=True).start(attach_stdio=out)
    assert task.wait(timeout=60).exit_code == 0
    task.delete(timeout=60)
    assert out.stdout == b"typed\r\ntyped\r\nstill\r\n"


def test_big_streams_both_ways(box: Box) -> None:
    data = os.urandom(1 << 20) * 16
    status, out = box.run("/bin/cat", stdin=data)
    assert status.exit_code == 0
    assert out.stdout == data


def test_a_gibibyte_through_a_process(box: Box) -> None:
    """Exact to the byte, in and out, in the caller's own hands."""
    hold = Hold()
    task = box.container("/bin/cat").start(with_stdin=True, attach_stdio=hold)
    sent, got, length = hashlib.blake2b(), hashlib.blake2b(), 0

    def send() -> None:
        for i in range(GIB // len(BLOCK)):
            block = i.to_bytes(8, "big") + BLOCK[8:]
            sent.update(block)
            assert hold.dio.stdin.write(block) == len(block)
        hold.dio.stdin.close()

    writer = threading.Thread(target=send)
    writer.start()
    buffer = memoryview(bytearray(1 << 20))
    while n := hold.dio.stdout.readinto(buffer):
        got.update(buffer[:n])
        length += n
    writer.join()
    assert length == GIB
    assert got.digest() == sent.digest()
    assert task.wait(timeout=60).exit_code == 0
    task.delete(timeout=60)


def test_a_gibibyte_into_a_file(box: Box, tmp_path: Path) -> None:
    script = "head -c 1073741824 /dev/zero | tr '\\000' '\\377'"
    task = box.container("/bin/sh", "-c", script).start(attach_stdio=pyctd.stdio.files(stdout=tmp_path / "out"))
    assert task.wait(timeout=100).exit_code == 0
    task.delete(timeout=60)
    assert (tmp_path / "out").stat().st_size == GIB
    with (tmp_path / "out").open("rb") as file:
        while block := file.read(len(BLOCK)):
            assert block == b"\xff" * len(block)
    (tmp_path / "out").unlink()


def test_every_byte_value_through_a_ready_callback(box: Box) -> None:
    data = bytes(range(256)) * 5000
    status, out = box.run("/bin/cat", stdin=data)
    assert status.exit_code == 0
    assert out.stdout == data


def test_a_slow_reader_of_stdin_gets_all(box: Box) -> None:
    data = os.urandom(200_000)
    script = "for i in 1 2 3 4; do dd bs=50000 count=1 iflag=fullblock 2>/dev/null; sleep 0.2; done"
    status, out = box.run("/bin/sh", "-c", script, stdin=data)
    assert status.exit_code == 0
    assert out.stdout == data


def test_stdin_closed_twice(box: Box) -> None:
    hold = Hold()
    task = box.container("/bin/cat").start(with_stdin=True, attach_stdio=hold)
    stdin = hold.dio.stdin
    stdin.write(b"once")
    for _ in range(2):
        stdin.close()
    with pytest.raises(ValueError, match="closed"):
        stdin.write(b"again")
    assert hold.dio.stdout.read() == b"once"
    assert task.wait(timeout=60).exit_code == 0
    for _ in range(2):
        task.close_stdin()
    task.delete(timeout=60)


def test_writing_to_a_process_that_is_gone(box: Box) -> None:
    """What fits into the FIFO is taken, as by any pipe that somebody holds; the delete closes it."""
    hold = Hold()
    task = box.container("/bin/true").start(with_stdin=True, attach_stdio=hold)
    assert task.wait(timeout=60).exit_code == 0
    with contextlib.suppress(BrokenPipeError):  # where the shim has let go of it already
        assert hold.dio.stdin.write(b"x" * 4096) == 4096
    task.delete(timeout=60)
    with pytest.raises(BrokenPipeError, match="stdin is closed"):
        hold.dio.stdin.write(b"x")


def test_a_reader_that_stops_reading_blocks_the_process(box: Box) -> None:
    """As a pipe does: what is beyond its capacity waits in the process, and nothing is lost."""
    hold = Hold()
    total = 1 << 20
    task = box.container("/bin/sh", "-c", f"head -c {total} /dev/zero; echo end >&2").start(attach_stdio=hold)
    assert len(hold.dio.stdout.read(10)) == 10
    with pytest.raises(pyctd.DeadlineExceededError):
        task.wait(timeout=1)
    assert task.status().status == "running"
    assert len(hold.dio.stdout.read()) == total - 10
    assert hold.dio.stderr.read() == b"end\n"
    assert task.wait(timeout=60).exit_code == 0
    task.delete(timeout=60)


def test_a_receiver_that_blocks_holds_up_the_process_and_loses_nothing(box: Box) -> None:
    go_on = threading.Event()
    seen: list[str] = []

    def receive(line: str) -> None:
        seen.append(line)
        go_on.wait(60)

    script = "i=0; while [ $i -lt 30000 ]; do i=$((i+1)); echo line $i; done"
    task = box.container("/bin/sh", "-c", script).start(attach_stdio=pyctd.stdio.lines(receive))
    with pytest.raises(pyctd.DeadlineExceededError):
        task.wait(timeout=1)
    assert seen == ["line 1"]
    go_on.set()
    assert task.wait(timeout=60).exit_code == 0
    task.delete(timeout=60)
    assert seen == [f"line {i}" for i in range(1, 30001)]


def test_delete_does_not_wait_for_a_receiver_that_blocks(box: Box) -> None:
    """And the receiver gets the rest when it comes back, though the process is long gone."""
    go_on = threading.Event()
    seen: list[str] = []

    def receive(line: str) -> None:
        seen.append(line)
        go_on.wait(60)

    stdio = pyctd.stdio.lines(receive)
    task = box.container("/bin/sh", "-c", "echo a; sleep 0.5; echo b; echo c").start(attach_stdio=stdio)
    assert task.wait(timeout=60).exit_code == 0
    task.delete(timeout=60)
    assert seen == ["a"]
    go_on.set()
    eventually(lambda: seen == ["a", "b", "c"])


def test_a_file_that_blocks_stays_open_until_its_writer_is_done(box: Box, tmp_path: Path) -> None:
    """Closed under its writer, its descriptor's number could be another file's by the next write."""
    os.mkfifo(tmp_path / "out")
    reader = os.open(tmp_path / "out", os.O_RDONLY | os.O_NONBLOCK)
    size = 100_000  # more than the FIFO holds
    stdio = pyctd.stdio.files(stdout=tmp_path / "out")
    task = box.container("/bin/sh", "-c", f"head -c {size} /dev/zero").start(attach_stdio=stdio)
    assert task.wait(timeout=60).exit_code == 0
    task.delete(timeout=60)
    os.set_blocking(reader, True)
    got = b""
    while data := os.read(reader, 1 << 16):
        got += data
    os.close(reader)
    assert got == bytes(size)


def test_a_capture_of_nothing(box: Box) -> None:
    out = pyctd.stdio.capture(limit=0)
    task = box.container("/bin/echo", "x").start(attach_stdio=out)
    task.wait(timeout=60)
    task.delete()
    assert (out.stdout, out.truncated) == (b"", True)
    with pytest.raises(pyctd.InvalidArgumentError, match="limit must be None or a number of bytes from 0 up"):
        pyctd.stdio.capture(limit=-1)


def test_a_capture_that_fits_is_not_truncated(box: Box) -> None:
    out = pyctd.stdio.capture(limit=2)
    task = box.container("/bin/echo", "x").start(attach_stdio=out)
    task.wait(timeout=60)
    task.delete()
    assert (out.stdout, out.truncated) == (b"x\n", False)


def test_streams_leave_nothing_when_the_process_ends_at_once(box: Box, client: pyctd.Client) -> None:
    for stdin in (None, b"", b"x" * 100_000):
        box.run("/bin/true", stdin=stdin)
    assert not leaks.fifos(Path(client.state_dir))
