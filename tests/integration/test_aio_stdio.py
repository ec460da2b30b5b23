"""Streams of an event loop: every byte of them, at the pace of whoever is slower, and no thread."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import os
import select
import stat
import threading
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from support import leaks
from support.case import Case

import pyctd
from pyctd import aio

GIB = 1 << 30
BLOCK = os.urandom(1 << 20)


pytestmark = pytest.mark.parametrize("case", ["asyncio", "uvloop"], indirect=True)


Life = Callable[[aio.Client, aio.Container], Coroutine[Any, Any, None]]


def with_container(case: Case, life: Life, *args: str, limit: float = 100, **options: Any) -> None:
    """Runs a test with a container that will run args, and deletes what it leaves."""

    async def test(client: aio.Client) -> None:
        container = await client.new_container("c", case.spec(*args, **options))
        try:
            await life(client, container)
        finally:
            with contextlib.suppress(pyctd.NotFoundError):
                await (await container.task()).force_delete(timeout=60)
            await container.delete(timeout=60)

    case.run(test, limit=limit)


def test_stdin_stdout_and_stderr(case: Case) -> None:
    async def life(client: aio.Client, container: aio.Container) -> None:
        io = aio.stdio.streams(stdin=True)
        assert io.stdin
        task = await container.start(attach_stdio=io)
        io.stdin.write(b"one\ntwo\n")
        await io.stdin.drain()
        assert await io.stdout.readline() == b"one\n"
        assert await io.stdout.readline() == b"two\n"
        io.stdin.close()
        await io.stdin.wait_closed()
        assert (await task.wait(timeout=60)).exit_code == 3
        assert (await io.stdout.read(), await io.stderr.read()) == (b"", b"end\n")
        await task.delete(timeout=60)

    with_container(case, life, "/bin/sh", "-c", "cat; echo end >&2; exit 3")


def test_streams_that_the_loop_can_not_take_say_so(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their end alone would be taken for that of the output."""

    async def refuse(protocol: object, pipe: object) -> None:
        raise OSError(errno.EMFILE, "no more")

    async def life(client: aio.Client, container: aio.Container) -> None:
        loop = asyncio.get_running_loop()
        add_reader = loop.add_reader

        def add_no_fifo(fd: int, *args: Any) -> None:
            if stat.S_ISFIFO(os.fstat(fd).st_mode):
                raise OSError(errno.EMFILE, "no more")
            add_reader(fd, *args)

        monkeypatch.setattr(loop, "add_reader", add_no_fifo)
        monkeypatch.setattr(loop, "connect_write_pipe", refuse)
        io = aio.stdio.streams(stdin=True)
        assert io.stdin
        task = await container.start(attach_stdio=io)
        with pytest.raises(OSError, match="no more"):
            await io.stdout.read()
        with pytest.raises(OSError, match="no more"):
            await io.stdin.wait_closed()
        await task.wait(timeout=60)

    with_container(case, life, "/bin/sh", "-c", "echo lost")


def test_lines_by_async_for_while_the_process_runs(case: Case) -> None:
    async def life(client: aio.Client, container: aio.Container) -> None:
        io = aio.stdio.streams()
        task = await container.start(attach_stdio=io)
        async for line in io.stdout:
            assert line == b"first\n"
            break
        assert (await task.status()).status == "running"

    with_container(case, life, "/bin/sh", "-c", "echo first; sleep 600")


@pytest.mark.parametrize("kind", [aio.stdio.capture, aio.stdio.streams, pyctd.stdio.capture])
def test_a_ready_callback_is_for_one_process(case: Case, kind: Any) -> None:
    async def life(client: aio.Client, container: aio.Container) -> None:
        used = kind()
        task = await container.start(attach_stdio=used)
        with pytest.raises(pyctd.InvalidArgumentError, match=r"\(\) was used for a process already: make one for each"):
            await task.exec("e", pyctd.spec.process(["/bin/true"]), attach_stdio=used)
        await task.force_delete()

    with_container(case, life)


