"""Every function of pyctd.h with drawn arguments: nothing crashes, hangs, leaks, or leaves its directory.

``make fuzz INPUTS=…`` tries it at length. A run that fails tells its seed, which ``FUZZ_SEED`` draws again; the threads
meet each time in another way.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import leaks
from support.fuzz import SLOT, THREADS
from support.fuzz_draw import functions
from support.header import HEADER
from support.soak import at_length

import pyctd

INPUTS = int(os.environ.get("FUZZ_INPUTS", 40_000))
REACHING = max(INPUTS // 100, 3000)
"""Of those that reach a daemon there are fewer: each is a request, and many are a process."""
HANG = 100.0
"""Seconds without a call after which it hangs; the end may take that long, see fuzz.SETTLE."""
SEED = os.environ.get("FUZZ_SEED") or str(random.SystemRandom().getrandbits(32))

#: What may be in the directory that paths are drawn from, whole or cut short by a length that lies.
EXPECTED = {"a", "file", "one", "two", "three", "out", "silent", "rude", "state", "victim", "x" * 300}


@pytest.fixture
def scratch() -> Iterator[Path]:
    """Where all paths lie that are drawn; the root of a user namespace may enter it."""
    directory = Path(tempfile.mkdtemp(prefix="fz-"))
    directory.chmod(0o711)
    (directory / "a" / "b").mkdir(parents=True)
    (directory / "victim").mkdir()
    (directory / "victim" / "kept").touch()
    (directory / "file").touch()
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


def begun(journal: Path) -> tuple[int, str]:
    """How many calls were begun, and the last of each thread."""
    slots = [journal.read_bytes()[at * SLOT : (at + 1) * SLOT] for at in range(THREADS)]
    last = [slot[8:].split(b"\n")[0].decode(errors="replace") for slot in slots]
    return sum(struct.unpack_from("<q", slot)[0] for slot in slots), "\n".join(last)


def fuzz(scratch: Path, rootfs: Path, inputs: int, address: str | None = None) -> dict[str, Any]:
    """Runs the fuzzing in a process of its own, whose crash, hang or complaint fails the test."""
    journal = scratch.with_name(f"{scratch.name}.journal")
    journal.write_bytes(bytes(THREADS * SLOT))
    args = [str(journal), SEED, str(inputs), str(scratch), str(rootfs), *([address] if address else [])]
    path = os.pathsep.join(filter(None, (str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH"))))
    env = os.environ | {"PYTHONPATH": path, "GOTRACEBACK": "all", "PATH": "/nonexistent"}
    with (
        tempfile.TemporaryFile("w+") as err,
        subprocess.Popen(
            [sys.executable, "-X", "faulthandler", "-m", "support.fuzz", *args],
            cwd=scratch / "a" / "b",
            env=env,
            stdout=subprocess.PIPE,
            stderr=err,
            text=True,
        ) as process,
    ):
        try:
            seen, since, said = -1, time.monotonic(), time.monotonic()
            while process.poll() is None:
                time.sleep(0.1)
                now, (number, last) = time.monotonic(), begun(journal)
                if number != seen:
                    seen, since = number, now
                if now - said > 15:
                    said = now
                    print(f"{number:,} of {inputs:,} calls", flush=True)
                if now - since > HANG:
                    process.send_signal(signal.SIGABRT)
                    process.wait(60)
            assert process.stdout
            out = process.stdout.read()
            number, last = begun(journal)
            err.seek(0)
            complaint = err.read()
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            journal.unlink()
    why = f"FUZZ_SEED={SEED}, after {number:,} calls; the last ones:\n{last}\n{complaint[-20_000:]}"
    assert out, f"it ended by {process.returncode}: {why}"
    report: dict[str, Any] = json.loads(out)
    report["why"] = why
    calls, seconds = report["calls"], report["seconds"]
    print(
        f"\n{calls:,} calls in {seconds:.0f} s, {calls / seconds:,.0f} a second; "
        f"handles {report['made']}, kinds of outcomes {report['kinds']}"
    )
    return report


def check(report: dict[str, Any], scratch: Path) -> None:
    """What came of it, and what is left."""
    assert not report["faults"], f"{report['faults']}: {report['why']}"
    assert report["shutdown"] == 0
    beyond = {name: n - report["before"][name] for name, n in report["after"].items()}
    beyond["goroutines"] -= 1  # the first engine's, if there was one: it reads what all daemons print, and stays
    assert max(beyond.values()) <= 0, f"left are {beyond}: {report['why']}"
    missing = [f.name for f in functions() if not report["functions"].get(f.name)]
    assert missing == ["pyctd_shutdown"], missing
    # A bundle for a user namespace has a name of its own, state.uid.gid, where its root may not enter the directory.
    strange = [at.name for at in scratch.iterdir() if not any(name.startswith(at.name) for name in EXPECTED)]
    assert not strange
    assert [str(path.relative_to(scratch)) for path in scratch.glob("a/**/*")] == ["a/b"]
    assert (scratch / "victim" / "kept").exists()
    assert not [path for parent in ("/", "/etc", "/run") for path in Path(parent).glob("*pyctd-fuzz*")]


def test_the_header_is_read_whole() -> None:
    found = functions()
    assert len(found) == HEADER.read_text().count(");") - HEADER.read_text().count("(*on_")
    kinds = {kind for function in found for kind, _ in function.parameters}
    assert kinds == {
        *("pyctd_handle", "int32_t", "int64_t", "uint32_t", "uint64_t", "size_t"),
        *("char *", "const char *", "int32_t *", "pyctd_completion *", "pyctd_counts *", "const pyctd_callbacks *"),
    }


@at_length
def test_without_a_daemon(scratch: Path, rootfs: Path) -> None:
    check(fuzz(scratch, rootfs, INPUTS), scratch)


@at_length
@pytest.mark.usefixtures("engine")  # what the first engine of a process leaves in it is there before the test
def test_with_a_daemon(scratch: Path, rootfs: Path, own_engine: pyctd.Engine) -> None:
    report = fuzz(scratch, rootfs, REACHING, own_engine.address)
    check(report, scratch)
    assert report["kinds"]["0"] > REACHING / 50, "few calls have reached the daemon"
    with own_engine.client("fuzz", timeout=60) as client:
        assert client.version(timeout=60).version
    own_engine.close()
    # containerd 2 forgets a shim whose start was cancelled; what it has forgotten must have no process.
    for shim in leaks.shims(own_engine.state):
        assert not Path(f"/proc/{shim}/task/{shim}/children").read_text()
    leaks.kill_shims(own_engine.state)
