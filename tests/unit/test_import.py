"""``import pyctd`` is cheap: it loads nothing that a program may never use."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


def run(*lines: str) -> list[str]:
    command = [sys.executable, "-c", "\n".join(lines)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True, cwd="/").stdout.split()


@pytest.mark.parametrize(
    "module",
    [
        "asyncio",  # 23 ms, the least of 12 runs of -X importtime
        "fastjsonschema",  # 5 ms
        "importlib.resources",  # 8 ms
        "inspect",  # 4 ms, also what dataclasses need
        "pyctd._ffi",  # loads Go, which a process that forks must not have yet
        "pyctd.engine",  # 11 ms
        "pyctd.metrics",  # 31 ms
        "pyctd.spec._schema",  # 6 ms
        "pyctd._streams.terminal",  # 4 ms
    ],
)
def test_what_is_not_loaded(module: str) -> None:
    """What takes more than 2 ms to import, and what not every program needs."""
    assert run(
        "import sys", "before = {*sys.modules}", "import pyctd", f"print({module!r} in {{*sys.modules}} - before)"
    ) == ["False"]


def test_what_is_loaded_when_it_is_asked_for() -> None:
    lines = (
        "import pyctd",
        "print(pyctd.Engine.__name__, pyctd.metrics.__name__, pyctd.aio.Engine.__name__, pyctd.spec.default.__name__)",
        "from pyctd import *",
        "print(Engine is pyctd.Engine)",
    )
    assert run(*lines) == ["Engine", "pyctd.metrics", "Engine", "default", "True"]


def test_the_version_is_the_installed_packages() -> None:
    lines = ("import importlib.metadata, pyctd", "print(pyctd.__version__ == importlib.metadata.version('pyctd'))")
    assert run(*lines) == ["True"]


def test_what_there_is_not() -> None:
    assert run("import pyctd", "print(hasattr(pyctd, 'engineer'))") == ["False"]


def test_an_interrupt_at_any_moment_of_the_loading_does_not_spoil_the_next() -> None:
    tests = str(Path(__file__).parents[1])
    program = """
import sys
sys.path.insert(0, sys.argv[1])
from support.moments import at_every_moment
from pyctd import _native
for _ in at_every_moment(_native.load, within="_load"):
    pass
assert _native.counts().handles == 0
"""
    subprocess.run([sys.executable, "-c", program, tests], timeout=60, check=True, cwd="/")
