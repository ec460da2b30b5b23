"""``pyctd stats``: once, and live."""

from __future__ import annotations

import json
import re
import signal

from support.cli import Cli, end_of

import pyctd


def test_stats(cli: Cli) -> None:
    cli.start("busy", "-m", "64m", "/bin/sh", "-c", "while :; do :; done")
    cli.start("idle")
    cli.client.new_container("never-started", pyctd.spec.default(cli.rootfs, ["/bin/true"]))
    head, busy, idle = cli("stats").out.splitlines()
    assert re.split(" {3,}", head) == ["ID", "CPU %", "MEM USAGE / LIMIT", "MEM %", "BLOCK I/O", "PIDS"]
    assert re.fullmatch(r"busy +\d+\.\d\d% +[\d.]+(KiB|MiB) / 64MiB +\d+\.\d\d% +\S+ / \S+ +1", busy)
    assert idle.startswith("idle ")
    (told,) = cli.json("stats", "busy")
    assert told["cpu_percent"] > 0, "a loop uses the CPU, however little of it there is"
    assert told["memory_limit_bytes"] == 64 << 20
    assert 0 < told["memory_bytes"] < 64 << 20
    assert told["pids"] == 1
    missing = f"pyctd: there is no container 'none' in the namespace {cli.client.namespace!r}\n"
    code, out, err = cli("stats", "none")
    assert (code, out, err.startswith(missing)) == (1, "", True)


def test_stats_that_go_on(cli: Cli) -> None:
    cli.start("web")
    with cli.under_way("stats", "--json", "--stream", "--interval", "0.1", "web") as process:
        assert process.stdout
        for _ in range(3):
            assert [one["id"] for one in json.loads(process.stdout.readline())] == ["web"]
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode == 130


def test_stats_of_a_paused_container(cli: Cli) -> None:
    """It is there, and the CPU time is that since the last look."""
    cli.start("web", "/bin/sh", "-c", "while :; do :; done")
    with cli.under_way("stats", "--json", "--stream", "--interval", "0.1") as process:
        assert process.stdout
        looks = (json.loads(line)[0]["cpu_percent"] for line in process.stdout)
        assert next(looks) > 0
        cli.client.load_container("web").task().pause()
        assert 0 in (next(looks) for _ in range(20))
        process.kill()


def test_stats_go_on_until_ctrl_c(cli: Cli) -> None:
    cli.start("web")
    with cli.on_a_terminal("stats", "--interval", "0.1") as terminal:
        for _ in range(3):  # it is drawn again and again
            terminal.expect(r"web .*\d\.\d\d%")
        terminal.sendintr()
        assert end_of(terminal) == 130
        assert "\x1b[?25h" in str(terminal.before), "the cursor is shown again"
        assert "Traceback" not in str(terminal.before)


def test_stats_starts_a_clean_screen_after_a_resize(cli: Cli) -> None:
    cli.start("web")
    with cli.on_a_terminal("stats", "--interval", "0.1", rows=24, columns=120) as terminal:
        terminal.expect("web")
        terminal.setwinsize(24, 60)
        terminal.expect(re.escape("\x1b[2J"))
        terminal.expect("web")
        terminal.sendintr()
        end_of(terminal)
