"""The build backend."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]


def test_build_py_is_no_program() -> None:
    """``python -m build`` finds build.py here before the package of that name, and must not seem to have worked."""
    done = subprocess.run(
        [sys.executable, "-m", "build"], capture_output=True, text=True, timeout=30, check=False, cwd=CHECKOUT
    )
    assert done.returncode == 1
    assert "pip wheel ." in done.stderr
