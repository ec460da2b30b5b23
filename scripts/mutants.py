#!/usr/bin/env python3
"""Plants faults in pyctd, one at a time, and reports which of them the tests catch.

    mutants.py [WORD...]

With words, it tries only the faults whose file or description contains one of them. The faults are in tests/faults,
separated by blank lines:

    pyctd/_streams/lines.py: the last line without a newline is lost
    -        if self._begun:
    -            self._end_line()
    +        pass
    = unit/test_lines.py::test_lines_that_come_in_pieces

The text after - occurs once in the file, and need not be whole lines. The text after + replaces it. At least one of the
tests after = must fail: pytest tests, or Go tests of the file's own package. For a Go fault with pytest tests, the
library is rebuilt, which takes a while.

The checkout is not modified: Python faults go into a copy of the installed package, and the Go compiler gets its faults
as an overlay. MUTANTS_JOBS is the number of faults to try at once. The exit code is 1 if a fault is not caught or no
longer fits the code or the tests. A unit test also looks for faults that no longer fit.
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
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parents[1]
FAULTS = HERE / "tests/faults"
INSTALLED = Path(sysconfig.get_paths()["platlib"], "pyctd")
JOBS = int(os.environ.get("MUTANTS_JOBS", "2"))
LONGEST = 600
"""Seconds that the tests of one fault may take. A fault that makes them hang counts as caught."""
TIMEOUT = 60
"""Seconds that one test may take."""

CAUGHT, MISSED, BROKEN, STALE = "caught", "NOT CAUGHT", "DOES NOT BUILD", "STALE"


class Fault(NamedTuple):
    """A single fault."""

    file: str
    what: str
    old: str
    new: str
    tests: list[str]

    @property
    def in_go(self) -> bool:
        """Whether its file is Go's."""
        return self.file.endswith(".go")

    @property
    def by_pytest(self) -> bool:
        """Whether its tests are pytest tests."""
        return ".py" in self.tests[0]

    @property
    def package(self) -> str:
        """The Go package of its file."""
        return f"./{Path(self.file).parent.relative_to('gosrc')}"

    def planted(self) -> str:
        """The text of its file with the fault."""
        return (HERE / self.file).read_text().replace(self.old, self.new)


def read(text: str) -> Iterator[Fault]:
    """The faults in a file's text."""
    for block in re.split(r"\n\n+", text.strip()):
        lines = block.split("\n")
        file, _, what = lines[0].partition(": ")
        old, new, tests = ([line[1:] for line in lines[1:] if line[0] == sign] for sign in "-+=")
        if not what or not old or not tests or len(old) + len(new) + len(tests) + 1 != len(lines):
            raise ValueError(f"this is no fault:\n{block}")
        yield Fault(file, what, "\n".join(old), "\n".join(new), " ".join(tests).split())


def everyone() -> list[Fault]:
    """All faults."""
    return [fault for file in sorted(FAULTS.glob("*.txt")) for fault in read(file.read_text())]


def stale(fault: Fault) -> str:
    """Why a fault no longer fits the code or the tests; empty if it does."""
    file = HERE / fault.file
    count = file.read_text().count(fault.old) if file.is_file() else 0
    if count != 1:
        return f"its text is in the file {count} times"
    for test in fault.tests:
        path, _, name = test.rpartition("::")
        files = [HERE / "tests" / path] if fault.by_pytest else file.parent.glob("*_test.go")
        if not any(re.search(rf"^(def|func) {name}\(", one.read_text(), re.M) for one in files if one.is_file()):
            return f"there is no test {test}"
    return ""


