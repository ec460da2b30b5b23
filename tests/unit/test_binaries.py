"""Which programs an engine takes."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

import pyctd
from pyctd import _binaries


def programs(directory: Path, *names: str) -> Path:
    """A directory of programs that tell a version and their directory's name."""
    directory.mkdir(parents=True)
    for name in names:
        (directory / name).write_text(f"#!/bin/sh\necho {name} 1.2.3-{directory.name}\n")
        (directory / name).chmod(0o755)
    return directory


ALL = ("containerd", "containerd-shim-runc-v2", "runc")


@pytest.fixture(autouse=True)
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH with programs, and nothing that chooses others."""
    monkeypatch.delenv("PYCTD_ENGINE_PATH", raising=False)
    monkeypatch.setitem(sys.modules, "pyctd_engine", None)
    directory = programs(tmp_path / "host", *ALL)
    monkeypatch.setenv("PATH", f"{directory}{os.pathsep}{os.environ['PATH']}")
    return directory


@pytest.fixture
def packaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The package pyctd-engine, installed."""
    site = tmp_path / "site" / "pyctd_engine"
    directory = programs(site / "bin", *ALL)
    (site / "__init__.py").write_text(f"from pathlib import Path\ndirectory = lambda: Path({str(directory)!r})\n")
    monkeypatch.syspath_prepend(str(site.parent))
    monkeypatch.delitem(sys.modules, "pyctd_engine", raising=False)
    return directory


def told(path: Path | None = None) -> set[tuple[str, Path]]:
    """Who chose the programs, and where they are."""
    return {(program.source, Path(program.path).parent) for program in _binaries.choose(path).versions().values()}


def test_without_an_engines_package_the_programs_are_those_on_path(host: Path) -> None:
    assert told() == {("PATH", host)}


def test_an_engines_package_comes_before_path(packaged: Path) -> None:
    assert told() == {("pyctd-engine", packaged)}


def test_the_variable_comes_before_the_package(packaged: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = programs(tmp_path / "mine", *ALL)
    monkeypatch.setenv("PYCTD_ENGINE_PATH", f"{mine}/")
    assert told() == {("PYCTD_ENGINE_PATH", mine)}
    monkeypatch.setenv("PYCTD_ENGINE_PATH", "")
    assert told() == {("pyctd-engine", packaged)}


def test_the_argument_comes_before_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = programs(tmp_path / "mine", *ALL)
    monkeypatch.setenv("PYCTD_ENGINE_PATH", "/none")
    assert told(mine) == {("path", mine)}
    monkeypatch.chdir(tmp_path)
    assert told(Path("mine")) == {("path", mine)}


def test_what_a_directory_lacks_comes_from_path(host: Path, tmp_path: Path) -> None:
    mine = programs(tmp_path / "mine", "containerd")
    found = _binaries.choose(mine).versions()
    assert found["containerd"] == ("1.2.3-mine", str(mine / "containerd"), "path")
    assert found["runc"] == ("1.2.3-host", str(host / "runc"), "PATH")


def test_a_directory_without_containerd_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """PATH's containerd would be another than the one that was asked for."""
    mine = programs(tmp_path / "mine", "runc")
    with pytest.raises(pyctd.FailedPreconditionError, match=f"there is no containerd in {mine}, which path names"):
        _binaries.choose(mine).check()
    monkeypatch.setenv("PYCTD_ENGINE_PATH", str(mine))
    with pytest.raises(pyctd.FailedPreconditionError, match="which PYCTD_ENGINE_PATH names"):
        _binaries.choose(None).check()


@pytest.mark.parametrize("named", ["mine", ".", "/a:/b"])
def test_the_variable_is_one_absolute_path(named: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYCTD_ENGINE_PATH", named)
    with pytest.raises(pyctd.InvalidArgumentError, match="PYCTD_ENGINE_PATH must be an absolute path|into PATH"):
        _binaries.choose(None)


@pytest.mark.parametrize("missing", ["containerd", "runc"])
def test_a_machine_without_programs_is_told_what_to_install(
    missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rest = programs(tmp_path / "rest", *(name for name in ALL if name != missing))
    monkeypatch.setenv("PATH", str(rest))
    with pytest.raises(pyctd.FailedPreconditionError) as caught:
        _binaries.choose(None).check()
    assert str(caught.value).startswith(f"{missing} is not on PATH: install it (on Debian: apt-get install {missing})")
    assert "pip install 'pyctd[engine]'" in str(caught.value)


@pytest.mark.parametrize("path", ["", ".", ":/nowhere", "/nowhere:bin/.."])
def test_nothing_is_executed_from_the_current_directory(
    path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(programs(tmp_path / "anybodys", *ALL))
    (tmp_path / "anybodys/bin").mkdir()
    monkeypatch.setenv("PATH", path)
    assert _binaries.choose(None).versions() == {}
    chosen = programs(tmp_path / "chosen", "containerd")
    assert list(_binaries.choose(chosen).versions()) == ["containerd"]
