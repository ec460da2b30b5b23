"""pyctd.aio on a real containerd: the same names, awaited; cancelled; by the thousand on one loop."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from support import leaks
from support.box import unique
from support.case import Case

import pyctd
from pyctd import _native, aio

FACES = [
    (pyctd.Client, aio.Client),
    (pyctd.Container, aio.Container),
    (pyctd.Process, aio.Process),
    (pyctd.Task, aio.Task),
    (pyctd.Engine, aio.Engine),
]


@pytest.mark.parametrize(("blocking", "awaitable"), FACES, ids=lambda cls: cls.__name__)
def test_both_faces_have_the_same_names_and_arguments(blocking: type, awaitable: type) -> None:
    def public(cls: type) -> set[str]:
        return {name for name in dir(cls) if not name.startswith("_")}

    more: dict[type, set[str]] = {aio.Client: {"connect"}, aio.Engine: {"start", "address"}}
    less: dict[type, set[str]] = {aio.Engine: {"bundles"}}
    assert public(awaitable) == public(blocking) - less.get(awaitable, set()) | more.get(awaitable, set())
    for name in public(blocking) & public(awaitable):
        one, other = getattr(blocking, name), getattr(awaitable, name)
        if callable(one):
            assert [str(p).split(":")[0] for p in inspect.signature(one).parameters.values()] == [
                str(p).split(":")[0] for p in inspect.signature(other).parameters.values()
            ], name


def test_a_whole_life(case: Case) -> None:
    async def test(client: aio.Client) -> None:
        assert (await client.version()).version
        container = await client.new_container("life", case.spec("/bin/sh", "-c", "cat; exit 3"))
        out = pyctd.stdio.capture(stdin=b"through and through")
        task = await container.start(attach_stdio=out)
        status = await task.wait(timeout=60)
        assert (status.exit_code, out.stdout) == (3, b"through and through")
        assert await task.delete(timeout=60) == status
        await container.delete()
        with pytest.raises(pyctd.NotFoundError, match="no such container"):
            await client.load_container("life")

    case.run(test)


def test_every_method_of_a_task(case: Case, tmp_path: Path) -> None:
    async def test(client: aio.Client) -> None:
        container = await client.new_container("c", case.spec())
        task = await container.new_task()
        assert (await task.status()).status == "created"
        await task.start()
        again = await (await client.load_container("c")).task()
        assert again.pid == task.pid
        await task.pause()
        assert (await task.status()).status == "paused"
        await task.resume()
        while [p.pid for p in await task.pids()] != [task.pid]:  # one of runc's may be there for a moment
            await asyncio.sleep(0.01)
        assert (await task.stats()).metrics.pids
        with pytest.raises(pyctd.UnknownError, match="unable to decode process details"):
            await task.summary()
        await task.update_resources({"pids": {"limit": 77}})
        assert "/77" in str((await task.stats()).metrics.pids).replace("limit=", "/")
        held: list[pyctd.DirectIO] = []

        def keep(dio: pyctd.DirectIO) -> pyctd.IO:
            held.append(dio)
            return dio

        spec = pyctd.spec.process(["/bin/cat"], terminal=False)
        process = await task.exec("e", spec, with_stdin=True, attach_stdio=keep)
        assert held[0].stdin
        held[0].stdin.close()
        assert (await process.wait(timeout=60)).exit_code == 0
        await process.delete()
        with pytest.raises(pyctd.Error):
            await task.create_checkpoint(tmp_path / "none" / "file", timeout=0.0)
        await task.kill("KILL")
        assert (await task.wait(timeout=60)).exit_code == 137
        await task.delete()
        replaced = await client.replace_container("c", case.spec())
        await (await replaced.start()).force_delete()
        await replaced.delete()

    case.run(test)


def test_errors_are_the_same(case: Case) -> None:
    async def test(client: aio.Client) -> None:
        with pytest.raises(pyctd.InvalidArgumentError, match="identifier"):
            await client.new_container("../x", case.spec())
        with pytest.raises(pyctd.InvalidArgumentError, match="opts must come from"):
            await client.new_container("x", case.spec(), opts=["labels"])  # type: ignore[list-item]
        with pytest.raises(pyctd.DeadlineExceededError):
            await client.version(timeout=0)
        with pytest.raises(pyctd.InvalidArgumentError, match="timeout must be"):
            await client.version(timeout=-1)
        container = await client.new_container("c", case.spec())

        def refuse(dio: pyctd.DirectIO) -> pyctd.IO | None:
            raise ValueError("no")

        with pytest.raises(pyctd.StdioError, match="no") as caught:
            await container.start(attach_stdio=refuse)
        assert isinstance(caught.value.__cause__, ValueError)
        await container.delete()
        container.close()
        with pytest.raises(pyctd.ClosedError):
            await container.task()

    case.run(test)


def test_a_client_that_is_not_connected(case: Case) -> None:
    async def test() -> None:
        client = case.client()
        with pytest.raises(pyctd.ClosedError, match="not connected"):
            await client.version()
        assert "closed" in repr(client)
        connected = await client
        assert connected is client
        assert (await client.version()).version
        await client.close()
        await client.close()
        with pytest.raises(pyctd.ClosedError):
            await client.version()

    asyncio.run(test())


def test_tasks_that_connect_one_client_at_once_share_the_connection(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the first of them is cancelled, the next connects it."""
    made: list[_native.Handle] = []
    own = aio.Client._own

    def noted(client: aio.Client, handle: _native.Handle) -> None:
        made.append(handle)
        own(client, handle)

    monkeypatch.setattr(aio.Client, "_own", noted)

    async def test() -> None:
        client = case.client()
        connecting = [asyncio.ensure_future(client.connect()) for _ in range(3)]
        await asyncio.sleep(0)
        connecting[0].cancel()
        with pytest.raises(asyncio.CancelledError):
            await connecting[0]
        assert await asyncio.gather(*connecting[1:]) == [client, client]
        assert (await client.version()).version
        assert len(made) == 1
        await client.close()

    asyncio.run(test())
    made.clear()


