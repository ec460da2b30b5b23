"""The threads that run handlers."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable

import pytest
from support.box import PATIENCE, eventually

from pyctd._workers import Workers


class Own(Workers):
    """Of the test's own, gone soon."""

    IDLE = 0.05
    LIMIT = 8
    CROWDED = 0.02

    def gone(self) -> bool:
        return self._threads == 0


def test_short_work_runs_on_few_threads() -> None:
    workers, ran = Own(), []
    for batch in range(20):
        workers.submit(
            [(lambda number: ran.append((number, threading.get_ident())), batch * 50 + i) for i in range(50)]
        )
    eventually(lambda: len(ran) == 1000)
    assert sorted(number for number, _ in ran) == list(range(1000))
    eventually(workers.gone, "the threads' end")


def test_what_waits_behind_work_that_blocks_is_done() -> None:
    workers, done, release = Own(), [], threading.Event()

    def work(number: int) -> None:
        if number < Own.LIMIT - 2:  # one is left to work, and one to watch
            assert release.wait(2 * PATIENCE)
        done.append(number)

    workers.submit([(work, number) for number in range(100)])
    eventually(lambda: len(done) == 100 - (Own.LIMIT - 2), "the work that does not block")
    workers.submit([(work, 100)])
    eventually(lambda: 100 in done, "work that comes later")
    release.set()
    eventually(lambda: len(done) == 101)
    eventually(workers.gone, "the threads' end")


def test_more_that_blocks_than_there_are_threads_at_first() -> None:
    """One may wait for what the next one does: all begin, those beyond the limit by and by."""
    workers, begun, done, release = Own(), [], [], threading.Event()

    def block(number: int) -> None:
        begun.append(number)
        assert release.wait(2 * PATIENCE)
        done.append(number)

    for number in range(3 * Own.LIMIT):
        workers.submit([(block, number)])
    eventually(lambda: len(begun) == 3 * Own.LIMIT, "that all have begun")
    release.set()
    eventually(lambda: sorted(done) == list(range(3 * Own.LIMIT)))
    eventually(workers.gone, "the threads' end")


def test_work_that_comes_one_by_one() -> None:
    """Among others just when a thread gives up waiting."""
    workers = Own()
    done: list[int] = []
    take: Callable[[int], None] = done.append
    for number in range(200):
        workers.submit([(take, number)])
        time.sleep(0.0005 if number % 10 else Own.IDLE)
    eventually(lambda: len(done) == 200)
    eventually(workers.gone, "the threads' end")


class Overtaken(Own):
    """Whose threads have taken all the work before the one that submits it goes on."""

    def _start(self) -> bool:
        started = super()._start()
        time.sleep(0.05)
        return started


@pytest.mark.parametrize("kind", [Own, Overtaken])
def test_what_is_done_with_other_work_does_not_wait_for_work_that_blocks(kind: type[Own]) -> None:
    settled, ran, release = threading.Event(), threading.Event(), threading.Event()
    workers = kind(lambda: settled.set() if ran.is_set() else None)
    workers.submit([(lambda _: ran.set(), None), (lambda _: release.wait(2 * PATIENCE), None)])
    try:
        assert settled.wait(PATIENCE)
        settled.clear()
    finally:
        release.set()
    assert settled.wait(PATIENCE), "once there is no more"
    eventually(workers.gone, "the threads' end")


def test_what_is_done_does_not_wait_until_much_that_blocks_has_begun() -> None:
    begun: list[int] = []
    settled: list[int] = []
    ran, release = threading.Event(), threading.Event()

    def block(number: int) -> None:
        begun.append(number)
        assert release.wait(2 * PATIENCE)

    workers = Own(lambda: settled.append(len(begun)) if ran.is_set() else None)
    workers.submit([(lambda _: ran.set(), None), *((block, number) for number in range(100))])
    eventually(lambda: settled)
    assert settled[0] < 100
    release.set()
    eventually(lambda: len(begun) == 100)
    eventually(workers.gone, "the threads' end")


@pytest.mark.parametrize("error", [ValueError, SystemExit])
def test_work_that_raises_costs_no_thread(error: type[BaseException], caplog: pytest.LogCaptureFixture) -> None:
    workers, ran = Own(), threading.Event()

    def fail(number: int) -> None:
        raise error(f"trouble {number}")

    workers.submit([(fail, number) for number in range(100)])
    eventually(lambda: "trouble 99" in caplog.text, "that it is told")
    workers.submit([(lambda _: ran.set(), None)])
    assert ran.wait(PATIENCE)
    eventually(workers.gone, "the threads' end")


def test_an_idle_thread_keeps_nothing_of_its_work_alive() -> None:
    """A client, say, which is closed when nobody refers to it."""

    class Client:
        def receive(self, event: object) -> None: ...

    workers, client = Own(), Client()
    workers.IDLE = 5.0
    gone = weakref.ref(client)
    workers.submit([(client.receive, None)])
    del client
    eventually(lambda: gone() is None, "the client's end")
    assert not workers.gone(), "it ended with the thread only"
    eventually(workers.gone, "the threads' end")
