"""Finds and runs programs of the host."""

from __future__ import annotations

import os
import re
import shutil
import subprocess

__all__ = ["ask", "find", "places", "version_in"]

SBIN = ("/usr/local/sbin", "/usr/sbin", "/sbin")
"""Directories that a user's PATH often lacks, but root's and containerd's have."""


def places() -> list[str]:
    """The absolute directories on PATH. Relative ones are unsafe: this may run as root in a world-writable one."""
    return [place for place in os.environ.get("PATH", os.defpath).split(os.pathsep) if os.path.isabs(place)]


def find(name: str) -> str | None:
    """The path of a program on PATH."""
    return shutil.which(name, path=os.pathsep.join([*places(), *SBIN]))


def ask(command: list[str]) -> tuple[int, str]:
    """Runs a command. Returns its exit code and its first line with a version number, or else its first line."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=20, check=False, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return 1, str(error)
    said = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    return done.returncode, next((line for line in said if re.search(r"\d\.\d", line)), said[0] if said else "")


def version_in(said: str) -> str:
    """The version in a program's output, or an empty string."""
    found = re.search(r"v?(\d+(?:\.\d+)+\S*)", said)
    return found[1] if found else ""
