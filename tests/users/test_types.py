"""The types that pyctd's users see: the strictest mypy and pyright pass their programs, and find their slips."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("program.py")


def check(*command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    # pyright looks for the packages of the python on PATH.
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return subprocess.run(
        [sys.executable, "-m", *command],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        cwd=cwd,
        env={**os.environ, "PATH": path},
    )


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project of the user's, away from this one, so that it is the installed package that is looked at."""
    shutil.copy(PROGRAM, tmp_path)
    strictest = {
        "include": [PROGRAM.name],
        "pythonVersion": "3.10",
        "typeCheckingMode": "strict",
        "reportUnnecessaryTypeIgnoreComment": True,
        # mypy's names of errors, in comments that both read.
        "enableTypeIgnoreComments": True,
        # The slips are expressions that do nothing else.
        "reportUnusedExpression": False,
        "reportUnusedCoroutine": False,
    }
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(strictest))
    return tmp_path


@pytest.mark.timeout(400)
def test_mypy_of_a_users_program(project: Path) -> None:
    done = check("mypy", "--strict", "--python-version=3.10", "--no-incremental", PROGRAM.name, cwd=project)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.timeout(400)
def test_pyright_of_a_users_program(project: Path) -> None:
    done = check("pyright", cwd=project)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.timeout(400)
def test_every_public_name_is_typed_and_documented(project: Path) -> None:
    done = check("pyright", "--verifytypes=pyctd", "--ignoreexternal", "--outputjson", cwd=project)
    found = json.loads(done.stdout)["typeCompleteness"]
    faulty = [symbol["name"] for symbol in found["symbols"] if symbol["isExported"] and symbol["diagnostics"]]
    assert (found["completenessScore"], faulty) == (1, [])
    assert (found["missingFunctionDocStringCount"], found["missingClassDocStringCount"]) == (0, 0)
