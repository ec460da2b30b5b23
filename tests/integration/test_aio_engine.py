"""``pyctd.aio.Engine``."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from support.box import unique

import pyctd
from pyctd import aio


def test_an_engine(rootfs: Path) -> None:
    async def test() -> None:
        engine = aio.Engine()
        with pytest.raises(pyctd.ClosedError, match="not started"):
            engine.client()
        async with engine, engine.client() as client:
            assert engine.pid
            container = await client.new_container(unique("c"), pyctd.spec.default(rootfs, ["/bin/true"]))
            assert (await (await container.start()).wait(timeout=60)).exit_code == 0
            with pytest.raises(pyctd.InvalidArgumentError, match="timeout must be"):
                await engine.close(timeout=-1)
            assert engine.pid
        assert engine.pid is None

    asyncio.run(test())


@pytest.mark.parametrize("cancelled", [0, 1])
def test_tasks_that_start_one_engine_at_once_share_it(monkeypatch: pytest.MonkeyPatch, cancelled: int) -> None:
    """Where the first of them is cancelled, the others have another, which starts when that one's is gone."""
    started: list[pyctd.Engine] = []
    begin = pyctd.Engine.__init__

    def noted(engine: pyctd.Engine, *args: Any, **options: Any) -> None:
        assert all("closed" in repr(other) for other in started)
        started.append(engine)
        begin(engine, *args, **options)

    monkeypatch.setattr(pyctd.Engine, "__init__", noted)

    async def test() -> None:
        engine = aio.Engine()
        starting = [asyncio.ensure_future(engine.start()) for _ in range(3)]
        await asyncio.sleep(0)
        for one in starting[:cancelled]:
            one.cancel()
        assert await asyncio.gather(*starting[cancelled:]) == [engine] * (3 - cancelled)
        assert all(one.cancelled() for one in starting[:cancelled])
        async with engine, engine.client() as client:
            assert (await client.version()).version
        assert len(started) == 1 + cancelled

    asyncio.run(test())
    started.clear()
