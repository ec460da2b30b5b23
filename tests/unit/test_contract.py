"""docs/contract.md against the package and the tests: nothing is missing, nothing is only said."""

from __future__ import annotations

import ast
import inspect
import re
from functools import reduce
from pathlib import Path

import pytest

import pyctd

CHECKOUT = Path(__file__).resolve().parents[2]

#: Every exported identifier of libcontainerd/types, with the fields and methods of each.
IDENTIFIERS = {
    "EventType": [],
    "EventUnknown": [],
    "EventExit": [],
    "EventOOM": [],
    "EventCreate": [],
    "EventStart": [],
    "EventExecAdded": [],
    "EventExecStarted": [],
    "EventPaused": [],
    "EventResumed": [],
    "EventInfo": ["ContainerID", "ProcessID", "Pid", "ExitCode", "ExitedAt", "Error"],
    "Backend": ["ProcessEvent"],
    "Process": ["Pid", "Kill", "Resize", "Delete"],
    "Client": ["Version", "LoadContainer", "NewContainer"],
    "Container": ["Start", "Task", "AttachTask", "Delete"],
    "Task": [
        *("Pause", "Resume", "Stats", "Pids", "Summary", "ForceDelete", "Status", "Exec"),
        *("UpdateResources", "CreateCheckpoint"),
    ],
    "StdioCallback": [],
}


def rows() -> list[tuple[str, list[str], str]]:
    """Go's identifier, its names in Python and its test, of each row of both tables."""
    text = (CHECKOUT / "docs" / "contract.md").read_text()
    found = re.findall(r"^\| `([^`]+)` \| (.+?) \| `([^`]+)` \|$", text, re.MULTILINE)
    return [(go, re.findall(r"`([\w.]+)`", python), test) for go, python, test in found]


def test_every_identifier_is_in_the_table_once() -> None:
    wanted = [name for of, parts in IDENTIFIERS.items() for name in (of, *(f"{of}.{part}" for part in parts))]
    assert [go for go, _, _ in rows()][: len(wanted)] == wanted


@pytest.mark.parametrize(("go", "names", "test"), rows(), ids=lambda value: value if isinstance(value, str) else "")
def test_each_row_is_true(go: str, names: list[str], test: str) -> None:
    for name in names:
        first, *rest = name.split(".")
        thing = getattr(pyctd, first)
        if rest and rest[0] in getattr(thing, "__dataclass_fields__", {}):
            continue
        if rest and not hasattr(thing, rest[0]):
            assert f"    {rest[0]}: " in (inspect.getdoc(thing) or ""), (
                f"{name} is neither a member nor a documented attribute"
            )
            continue
        assert reduce(getattr, rest, thing) is not None
    file, _, function = test.partition("::")
    tree = ast.parse((CHECKOUT / "tests" / file).read_text())
    assert function in [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
