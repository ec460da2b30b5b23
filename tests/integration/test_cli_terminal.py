"""The command line on a real terminal: what is typed, what is seen, colours, tables that go on, and the way back."""

from __future__ import annotations

import re
import termios
from pathlib import Path

import pexpect
import pytest
from support import criu
from support.box import Box, eventually
from support.cli import Cli, end_of


def is_raw(terminal: pexpect.spawn[str]) -> bool:
    return not termios.tcgetattr(terminal.child_fd)[3] & termios.ICANON


def test_a_command_has_the_size_of_the_terminal_from_its_start(cli: Cli, box: Box) -> None:
    task, _ = box.start()
    for command in (["run", "--rm", "-it", "--rootfs", cli.rootfs], ["exec", "-it", task.container_id]):
        with cli.on_a_terminal(*command, "/bin/stty", "size", columns=91, rows=33) as terminal:
            terminal.expect("33 91\r\n")
            assert end_of(terminal) == 0


def test_a_shell_to_type_on(cli: Cli) -> None:
    with cli.on_a_terminal("run", "--rm", "-it", "--rootfs", cli.rootfs, "/bin/sh", columns=91, rows=33) as terminal:
        terminal.expect("# ")
        terminal.send("echo $((6*7)); tty; stty size\r")
        terminal.expect("42\r\n/dev/pts/0\r\n33 91\r\n")
        terminal.setwinsize(40, 120)
        eventually(lambda: terminal.send("stty size\r") and terminal.expect(["40 120\r\n", "33 91\r\n"]) == 0)
        terminal.send("echo beg''un; sleep 600\r")
        terminal.expect("begun")
        terminal.send("\x03")  # goes to what runs inside, not to pyctd
        terminal.send("exit 4\r")
        assert end_of(terminal) == 4
    assert cli.client.containers() == []


def test_the_terminal_is_given_back(cli: Cli) -> None:
    """A shell runs pyctd, as a person's does, so that the terminal lives on."""
    with cli.on_a_terminal("--version") as one:
        one.expect("pyctd ")
        end_of(one)
    command = f"{one.command} -m pyctd run --rm -it --rootfs {cli.rootfs} /bin/sh -c 'read x; exit 3'"
    shell = pexpect.spawn(
        "/bin/sh", ["-c", f"{command}; echo code $?; read y; echo read $y"], timeout=60, encoding="utf-8", env=one.env
    )
    try:
        eventually(lambda: is_raw(shell))
        shell.send("typed\r")
        shell.expect("code 3")
        assert not is_raw(shell)
        shell.sendline("again")
        shell.expect("read again")
    finally:
        shell.close(force=True)


def test_ctrl_c_without_a_tty_reaches_the_process(cli: Cli) -> None:
    script = "trap 'echo got it; exit 9' INT; echo ready; while :; do sleep 0.05; done"
    with cli.on_a_terminal("run", "--rm", "--rootfs", cli.rootfs, "/bin/sh", "-c", script) as terminal:
        terminal.expect("ready")
        terminal.sendintr()
        terminal.expect("got it")
        assert end_of(terminal) == 9


def test_exec_and_attach_on_a_terminal(cli: Cli) -> None:
    cli.start("shell", "-it", "/bin/sh")
    with cli.on_a_terminal("exec", "-it", "shell", "/bin/sh") as terminal:
        terminal.expect("# ")
        terminal.send("echo term $TERM; exit 5\r")
        terminal.expect("term xterm")
        assert end_of(terminal) == 5
    with cli.on_a_terminal("attach", "shell", columns=77) as terminal:
        eventually(lambda: is_raw(terminal))
        eventually(lambda: terminal.send("stty size\r") and terminal.expect(["24 77\r\n", "0 0\r\n"]) == 0)
        terminal.send("exit 6\r")
        assert end_of(terminal) == 6


