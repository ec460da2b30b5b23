"""Fixtures: a private containerd for the run, a root file system, and a check that each test leaves nothing behind."""

from __future__ import annotations

import contextlib
import gc
import itertools
import logging
import os
import shutil
import stat
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import pyctd
from pyctd import _native, spec

SETTLE = 10.0
"""Seconds that what a test has closed may take to be gone."""

_ids = itertools.count(1)


@pytest.fixture(scope="session")
def engine() -> Iterator[pyctd.Engine]:
    with pyctd.Engine() as running:
        yield running


@pytest.fixture(scope="session")
def rootfs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("rootfs")
    for directory in ("bin", "proc", "dev", "sys", "tmp", "etc"):
        (root / directory).mkdir()
    shutil.copy("/bin/busybox", root / "bin" / "busybox")
    for name in ("sh", "echo", "cat", "sleep", "true", "false", "stty", "ls", "kill", "dd", "id", "pwd", "env", "seq"):
        (root / "bin" / name).symlink_to("busybox")
    return root


@pytest.fixture
def client(engine: pyctd.Engine, leak: None) -> Iterator[pyctd.Client]:
    with engine.client() as connected:
        yield connected


@pytest.fixture
def new_id() -> Callable[[], str]:
    return lambda: f"t{os.getpid()}-{next(_ids)}"


@pytest.fixture
def make(client: pyctd.Client, rootfs: Path, new_id: Callable[[], str]) -> Iterator[Callable[..., pyctd.Container]]:
    """Makes containers that are deleted with their tasks after the test."""
    made: list[pyctd.Container] = []

    def new(*args: str, container_id: str | None = None, change: Callable[[Any], None] | None = None, **kw: Any) -> Any:
        document = spec.default(rootfs, list(args) or ["/bin/true"], **kw)
        if change is not None:
            change(document)
        made.append(client.new_container(container_id or new_id(), document))
        return made[-1]

    yield new
    for container in made:
        if container._handle.closed or client._handle.closed:
            continue
        for undo in (lambda c=container: c.task().force_delete(), container.delete):
            with contextlib.suppress(pyctd.NotFoundError):
                undo()


@pytest.fixture
def shell(make: Callable[..., pyctd.Container]) -> Callable[..., Any]:
    """Runs a shell script in a container of its own: (exit status, output)."""

    def run(script: str, **kw: Any) -> tuple[pyctd.ExitStatus, pyctd.stdio.capture]:
        out = pyctd.stdio.capture(stdin=kw.pop("stdin", None))
        task = make("/bin/sh", "-c", script, **kw).start(attach_stdio=out)
        status = task.wait(timeout=30)
        task.delete()
        return status, out

    return run


def _descriptors() -> dict[str, str]:
    found = {}
    for fd in os.listdir("/proc/self/fd"):
        try:
            found[fd] = os.readlink(f"/proc/self/fd/{fd}")
        except OSError:
            continue
    return found


def _shims() -> set[str]:
    found = set()
    for pid in filter(str.isdecimal, os.listdir("/proc")):
        try:
            line = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue
        if b"containerd-shim" in line and b"pyctd-" in line:
            found.add(pid)
    return found


def _snapshot(engine: pyctd.Engine) -> dict[str, Any]:
    counts = _native.counts()
    idle = _native.idle_queues()  # kept for reuse, each a handle and a descriptor
    bundles = engine.state / "bundles"
    return {
        "handles": counts.handles - idle,
        "operations": counts.operations,
        "pending events": counts.pending_events,
        "goroutines": counts.goroutines,
        "descriptors": sum(1 for target in _descriptors().values() if "pytest" not in target) - idle,
        "threads": sum(1 for t in threading.enumerate() if t.name != "pyctd-events" and not t.name.startswith("Dummy")),
        "FIFOs": sorted(str(p) for p in bundles.rglob("*") if stat.S_ISFIFO(p.lstat().st_mode)),
        "bundles": sorted(str(p) for p in bundles.glob("*/*")),
        "shims": sorted(_shims()),
        "mounts": [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if "pyctd-" in line],
    }


def _more(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    grown = {}
    for name, now in after.items():
        was = before[name]
        if isinstance(now, list):
            if extra := sorted(set(now) - set(was)):
                grown[name] = extra
        elif now > was:
            grown[name] = f"{was} -> {now}"
    return grown


@pytest.fixture(scope="session")
def warm(engine: pyctd.Engine) -> None:
    """Makes what is made once for a process and kept: the dispatcher, this thread's queue, Go's poller."""
    with engine.client(backend=lambda *event: None) as client:
        client.version()
    logging.getLogger("pyctd").setLevel(logging.CRITICAL)


@pytest.fixture
def leak(engine: pyctd.Engine, warm: None) -> Iterator[None]:
    """Fails the test that leaves a handle, descriptor, goroutine, thread, FIFO, bundle, shim or mount behind."""
    gc.collect()
    before = _snapshot(engine)
    yield
    until = time.monotonic() + SETTLE
    while True:
        gc.collect()
        left = _more(before, _snapshot(engine))
        if not left or time.monotonic() > until:
            break
        time.sleep(0.02)
    if left and "goroutines" in left:
        left["descriptors now"] = _descriptors()
    assert not left, f"left behind: {left}"
