"""The demo and the README's example, each as a user runs it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pyctd

CHECKOUT = Path(__file__).resolve().parents[2]


def test_the_demo() -> None:
    done = subprocess.run(
        [sys.executable, CHECKOUT / "examples" / "demo.py"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd="/",
    )
    assert (done.returncode, done.stderr) == (0, "")
    for words in (
        "Version(version=",
        "line 3",
        "exit code: 7",
        "WRITTEN BY PYTHON",
        "paused",
        "pids: [",
        "exit_code=137",
    ):
        assert words in done.stdout
    for event in ("create", "start", "exec-added", "exec-started", "paused", "resumed", "exit with 137"):
        assert f": {event}\n" in done.stdout


def test_the_example_of_the_readme(base: Path) -> None:
    example = re.search(r"```python\n(.*?)```", (CHECKOUT / "README.md").read_text(), re.DOTALL)
    assert example
    assert len(example.group(1).splitlines()) <= 12
    with tempfile.TemporaryDirectory(dir=base) as place:  # whose path is short enough for the engine's socket
        done = subprocess.run(
            [sys.executable, "-c", example.group(1)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            cwd=place,
            env={**os.environ, "TMPDIR": place},
        )
    assert (done.returncode, done.stdout, done.stderr) == (0, "0 b'hello\\n'\n", "")


def test_the_table_of_methods_names_every_method() -> None:
    text = (CHECKOUT / "docs" / "guides" / "from-go.md").read_text()
    for cls in (pyctd.Client, pyctd.Container, pyctd.Process, pyctd.Task):
        for name in vars(cls):
            if not name.startswith("_") and name not in ("listens", "receive", "close"):
                assert f".{name}" in text, f"{cls.__name__}.{name}"


def test_the_readme_links_absolutely_to_files_that_exist() -> None:
    """So that the links work on PyPI, too."""
    text = (CHECKOUT / "README.md").read_text()
    links = re.findall(r"\]\(([^)]+)\)", text)
    ours = [
        re.sub(r"^https://(?:raw\.githubusercontent\.com|github\.com)/pyctd/pyctd/(?:blob/)?main/", "", link)
        for link in links
    ]
    assert ours
    assert all(link.startswith("https://") for link in links)
    assert [link for link, path in zip(links, ours, strict=True) if not (CHECKOUT / path).is_file()] == []
