"""What the build took from moby's code: its default spec, PATH and capabilities."""

from __future__ import annotations

import functools
import json
import os
from typing import Any

__all__ = ["capabilities", "default_spec", "path"]


def default_spec() -> dict[str, Any]:
    """Returns a new copy of moby's ``oci.DefaultLinuxSpec()``, as it would be on this machine."""
    spec: dict[str, Any] = json.loads(_text())["spec"]
    spec["linux"]["maskedPaths"] += _thermal_throttles()
    return spec


def path() -> str:
    """dockerd's PATH."""
    return str(_packed()["path"])


def capabilities() -> list[str]:
    """All capabilities that moby knows, in the order of their numbers."""
    return list(_packed()["capabilities"])


@functools.cache
def _text() -> str:
    # importlib.resources would take 8 ms to import.
    with open(os.path.join(os.path.dirname(__file__), "moby.json")) as file:
        return file.read()


@functools.cache
def _packed() -> dict[str, Any]:
    packed: dict[str, Any] = json.loads(_text())
    return packed


@functools.cache
def _thermal_throttles() -> list[str]:
    """The files that moby masks for each possible CPU, because they would reveal what others are doing."""
    try:
        with open("/sys/devices/system/cpu/possible") as file:
            ranges = [[int(end) for end in part.split("-")] for part in file.read().strip().split(",")]
    except (OSError, ValueError):
        return []
    paths = [
        f"/sys/devices/system/cpu/cpu{cpu}/thermal_throttle" for ends in ranges for cpu in range(ends[0], ends[-1] + 1)
    ]
    return [path for path in paths if os.path.exists(path)]
