"""What the rows of `make vm-test` are made with."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyctd

CGROUPS = Path("/sys/fs/cgroup")
PATIENCE = 180.0
"""Seconds that a step may take. The guest's processor is emulated."""
MIB = 1 << 20
SLEEP = ("/bin/sleep", "3600")
LIMITS = {"memory.max": str(64 * MIB), "cpu.max": "50000 100000", "pids.max": "20"}
"""The files of a container's cgroup, in the row of limits and in service.py."""
UML = "User Mode Linux" in Path("/proc/cpuinfo").read_text()

Row = Callable[[pyctd.Client, Path], str]
ROWS: dict[str, Row] = {}


def row(name: str) -> Callable[[Row], Row]:
    def register(function: Row) -> Row:
        ROWS[name] = function
        return function

    return register


class LeftOut(Exception):
    """This guest has not what the row needs."""


def check(what: object, *wanted: object) -> None:
    """Fails unless what is one of wanted. Unlike assert, it shows the value."""
    if what not in wanted:
        raise AssertionError(f"got {what!r}, not {' or '.join(map(repr, wanted))}")


def eventually(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not holds():
        if time.monotonic() > deadline:
            raise AssertionError(f"not in {PATIENCE:.0f} seconds: {what}")
        time.sleep(0.1)


def run(*command: str | os.PathLike[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)
    if done.returncode:
        raise AssertionError(f"{' '.join(map(str, command))}: exit code {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout.strip()


@contextlib.contextmanager
def started(
    client: pyctd.Client, id: str, spec: dict[str, Any], *, checkpoint_dir: str = "", **options: Any
) -> Iterator[pyctd.Task]:
    """The options are runc's."""
    container = client.new_container(id, spec, runtime_options=options or None)
    try:
        task = container.start(checkpoint_dir)
        try:
            yield task
        finally:
            task.force_delete()
    finally:
        container.delete()


def cgroup_of(pid: int) -> Path:
    """A process's cgroup. Pure cgroup v2 has no other line."""
    (line,) = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    hierarchy, _, path = line.partition("::")
    check(hierarchy, "0")
    return CGROUPS / path.lstrip("/")


def value(cgroup: Path, name: str) -> str:
    return (cgroup / name).read_text().strip()


def counts(cgroup: Path, name: str) -> dict[str, str]:
    """A file of the kernel's that has a word and a number in each line."""
    return dict(line.split() for line in value(cgroup, name).splitlines())
