"""The build backend."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]


def test_build_py_is_no_program() -> None:
    """``python -m build`` finds build.py here before the package of that name, and must not seem to have worked."""
    done = subprocess.run(
        [sys.executable, "-m", "build"], capture_output=True, text=True, timeout=60, check=False, cwd=CHECKOUT
    )
    assert done.returncode == 1
    assert "pip wheel ." in done.stderr


def test_free_threaded_pythons_are_refused() -> None:
    """Before anything is built. No such Python is at hand here: this one says that it is one."""
    code = "import sysconfig; sysconfig.get_config_var = lambda name: name == 'Py_GIL_DISABLED'; import build"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False, cwd=CHECKOUT
    )
    assert (done.returncode, done.stderr) == (
        1,
        "pyctd does not support free-threaded CPython: use a build with the GIL.\n",
    )


def test_a_build_on_musl_says_why_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """No musl is at hand: its Python's build configuration stands for it."""
    monkeypatch.syspath_prepend(str(CHECKOUT))
    from building import machine

    machine.refuse_musl()
    monkeypatch.setattr(sysconfig, "get_config_var", {"HOST_GNU_TYPE": "x86_64-alpine-linux-musl", "SOABI": None}.get)
    with pytest.raises(SystemExit, match="does not run on musl"):
        machine.refuse_musl()


@pytest.mark.parametrize(
    ("named", "missing"),
    [(None, "gcc"), ("clang-of-nobody -pthread", "clang-of-nobody"), ("", "cc")],
)
def test_a_build_without_a_c_compiler_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, named: str | None, missing: str
) -> None:
    monkeypatch.syspath_prepend(str(CHECKOUT))
    from building import machine

    monkeypatch.delenv("CC", raising=False)
    machine.check()
    monkeypatch.setenv("PATH", str(tmp_path))
    if named is not None:
        monkeypatch.setenv("CC", named)
    with pytest.raises(SystemExit, match=f"needs a C compiler to build, and '{missing}' is not on PATH"):
        machine.check()


def test_the_demo_installs_no_tools_and_says_how_long_it_takes() -> None:
    dry_run = ["make", "--dry-run", "--always-make"]

    def steps(target: str) -> str:
        return subprocess.run([*dry_run, target], capture_output=True, text=True, check=True, cwd=CHECKOUT).stdout

    assert "[cli,test,lint]" not in steps("demo")
    assert "[cli,test,lint]" in steps("build")
    assert "The first run takes about" in steps("demo").partition("setup-system.sh")[0]


def test_every_package_is_in_the_wheel() -> None:
    tomllib = pytest.importorskip("tomllib")  # Python 3.11
    settings = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())
    packages = {str(path.parent.relative_to(CHECKOUT)) for path in (CHECKOUT / "pyctd").rglob("__init__.py")}
    assert set(settings["tool"]["setuptools"]["packages"]) == {name.replace("/", ".") for name in packages}
