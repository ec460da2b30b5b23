"""``pyctd checkpoint`` and ``restore``."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import criu
from support.box import eventually
from support.cli import Cli

pytestmark = pytest.mark.skipif(bool(criu.why_not()), reason=criu.why_not())


def counted(log: Path) -> list[int]:
    return [int(word) for word in log.read_text().split()] if log.exists() else []


def test_a_container_goes_on_where_it_was(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    script = "trap 'exit 9' TERM; i=0; while :; do i=$((i+1)); echo $i >> /out/log; sleep 0.05; done"
    cli.start("web", "-v", f"{tmp_path}/out:/out", "/bin/sh", "-c", script)
    log, checkpoint = tmp_path / "out" / "log", str(tmp_path / "checkpoint")
    eventually(lambda: len(counted(log)) >= 3)
    assert cli("checkpoint", "--kill", "web", checkpoint) == (0, "web\n", "")
    before = counted(log)
    assert cli.json("ps", "-a")[0]["exit_code"] == 137
    assert cli("restore", "-d", "web", checkpoint) == (0, "web\n", "")
    eventually(lambda: len(counted(log)) > len(before) + 3)
    # From the number that it was at, which may be some before the last that it wrote until it was killed.
    again = counted(log)[len(before)]
    assert 3 < again <= before[-1] + 1
    code, _, err = cli("restore", "web", checkpoint)
    assert code == 1
    assert "hint: 'pyctd kill' ends what runs in it" in err
    cli("kill", "web")
    with cli.under_way("restore", "web", checkpoint) as process:
        eventually(lambda: counted(log)[-1] == again + 5)
        process.terminate()
        assert process.wait(60) == 9, "the signal is passed on, and the exit code too"


def test_a_checkpoint_into_what_is_not_empty(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    cli.start("web")
    code, out, err = cli("checkpoint", "web", str(tmp_path))
    assert (code, out) == (1, "")
    assert err.startswith("pyctd: ")
    assert str(tmp_path) in err
    assert cli("restore", "web", str(tmp_path / "none")).code == 1


def test_what_a_container_calls_its_files_steers_no_terminal(cli: Cli, tmp_path: Path) -> None:
    """CRIU's reason names a file that has been renamed by a link while it is open."""
    script = (
        """f=$(printf '/dev/shm/\\033]0;evil\\007'); exec 3>"$f"; ln "$f" /dev/shm/other; rm "$f"; exec sleep 600"""
    )
    cli.start("web", "/bin/sh", "-c", script)
    task = cli.client.load_container("web").task()
    eventually(lambda: Path(f"/proc/{task.pid}/cmdline").read_bytes().startswith(b"sleep"))
    code, _, err = cli("checkpoint", "web", str(tmp_path))
    assert code == 1
    assert "\x1b" not in err
    assert "/dev/shm/\\x1b]0;evil\\x07" in err
