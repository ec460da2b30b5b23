"""What a fault leaves."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import leaks, tables
from support.chaos import Fault, remains

import pyctd


@pytest.fixture
def fault(leak: None, base: Path) -> Iterator[Fault]:
    """The test's row in the table; the test fails unless its three columns are zero."""
    before = leaks.Snapshot.take(base)
    fault = Fault()
    yield fault
    fault.leaked += leaks.settle(before, base, leaks.SETTLE)
    if fault.name:  # a test that was skipped has none
        tables.chaos.append(fault.row())
    if wrong := fault.wrong():
        pytest.fail(f"{fault.name}:\n{wrong}", pytrace=False)


@pytest.fixture
def place(fault: Fault, base: Path) -> Iterator[Path]:
    """A directory for a daemon of the test's own. What runs, is mounted or waits there in the end has leaked."""
    directory = Path(tempfile.mkdtemp(prefix="e", dir=base))
    yield directory
    fault.leaked += remains(directory)
    leaks.kill_shims(directory)
    leaks.remove_cgroups(directory)
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def harmed(place: Path, fault: Fault) -> Iterator[pyctd.Engine]:
    """An engine to be harmed, all of whose containers the test deletes."""
    with pyctd.Engine(root=place / "r", state=place / "s") as engine:
        yield engine
        fault.leaked += [f"bundle {path.name}" for path in (place / "s").glob("bundles/*/[!.]*")]
