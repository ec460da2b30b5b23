"""The directories of an engine: whose they are, and which of them stay."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

import pyctd


def test_directories_that_are_given_stay(base: Path, rootfs: Path) -> None:
    root, state = base / "kr", base / "ks"
    with pyctd.Engine(root=root, state=state) as engine, engine.client() as client:
        client.new_container("c", pyctd.spec.default(rootfs, ["/bin/true"]))
        assert (state / "bundles" / "moby" / "c").is_dir()
    assert root.is_dir()
    assert state.is_dir()
    assert not (state / "bundles").exists()
    with pyctd.Engine(root=root, state=state) as again, again.client() as client:
        assert client.version().version


@pytest.mark.parametrize("given", ["root", "state"])
def test_of_two_directories_the_one_that_is_given_stays(base: Path, given: str) -> None:
    with pyctd.Engine(root=base / "of-two") if given == "root" else pyctd.Engine(state=base / "of-two") as engine:
        directories = {"root": engine.root, "state": engine.state}
    assert [name for name, path in directories.items() if path.exists()] == [given]


def test_a_state_directory_whose_socket_would_have_too_long_a_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(pyctd.InvalidArgumentError, match="at most 107 bytes"):
        pyctd.Engine(state=tmp_path / ("s" * 107))
    assert not list(tmp_path.iterdir())