def test_a_line_may_be_as_long_as_the_readers_limit(case: Case) -> None:
    async def life(client: aio.Client, container: aio.Container) -> None:
        length = 1 << 20
        task = await container.start()
        spec = pyctd.spec.process(["/bin/sh", "-c", f"head -c {length} /dev/zero | tr '\\000' x; echo"])
        for limit in (length, 1 << 16):
            io = aio.stdio.streams(limit=limit)
            process = await task.exec(f"e{limit}", spec, attach_stdio=io)
            if limit == length:
                assert await io.stdout.readline() == b"x" * length + b"\n"
            else:
                with pytest.raises(ValueError, match="limit"):
                    await io.stdout.readline()
            await io.stdout.read()  # the rest
            await process.wait(timeout=60)
            await process.delete(timeout=60)

    with_container(case, life)


def test_streams_are_there_before_the_process(case: Case) -> None:
    """What is written first waits for it, the end too, and whoever reads early is served."""

    async def life(client: aio.Client, container: aio.Container) -> None:
        io = aio.stdio.streams(stdin=True)
        assert io.stdin
        reading = asyncio.ensure_future(io.stdout.read())
        io.stdin.write(b"early ")
        io.stdin.writelines([b"bird", b"!"])
        await io.stdin.drain()
        io.stdin.write(bytes(200_000))
        with pytest.raises(asyncio.TimeoutError):  # too much for nobody
            await asyncio.wait_for(io.stdin.drain(), 0.05)
        io.stdin.write_eof()
        task = await container.start(attach_stdio=io)
        assert await reading == b"early bird!" + bytes(200_000)
        assert (await task.wait(timeout=60)).exit_code == 0
        await task.delete()

    with_container(case, life, "/bin/cat")