def test_a_daemon_that_is_not_there() -> None:
    async def test() -> None:
        with pytest.raises(pyctd.UnavailableError):
            await aio.Client("/nowhere.sock")

    asyncio.run(test())


def test_a_thousand_in_flight_need_no_threads(case: Case) -> None:
    async def test(client: aio.Client) -> None:
        container = await client.new_container("c", case.spec())
        task = await container.start()
        before = threading.active_count()
        waits = [asyncio.ensure_future(task.wait()) for _ in range(1000)]
        await asyncio.sleep(0.2)
        assert pyctd._native.counts().operations == 1000
        assert threading.active_count() - before <= 8
        statuses = await asyncio.gather(*(task.status() for _ in range(200)))
        assert {status.status for status in statuses} == {"running"}
        await task.kill("KILL")
        assert {status.exit_code for status in await asyncio.gather(*waits)} == {137}
        await task.delete()
        await container.delete()

    case.run(test)


def test_cancelling_ends_the_await_and_the_operation(case: Case) -> None:
    async def test(client: aio.Client) -> None:
        container = await client.new_container("c", case.spec())
        task = await container.start()
        waiting = asyncio.ensure_future(task.wait())
        await asyncio.sleep(0.1)
        assert pyctd._native.counts().operations == 1
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert pyctd._native.counts().operations == 0
        with pytest.raises((TimeoutError, asyncio.TimeoutError)):
            await asyncio.wait_for(task.wait(), 0.1)
        assert (await task.status()).status == "running"
        await task.force_delete()
        await container.delete()

    case.run(test)


def test_what_a_cancelled_call_has_made_is_released(case: Case) -> None:
    async def test(client: aio.Client) -> None:
        for delay in (0, 0, 0.0005, 0.001, 0.002, 0.004):
            call = asyncio.ensure_future(client.new_container(unique("c"), case.spec()))
            await asyncio.sleep(delay)
            call.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await (await call).delete()
        await asyncio.sleep(0.1)

    before = pyctd._native.counts().handles
    case.run(test)
    state = case.engine.bundles(case.namespace)
    assert state
    with case.engine.client(case.namespace) as client:  # those that were made before the cancellation came
        for bundle in state.glob("*"):
            try:
                client.load_container(bundle.name).delete()
            except pyctd.NotFoundError:
                bundle.rmdir()
    assert pyctd._native.counts().handles <= before + 16
    assert not leaks.fifos(state)


def test_a_task_group_of_lives(case: Case) -> None:
    async def live(client: aio.Client, i: int) -> int:
        container = await client.new_container(f"c{i}", case.spec("/bin/sh", "-c", f"exit {i}"))
        task = await container.start(attach_stdio=pyctd.stdio.capture())
        code = (await task.wait(timeout=60)).exit_code
        await task.delete(timeout=60)
        await container.delete(timeout=60)
        return code

    async def test(client: aio.Client) -> None:
        assert await asyncio.gather(*(live(client, i) for i in range(12))) == list(range(12))

    case.run(test)


def test_many_loops_one_after_another(case: Case) -> None:
    """Each has a queue of its own, which goes with it."""

    async def test(client: aio.Client) -> str:
        return (await client.version()).version

    assert len({case.run(test) for _ in range(5)}) == 1


def test_asyncio_is_loaded_when_it_is_asked_for() -> None:
    lines = (
        "import sys, pyctd",
        "assert 'asyncio' not in sys.modules",
        "assert pyctd.aio.Client",
        "print('asyncio' in sys.modules)",
    )
    command = [sys.executable, "-c", "\n".join(lines)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd="/")
    assert (done.stdout, done.stderr) == ("True\n", "")