def test_ctrl_p_ctrl_q_leaves_what_runs(cli: Cli) -> None:
    args = ("run", "--name", "shell", "-it", "--rootfs", cli.rootfs, "/bin/sh", "-c", "read x; echo $x; exit 6")
    with cli.on_a_terminal(*args) as terminal:
        eventually(lambda: is_raw(terminal))
        terminal.send("\x10\x11")
        assert end_of(terminal) == 0
    status = cli.client.load_container("shell").task().status().status
    assert status == "running"
    with cli.on_a_terminal("exec", "-it", "shell", "/bin/sh", "-c", "echo ready; sleep 601") as terminal:
        terminal.expect("ready")
        eventually(lambda: is_raw(terminal))
        terminal.send("\x10")
        terminal.send("\x11")
        assert end_of(terminal) == 0
    assert "sleep 601" in cli("top", "shell").out
    with cli.on_a_terminal("attach", "shell") as terminal:
        eventually(lambda: is_raw(terminal))
        terminal.send("a\x10b\r")
        terminal.expect_exact("a\x10b\r\n")
        assert end_of(terminal) == 6


def test_with_rm_every_key_is_the_containers(cli: Cli) -> None:
    """Nobody would remove it."""
    script = "stty raw; echo ready; head -c 2 | od -c"
    with cli.on_a_terminal("run", "--rm", "-it", "--rootfs", cli.rootfs, "/bin/sh", "-c", script) as terminal:
        terminal.expect("ready")
        eventually(lambda: is_raw(terminal))
        terminal.send("\x10\x11")
        terminal.expect("020 021")
        assert end_of(terminal) == 0


def test_tables_are_coloured_on_a_terminal_alone(cli: Cli) -> None:
    cli.start("web")
    with cli.on_a_terminal("ps") as terminal:
        terminal.expect(re.escape("\x1b[1m") + "ID")
        terminal.expect(re.escape("\x1b[32m") + "running")
        assert end_of(terminal) == 0
    assert "\x1b" not in cli("ps").out
    cli.env["NO_COLOR"] = "1"
    with cli.on_a_terminal("ps") as terminal:
        assert end_of(terminal) == 0
        assert "\x1b[32m" not in str(terminal.before)


def test_a_long_command_is_cut_to_the_terminal(cli: Cli) -> None:
    cli.start("web", "/bin/sh", "-c", "sleep 600; : " + "x" * 200)
    assert "x" * 200 in cli("ps", "--no-trunc").out
    with cli.on_a_terminal("ps", columns=80) as terminal:
        assert end_of(terminal) == 0
        lines = re.sub(r"\x1b\[[\d;]*m", "", str(terminal.before)).splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[1].rstrip().endswith("…")


def test_errors_and_help_are_coloured_on_a_terminal_alone(cli: Cli) -> None:
    with cli.on_a_terminal("rm", "none") as terminal:
        terminal.expect(re.escape("\x1b[31m\x1b[1mpyctd: \x1b[0m") + "there is no container 'none'")
        assert end_of(terminal) == 1
    assert "\x1b" not in cli("rm", "none").err
    with cli.on_a_terminal("--help") as terminal:
        terminal.expect(re.escape("\x1b[1mOptions"))
        assert end_of(terminal) == 0
    cli.env["NO_COLOR"] = "1"
    for args in (["rm", "none"], ["--help"]):
        with cli.on_a_terminal(*args) as terminal:
            end_of(terminal)
            assert "\x1b" not in str(terminal.before)


def test_events_end_with_ctrl_c(cli: Cli) -> None:
    with cli.on_a_terminal("events") as terminal:
        eventually(
            lambda: cli.run("/bin/true").code == 0 and terminal.expect(["exit_code=0", pexpect.TIMEOUT], 0.5) == 0
        )
        terminal.sendintr()
        assert end_of(terminal) == 130


@pytest.mark.skipif(bool(criu.why_not()), reason=criu.why_not())
def test_a_checkpoint_shows_that_it_is_under_way(cli: Cli, tmp_path: Path) -> None:
    cli.start("web")
    with cli.on_a_terminal("checkpoint", "web", str(tmp_path / "checkpoint")) as terminal:
        terminal.expect("checkpoint of web")
        terminal.expect("web\r\n")
        assert end_of(terminal) == 0
    assert cli("checkpoint", "web", str(tmp_path / "piped")) == (0, "web\n", "")
