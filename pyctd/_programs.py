"""Programs of the host that pyctd executes."""

from __future__ import annotations

import os
import re
import shutil
import subprocess

__all__ = ["ask", "find", "places", "version_in"]

SBIN = ("/usr/local/sbin", "/usr/sbin", "/sbin")
"""Where a user's PATH often does not look, but root's and containerd's does."""


def places() -> list[str]:
    """The absolute directories on PATH. Others are left out: this may run as root where everybody can write."""
    return [place for place in os.environ.get("PATH", os.defpath).split(os.pathsep) if os.path.isabs(place)]


def find(name: str) -> str | None:
    """The path of a program on PATH."""
    return shutil.which(name, path=os.pathsep.join([*places(), *SBIN]))


def ask(command: list[str]) -> tuple[int, str]:
    """A program's exit code and the first line of what it says."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=20, check=False, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return 1, str(error)
    said = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    return done.returncode, next((line for line in said if re.search(r"\d\.\d", line)), said[0] if said else "")


def version_in(said: str) -> str:
    """The version in what a program says, or nothing."""
    found = re.search(r"v?(\d+(?:\.\d+)+\S*)", said)
    return found[1] if found else ""
