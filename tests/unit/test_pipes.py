"""The ends of a process's pipes on an event loop."""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path

import pytest
from support.case import Loops

from pyctd.aio._pipes import Input, Output, Pipe


def test_a_pipe_closes_its_descriptor_once() -> None:
    read, write = os.pipe()
    os.close(write)
    pipe = Pipe(read, "rb")
    pipe.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(read)
    pipe.close()


def test_a_pipe_leaves_what_has_got_its_number() -> None:
    read, write = os.pipe()
    pipe = Pipe(read, "rb")
    os.close(read)
    other = os.open("/dev/null", os.O_RDONLY)
    try:
        assert other == read
        pipe.close()
        os.fstat(other)
    finally:
        os.close(other)
        os.close(write)


class Probe(Pipe):
    """What is closed with it, of that which is opened the moment before."""

    closed_too = False

    def close(self) -> None:
        if not self.closed:
            taken = [os.open("/dev/null", os.O_RDONLY) for _ in range(5)]
            super().close()
            for descriptor in taken:
                try:
                    os.close(descriptor)
                except OSError:
                    Probe.closed_too = True


@pytest.mark.parametrize("kind", ["asyncio", "uvloop"])
@pytest.mark.parametrize("mode", ["rb", "wb"])
def test_loops_close_nothing_but_the_pipe(loops: Loops, kind: str, mode: str, tmp_path: Path) -> None:
    if kind not in loops:
        pytest.skip(f"{kind} can not be installed here")
    Probe.closed_too = False
    os.mkfifo(tmp_path / "fifo")
    before = os.listdir("/proc/self/fd")

    async def live() -> None:
        loop = asyncio.get_running_loop()
        other = os.open(tmp_path / "fifo", os.O_RDWR)
        pipe = Probe(os.open(tmp_path / "fifo", os.O_RDONLY if mode == "rb" else os.O_WRONLY), mode)
        connect = loop.connect_read_pipe if mode == "rb" else loop.connect_write_pipe
        transport, _ = await connect(asyncio.Protocol, pipe)
        transport.close()
        await asyncio.sleep(0.01)
        os.close(other)

    loop = loops[kind]()
    try:
        loop.run_until_complete(live())
    finally:
        loop.close()
    assert not Probe.closed_too
    assert os.listdir("/proc/self/fd") == before


def test_a_stdin_that_is_closed_before_all_is_read_fails_who_drains_it() -> None:
    """Loops count the end as a good one where it is not the process that has closed it."""

    async def main() -> None:
        stdin = Input(asyncio.get_running_loop())
        stdin.write(bytes(1 << 20))
        draining = asyncio.ensure_future(stdin.writer.drain())
        await asyncio.sleep(0)
        stdin._protocol.connection_lost(None)
        with pytest.raises(BrokenPipeError, match="has not read all"):
            await draining
        stdin.abort()

    asyncio.run(main())


def test_an_output_that_is_stopped_does_not_read_for_ever() -> None:
    """What the process has left behind may write on, faster than this reads."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        read, write = os.pipe()
        os.set_blocking(write, False)

        def take(data: bytes) -> None:
            with contextlib.suppress(BlockingIOError):
                os.write(write, bytes(1 << 16))

        output = Output(loop, take, lambda failed: None)
        output._fd = read
        os.set_blocking(read, False)
        output._adjust()
        take(b"")
        output.stop()
        await output._ended
        os.close(read)
        os.close(write)

    asyncio.run(main())


@pytest.mark.parametrize("kind", ["asyncio", "uvloop"])
@pytest.mark.parametrize("size", [100_000, 1 << 20])
def test_drain_waits_for_what_was_written_before_the_process_opened_its_stdin(
    loops: Loops, kind: str, size: int
) -> None:
    if kind not in loops:
        pytest.skip(f"{kind} can not be installed here")

    async def main() -> None:
        loop = asyncio.get_running_loop()
        stdin = Input(loop)
        stdin.write(bytes(size))
        draining = asyncio.ensure_future(stdin.writer.drain())
        await asyncio.sleep(0)
        read, write = os.pipe()
        transport, _ = await loop.connect_write_pipe(lambda: stdin._protocol, Pipe(write, "wb"))
        stdin._opened(transport)
        try:
            for _ in range(10):
                await asyncio.sleep(0)
            if size > 2 * 65536:  # a pipe's, and what asyncio buffers without holding the writer up
                assert not draining.done()
            with open(read, "rb", closefd=False) as end:
                await asyncio.to_thread(end.read, size)
            await draining
        finally:
            os.close(read)
            stdin.abort()
            await stdin._protocol.lost

    with contextlib.closing(loops[kind]()) as loop:
        loop.run_until_complete(main())
