"""containerd, its shim for runc, and runc: static programs for ``pyctd.Engine``.

The programs are in the package's own directory, not on PATH.
"""

from __future__ import annotations

import json
from pathlib import Path

__all__ = ["directory", "versions"]

_PACKAGE = Path(__file__).resolve().parent


def directory() -> Path:
    """The directory that contains ``containerd``, ``containerd-shim-runc-v2`` and ``runc``."""
    return _PACKAGE / "bin"


def versions() -> dict[str, str]:
    """The versions of ``containerd`` (and its shim), ``runc``, the ``libseccomp`` in runc, and ``go``."""
    found: dict[str, str] = json.loads((_PACKAGE / "versions.json").read_text())
    return found
