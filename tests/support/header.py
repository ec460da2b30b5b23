"""The C ABI's header, read by the tests that hold the library to it."""

from __future__ import annotations

import re
from pathlib import Path

__all__ = ["HEADER", "without_comments"]

HEADER = Path(__file__).parents[2] / "gosrc" / "pyctd.h"


def without_comments() -> str:
    """Its declarations."""
    return re.sub(r"/\*.*?\*/", "", HEADER.read_text(), flags=re.DOTALL)
