"""Fixtures of the tests of checkpoints."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support import criu
from support.box import Box, eventually
from support.criu import COUNT, numbers

import pyctd

MakeClient = Callable[..., pyctd.Client]
Counter = tuple[pyctd.Task, pyctd.stdio.capture]


@pytest.fixture
def counter(box: Box) -> Iterator[tuple[pyctd.Task, pyctd.stdio.capture]]:
    """A task that counts, and has got to 3."""
    task, out = box.start(*COUNT)
    eventually(lambda: len(numbers(out)) >= 3)
    yield task, out
    task.close()  # pytest keeps it


@pytest.fixture
def checkpoint(counter: tuple[pyctd.Task, pyctd.stdio.capture], tmp_path: Path) -> tuple[Path, int]:
    """The checkpoint of a counter that has ended with it, and the last number that it wrote."""
    task, out = counter
    task.create_checkpoint(tmp_path / "checkpoint", exit=True, timeout=60)
    task.wait(timeout=60)
    task.delete(timeout=60)
    return tmp_path / "checkpoint", numbers(out)[-1]


@pytest.fixture
def engine_with(
    leak: None, base: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str | None], pyctd.Engine]]:
    """Starts a containerd whose ``criu`` is a script, or missing."""
    with contextlib.ExitStack() as stack:

        def start(script: str | None) -> pyctd.Engine:
            directory = Path(tempfile.mkdtemp(prefix="c", dir=base))
            stack.callback(shutil.rmtree, directory, ignore_errors=True)
            programs = criu.programs_but_criu(directory / "bin")
            if script is not None:
                (programs / "criu").write_text("#!/bin/sh\n" + script)
                (programs / "criu").chmod(0o755)
            with monkeypatch.context() as patch:
                patch.setenv("PATH", str(programs))
                return stack.enter_context(pyctd.Engine(root=directory / "r", state=directory / "s"))

        yield start


@pytest.fixture(autouse=True)
def nothing_stored(request: pytest.FixtureRequest, base: Path) -> Iterator[None]:
    """No checkpoint may stay in containerd, whose collector of garbage would leave an image there for ever."""
    engine: pyctd.Engine = request.getfixturevalue("engine")
    namespace: str = request.getfixturevalue("namespace")
    before = criu.unpacked(base)
    yield
    assert criu.stored(engine, namespace) == []
    if "out_of_time" in request.node.name:
        # Where the time ran out while containerd unpacked one, nobody knows of its directory.
        for directory in criu.unpacked(base) - before:
            shutil.rmtree(directory, ignore_errors=True)
    else:
        eventually(lambda: not criu.unpacked(base) - before, "the removal of unpacked checkpoints")
