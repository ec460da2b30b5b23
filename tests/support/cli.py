"""The command line, run as by a user, on the tests' daemon and in the test's own namespace."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pexpect

import pyctd
from support.programs import under_way

COMMAND = [sys.executable, "-m", "pyctd"]


class Result(NamedTuple):
    """The outcome of a command line."""

    code: int
    out: str
    err: str


def pyctd_command(*args: str, stdin: str = "", timeout: float = 60, env: dict[str, str] | None = None) -> Result:
    """Runs a command line without telling it where containerd is."""
    done = subprocess.run(
        [*COMMAND, *args],
        input=stdin.encode(),
        capture_output=True,
        timeout=timeout,
        check=False,
        cwd="/",
        env=os.environ | (env or {}),
    )
    return Result(done.returncode, done.stdout.decode(), done.stderr.decode())


class Cli:
    """Command lines for a client's daemon and namespace, which the environment names."""

    def __init__(self, client: pyctd.Client, rootfs: Path) -> None:
        self.client = client
        self.rootfs = str(rootfs)
        self.env = {
            "CONTAINERD_ADDRESS": client.address,
            "CONTAINERD_NAMESPACE": client.namespace,
            "PYCTD_STATE_DIR": client.state_dir,
        }

    def __call__(self, *args: str, stdin: str = "", env: dict[str, str] | None = None) -> Result:
        return pyctd_command(*args, stdin=stdin, env=self.env | (env or {}))

    def json(self, *args: str) -> Any:
        """Runs a command that must succeed. Returns its parsed JSON output."""
        code, out, err = self(*args, "--json")
        assert (code, err) == (0, "")
        return json.loads(out)

    def run(self, *args: str, stdin: str = "") -> Result:
        """``pyctd run`` in the tests' root, removed at the end."""
        return self("run", "--rm", "--rootfs", self.rootfs, *args, stdin=stdin)

    def start(self, name: str, *args: str) -> None:
        """``pyctd run -d``: sleep, unless args say otherwise."""
        args = args or ("/bin/sleep", "600")
        assert self("run", "-d", "--name", name, "--rootfs", self.rootfs, *args) == (0, f"{name}\n", "")

    def under_way(self, *args: str, **options: Any) -> contextlib.AbstractContextManager[subprocess.Popen[str]]:
        """A command line that keeps running."""
        return under_way([*COMMAND, *args], text=True, env=os.environ | self.env, **options)

    @contextlib.contextmanager
    def on_a_terminal(self, *args: str, rows: int = 24, columns: int = 100) -> Iterator[pexpect.spawn[str]]:
        """A command line on its own terminal, which the test types on and reads."""
        env = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR", "COLUMNS")}
        program = pexpect.spawn(
            COMMAND[0],
            [*COMMAND[1:], *args],
            timeout=60,
            encoding="utf-8",
            dimensions=(rows, columns),
            cwd="/",
            env=env | self.env | {"TERM": "xterm-256color"},
        )
        try:
            yield program
        finally:
            program.close(force=True)

    def clean(self) -> None:
        """Removes all remaining containers."""
        for info in self.client.containers(timeout=60):
            container = self.client.load_container(info.id, timeout=60)
            with contextlib.suppress(pyctd.NotFoundError):
                container.task(timeout=60).force_delete(timeout=60)
            container.delete(timeout=60)


def end_of(program: pexpect.spawn[str]) -> int:
    """Waits until a program on a terminal ends. Returns its exit code."""
    program.expect(pexpect.EOF)
    program.wait()
    assert program.exitstatus is not None, f"ended by signal {program.signalstatus}"
    return int(program.exitstatus)
