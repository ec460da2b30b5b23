"""Python programs of their own, for what can't be tried in the tests' process."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

PRELUDE = """\
import os, signal, sys, threading, time
import pyctd
address, namespace, state_dir, rootfs, *rest = sys.argv[1:]
def connect(**options):
    return pyctd.Client(address, namespace, state_dir, **options)
def spec(*args):
    return pyctd.spec.default(rootfs, list(args), readonly=True)
"""


class Programs:
    """Runs programs beside the tests, on their daemon."""

    def __init__(self, address: str, namespace: str, state_dir: str, rootfs: Path) -> None:
        self.args = [address, namespace, state_dir, str(rootfs)]

    def popen(self, code: str, *args: str, dev: bool = False, **options: Any) -> subprocess.Popen[str]:
        text = PRELUDE + textwrap.dedent(code)
        command = [sys.executable, *(["-X", "dev"] if dev else []), "-c", text, *self.args, *args]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd="/", **options)

    def run(self, code: str, *args: str, timeout: float = 30, dev: bool = False) -> tuple[int, str, str]:
        """The exit code, stdout and stderr of a program that must end in time."""
        with self.popen(code, *args, dev=dev) as process:
            try:
                out, err = process.communicate(timeout=timeout)
            except subprocess.TimeoutExpired:
                process.kill()
                out, err = process.communicate()
                raise AssertionError(f"did not end within {timeout} s: {out!r} {err!r}") from None
        return process.returncode, out, err


def cli(
    *args: str, stdin: bytes = b"", timeout: float = 60, env: dict[str, str] | None = None
) -> tuple[int, bytes, bytes]:
    """The exit code, stdout and stderr of the command line."""
    done = subprocess.run(
        [sys.executable, "-m", "pyctd", *args],
        input=stdin,
        capture_output=True,
        timeout=timeout,
        check=False,
        cwd="/",
        env={**os.environ, **(env or {})},
    )
    return done.returncode, done.stdout, done.stderr
