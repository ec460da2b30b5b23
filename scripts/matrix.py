#!/usr/bin/env python3
"""Runs the integration tests on several versions of containerd, runc and crun, and prints the results.

    matrix.py DIRECTORY PYTHON [TESTS...]

Each containerd and runc is built from its Go module, in the newest release that matches the query; crun is Debian's.
The table lists what is not available. DIRECTORY keeps the programs. All other programs come from PATH, including the
containerd of the rows for runc and crun. CONTAINERD_TAGS are Go's build tags.
"""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

HERE = Path(__file__).resolve().parents[1]
TESTS = [
    f"integration/test_{name}.py" for name in ("container", "task", "exec", "events", "process", "signals", "stdio")
]
PROBE = "integration/test_container.py::test_create_run_delete"
TAGS = os.environ["CONTAINERD_TAGS"]


class Absent(Exception):
    """A program is not available."""


def call(*command: str, cwd: Path | None = None, **env: str) -> str:
    """Runs a command; returns its output, or raises an error with the end of the output."""
    done = subprocess.run(
        command, cwd=cwd, env=os.environ | env, capture_output=True, text=True, check=False, timeout=1800
    )
    if done.returncode:
        raise Absent(f"{command[0]}: {(done.stderr or done.stdout).strip().splitlines()[-1:]}")
    return done.stdout


def built(directory: Path, query: str, module: str, *packages: str, variable: str, cgo: bool = False) -> None:
    """Builds programs of a module's release in a directory."""
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place:
        work = Path(place)
        (work / "go.mod").write_text("module matrix\n")
        names = [f"{module}{package}" for package in packages]
        call("go", "get", *(f"{name}@{query}" for name in names), cwd=work)
        version = call("go", "list", "-m", "-f", "{{.Version}}", module, cwd=work).strip()
        flags = ("-trimpath", "-tags", TAGS, "-ldflags", f"-s -w -X {variable}={version}")
        call("go", "build", *flags, "-o", f"{directory}/", *names, cwd=work, CGO_ENABLED="1" if cgo else "0")
    (directory / "version").write_text(version)


def containerd(directory: Path, query: str) -> None:
    """Builds containerd and its shim."""
    module = "github.com/containerd/containerd" + ("" if query.startswith("v1") else "/v2")
    built(
        directory,
        query,
        module,
        "/cmd/containerd",
        "/cmd/containerd-shim-runc-v2",
        variable=f"{module}/version.Version",
    )


def runc(directory: Path, query: str) -> None:
    """Builds runc, without seccomp, which would need a C library."""
    built(directory, query, "github.com/opencontainers/runc", "", variable="main.version", cgo=True)


def crun(directory: Path, query: str) -> None:
    """Installs crun under the name runc, which the shim looks for."""
    shutil.rmtree(directory, ignore_errors=True)
    root = directory / "root"
    root.mkdir(parents=True)
    call("apt-get", "download", query, "libyajl2", cwd=directory)
    for package in directory.glob("*.deb"):
        call("dpkg-deb", "-x", str(package), str(root))
    libraries = next(root.glob("usr/lib/*-linux-gnu"))
    program = directory / "runc"
    program.write_text(f'#!/bin/sh\nLD_LIBRARY_PATH={libraries} exec {root}/usr/bin/crun "$@"\n')
    program.chmod(0o755)
    (directory / "version").write_text(call(str(program), "--version").split()[2])


@dataclasses.dataclass
class Row:
    """The program and version of a row.

    Attributes:
        get: builds or downloads it; None: use the one on PATH.
        query: the version query or package for ``get``.
        oci_version: the OCI version of its specs; None: moby's, which Debian 12's crun does not know yet.
        picky: whether it may fail to run at all where runc works, like Debian 12's crun with both cgroup versions.
    """

    what: str
    get: Callable[[Path, str], None] | None = None
    query: str = ""
    oci_version: str | None = None
    picky: bool = False


