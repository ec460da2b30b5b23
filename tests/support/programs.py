"""Python programs of their own, for what can't be tried in the tests' process."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pexpect

PRELUDE = """\
import os, signal, sys, threading, time, warnings
import pyctd
warnings.filterwarnings("ignore", ".* is multi-threaded", DeprecationWarning)  # CPython 3.12 says so of every fork
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job inherits that it is ignored
address, namespace, state_dir, rootfs, *rest = sys.argv[1:]
def connect(**options):
    return pyctd.Client(address, namespace, state_dir, **options)
def spec(*args):
    return pyctd.spec.default(rootfs, list(args), readonly=True)
"""


@contextlib.contextmanager
def under_way(command: list[str], **options: Any) -> Iterator[subprocess.Popen[Any]]:
    """A program that is killed where a test fails before it has ended."""
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "cwd": "/", **options}
    with subprocess.Popen(command, **options) as process:
        try:
            yield process
            process.wait(timeout=60)
        finally:
            if process.poll() is None:
                process.kill()


class Programs:
    """Runs programs beside the tests, on their daemon."""

    def __init__(self, address: str, namespace: str, state_dir: str, rootfs: Path) -> None:
        self.args = [address, namespace, state_dir, str(rootfs)]

    def popen(
        self, code: str, *args: str, dev: bool = False, file: Path | None = None, **options: Any
    ) -> contextlib.AbstractContextManager[subprocess.Popen[str]]:
        """A program on the tests' daemon, under way; with a file it is run from there, where its children can import
        it."""
        text = PRELUDE + textwrap.dedent(code)
        program = ["-c", text]
        if file is not None:
            file.write_text(text)
            program = [str(file)]
        command = [sys.executable, *(["-X", "dev"] if dev else []), *program, *self.args, *args]
        return under_way(command, **{"text": True, **options})

    @contextlib.contextmanager
    def on_a_terminal(self, code: str, *args: str, rows: int = 24, columns: int = 80) -> Iterator[pexpect.spawn[str]]:
        """A program on the tests' daemon, with a terminal of its own that the test types on and reads."""
        text = PRELUDE + textwrap.dedent(code)
        program = pexpect.spawn(
            sys.executable,
            ["-c", text, *self.args, *args],
            timeout=60,
            encoding="utf-8",
            dimensions=(rows, columns),
            cwd="/",
            env={**os.environ, "PYTHON_COLORS": "0"},  # of tracebacks, since CPython 3.13
        )
        try:
            yield program
        finally:
            program.close(force=True)

    def run(
        self, code: str, *args: str, timeout: float = 30, dev: bool = False, file: Path | None = None, **options: Any
    ) -> tuple[int, str, str]:
        """The exit code, stdout and stderr of a program that must end in time."""
        with self.popen(code, *args, dev=dev, file=file, **options) as process:
            out, err = process.communicate(timeout=timeout)
        return process.returncode, out, err

    def check(self, code: str, *args: str, **options: Any) -> str:
        """The stdout of a program that must end well, with nothing on stderr."""
        exit_code, out, err = self.run(code, *args, **options)
        assert (exit_code, err) == (0, ""), f"exit code {exit_code}: {err}"
        return out