@pytest.mark.timeout(300)
def test_a_gibibyte_through_a_process(case: Case) -> None:
    async def life(client: aio.Client, container: aio.Container) -> None:
        io = aio.stdio.streams(stdin=True, limit=1 << 20)
        assert io.stdin
        task = await container.start(attach_stdio=io)
        sent, got, length, highest = hashlib.blake2b(), hashlib.blake2b(), 0, 0

        async def send(stdin: asyncio.StreamWriter) -> None:
            nonlocal highest
            for i in range(GIB // len(BLOCK)):
                block = i.to_bytes(8, "big") + BLOCK[8:]
                sent.update(block)
                stdin.write(block)
                highest = max(highest, stdin.transport.get_write_buffer_size())
                await stdin.drain()
            stdin.close()

        sending = asyncio.ensure_future(send(io.stdin))
        while data := await io.stdout.read(1 << 20):
            got.update(data)
            length += len(data)
        await sending
        assert length == GIB
        assert got.digest() == sent.digest()
        assert highest <= 2 << 20, "what the process does not read is not piled up here"
        assert (await task.wait(timeout=60)).exit_code == 0
        await task.delete(timeout=60)

    with_container(case, life, "/bin/cat", limit=280)


def test_a_mebibyte_from_and_to_pipes_that_do_not_block(case: Case, tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(BLOCK)
    ends = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    async def life(client: aio.Client, container: aio.Container) -> None:
        cat = pyctd.spec.process(["/bin/cat"])
        task = await container.start()
        with open(ends[0], "rb", buffering=0) as reading, open(ends[1], "wb", buffering=0) as writing:
            first = await task.exec("e1", cat, attach_stdio=pyctd.stdio.files(tmp_path / "in", writing))
            while select.select([], [writing], [], 0)[1]:
                await asyncio.sleep(0.02)
            second = await task.exec("e2", cat, attach_stdio=pyctd.stdio.files(reading, tmp_path / "out"))
            await first.wait(timeout=60)
            await first.delete(timeout=60)
            writing.close()
            await second.wait(timeout=60)
            await second.delete(timeout=60)

    with_container(case, life)
    assert (tmp_path / "out").read_bytes() == BLOCK


def test_a_reader_that_nobody_reads_from_holds_up_the_process(case: Case) -> None:
    async def life(client: aio.Client, container: aio.Container) -> None:
        total = 4 << 20
        io = aio.stdio.streams()
        task = await container.start(attach_stdio=io)
        with pytest.raises(pyctd.DeadlineExceededError):
            await task.wait(timeout=1)
        assert len(await io.stdout.readexactly(total)) == total
        assert await io.stderr.read() == b"end\n"
        assert (await task.wait(timeout=60)).exit_code == 0

    with_container(case, life, "/bin/sh", "-c", "head -c 4194304 /dev/zero; echo end >&2")


@pytest.mark.parametrize("call", ["wait", "delete"])
def test_output_is_whole_once_the_call_has_returned(case: Case, call: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than the reader holds, and nobody reads: what an ended process has left comes all the same, at once."""
    monkeypatch.setattr(aio.stdio, "GRACE", 600.0)  # longer than the test may take

    async def life(client: aio.Client, container: aio.Container) -> None:
        io = aio.stdio.streams(limit=1000)
        task = await container.start(attach_stdio=io)
        started = time.monotonic()
        if call == "wait":
            await task.wait(timeout=60)
        else:
            while (await task.status()).status != "stopped":
                await asyncio.sleep(0.02)
        await task.delete(timeout=60)
        assert time.monotonic() - started < 15
        await container.delete()
        assert len(await asyncio.wait_for(io.stdout.read(), 0.1)) == 100_000
        await client.new_container("c", case.spec())

    with_container(case, life, "/bin/sh", "-c", "head -c 100000 /dev/zero")


def test_capture(case: Case) -> None:
    async def life(client: aio.Client, container: aio.Container) -> None:
        data = os.urandom(1 << 20) * 8
        before = threading.active_count()
        out = aio.stdio.capture(stdin=data)
        task = await container.start(attach_stdio=out)
        assert threading.active_count() == before
        assert (await task.wait(timeout=60)).exit_code == 0
        assert out.stdout == data
        assert (out.stderr, out.truncated) == (b"err\n", False)
        process = await task.delete(timeout=60)
        assert process.exit_code == 0

    with_container(case, life, "/bin/sh", "-c", "cat; echo err >&2")


def test_capture_keeps_no_more_than_its_limit(case: Case) -> None:
    async def life(client: aio.Client, container: aio.Container) -> None:
        out = aio.stdio.capture(limit=10)
        task = await container.start(attach_stdio=out)
        assert (await task.wait(timeout=60)).exit_code == 0
        assert (out.stdout, out.truncated) == (b"y\ny\ny\ny\ny\n", True)

    with_container(case, life, "/bin/sh", "-c", "yes | head -c 1000000")
    with pytest.raises(RuntimeError, match="no running event loop"):
        aio.stdio.capture()


def test_a_child_that_keeps_the_streams_does_not_hang_wait_or_delete(
    case: Case, caplog: pytest.LogCaptureFixture
) -> None:
    async def life(client: aio.Client, container: aio.Container) -> None:
        task = await container.start()
        for script in ("echo parent; sleep 600 &", "echo parent; yes &"):
            io = aio.stdio.streams()
            process = await task.exec("e1", pyctd.spec.process(["/bin/sh", "-c", script]), attach_stdio=io)
            started = time.monotonic()
            assert (await process.wait(timeout=60)).exit_code == 0
            waited = time.monotonic()
            assert not await io.wait()
            assert time.monotonic() - waited < 1.5, "the 2 seconds were over"
            await process.delete(timeout=60)
            assert time.monotonic() - started < 20
            assert (await io.stdout.readline()) == b"parent\n"
            rest = await io.stdout.read()
            assert len(rest) < 16 << 20, "a process that writes for ever fills no memory"

    with_container(case, life)
    assert "did not end with its process within 2 s" in caplog.text


def test_a_process_that_does_not_read_its_stdin(case: Case) -> None:
    """The writer hears of it, at the latest when the process is gone, and a stdin left open holds nothing up."""

    async def life(client: aio.Client, container: aio.Container) -> None:
        io = aio.stdio.streams(stdin=True)
        assert io.stdin
        task = await container.start(attach_stdio=io)
        io.stdin.write(bytes(1 << 20))
        draining = asyncio.ensure_future(io.stdin.drain())
        assert (await task.wait(timeout=60)).exit_code == 0
        await task.delete(timeout=60)
        with pytest.raises(ConnectionError):
            await draining
        assert io.stdin.is_closing()

    with_container(case, life, "/bin/true")


def test_a_failed_start_ends_the_streams(case: Case) -> None:
    async def life(client: aio.Client, container: aio.Container) -> None:
        io = aio.stdio.streams(stdin=True)
        assert io.stdin
        with pytest.raises(pyctd.Error, match="no such file"):
            await container.start(attach_stdio=io)
        assert await asyncio.wait_for(io.stdout.read(), 10) == b""
        io.stdin.write(b"x")
        with pytest.raises(ConnectionResetError):
            await io.stdin.drain()
        with pytest.raises(pyctd.InvalidArgumentError, match=r"streams\(\) was used for a process already"):
            await container.start(attach_stdio=io)

    with_container(case, life, "/bin/nothing")


def test_a_cancelled_reader_leaks_nothing_and_loses_nothing(case: Case) -> None:
    async def life(client: aio.Client, container: aio.Container) -> None:
        io = aio.stdio.streams(stdin=True)
        assert io.stdin
        task = await container.start(attach_stdio=io)
        for _ in range(20):
            reading = asyncio.ensure_future(io.stdout.read(100))
            await asyncio.sleep(0)
            reading.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reading
        io.stdin.write(b"after all\n")
        assert await io.stdout.readline() == b"after all\n"
        io.stdin.close()
        await task.wait(timeout=60)
        await task.delete(timeout=60)

    with_container(case, life, "/bin/cat")


def test_a_terminal_has_one_stream(case: Case) -> None:
    async def life(client: aio.Client, container: aio.Container) -> None:
        io = aio.stdio.streams(stdin=True)
        assert io.stdin
        task = await container.start(attach_stdio=io)
        assert await io.stdout.readline() == b"up\r\n"
        assert await io.stderr.read() == b""
        await task.resize(133, 42)
        io.stdin.write(b"go\n")
        assert b"42 133\r\n" in await io.stdout.read()
        assert (await task.wait(timeout=60)).exit_code == 0

    with_container(case, life, "/bin/sh", "-c", "echo up; read x; stty size", terminal=True)


@pytest.mark.parametrize("typed", [b"", b"one\ntwo\n", b"one\ntwo"], ids=repr)
@pytest.mark.parametrize("kind", ["capture", "streams"])
def test_the_end_of_a_stdin_ends_what_reads_a_terminal_and_does_not_hang_it_up(
    case: Case, typed: bytes, kind: str
) -> None:
    async def life(client: aio.Client, container: aio.Container) -> None:
        if kind == "capture":
            io: Any = aio.stdio.capture(stdin=typed)
        else:
            io = aio.stdio.streams(stdin=True)
            io.stdin.write(typed)
            io.stdin.close()
        task = await container.start(attach_stdio=io)
        if kind == "streams":
            await io.stdin.wait_closed()
        assert (await task.wait(timeout=60)).exit_code == 3
        await task.delete(timeout=60)
        shown = io.stdout if kind == "capture" else await io.stdout.read()
        assert shown.endswith(b"said\r\n")
        assert typed.rstrip() in shown.replace(b"\r\n", b"\n"), "the terminal's echo"

    with_container(case, life, "/bin/sh", "-c", "cat > /dev/null; sleep 0.3; echo said >&2; exit 3", terminal=True)


def test_streams_of_a_task_that_is_attached_to(case: Case) -> None:
    """And its stdin's end reaches the process, which libcontainerd alone would not do."""

    async def life(client: aio.Client, container: aio.Container) -> None:
        async with case.client() as first:
            io = aio.stdio.streams(stdin=True)
            task = await (await first.load_container("c")).start(attach_stdio=io)
            assert io.stdin
            io.stdin.write(b"one\n")
            assert await io.stdout.readline() == b"one\n"
        assert await asyncio.wait_for(io.stdout.read(), 10) == b"", "closed with its client"
        assert io.stdin.is_closing()
        again = aio.stdio.streams(stdin=True)
        assert again.stdin
        task = await container.attach_task(again)
        again.stdin.write(b"two\n")
        assert await again.stdout.readline() == b"two\n"
        again.stdin.close()
        assert (await task.wait(timeout=60)).exit_code == 0
        assert await again.stdout.read() == b""
        await task.delete(timeout=60)

    with_container(case, life, "/bin/cat")


def test_thirty_processes_at_once_take_no_thread(case: Case) -> None:
    async def life(client: aio.Client, container: aio.Container) -> None:
        task = await container.start()
        before = threading.active_count()

        async def cat(i: int) -> bytes:
            io = aio.stdio.streams(stdin=True)
            assert io.stdin
            spec = pyctd.spec.process(["/bin/cat"])
            process = await task.exec(f"e{i}", spec, attach_stdio=io, timeout=100)
            io.stdin.write(b"%d" % i)
            io.stdin.close()
            got = await io.stdout.read()
            await process.wait(timeout=100)
            await process.delete(timeout=100)
            return got

        reading = asyncio.gather(*(cat(i) for i in range(30)))
        most = 0
        while not reading.done():
            most = max(most, threading.active_count())
            await asyncio.sleep(0.01)
        assert await reading == [b"%d" % i for i in range(30)]
        assert most - before <= 8

    with_container(case, life)


def test_a_loop_that_ends_before_its_streams(case: Case) -> None:
    """Go closes its side when the client is closed later, on no loop at all, and nothing stands still for that."""

    async def test() -> tuple[aio.Client, aio.stdio.streams]:
        client = await case.client()
        io = aio.stdio.streams(stdin=True)
        container = await client.new_container("c", case.spec("/bin/cat"))
        (await container.start(attach_stdio=io)).close()
        return client, io

    client, io = asyncio.run(test())
    assert io.stdout.at_eof()
    started = time.monotonic()
    assert client._connected
    client._connected.close()
    assert time.monotonic() - started < 2
    case.remove("c")
    assert not leaks.fifos(Path(client.state_dir))


def test_streams_that_another_loop_or_a_thread_waits_for(case: Case) -> None:
    """The streams stay with the loop that they were made on, whoever makes the calls."""

    async def life(client: aio.Client, container: aio.Container) -> None:
        def other() -> None:
            with case.engine.client(case.namespace) as blocking:
                task = blocking.load_container("c").start(attach_stdio=io)
                assert task.wait(timeout=60).exit_code == 0
                assert task.delete(timeout=60).exit_code == 0

        io = aio.stdio.streams()
        await asyncio.get_running_loop().run_in_executor(None, other)
        assert await io.stdout.read() == b"hello\n"

    with_container(case, life, "/bin/echo", "hello")


def test_sinks_take_the_bytes_on_the_loop(case: Case, caplog: pytest.LogCaptureFixture) -> None:
    async def life(client: aio.Client, container: aio.Container) -> None:
        got: list[bytes] = []
        threads: set[int] = set()

        def take(data: bytes) -> None:
            got.append(data)
            threads.add(threading.get_ident())

        def fail(data: bytes) -> None:
            raise ZeroDivisionError

        task = await container.start(attach_stdio=aio.stdio.sinks(take, fail, stdin=b"typed\n"))
        assert (await task.wait(timeout=60)).exit_code == 0
        await task.delete(timeout=60)
        assert (b"".join(got), threads) == (b"typed\n", {threading.get_ident()})
        assert "the receiver of stderr raised" in caplog.text

    with_container(case, life, "/bin/sh", "-c", "cat; echo lost >&2")
