"""Fixtures: a daemon, and the two sides on it; at the end the table of what was compared."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
from support import leaks
from support.busybox import make_rootfs

from conformance import table
from conformance.observer import REFERENCE, Observer
from conformance.pair import Pair
from conformance.scenario import Place
from conformance.sides import Side


@pytest.fixture(autouse=True)
def leak() -> None:
    """The sides are programs of their own: what they leave is in their traces, and looked for once more at the end."""


@pytest.fixture(scope="session")
def daemon() -> str:
    """The containerd on PATH, by its first number that tells: 1.6 or 2."""
    if os.geteuid() != 0:
        pytest.skip("real containers need root")
    if not REFERENCE.exists():
        pytest.fail(f"{REFERENCE} is not built: run `make conformance`", pytrace=False)
    version = subprocess.run(["containerd", "--version"], check=True, capture_output=True, text=True).stdout.split()[2]
    return "2" if version.lstrip("v").startswith("2.") else "1.6"


@pytest.fixture(scope="session")
def pair(daemon: str) -> Iterator[Pair]:
    """The Go reference and pyctd, side by side on one daemon."""
    base = Path(tempfile.mkdtemp(prefix="cf-"))
    base.chmod(0o711)  # a bundle for a user namespace looks for directories that others may enter
    observer = Observer()
    place = Place(f"{base}/d/c.sock", str(make_rootfs(base / "rootfs")), "", str(base / "d"), "")
    observer.ask("daemon_start", place)
    makers: tuple[Callable[[Place, str], Side], ...] = (
        partial(Side.go, "go"),
        partial(Side.go, "control"),
        partial(Side.python, "sync"),
        partial(Side.python, "asyncio"),
    )
    # Each with a root of its own, for runc makes devices in it where a container has no /dev of its own.
    sides = [
        make(Place(place.address, str(make_rootfs(base / f"rootfs{number}")), "", str(base), ""), str(os.getpid()))
        for number, make in enumerate(makers)
    ]
    with ThreadPoolExecutor(len(sides)) as threads:
        yield Pair(sides[0], sides[1], sides[2:], threads)
    for side in sides:
        side.close()
    observer.close()
    shims = leaks.shims(base)
    leaks.kill_shims(base)
    # containerd forgets the shim of a start that is cut off at a bad moment. The reference's is no fault of pyctd's.
    left = {pid: line for pid, line in shims.items() if " -namespace g" not in line}
    if len(left) < len(shims):
        print(f"\nthe reference has left shims behind: {shims}")
    mounts = leaks.mounts(base)
    shutil.rmtree(base, ignore_errors=True)
    assert not left, "shims were left behind"
    assert not mounts, "mounts were left behind"


@pytest.fixture(scope="session")
def can_be_immutable() -> bool:
    """Whether directories can be closed even to root where the tests are."""
    with tempfile.TemporaryDirectory() as path:
        if shutil.which("chattr") is None or subprocess.run(["chattr", "+i", path], check=False).returncode:
            return False
        subprocess.run(["chattr", "-i", path], check=True)
    return True


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if table.rows or table.notes:
        terminalreporter.ensure_newline()
        table.show()
