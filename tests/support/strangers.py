"""Another user of the machine, and what it must not get."""

from __future__ import annotations

from pathlib import Path

__all__ = ["NOBODY", "kept"]

NOBODY = 65534


def kept(directory: Path) -> bool:
    return (directory / "file").read_text() == "precious"
