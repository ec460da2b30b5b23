"""pyctd.aio on one event loop. Inherited streams are those of ``sync``, because they have no asyncio form."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pyctd

from .common import TRUE, Countdown, Exits, PyctdBench, Steps, callback, stream_args


async def each(count: int, operation: Callable[[], Awaitable[object]]) -> list[int]:
    """Measures count operations, one after the other."""
    samples = []
    clock = time.perf_counter_ns
    for _ in range(count):
        begun = clock()
        await operation()
        samples.append(clock() - begun)
    return samples


class Bench(PyctdBench):
    """The workloads of pyctd.aio, with the names of ``gosrc/cmd/bench``."""

    def __init__(self, setup: dict[str, str]) -> None:
        super().__init__(setup)
        self._loop = asyncio.new_event_loop()
        self.client = self._loop.run_until_complete(self._connect(setup["address"], setup["namespace"]))
        self._sleeper: tuple[pyctd.aio.Container, pyctd.aio.Task] | None = None

    async def _connect(self, address: str, namespace: str, backend: Any = None) -> pyctd.aio.Client:
        return await pyctd.aio.Client(address, namespace, self.state, backend, timeout=30)

    def run(self, workload: str, count: int, mode: str) -> list[int]:
        method = getattr(self, "run_" + workload.replace("-", "_"))
        samples: list[int] = self._loop.run_until_complete(method(count, mode))
        return samples

    async def task(self) -> pyctd.aio.Task:
        if self._sleeper is None:
            container = await self.client.new_container(self.id(), self.of(["/bin/sleep", "86400"]))
            self._sleeper = container, await container.start()
        return self._sleeper[1]

    async def lifecycle(self, args: list[str] = TRUE, stdio: Any = None) -> None:
        container = await self.client.new_container(self.id(), self.of(args))
        task = await container.start(attach_stdio=stdio)
        await task.wait()
        await task.delete()
        await container.delete()

    async def exec(self) -> None:
        process = await (await self.task()).exec(self.id(), self.process(TRUE))
        await process.wait()
        await process.delete()

    async def run_version(self, count: int, mode: str) -> list[int]:
        return await each(count, self.client.version)

    async def run_status(self, count: int, mode: str) -> list[int]:
        return await each(count, (await self.task()).status)

    async def run_stats(self, count: int, mode: str) -> list[int]:
        return await each(count, (await self.task()).stats)

    async def run_lifecycle(self, count: int, mode: str) -> list[int]:
        return await each(count, self.lifecycle)

    async def run_lifecycles(self, count: int, mode: str) -> list[int]:
        return await each(1, lambda: asyncio.gather(*(self.lifecycle() for _ in range(count))))

    async def run_exec(self, count: int, mode: str) -> list[int]:
        await self.task()
        return await each(count, self.exec)

    async def run_execs(self, count: int, mode: str) -> list[int]:
        await self.task()
        return await each(1, lambda: asyncio.gather(*(self.exec() for _ in range(count))))

    async def run_step(self, count: int, mode: str) -> list[int]:
        step = Steps(mode)
        for _ in range(count):
            with step("create"):
                container = await self.client.new_container(self.id(), self.of(TRUE))
            with step("start"):
                task = await container.start()
            await task.wait()
            found = await container.task()
            with step("wait"):
                await found.wait()
            await task.delete()
            await container.delete()
        return step.samples

    async def run_connect(self, count: int, mode: str) -> list[int]:
        step = Steps("connect")
        for _ in range(count):
            with step("connect"):
                client = await self._connect(self.setup["address"], self.setup["namespace"])
                await client.version()
            await client.close()
        return step.samples

    async def run_exit_event(self, count: int, mode: str) -> list[int]:
        exits = Exits()

        async def backend(container_id: str, event: pyctd.EventType, info: pyctd.EventInfo) -> None:
            exits(container_id, event, info)

        async with await self._connect(self.setup["address"], self.setup["namespace"], backend) as client:
            for done in range(1, count + 1):
                container = await client.new_container(self.id(), self.of(TRUE))
                task = await container.start()
                for pause in exits.waits(done):
                    await asyncio.sleep(pause)
                await task.delete()
                await container.delete()
        return exits.ages

    async def run_events(self, count: int, mode: str) -> list[int]:
        done = asyncio.Event()
        counted = Countdown(count, done.set)

        async def backend(container_id: str, event: pyctd.EventType, info: pyctd.EventInfo) -> None:
            counted(container_id, event, info)

        async with await self._connect(self.setup["events"], f"flood-{count}", backend) as client:

            async def flood() -> None:
                await client.version()
                await done.wait()

            return await each(1, flood)

    async def stream(self, workload: str, count: int, mode: str) -> list[int]:
        stdio = callback(workload, count, mode)
        return await each(1, lambda: self.lifecycle(stream_args(workload, count), stdio))

    async def run_stdout(self, count: int, mode: str) -> list[int]:
        return await self.stream("stdout", count, mode)

    async def run_stdin(self, count: int, mode: str) -> list[int]:
        return await self.stream("stdin", count, mode)

    async def run_lines(self, count: int, mode: str) -> list[int]:
        return await self.stream("lines", count, mode)

    def close(self) -> None:
        self._loop.run_until_complete(self.client.close())
        self._loop.close()


make = Bench
