"""Programs of the host that pyctd executes, in a directory where another user may have put others of those names."""

from __future__ import annotations

import os
import pty
from pathlib import Path

import pytest

from pyctd import _programs
from pyctd._streams import terminal
from pyctd.cli import _list


@pytest.mark.parametrize("path", ["", ".", ":/nowhere", "/nowhere:bin/.."])
def test_no_program_is_found_in_the_current_directory(
    path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "pyctd-test-program"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    (tmp_path / "bin").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", path)
    assert _programs.find(program.name) is None


def test_programs_are_found_where_root_looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user's PATH often does not have it."""
    program = tmp_path / "pyctd-test-program"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setattr(_programs, "SBIN", (str(tmp_path),))
    monkeypatch.setenv("PATH", "/nowhere")
    assert _programs.find(program.name) == str(program)


@pytest.fixture
def theirs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("ps", "stty", "sh"):
        (tmp_path / name).write_text(f"#!/bin/sh\n: >{tmp_path}/executed-{name}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f":.:{os.environ['PATH']}")
    return tmp_path


def test_top_executes_nothing_from_the_current_directory(theirs: Path) -> None:
    (row,) = _list._processes([os.getpid()])
    assert row[1] == str(os.getpid())
    assert not list(theirs.glob("executed-*"))


def test_a_terminal_executes_nothing_from_the_current_directory(theirs: Path) -> None:
    one, other = pty.openpty()
    try:
        raw = terminal.RawMode(other)
        assert raw._guard is not None
        raw.leave()
    finally:
        os.close(one)
        os.close(other)
    assert not list(theirs.glob("executed-*"))
