"""What a person meets on the command line: hints, tables that fit, screens that are whole."""

from __future__ import annotations

import pytest
from support.box import Box
from support.cli import Cli, end_of, pyctd_command
from support.programs import Programs


def test_exec_hints_at_what_has_become_of_the_container(cli: Cli, box: Box) -> None:
    ended = box.ended("/bin/true")
    code, _, err = cli("exec", ended.container_id, "/bin/true")
    assert code == 1
    assert err.endswith("hint: nothing runs in it: 'pyctd ps --all' shows what has become of it\n")
    task, _ = box.start()
    task.pause()
    code, _, err = cli("exec", task.container_id, "/bin/true")
    assert code == 1
    assert err.endswith("hint: 'pyctd resume' lets it go on\n")
    task.resume()


def test_attach_refuses_a_paused_container_as_docker_does(cli: Cli) -> None:
    cli.start("web", "-i", "/bin/cat")
    assert cli("pause", "web").code == 0
    code, out, err = cli("attach", "web")
    assert (code, out) == (1, "")
    assert "cannot attach to a paused container, unpause it first" in err
    assert cli("resume", "web").code == 0


def test_attach_shows_the_screen_before_a_key_is_typed(cli: Cli) -> None:
    """docker resizes the terminal, and what runs on it draws it again."""
    script = "trap 'echo size $(stty size)' WINCH; while :; do sleep 0.05; done"
    cli.start("screen", "-it", "/bin/sh", "-c", script)
    for _ in range(2):  # the second time the size is the same
        with cli.on_a_terminal("attach", "screen", rows=30, columns=90) as terminal:
            terminal.expect("size 30 90")
            terminal.send("\x10\x11")
            assert end_of(terminal) == 0


def test_ps_cuts_commands_short(cli: Cli) -> None:
    words = ["/bin/sh", "-c", "sleep 600; " + "echo " + "x" * 400]
    cli.start("long", *words)
    out = cli("ps").out
    assert max(map(len, out.splitlines())) < 150
    assert "…" in out
    assert "x" * 400 in cli("ps", "--no-trunc").out
    assert cli.json("ps")[0]["command"] == words


@pytest.mark.parametrize("wrong", ["status=running", "status==running", "id=web"])
def test_ps_explains_its_filters(cli: Cli, wrong: str) -> None:
    code, out, err = cli("ps", "--filter", wrong)
    assert (code, out) == (1, "")
    assert "filters are containerd's, such as id==web" in err


def test_kill_completes_signals() -> None:
    def completed(begun: str) -> set[str]:
        env = {"_PYCTD_COMPLETE": "bash_complete", "COMP_WORDS": f"pyctd kill -s {begun}", "COMP_CWORD": "3"}
        return {line.partition(",")[2] for line in pyctd_command(env=env).out.splitlines()}

    assert completed("SIGH") == {"SIGHUP"}
    assert completed("te") == {"TERM"}
    assert {"KILL", "RTMIN+3", "RTMAX"} <= completed("")


def test_a_program_without_logging_prints_nothing_of_gos_log(programs: Programs) -> None:
    """Neither for an exec that fails with a stdin, nor for a client that nobody closes."""
    code = """
    client = connect()
    container = client.new_container("quiet", spec("/bin/sleep", "600"))
    task = container.start()
    for number in range(3):
        try:
            task.exec(f"e{number}", pyctd.spec.process(["/nothing"]), attach_stdio=pyctd.stdio.capture(stdin=b"x"))
        except pyctd.Error as error:
            print(error.reason)
    task.force_delete(), container.delete()
    """
    assert programs.check(code) == "command-not-found\n" * 3


def test_a_program_that_configures_logging_has_gos_log(programs: Programs) -> None:
    code = """
    import logging
    logging.basicConfig(level=logging.ERROR, stream=sys.stdout, format="%(name)s")
    connect().close()
    logging.getLogger("pyctd.libcontainerd").error("as Go's host does")
    """
    assert programs.check(code) == "pyctd.libcontainerd\n"