ROWS = [
    Row("containerd"),
    *(Row("containerd", containerd, query) for query in ("v1.7", "v2.0", "v2.1", "latest")),
    *(Row("runc", runc, query) for query in ("v1.1", "v1.3")),
    Row("crun", crun, "crun", oci_version="1.0.2", picky=True),
]


@dataclasses.dataclass
class Outcome:
    """The test results of a row."""

    passed: int = 0
    skipped: int = 0
    failed: list[str] = dataclasses.field(default_factory=list)
    why: str = ""  # why the first failed
    seconds: float = 0.0


def tested(python: str, programs: Path | None, oci_version: str | None, tests: list[str]) -> Outcome:
    """Runs the tests with some programs first on PATH."""
    began = time.monotonic()
    env = {"PATH": os.environ["PATH"] if programs is None else f"{programs}:{os.environ['PATH']}"}
    if oci_version is not None:
        env["OCI_VERSION"] = oci_version
    with tempfile.NamedTemporaryFile(suffix=".xml") as report:
        command = [
            python,
            "-m",
            "pytest",
            "-c",
            "../pyproject.toml",
            "--rootdir",
            "..",
            "-q",
            f"--junit-xml={report.name}",
        ]
        done = subprocess.run(
            [*command, *tests],
            cwd=HERE / "tests",
            env=os.environ | env,
            capture_output=True,
            text=True,
            check=False,
        )
        outcome = Outcome()
        try:
            cases = list(ElementTree.parse(report.name).iter("testcase"))
        except ElementTree.ParseError:
            raise Absent(f"pytest: {(done.stdout + done.stderr).strip().splitlines()[-1:]}") from None
    for case in cases:
        failures = [*case.iter("failure"), *case.iter("error")]
        if failures:
            outcome.failed.append(f"{case.get('name')}")
            outcome.why = outcome.why or failures[0].get("message", "")
        elif case.find("skipped") is not None:
            outcome.skipped += 1
        else:
            outcome.passed += 1
    outcome.seconds = time.monotonic() - began
    return outcome


def _few(names: list[str]) -> str:
    """The first failures, one line each."""
    return "\n".join([*names[:8], *([f"… and {len(names) - 8} more"] if len(names) > 8 else [])])


def version_on_path() -> str:
    """The version of the containerd on PATH."""
    return call("containerd", "--version").split()[2]


def main() -> int:
    """Prints the table; returns 1 if a test failed."""
    if len(sys.argv) < 3:
        print(__doc__)
        return 2
    keep, python, tests = Path(sys.argv[1]).resolve(), sys.argv[2], sys.argv[3:] or TESTS
    table = Table("what", "version", "passed", "skipped", "failed", "which", title="matrix")
    bad = False
    for row in ROWS:
        programs = None if row.get is None else keep / re.sub(r"\W", "-", f"{row.what}-{row.query}")
        print(f"{row.what} {row.query or 'on PATH'}", flush=True)
        try:
            if row.get is not None and programs is not None and not (programs / "version").exists():
                row.get(programs, row.query)
            version = version_on_path() if programs is None else (programs / "version").read_text()
            if row.picky and (why := tested(python, programs, row.oci_version, [PROBE]).why):
                raise Absent(f"it runs no container here: {why}")
            outcome = tested(python, programs, row.oci_version, tests)
        except (Absent, OSError, subprocess.SubprocessError) as error:
            table.add_row(row.what, row.query, "", "", "", escape(f"not to be had: {error}"))
            continue
        print(
            f"  {version}: {outcome.passed} passed, {len(outcome.failed)} failed in {outcome.seconds:.0f} s", flush=True
        )
        bad = bad or bool(outcome.failed)
        counts = (str(outcome.passed), str(outcome.skipped), str(len(outcome.failed)))
        of = f"OCI {row.oci_version}" if row.oci_version else ""
        table.add_row(row.what, f"{version} {of}".strip(), *counts, escape(_few(sorted(set(outcome.failed)))))
    Console(width=140).print(table)
    return int(bad)


if __name__ == "__main__":
    sys.exit(main())
