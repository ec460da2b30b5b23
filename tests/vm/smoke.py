"""What `make vm-test` runs in its guest: pyctd on pure cgroup v2, under systemd, with AppArmor.

A row is a function. It returns what it saw, and fails by an exception; LeftOut says that the guest lacks what it needs.
The guest has neither pytest nor a network.

    python3 -m vm.smoke ROOTFS RESULTS [ROW...]

Each row becomes a line of RESULTS: its result, its seconds, its name and what it saw. The last line is the word "done".
"""

from __future__ import annotations

import shutil
import signal
import sys
import time
import traceback
from pathlib import Path

from vm import containers, units
from vm.harness import PATIENCE, ROWS, LeftOut

import pyctd

__all__ = ["containers", "units"]  # their rows

ADDRESS = "/run/containerd/containerd.sock"
DEBIANS = "/usr/bin/containerd"
LONGEST_ROW = 240.0
"""Seconds that a row may take; then its clean-up has CLEAN_UP."""
CLEAN_UP = 60.0


def chain(error: BaseException) -> str:
    """The errors in the order in which they came: the clean-up after the first may fail, too."""
    before = error.__cause__ or error.__context__
    return (f"{chain(before)}; then " if before else "") + f"{type(error).__name__}: {error}"


def take_too_long(*_: object) -> None:
    raise TimeoutError("the row takes too long")


def main(rootfs: Path, results: Path, names: list[str]) -> None:
    """On the distribution's containerd, which systemd runs, or an engine's where PATH has another."""
    signal.signal(signal.SIGALRM, take_too_long)
    address = ADDRESS if shutil.which("containerd") == DEBIANS else None
    with (
        pyctd.Engine(address) as engine,
        engine.client("vm", timeout=PATIENCE) as client,
        results.open("w", buffering=1) as lines,
    ):
        for name in names or ROWS:
            began = time.monotonic()
            signal.setitimer(signal.ITIMER_REAL, LONGEST_ROW, CLEAN_UP)
            try:
                result, seen = "ok", ROWS[name](client, rootfs)
            except LeftOut as reason:
                result, seen = "--", f"left out: {reason}"
            except Exception as error:
                traceback.print_exc()
                result, seen = "FAILED", " ".join(chain(error).split())
            signal.setitimer(signal.ITIMER_REAL, 0)
            print(f"{result:<6}  {time.monotonic() - began:5.1f} s  {name:<14}  {seen}", file=lines)
        print("done", file=lines)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
