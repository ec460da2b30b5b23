"""An exec with what its container has, in both faces."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from support.box import Box, eventually
from support.show import SHOW

import pyctd

NOT_THE_DEFAULT: dict[str, Any] = {
    "user": "1000:2000",
    "additional_gids": [3000],
    "cwd": "/tmp",
    "env": {"A": "container"},
    "cap_drop": ["ALL"],
    "cap_add": ["KILL"],
    "rlimits": {"core": (64, 128)},
    "no_new_privileges": True,
}


@pytest.fixture
def container(box: Box) -> Iterator[pyctd.Container]:
    """One whose init process prints what it has."""
    container = box.container("/bin/sh", "-c", f"{SHOW}; exec sleep 600", **NOT_THE_DEFAULT)
    yield container
    container.close()


def test_an_exec_has_what_the_init_process_has(container: pyctd.Container) -> None:
    shown = pyctd.stdio.capture()
    task = container.start(attach_stdio=shown)
    eventually(lambda: b"Seccomp:" in shown.stdout)
    out = pyctd.stdio.capture()
    process = task.exec("e", pyctd.spec.process_of(container.info(), ["/bin/sh", "-c", SHOW]), attach_stdio=out)
    assert process.wait(timeout=60).exit_code == 0
    process.delete()
    task.kill("KILL")
    task.wait(timeout=60)
    task.delete()
    assert out.stdout.split()[:4] == [b"1000", b"2000", b"2000", b"3000"]
    assert out.stdout == shown.stdout


def test_an_exec_awaited(client: pyctd.Client, container: pyctd.Container) -> None:
    container.start().close()

    async def main() -> bytes:
        async with pyctd.aio.Client(client.address, client.namespace, client.state_dir, timeout=60) as other:
            same = await other.load_container(container.id)
            task = await same.task()
            out = pyctd.aio.stdio.capture()
            spec = pyctd.spec.process_of(await same.info(), ["/bin/sh", "-c", "id -u; pwd; echo $A"])
            process = await task.exec("e", spec, attach_stdio=out)
            await process.wait(timeout=60)
            await process.delete()
            return out.stdout

    assert asyncio.run(main()) == b"1000\n/tmp\ncontainer\n"
