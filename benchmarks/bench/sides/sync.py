"""pyctd's synchronous API."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyctd

from .common import TRUE, Countdown, Exits, PyctdBench, Steps, callback, each, stream_args


class Bench(PyctdBench):
    """The workloads of pyctd, with the names of ``gosrc/cmd/bench``."""

    def __init__(self, setup: dict[str, str]) -> None:
        super().__init__(setup)
        self.client = pyctd.Client(setup["address"], setup["namespace"], self.state, timeout=30)
        self._sleeper: tuple[pyctd.Container, pyctd.Task] | None = None
        self._live: list[Any] = []

    def run(self, workload: str, count: int, mode: str) -> list[int]:
        samples: list[int] = getattr(self, "run_" + workload.replace("-", "_"))(count, mode)
        return samples

    def sleep(self) -> tuple[pyctd.Container, pyctd.Task]:
        container = self.client.new_container(self.id(), self.of(["/bin/sleep", "86400"]))
        return container, container.start()

    @property
    def task(self) -> pyctd.Task:
        if self._sleeper is None:
            self._sleeper = self.sleep()
        return self._sleeper[1]

    def lifecycle(self, args: list[str] = TRUE, stdio: Any = None) -> None:
        container = self.client.new_container(self.id(), self.of(args))
        task = container.start(attach_stdio=stdio)
        task.wait()
        task.delete()
        container.delete()

    def exec(self) -> None:
        process = self.task.exec(self.id(), self.process(TRUE))
        process.wait()
        process.delete()

    def at_once(self, count: int, operation: Callable[[], None]) -> list[int]:
        with ThreadPoolExecutor(count) as pool:

            def all_of_them() -> None:
                for done in [pool.submit(operation) for _ in range(count)]:
                    done.result()

            return each(1, all_of_them)

    def run_version(self, count: int, mode: str) -> list[int]:
        return each(count, self.client.version)

    def run_status(self, count: int, mode: str) -> list[int]:
        return each(count, self.task.status)

    def run_stats(self, count: int, mode: str) -> list[int]:
        return each(count, self.task.stats)

    def run_lifecycle(self, count: int, mode: str) -> list[int]:
        return each(count, self.lifecycle)

    def run_lifecycles(self, count: int, mode: str) -> list[int]:
        return self.at_once(count, self.lifecycle)

    def run_exec(self, count: int, mode: str) -> list[int]:
        assert self.task
        return each(count, self.exec)

    def run_execs(self, count: int, mode: str) -> list[int]:
        assert self.task
        return self.at_once(count, self.exec)

    def run_step(self, count: int, mode: str) -> list[int]:
        step = Steps(mode)
        for _ in range(count):
            with step("create"):
                container = self.client.new_container(self.id(), self.of(TRUE))
            with step("start"):
                task = container.start()
            task.wait()
            found = container.task()
            with step("wait"):
                found.wait()
            task.delete()
            container.delete()
        return step.samples

    def run_connect(self, count: int, mode: str) -> list[int]:
        step = Steps("connect")
        for _ in range(count):
            with step("connect"):
                client = pyctd.Client(self.setup["address"], self.setup["namespace"], self.state)
                client.version()
            client.close()
        return step.samples

    def run_exit_event(self, count: int, mode: str) -> list[int]:
        exits = Exits()
        namespace = self.setup["namespace"]
        with pyctd.Client(self.setup["address"], namespace, self.state, exits) as client:
            for done in range(1, count + 1):
                container = client.new_container(self.id(), self.of(TRUE))
                task = container.start()
                for pause in exits.waits(done):  # before the deletion, because containerd 2 may lose the event then
                    time.sleep(pause)
                task.delete()
                container.delete()
        return exits.ages

    def run_events(self, count: int, mode: str) -> list[int]:
        done = threading.Event()
        with pyctd.Client(self.setup["events"], f"flood-{count}", self.state, Countdown(count, done.set)) as client:

            def flood() -> None:
                client.version()
                done.wait()

            return each(1, flood)

    def stream(self, workload: str, count: int, mode: str) -> list[int]:
        stdio = callback(workload, count, mode)
        taken = each(1, lambda: self.lifecycle(stream_args(workload, count), stdio))
        if (workload, mode) == ("stdout", "capture"):
            assert len(stdio.stdout) == count
        return taken

    def run_exec_stdout(self, count: int, mode: str) -> list[int]:
        assert self.task

        def one() -> None:
            out = pyctd.stdio.capture()
            process = self.task.exec(self.id(), self.process(stream_args("stdout", count)), attach_stdio=out)
            process.wait()
            process.delete()
            assert len(out.stdout) == count

        return each(1, one)

    def run_stdout(self, count: int, mode: str) -> list[int]:
        return self.stream("stdout", count, mode)

    def run_stdin(self, count: int, mode: str) -> list[int]:
        return self.stream("stdin", count, mode)

    def run_lines(self, count: int, mode: str) -> list[int]:
        return self.stream("lines", count, mode)

    def run_live(self, count: int, mode: str) -> list[int]:
        self._live += [self.sleep() for _ in range(count)]
        return []

    def close(self) -> None:
        self.client.close()


make = Bench
