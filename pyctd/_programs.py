"""Programs of the host that pyctd executes."""

from __future__ import annotations

import os
import shutil

__all__ = ["find"]

SBIN = ("/usr/local/sbin", "/usr/sbin", "/sbin")
"""Where a user's PATH often does not look, but root's and containerd's does."""


def find(name: str) -> str | None:
    """The path of a program on PATH. A relative entry is left out: this may run as root, in a directory that everybody
    can write to."""
    places = [place for place in os.environ.get("PATH", os.defpath).split(os.pathsep) if os.path.isabs(place)]
    return shutil.which(name, path=os.pathsep.join([*places, *SBIN]))
