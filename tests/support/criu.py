"""CRIU for tests: whether there is one, stand-ins for it, and what a checkpoint leaves in containerd."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

import pyctd
from support.box import eventually

COUNT = ("/bin/sh", "-c", "i=0; while :; do i=$((i+1)); echo $i; sleep 0.02; done")
"""Writes 1, 2, 3 and so on."""


def numbers(out: pyctd.stdio.capture) -> list[int]:
    """What a counter has written, but for a line that is not whole yet."""
    return [int(line) for line in out.stdout.split(b"\n")[:-1]]


@functools.cache
def why_not() -> str:
    """Why the tests can't checkpoint here; empty if they can."""
    found = shutil.which("criu")
    hint = "`make test` gets one that works, where it can"
    if os.geteuid() != 0:
        return "CRIU needs root"
    if found is None:
        return f"criu is not on PATH: {hint}"
    said = subprocess.run([found, "--version"], capture_output=True, text=True, check=False)
    version = re.search(r"Version: (\d+)", said.stdout)
    if version is None or int(version[1]) < 4:
        return f"{found} is not CRIU 4 or later: {(said.stdout + said.stderr).strip()!r}; {hint}"
    check = subprocess.run([found, "check"], capture_output=True, text=True, check=False)
    if check.returncode != 0:
        return f"{found} check: {check.stderr.strip()}"
    if shutil.which("iptables-restore") is None:
        return "CRIU needs iptables"
    return ""


needs_criu = pytest.mark.skipif(bool(why_not()), reason=why_not())


def programs_but_criu(directory: Path) -> Path:
    """Fills directory with all that is on PATH, apart from criu, which needs more than one would think itself."""
    directory.mkdir(parents=True)
    for parent in os.environ["PATH"].split(os.pathsep):
        for program in Path(parent).iterdir() if Path(parent).is_dir() else ():
            link = directory / program.name
            if program.name != "criu" and not link.is_symlink():
                link.symlink_to(program)
    return directory


def behind(gate: Path) -> str:
    """A script that is the real CRIU once the file ``gate`` exists."""
    real = shutil.which("criu")
    assert real is not None
    return f'while [ ! -e {shlex.quote(str(gate))} ]; do sleep 0.05; done; exec {shlex.quote(real)} "$@"\n'


def stored(engine: pyctd.Engine, namespace: str) -> list[str]:
    """The images and the content that containerd holds in a namespace."""
    found = []
    for noun in ("images", "content"):
        command = ["ctr", "--address", engine.address, "--namespace", namespace, noun, "ls", "--quiet"]
        found += subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return found


def unpacked(base: Path) -> set[str]:
    """The directories that containerd has unpacked whole checkpoints into, of containers whose root is below base.

    Other runs of the tests have theirs beside them. While containerd makes one it is empty.
    """
    parent = Path(os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir())
    return {str(one.parent) for one in parent.glob("ctrd-checkpoint*/inventory.img") if _is_below(base, one.parent)}


def _is_below(base: Path, checkpoint: Path) -> bool:
    """Whether a checkpoint's mounts name base."""
    with contextlib.suppress(FileNotFoundError):
        return any(base.name.encode() in file.read_bytes() for file in checkpoint.glob("mountpoints-*.img"))
    return False


def restored(container: pyctd.Container, directory: Path) -> tuple[pyctd.Task, int]:
    """A task restored from a counter's checkpoint, and the first number that it wrote."""
    out = pyctd.stdio.capture()
    task = container.start(checkpoint_dir=directory, attach_stdio=out, timeout=60)
    eventually(lambda: numbers(out))
    return task, numbers(out)[0]
