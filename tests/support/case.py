"""Tests on an event loop, with a client of their own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import pyctd
from pyctd import aio

from .box import default_spec

T = TypeVar("T")
LIMIT = 100
Loops = dict[str, Callable[[], asyncio.AbstractEventLoop]]
"""The available kinds of event loops."""


class Case:
    """A test's daemon, namespace and kind of event loop; asyncio's own by default."""

    def __init__(
        self,
        engine: pyctd.Engine,
        namespace: str,
        rootfs: Path,
        new_loop: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop,
    ) -> None:
        self.engine = engine
        self.namespace = namespace
        self.rootfs = rootfs
        self.new_loop = new_loop

    def client(self, **options: Any) -> aio.Client:
        state = self.engine.bundles(self.namespace)
        return aio.Client(self.engine.address, self.namespace, state, timeout=60, **options)

    def remove(self, id: str) -> None:
        """Removes a container and its task with a blocking client."""
        with self.engine.client(self.namespace) as other:
            container = other.load_container(id)
            container.task().force_delete()
            container.delete()

    def spec(self, *args: str, **options: Any) -> dict[str, Any]:
        return default_spec(self.rootfs, *args, **options)

    def run(self, test: Callable[[aio.Client], Awaitable[T]], *, limit: float = LIMIT, **options: Any) -> T:
        """Runs a test with a client on a new loop."""

        async def main() -> T:
            async with self.client(**options) as client:
                return await test(client)

        loop = self.new_loop()
        try:
            # A separate limit: pytest's timeout can't interrupt uvloop.
            return loop.run_until_complete(asyncio.wait_for(main(), limit))
        finally:
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.run_until_complete(loop.shutdown_default_executor())
            loop.close()
