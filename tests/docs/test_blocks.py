"""Each code block of README and of the guides is run, and prints what the document says."""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path

import pytest
from support import leaks

import pyctd

from .blocks import Blocks

CHECKOUT = Path(__file__).resolve().parents[2]
DOCUMENTS = [CHECKOUT / "README.md", CHECKOUT / "CONTRIBUTING.md", *sorted((CHECKOUT / "docs").glob("**/*.md"))]

SOURCES = [path for part in ("pyctd", "examples") for path in sorted((CHECKOUT / part).glob("**/*.py"))]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(CHECKOUT)))
def test_blocks(
    document: Path,
    engine: pyctd.Engine,
    client: pyctd.Client,
    rootfs: Path,
    base: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    directory = Path(tempfile.mkdtemp(prefix="d", dir=base))
    monkeypatch.setattr(tempfile, "tempdir", str(directory))  # examples need not clean up
    monkeypatch.setenv("TMPDIR", str(directory))
    monkeypatch.chdir(directory)
    # Quick start makes them; guides go on from there.
    names = {"client": client, "engine": engine, "rootfs": rootfs, "pyctd": pyctd}
    names["criu_works"] = shutil.which("criu") is not None  # make test puts one there that does, where it can be had
    stand_ins = {"/run/containerd/containerd.sock": engine.address, "--rootfs DIR": f"--rootfs {rootfs}"}
    stand_ins |= {"/var/lib/example": f"{directory}/r", "/run/example": f"{directory}/s"}
    Blocks(document, directory, names, stand_ins).run()
    for id in leaks.bundles_of(client):
        pytest.fail(f"{document} leaves container {id}")


@pytest.mark.parametrize("file", [*DOCUMENTS, *SOURCES], ids=lambda path: str(path.relative_to(CHECKOUT)))
def test_no_example_shows_a_state_directory_that_others_may_have_made(file: Path) -> None:
    """A name under /tmp, or one in whatever directory the program is started from."""
    shown = re.findall(r"""(?:(?:state_dir|state|root)=["']|--state-dir (?=/))([\w./-]+)""", file.read_text())
    assert [path for path in shown if path.startswith("/tmp") or not path.startswith("/")] == []


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("```python\nprint(1)  # 2\n```", "is not what was printed"),
        ("```python\nprint(1)\n```", "was not said"),
        ("```python\nprint(1)\n```\n```text\n2\n```", "is not what was printed"),
        ("```python\n1 / 0\n```", "division"),
        ("```python\nimport asyncio\nawait asyncio.sleep(1 / 0)\n```", "division"),
        ("```sh\nexit 3\n```", "3"),
        ("```c\nint main(void) { return 4; }\n```", "4"),
        ("```perl\n```", "nobody runs"),
        ("<!--- skip: next -->\n\n```python\n```", "who runs"),
    ],
)
def test_blocks_that_are_wrong(text: str, fault: str, tmp_path: Path) -> None:
    document = tmp_path / "wrong.md"
    document.write_text(f"{text}\n")
    with pytest.raises((AssertionError, ZeroDivisionError), match=fault):
        Blocks(document, tmp_path, {}, {}).run()


def test_blocks_that_are_right(tmp_path: Path) -> None:
    document = tmp_path / "right.md"
    document.write_text(
        "```python\nx = 5\nprint(x, x)  # 5 5\n```\n"
        "```python\nimport asyncio\nprint(await asyncio.sleep(0, x))\nprint('more')\n```\n```text\n5\n…\n```\n"
        "```sh\necho hello\n```\n```text\nhello\n```\n"
        '```c\n#include <stdio.h>\nint main(void) { puts("there"); }\n```\n```text\nthere\n```\n'
        '<!--- skip: next "nobody: this test" -->\n\n```python\n1 / 0\n```\n'
    )
    assert Blocks(document, tmp_path, {}, {}).run() == 9