def run(command: Sequence[str], cwd: Path, **env: str) -> tuple[int, str]:
    """Runs a command. Returns its exit code and output; exit code 1 if it takes too long."""
    try:
        done = subprocess.run(
            command,
            cwd=cwd,
            env=os.environ | env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=LONGEST,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return 1, f"the tests did not end within {LONGEST} s"
    return done.returncode, done.stdout


def go(*arguments: str) -> tuple[int, str]:
    """Runs the go command. Returns its exit code and output."""
    return run(("go", *arguments), HERE / "gosrc", CGO_ENABLED="1")


def go_test(package: str, tests: Iterable[str], *options: str) -> tuple[int, str]:
    """Runs Go tests of a package by name."""
    flags = ("-vet=off", "-ldflags=-s -w", "-failfast", f"-timeout={TIMEOUT}s", f"-run=^({'|'.join(tests)})$")
    return go("test", *flags, *options, package)


def pytest(place: Path, tests: Iterable[str], *options: str) -> tuple[int, str]:
    """Runs tests on the copy of the package in a directory."""
    config = ("-c", "../pyproject.toml", "--rootdir", "..", "-o", f"timeout={TIMEOUT}", "-p", "no:randomly", "-q")
    command = (sys.executable, "-m", "pytest", *config, *options, *tests)
    return run(command, HERE / "tests", PYTHONPATH=os.fspath(place))


def copied(place: Path) -> Path:
    """Copies the installed package into a directory for PYTHONPATH. Returns the copy."""
    return Path(shutil.copytree(INSTALLED, place / "pyctd", ignore=shutil.ignore_patterns("__pycache__")))


def overlay(place: Path, fault: Fault, text: str) -> str:
    """The option that makes Go compile the faulty text instead of the file."""
    (place / "faulty.go").write_text(text)
    (place / "overlay.json").write_text(json.dumps({"Replace": {f"{HERE / fault.file}": f"{place / 'faulty.go'}"}}))
    return f"-overlay={place / 'overlay.json'}"


def tried(fault: Fault) -> tuple[str, str]:
    """Tries a fault. Returns the outcome, and the test that caught it or other details."""
    if why := stale(fault):
        return STALE, why
    text = fault.planted()
    with tempfile.TemporaryDirectory(prefix="mutant-") as name:
        place = Path(name)
        if not fault.by_pytest:
            code, output = go_test(fault.package, fault.tests, overlay(place, fault, text))
        else:
            package = copied(place)
            if fault.in_go:
                flags = ("-trimpath", "-tags=grpcnotrace", "-ldflags=-s -w", "-buildmode=c-shared")
                code, output = go("build", overlay(place, fault, text), *flags, "-o", f"{package / 'libpyctd.so'}", ".")
                if code:
                    return BROKEN, output[-500:]
            else:
                package.joinpath(Path(fault.file).relative_to("pyctd")).write_text(text)
            code, output = pytest(place, fault.tests, "-x")
    if code in (4, 5) or re.search(r"\[build failed\]|errors? during collection", output):  # 4, 5: pytest found no test
        return BROKEN, output[-500:]
    if code == 0:
        return MISSED, " ".join(fault.tests)
    by = re.search(r"^(?:--- FAIL: |FAILED (?:\S+::)?|ERROR (?:\S+::)?)(\S+)", output, re.M)
    return CAUGHT, by[1] if by else output.strip()[-200:]


def without_a_fault(faults: list[Fault]) -> str:
    """The output of the tests if they fail without a fault; else empty."""
    of_python = {test: None for fault in faults if fault.by_pytest for test in fault.tests}
    if of_python:
        with tempfile.TemporaryDirectory(prefix="mutant-") as place:
            copied(Path(place))
            code, output = pytest(Path(place), of_python)
            if code:
                return output
    for package in sorted({fault.package for fault in faults if not fault.by_pytest}):
        names = {test for fault in faults if fault.in_go and fault.package == package for test in fault.tests}
        code, output = go_test(package, sorted(names))
        if code:
            return output
    return ""


def main(words: list[str]) -> int:
    """Tries the faults, and prints the outcome of each."""
    faults = [one for one in everyone() if not words or any(word in f"{one.file} {one.what}" for word in words)]
    if output := without_a_fault(faults):
        print(output, "the tests fail without a fault, too", sep="\n")
        return 1

    def timed(fault: Fault) -> tuple[Fault, str, str, float]:
        begun = time.monotonic()
        return (fault, *tried(fault), time.monotonic() - begun)

    found: Counter[str] = Counter()
    with ThreadPoolExecutor(JOBS) as pool:
        for trial in as_completed([pool.submit(timed, fault) for fault in faults]):
            fault, outcome, told, seconds = trial.result()
            found[outcome] += 1
            print(f"{outcome:<14} {seconds:4.0f} s  {fault.file}: {fault.what}  [{told}]", flush=True)
    print(f"{found[CAUGHT]} of {len(faults)} faults are caught")
    return int(found[CAUGHT] != len(faults))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
