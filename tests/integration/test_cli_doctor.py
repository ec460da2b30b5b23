"""``pyctd doctor`` on this machine."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from support.cli import Cli, pyctd_command

from pyctd.cli import _doctor
from pyctd.cli._settings import Settings


def test_doctor(cli: Cli) -> None:
    checks = {one["name"]: one for one in cli.json("doctor")}
    for name in ("system", "library", "user", "daemon", "containerd", "containerd-shim-runc-v2", "runc"):
        assert checks[name]["state"] == "ok", checks[name]
    assert cli.client.version().version in checks["daemon"]["detail"]
    out = cli("doctor").out
    assert re.search(r"^ok +daemon +containerd ", out, re.MULTILINE)


def test_doctor_where_much_is_missing(tmp_path: Path) -> None:
    """It says what to install, as far as nothing is in the directories where it always looks."""
    env = {"PATH": str(tmp_path), "CONTAINERD_ADDRESS": "/no.sock"}
    code, out, err = pyctd_command("doctor", "--json", env=env)
    checks = {one["name"]: one for one in json.loads(out)}
    assert (code, err) == (1, "")
    assert checks["daemon"]["state"] == "missing"
    assert checks["containerd"]["state"] == "missing"
    assert checks["containerd"]["hint"].endswith("apt-get install containerd")
    assert checks["containerd-shim-runc-v2"]["state"] == "missing"
    assert checks["ps"] == {
        "name": "ps",
        "state": "warning",
        "detail": "not on PATH",
        "hint": "pyctd top needs it: apt-get install procps",
    }


def test_doctor_runs_a_container(cli: Cli) -> None:
    assert "container" not in {one["name"] for one in cli.json("doctor")}
    check = next(one for one in cli.json("doctor", "--run") if one["name"] == "container")
    assert (check["state"], check["hint"]) == ("ok", "")
    assert cli.client.containers() == []


def test_doctor_tells_why_no_container_runs(cli: Cli, tmp_path: Path) -> None:
    """As where the root is no mount, which all the other looks find in order."""
    (tmp_path / "true").write_text("#!/nowhere\n")
    (tmp_path / "true").chmod(0o755)
    code, out, _ = cli("doctor", "--run", "--json", env={"PATH": f"{tmp_path}:/usr/bin:/bin"})
    check = next(one for one in json.loads(out) if one["name"] == "container")
    assert (code, check["state"]) == (1, "missing")
    assert "no such file or directory" in check["detail"]
    assert cli.client.containers() == []


def test_doctor_tells_of_a_container_that_fails(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyctd._programs.find", lambda name: "/bin/false")
    check = _doctor._container(Settings(cli.client.address, cli.client.namespace, cli.client.state_dir))
    assert (check.state, check.detail[:39]) == ("missing", "one ran and ended with 1 instead of 0; ")
    assert cli.client.containers() == []
