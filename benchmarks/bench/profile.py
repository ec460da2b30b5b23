"""``python -m bench.profile [WORKLOAD …]``: where a workload spends its time, in Go and in Python.

``make profile`` builds a library for it whose Go side can be profiled. Prints for each workload the processor's time
that an operation takes, in pyctd and in Go's own program, and the functions with the most of pyctd's: in Go by pprof,
in Python by py-spy.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path

from rich.console import Console
from rich.table import Table

from .place import place
from .side import Side

#: How many operations of each, for some seconds of it, and how a stream is moved.
COUNTS = {
    "version": (5000, ""),
    "status": (4000, ""),
    "stats": (2000, ""),
    "exec": (80, ""),
    "exit-event": (25, ""),
    "events": (100_000, ""),
    "stdout": (1 << 30, "capture"),
    "stdin": (1 << 30, "capture"),
}
ROWS = 12


def cpu_ms(pid: int) -> tuple[int, int]:
    """A process's processor time, in user and kernel mode."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    tick = 1000 // os.sysconf("SC_CLK_TCK")
    return int(fields[11]) * tick, int(fields[12]) * tick


@contextlib.contextmanager
def spied(pid: int, into: Path) -> Iterator[None]:
    """Samples a process's Python stacks into a file."""
    command = [str(Path(sys.executable).with_name("py-spy")), "record", "--pid", str(pid), "--output", str(into)]
    options = ["--format", "raw", "--rate", "400", "--nonblocking", "--duration", "600"]
    null = subprocess.DEVNULL
    with subprocess.Popen([*command, *options], stdout=null, stderr=null) as spy:
        time.sleep(1)  # until py-spy has found the interpreter
        try:
            yield
        finally:
            spy.send_signal(signal.SIGINT)


def python_top(samples: Path) -> list[tuple[str, str]]:
    """The Python functions with the most samples of their own, without callees."""
    own: Counter[str] = Counter()
    for line in samples.read_text().splitlines():
        stack, _, count = line.rpartition(" ")
        own[stack.rpartition(";")[2]] += int(count)
    total = sum(own.values()) or 1
    return [(f"{100 * count / total:.1f} %", name) for name, count in own.most_common(ROWS)]


def go_top(profile: Path) -> list[tuple[str, str]]:
    """The Go functions with the most samples of their own."""
    command = ["go", "tool", "pprof", "-top", f"-nodecount={ROWS}", str(profile)]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    begin = next(number for number, line in enumerate(lines) if line.split()[:1] == ["flat"])
    rows = [line.split(None, 5) for line in lines[begin + 1 :]]
    return [(row[1], row[5]) for row in rows]


def spent(side: Side, workload: str) -> str:
    """Runs a workload, and returns the processor time of each operation or stream."""
    count, mode = COUNTS[workload]
    before = cpu_ms(side.pid)
    side.run(workload, count, mode)
    own, kernel = (after - at for after, at in zip(cpu_ms(side.pid), before, strict=True))
    if mode:
        return f"{own} + {kernel} ms for {count >> 20} MiB"
    return f"{1000 * own / count:.0f} + {1000 * kernel / count:.0f} µs"


def profile(go: Side, sync: Side, workload: str, directory: Path, console: Console) -> None:
    """Prints the table of a profile."""
    count, mode = COUNTS[workload]
    for side in (go, sync):
        side.run(workload, max(1, count // 20), mode)
    samples = directory / "python.txt"
    title = f"{workload} {mode}: the processor's own time + the kernel's: Go's program {spent(go, workload)}"
    title += f", pyctd {spent(sync, workload)}"
    with spied(sync.pid, samples):
        os.kill(sync.pid, signal.SIGUSR2)
        sync.run(workload, count, mode)
        os.kill(sync.pid, signal.SIGUSR2)
    table = Table(title=title, title_justify="left")
    for head in ("of Go", "function", "of Python", "function"):
        table.add_column(head, no_wrap=True)
    for go_row, python_row in zip_longest(go_top(directory / "go.pprof"), python_top(samples), fillvalue=("", "")):
        table.add_row(*go_row, *python_row)
    console.print(table)


def main(names: list[str]) -> int:
    if unknown := set(names) - set(COUNTS):
        print(f"there is no workload {', '.join(unknown)}: there are {', '.join(COUNTS)}", file=sys.stderr)
        return 2
    console = Console(width=None if sys.stdout.isatty() else 160)
    with tempfile.TemporaryDirectory() as temporary, place() as here:
        directory = Path(temporary)
        os.environ["PYCTD_PROFILE"] = str(directory / "go.pprof")
        sides = Side("go", here), Side("sync", here)
        try:
            for workload in names or COUNTS:
                profile(*sides, workload, directory, console)
        finally:
            for side in sides:
                side.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
