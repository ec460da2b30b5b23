#!/usr/bin/env python3
"""Plants single faults in pyctd, one at a time, and tells which of them the tests catch.

    python scripts/mutants [WORD...]

With words, only the faults whose file or description has one of them. No file of the checkout is touched: Python faults
go into a copy of the installed package, Go faults to the compiler as an overlay. Exits with 1 where a fault is not
caught, or where its old text is no longer in the file.

MUTANTS_JOBS is how many faults are tried at once. DAEMON_PATH comes before PATH for the tests that need a daemon.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import go_faults
import python_faults
from fault import Fault

HERE = Path(__file__).resolve().parents[2]
GO = HERE / "gosrc"
INSTALLED = Path(sysconfig.get_paths()["platlib"], "pyctd")
JOBS = int(os.environ.get("MUTANTS_JOBS", "2"))
PATH = os.environ.get("DAEMON_PATH", "") + os.environ["PATH"]
LONGEST = 600
"""Seconds that the tests of one fault may take; a fault that makes them hang is caught by then."""
TIMEOUT = 60
"""Seconds for one test."""

CAUGHT, MISSED, BROKEN, STALE = "caught", "NOT CAUGHT", "DOES NOT BUILD", "OLD TEXT IS GONE"


def run(command: Sequence[str], cwd: Path, **env: str) -> tuple[int, str]:
    """A command's exit code and output; 1 where it takes too long."""
    try:
        done = subprocess.run(
            command,
            cwd=cwd,
            env=os.environ | {"PATH": PATH} | env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=LONGEST,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return 1, f"FAILED within {LONGEST} s"
    return done.returncode, done.stdout


def package(place: Path) -> Path:
    """A copy of the installed package in a directory, to be put on PYTHONPATH."""
    return Path(shutil.copytree(INSTALLED, place / "pyctd", ignore=shutil.ignore_patterns("__pycache__")))


def pytest(place: Path, tests: Iterable[str], *options: str) -> tuple[int, str]:
    """Runs tests on the copy in a directory."""
    config = ("-c", "../pyproject.toml", "--rootdir", "..", "-o", f"timeout={TIMEOUT}", "-p", "no:randomly", "-q")
    command = (sys.executable, "-m", "pytest", *config, *options, *tests)
    return run(command, HERE / "tests", PYTHONPATH=os.fspath(place))


def go_test(directory: str, tests: str, *options: str) -> tuple[int, str]:
    """Runs the tests of a Go package that a regular expression names."""
    command = ("go", "test", "-vet=off", "-ldflags=-s -w", "-failfast", f"-timeout={TIMEOUT}s", f"-run=^({tests})$")
    return run((*command, *options, f"./{directory}"), GO, CGO_ENABLED="1")


def overlay(place: Path, fault: Fault, text: str) -> str:
    """The option that has Go compile the faulty text of a file in its place."""
    (place / "faulty.go").write_text(text)
    (place / "overlay.json").write_text(json.dumps({"Replace": {f"{HERE / fault.file}": f"{place / 'faulty.go'}"}}))
    return f"-overlay={place / 'overlay.json'}"


def tried(fault: Fault) -> tuple[str, str]:
    """What becomes of a fault, and the test that has caught it."""
    source = (HERE / fault.file).read_text()
    if source.count(fault.old) != 1:
        return STALE, f"it is there {source.count(fault.old)} times"
    text = source.replace(fault.old, fault.new)
    with tempfile.TemporaryDirectory(prefix="mutant-") as name:
        place = Path(name)
        if fault.file.endswith(".go") and not fault.by_pytest:
            directory = f"{Path(fault.file).parent.relative_to('gosrc')}"
            code, output = go_test(directory, fault.tests, overlay(place, fault, text))
        else:
            copy = package(place)
            if fault.file.endswith(".go"):
                library = ("-buildmode=c-shared", "-o", f"{copy / 'libpyctd.so'}")
                build = ("go", "build", "-trimpath", "-tags=grpcnotrace", overlay(place, fault, text), *library, ".")
                code, output = run(build, GO, CGO_ENABLED="1")
                if code:
                    return BROKEN, output
            else:
                copy.joinpath(Path(fault.file).relative_to("pyctd")).write_text(text)
            code, output = pytest(place, fault.tests.split(), "-x")
    if code == 0:
        return MISSED, "" if "no tests to run" not in output else "there is no test of that name"
    if "[build failed]" in output or code in (2, 3, 4, 5):
        return BROKEN, output
    by = re.search(r"^(?:--- FAIL: |FAILED (?:\S+::)?|ERROR (?:\S+::)?)(\S+)", output, re.M)
    return CAUGHT, by[1] if by else output.strip()[-200:]


def whole(faults: list[Fault]) -> bool:
    """Whether the tests pass without a fault; else what they say of one means nothing."""
    ok = True
    of_python = sorted({test for fault in faults if fault.by_pytest for test in fault.tests.split()})
    if of_python:
        with tempfile.TemporaryDirectory(prefix="mutant-") as place:
            package(Path(place))
            code, output = pytest(Path(place), of_python)
            if code:
                ok = print(output) is not None
    directories = {f"{Path(fault.file).parent.relative_to('gosrc')}" for fault in faults if not fault.by_pytest}
    for directory in sorted(directories):
        names = "|".join(sorted({fault.tests for fault in faults if not fault.by_pytest and f"/{directory}/" in fault.file}))
        code, output = go_test(directory, names)
        if code:
            ok = print(output) is not None
    return ok


def main(words: list[str]) -> int:
    """Tries the faults, and prints a table of what becomes of each."""
    everyone = [*python_faults.FAULTS, *go_faults.FAULTS]
    faults = [one for one in everyone if not words or any(word in f"{one.file} {one.what}" for word in words)]
    if not whole(faults):
        print("the tests fail without a fault, too")
        return 1

    def timed(fault: Fault) -> tuple[str, str, float]:
        begun = time.monotonic()
        return (*tried(fault), time.monotonic() - begun)

    found: Counter[str] = Counter()
    with ThreadPoolExecutor(JOBS) as pool:
        for fault, (outcome, told, seconds) in zip(faults, pool.map(timed, faults)):
            found[outcome] += 1
            print(f"{outcome:<10} {seconds:4.0f} s  {fault.file}: {fault.what}  [{told}]", flush=True)
    print(f"{found[CAUGHT]} of {len(faults)} faults are caught")
    return int(found[CAUGHT] != len(faults))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
