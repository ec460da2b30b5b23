"""What a fault leaves, and the table of all faults at the end."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console
from rich.table import Table
from support import leaks
from support.chaos import Fault, faults, remains

import pyctd


def pytest_terminal_summary() -> None:
    if faults:
        table = Table("fault", title="chaos")
        for column in ("tries", "lost", "leaked", "crashed"):
            table.add_column(column, justify="right")
        table.add_column("what was seen")
        for fault in faults:
            table.add_row(*fault.row())
        Console(width=140).print(table)


@pytest.fixture
def fault(leak: None, base: Path) -> Iterator[Fault]:
    """The test's row in the table; the test fails unless its three columns are zero."""
    before = leaks.Snapshot.take(base)
    fault = Fault()
    yield fault
    fault.leaked += leaks.settle(before, base, leaks.SETTLE)
    if fault.name:  # a test that was skipped has none
        faults.append(fault)
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
