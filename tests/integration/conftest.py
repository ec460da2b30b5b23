"""Directories that other users may be after."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def place(base: Path) -> Iterator[Path]:
    """A directory that other users can enter."""
    base.chmod(0o711)
    directory = Path(tempfile.mkdtemp(prefix="p", dir=base))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory)
    base.chmod(0o700)


@pytest.fixture
def precious(place: Path) -> Path:
    """A directory of root's that is named as a container might be, with a file in it."""
    directory = place / "victim"
    directory.mkdir(mode=0o755)
    (directory / "file").write_text("precious")
    return directory
