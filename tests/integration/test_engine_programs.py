"""Whose containerd, shim and runc an engine runs."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.box import Box
from support.cli import Cli

import pyctd


@pytest.fixture
def mine(place: Path) -> Path:
    """A directory with the programs of PATH under their names, which note each call in a file."""
    directory = place / "programs"
    directory.mkdir()
    for name in ("containerd", "containerd-shim-runc-v2", "runc"):
        program = shutil.which(name)
        assert program
        (directory / name).write_text(f'#!/bin/sh\necho {name} >>{place}/called\nexec {program} "$@"\n')
        (directory / name).chmod(0o755)
    return directory


def test_an_engine_runs_the_programs_of_its_directory(mine: Path, rootfs: Path) -> None:
    with pyctd.Engine(path=mine) as engine:
        with engine.client() as client:
            assert Box(client, rootfs).run("/bin/echo", "mine")[1].stdout == b"mine\n"
        assert {*(mine.parent / "called").read_text().split()} == {"containerd", "containerd-shim-runc-v2", "runc"}
        assert {(Path(program.path).parent, program.source) for program in engine.versions.values()} == {(mine, "path")}


def test_the_variable_chooses_an_engines_programs(mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYCTD_ENGINE_PATH", str(mine))
    with pyctd.Engine() as engine, engine.client() as client:
        program = engine.versions["containerd"]
        assert program == (client.version().version.removeprefix("v"), str(mine / "containerd"), "PYCTD_ENGINE_PATH")


def test_an_engine_that_uses_another_has_no_programs(engine: pyctd.Engine, place: Path) -> None:
    assert pyctd.Engine(engine.address).versions == {}
    with pytest.raises(pyctd.InvalidArgumentError, match="it takes no root or state, nor a path"):
        pyctd.Engine(engine.address, path=place)


OPT = """
import subprocess, sys
from pathlib import Path
import pyctd

place, rootfs = map(Path, sys.argv[1:])
subprocess.run(["mount", "--bind", place / "opt", "/opt"], check=True)
with pyctd.Engine(root=place / "r", state=place / "s") as engine, engine.client() as client:
    container = client.new_container("c", pyctd.spec.default(rootfs, ["/bin/echo", "hello"]))
    task = container.start(attach_stdio=(out := pyctd.stdio.capture()))
    print(task.wait(timeout=60).exit_code, out.stdout)
    task.delete(), container.delete()
"""


def test_programs_in_opt_are_not_an_engines(place: Path, rootfs: Path) -> None:
    """containerd has a plugin that puts /opt/containerd/bin before PATH, for the shim and its runc."""
    bin = place / "opt" / "containerd" / "bin"
    bin.mkdir(parents=True)
    for name in ("containerd-shim-runc-v2", "runc"):
        (bin / name).write_text(f"#!/bin/sh\necho {name} >>{place}/called\nexit 1\n")
        (bin / name).chmod(0o755)
    done = subprocess.run(
        ["unshare", "--mount", sys.executable, "-c", OPT, place, rootfs],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert (done.stdout, done.returncode) == ("0 b'hello\\n'\n", 0), done.stderr
    assert not (place / "called").exists()


def test_doctors_tell_whose_programs_an_engine_would_run(cli: Cli, mine: Path) -> None:
    checks = {one["name"]: one for one in json.loads(cli("doctor", "--json", env={"PYCTD_ENGINE_PATH": str(mine)}).out)}
    for name in ("containerd", "containerd-shim-runc-v2", "runc"):
        assert checks[name]["state"] == "ok", checks[name]
        assert checks[name]["detail"].endswith(f"at {mine}/{name} (PYCTD_ENGINE_PATH)")
