"""``pyctd exec`` and ``pyctd attach``: into a container that runs."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest
from support.cli import Cli

import pyctd


def test_exec_has_what_the_container_has(cli: Cli) -> None:
    cli.start("web", "-e", "A=container", "-e", "B=container", "-w", "/tmp", "--hostname", "box", "/bin/sleep", "600")
    script = "echo $A $B; pwd; id -u; hostname; cat; echo err >&2; exit 7"
    args = ("exec", "-i", "-e", "B=exec", "web", "/bin/sh", "-c", script)
    assert cli(*args, stdin="typed\n") == (7, "container exec\n/tmp\n0\nbox\ntyped\n", "err\n")


def test_exec_as_somebody_else_somewhere_else(cli: Cli, rootfs: Path) -> None:
    cli.start("web")
    assert cli("exec", "-u", "root", "web", "id", "-u").out == "0\n"
    out = cli("exec", "-u", "1000:1001", "-w", "/bin", "web", "/bin/sh", "-c", "id -u; id -g; pwd").out
    assert out == "1000\n1001\n/bin\n"
    code, _, err = cli("exec", "-u", "nobody-knows", "web", "id")
    assert code == 1
    assert "unable to find user 'nobody-knows'" in err


@pytest.mark.parametrize(("command", "code"), [("nothing", 127), ("/bin/notexecutable", 126)])
def test_exec_of_what_is_no_command(cli: Cli, command: str, code: int) -> None:
    cli.start("web")
    status, out, err = cli("exec", "web", command)
    assert (status, out) == (code, "")
    assert err.startswith("pyctd: ")
    assert command in err


def test_exec_detached(cli: Cli) -> None:
    cli.start("web")
    assert cli("exec", "-d", "web", "/bin/sleep", "601") == (0, "", "")
    assert "sleep 601" in cli("top", "web").out


def test_exec_where_nothing_runs(cli: Cli) -> None:
    cli.client.new_container("idle", pyctd.spec.default(cli.rootfs, ["/bin/true"]))
    code, _, err = cli("exec", "idle", "/bin/true")
    assert code == 1
    assert "hint: nothing runs in it" in err


def test_signals_are_passed_on_to_an_exec(cli: Cli) -> None:
    cli.start("web")
    script = "trap 'echo got it; exit 9' TERM; echo ready; while :; do sleep 0.05; done"
    with cli.under_way("exec", "web", "/bin/sh", "-c", script) as process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (9, "got it\n", "")


def test_attach_to_a_detached_run(cli: Cli) -> None:
    cli.start("shell", "-i", "/bin/sh", "-c", "echo early; while read line; do echo got $line; done; exit 5")
    assert cli("attach", "shell", stdin="a\nb\n") == (5, "early\ngot a\ngot b\n", "")


def test_attach_that_leaves_again(cli: Cli) -> None:
    cli.start("shell", "-i", "/bin/sh", "-c", "while read line; do echo got $line; done; exit 5")
    with cli.under_way("attach", "--no-sig-proxy", "shell", stdin=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write("a\n")
        process.stdin.flush()
        assert process.stdout.readline() == "got a\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
    assert cli.client.load_container("shell").task().status().status == "running"
    assert cli("attach", "shell", stdin="b\n") == (5, "got b\n", "")


def test_attach_to_what_has_no_streams(cli: Cli, tmp_path: Path) -> None:
    cli.start("mute", "/bin/sh", "-c", "sleep 1; exit 3")
    assert cli("attach", "mute") == (3, "", "pyctd: mute was started without streams: this waits for its end\n")
    cli.start("logs", "--log", str(tmp_path / "log"), "/bin/sleep", "600")
    code, _, err = cli("attach", "logs")
    assert (code, err) == (1, f"pyctd: the output of logs goes to {tmp_path}/log, not here\n")
    cli.start("percent", "--log", str(tmp_path / "100%"), "/bin/sleep", "600")
    code, _, err = cli("attach", "percent")
    assert code == 1
    assert "hint: its output goes to that file" in err
