"""``pyctd run`` with pipes for streams; test_cli_terminal.py has terminals."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.box import eventually, unique
from support.cli import Cli, pyctd_command
from support.daemon import Daemon
from support.harm import standing_still
from support.programs import under_way

import pyctd
from pyctd.cli._settings import DEFAULT_ADDRESS


def test_run(cli: Cli) -> None:
    assert cli.run("--", "/bin/sh", "-c", "echo out; echo err >&2; exit 7") == (7, "out\n", "err\n")
    assert cli.client.containers() == []


def test_run_on_an_engine_of_its_own(rootfs: Path) -> None:
    assert pyctd_command("run", "--engine", "--rootfs", str(rootfs), "/bin/echo", "hello") == (0, "hello\n", "")


def test_run_where_the_machine_has_no_containerd(rootfs: Path) -> None:
    if os.path.exists(DEFAULT_ADDRESS):
        pytest.skip("the machine has a containerd, and that is used")
    assert pyctd_command("run", "--rootfs", str(rootfs), "--", "/bin/echo", "hello") == (0, "hello\n", "")


def test_the_container_stays_unless_it_is_to_be_removed(cli: Cli) -> None:
    assert cli("run", "--name", "kept", "--rootfs", cli.rootfs, "/bin/sh", "-c", "exit 3").code == 3
    assert cli.client.load_container("kept").task().status().exit_status == 3


def test_run_with_options(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("shared\n")
    script = (
        "echo $A $B; pwd; id -g; hostname; cat /mnt/file; cat /spelt/file; touch /mnt/x; touch /tmp/x;"
        " df -k /scratch | tail -n 1 | tr -s ' ' | cut -d ' ' -f 2; stat -c %a /scratch"
    )
    code, out, err = cli.run(
        *("-e", "A=1", "--env", "B=a=b", "-w", "/tmp", "--read-only", "-u", "0:1000", "--hostname", "box"),
        *("-v", f"{tmp_path}:/mnt:ro", "--mount", f"type=bind,src={tmp_path},dst=/spelt,readonly"),
        *("--mount", "type=tmpfs,target=/scratch,tmpfs-size=2m,tmpfs-mode=700"),
        *("--", "/bin/sh", "-c", script),
    )
    assert (code, out) == (0, "1 a=b\n/tmp\n1000\nbox\nshared\nshared\n2048\n700\n")
    assert err.count("Read-only file system") == 2


def test_limits_and_labels_are_those_of_the_spec(cli: Cli) -> None:
    cli.start(
        "limited",
        *("-m", "64m", "--memory-reservation", "32m", "--cpus", "0.5", "--cpu-shares", "512", "--pids-limit", "50"),
        *("-l", "role=db", "--cap-add", "NET_ADMIN", "--cap-drop", "CHOWN", "/bin/sleep", "600"),
    )
    (info,) = cli.client.containers()
    assert info.labels["role"] == "db"
    assert info.spec
    resources = info.spec["linux"]["resources"]
    assert resources["memory"]["limit"] == 64 << 20
    assert resources["memory"]["reservation"] == 32 << 20
    assert resources["cpu"] == {"shares": 512, "period": 100_000, "quota": 50_000}
    assert resources["pids"]["limit"] == 50
    capabilities = info.spec["process"]["capabilities"]["bounding"]
    assert "CAP_NET_ADMIN" in capabilities
    assert "CAP_CHOWN" not in capabilities


def test_run_takes_the_value_of_a_variable_from_the_environment(cli: Cli) -> None:
    args = ("run", "--rm", "--rootfs", cli.rootfs, "-e", "GIVEN", "-e", "ABSENT_HERE", "/bin/sh", "-c")
    code, out, _ = cli(*args, "echo $GIVEN ${ABSENT_HERE-none}", env={"GIVEN": "from outside"})
    assert (code, out) == (0, "from outside none\n")


def test_run_passes_stdin_if_asked(cli: Cli) -> None:
    assert cli.run("-i", "/bin/cat", stdin="typed\n" * 100_000) == (0, "typed\n" * 100_000, "")
    assert cli.run("/bin/cat", stdin="not asked for") == (0, "", "")


def test_run_keeps_arguments_apart(cli: Cli) -> None:
    words = ["sh", "a b", "", "--", "--name", "*", "-i"]
    # With or without --, what follows the command is the command's.
    for dashes in (["--"], []):
        code, out, _ = cli.run(*dashes, "/bin/sh", "-c", 'printf "[%s]" "$@"', *words)
        assert (code, out) == (0, "[a b][][--][--name][*][-i]")


@pytest.mark.parametrize(("number", "code"), [("KILL", 137), ("TERM", 143)])
def test_run_of_what_a_signal_ends(cli: Cli, number: str, code: int) -> None:
    script = f"/bin/sh -c 'kill -{number} $$'; exit $?"
    assert cli.run("/bin/sh", "-c", script).code == code


@pytest.mark.parametrize(
    ("command", "code"), [("/bin/nothing", 127), ("nothing", 127), ("/bin/notexecutable", 126), ("/etc", 126)]
)
def test_run_of_what_is_no_command(cli: Cli, command: str, code: int) -> None:
    status, out, err = cli.run(command)
    assert (status, out) == (code, "")
    assert err.startswith("pyctd: ")
    assert command in err
    assert err.count("\n") == 1
    assert cli.client.containers() == []


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--rootfs", "/no/where", "sh"], "'/no/where' does not exist"),
        (["--rootfs", "/", "--env", "=A", "sh"], "--env takes NAME=VALUE or NAME: there is no"),
        (["--rootfs", "/", "--workdir", "tmp", "sh"], "cwd must be an absolute path"),
        (["--rootfs", "/", "-v", "name:/x", "sh"], "pyctd has no volumes with names"),
        (["--rootfs", "/", "-m", "much", "sh"], "a size is like 64m"),
        (["--rootfs", "/", "--address", "/no.sock", "sh"], "/no.sock"),
        (["--rootfs", "/", "--address", "no.sock", "sh"], "absolute path"),
        (["--rootfs", "/", "-d", "--rm", "sh"], "--rm needs a pyctd that waits for the end"),
        (["--rootfs", "/", "-d", "--engine", "sh"], "--engine needs a pyctd that waits for the end"),
        (["--rootfs", "/", "--log", "x", "sh"], "--log is for --detach"),
        (["--rootfs", "/", "--nonsense", "sh"], "--nonsense"),
        (["sh"], "--rootfs"),
        (["--help", "--rootfs"], "hint: 'pyctd run --help'"),
        (["--rm=1", "--help"], "hint: 'pyctd run --help'"),
    ],
)
def test_run_that_can_not_be(args: list[str], words: str) -> None:
    code, out, err = pyctd_command("run", *args)
    assert (code, out) == (125, "")
    assert words in err
    assert err.startswith("pyctd: ")
    assert err.count("\n") <= 2
    assert "Traceback" not in err


def test_debug_shows_the_traceback(cli: Cli) -> None:
    code, _, err = cli("--debug", "run", "--rootfs", cli.rootfs, "--name", "../x", "/bin/true")
    assert code == 125
    assert "Traceback" in err
    assert re.search(r"InvalidArgumentError: .*identifier", err)


def test_a_name_in_two_namespaces_is_two_containers(cli: Cli) -> None:
    other = {"CONTAINERD_NAMESPACE": f"{cli.client.namespace}-other"}
    cli.start("same")
    try:
        assert cli("run", "-d", "--name", "same", "--rootfs", cli.rootfs, "/bin/sleep", "600", env=other).code == 0
    finally:
        assert cli("rm", "-f", "same", env=other).code == 0
    assert cli.json("ps")[0]["status"] == "running"


def test_run_with_a_name_in_use(cli: Cli) -> None:
    cli.start("taken")
    code, out, err = cli.run("--name", "taken", "/bin/true")
    assert (code, out) == (125, "")
    assert err == (
        f"pyctd: there is a container 'taken' in the namespace {cli.client.namespace!r} already\n"
        "hint: 'pyctd rm' removes it, or give another --name\n"
    )
    status = cli.client.load_container("taken").task().status().status
    assert status == "running", "a run must not touch another's container"


@pytest.mark.parametrize("name", ["log", "10% of it", "a #?log: \u00e9"])
def test_a_detached_run_writes_a_log(cli: Cli, tmp_path: Path, name: str) -> None:
    log = tmp_path / name
    cli.start("logger", "--log", str(log), "/bin/sh", "-c", "echo out; echo err >&2; exit 4")
    eventually(lambda: cli.client.load_container("logger").task().status().status == "stopped")
    eventually(lambda: "out" in log.read_text().split())


def test_a_log_has_what_is_said_last_on_stderr(cli: Cli, tmp_path: Path) -> None:
    """stdout ends before it: a shim that took both for one file would have closed that."""
    log = tmp_path / "log"
    cli.start("logger", "--log", str(log), "/bin/sh", "-c", "echo out; exec >&-; sleep 0.5; echo err >&2")
    eventually(lambda: log.read_text().split() == ["out", "err"])


def test_a_detached_run_tells_of_itself_as_json(cli: Cli) -> None:
    told = json.loads(cli("run", "--json", "-d", "--name", "j", "--rootfs", cli.rootfs, "/bin/sleep", "600").out)
    assert told == {"id": "j", "pid": cli.client.load_container("j").task().pid}


def test_errors_as_json(cli: Cli) -> None:
    code, out, err = cli("run", "--json", "--rootfs", cli.rootfs, "--name", "../x", "/bin/true")
    assert (code, out) == (125, "")
    assert json.loads(err)["error"]["kind"] == "InvalidArgumentError"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_are_passed_on(cli: Cli, number: int) -> None:
    script = f"trap 'echo got it; exit 9' {number}; echo ready; while :; do sleep 0.05; done"
    with cli.under_way("run", "--rm", "--rootfs", cli.rootfs, "/bin/sh", "-c", script) as process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (9, "got it\n", "")


def test_what_nohup_has_it_ignore_is_ignored(cli: Cli) -> None:
    script = (
        "trap 'echo hung up' HUP; trap 'echo told' USR1; trap 'exit 9' TERM; echo ready; while :; do sleep 0.05; done"
    )
    args = ["run", "--rm", "--rootfs", cli.rootfs, "/bin/sh", "-c", script]
    with cli.under_way(*args, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)) as process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGUSR1)
        assert process.stdout.readline() == "told\n"
        process.send_signal(signal.SIGTERM)
        assert process.communicate(timeout=60) == ("", "")
    assert process.returncode == 9


def test_the_third_ctrl_c_kills(cli: Cli) -> None:
    script = "trap '' INT; echo ready; sleep 600"
    with cli.under_way("run", "--rm", "--rootfs", cli.rootfs, "/bin/sh", "-c", script) as process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        for _ in range(2):
            process.send_signal(signal.SIGINT)
            time.sleep(0.3)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (137, "")


@pytest.mark.parametrize("command", ["run", "exec"])
def test_the_code_is_the_commands_when_somebody_else_removes_the_container(cli: Cli, command: str) -> None:
    script = "trap 'echo told' USR1; echo ready; while :; do sleep 0.05; done"
    args = ["run", "--rm", "--name", "web", "--rootfs", cli.rootfs]
    if command == "exec":
        cli.start("web")
        args = ["exec", "web"]
    with cli.under_way(*args, "/bin/sh", "-c", script) as process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGUSR1)
        assert process.stdout.readline() == "told\n"  # it passes signals on, and so it waits
        assert cli("exec", "web", "/bin/true").code == 0
        with standing_still(process.pid):
            assert cli("rm", "--force", "web") == (0, "web\n", "")
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (137, "")


@pytest.mark.parametrize("command", ["run", "exec", "attach"])
def test_a_terminal_takes_no_stdin_that_is_none(cli: Cli, command: str) -> None:
    if command == "run":
        args = ["run", "-it", "--rm", "--rootfs", cli.rootfs, "/bin/cat"]
    else:
        cli("run", "-dt", "--name", "web", "--rootfs", cli.rootfs, "/bin/sleep", "600")
        args = ["exec", "-it", "web", "/bin/cat"] if command == "exec" else ["attach", "web"]
    assert cli(*args, stdin="typed") == (1, "", "pyctd: the input device is not a TTY\n")
    assert [one["id"] for one in cli.json("ps", "-a")] == ([] if command == "run" else ["web"])


def test_a_terminal_without_stdin_needs_none_here(cli: Cli) -> None:
    assert cli.run("-t", "/bin/tty") == (0, "/dev/pts/0\r\n", "")


def test_output_that_nobody_reads(cli: Cli) -> None:
    """As with `| head`: the command must not stall, nor the reader be told of each byte."""
    script = "yes | head -c 300000; exit 6"
    with cli.under_way("run", "--rm", "--rootfs", cli.rootfs, "/bin/sh", "-c", script) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.read(10)
        process.stdout.close()
        err = process.stderr.read()
        assert process.wait(60) in (6, 128 + signal.SIGPIPE)  # as it ends in time, or not
    assert err.count("\n") <= 1


@pytest.mark.parametrize("command", ["run", "run --rm", "exec", "attach"])
def test_a_command_that_ignores_that_nobody_reads_is_left(cli: Cli, command: str) -> None:
    """An init without a handler does so. With --rm the container goes, else it stays."""
    args = {
        "run": ["run", "--name", "web", "--rootfs", cli.rootfs, "/bin/yes"],
        "run --rm": ["run", "--rm", "--name", "web", "--rootfs", cli.rootfs, "/bin/yes"],
        "exec": ["exec", "web", "/bin/sh", "-c", "trap '' PIPE; yes"],
        "attach": ["attach", "--no-stdin", "web"],
    }[command]
    if command == "exec":
        cli.start("web")
    elif command == "attach":
        assert cli("run", "-di", "--name", "web", "--rootfs", cli.rootfs, "/bin/yes").code == 0
    with cli.under_way(*args) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.read(10)
        process.stdout.close()
        assert process.wait(30) == 128 + signal.SIGPIPE
        assert process.stderr.read() == ""
    left = [(one["id"], one["status"]) for one in cli.json("ps", "-a")]
    assert left == ([] if command == "run --rm" else [("web", "running")])


IN_HASTE = """if True:
    import sys
    from pyctd._streams import pumped
    from pyctd.cli import _streams, main
    pumped.GRACE = 0.1
    _streams.PATIENCE = float(sys.argv.pop(1))
    sys.exit(main())
"""
"""The program, which waits but a moment for what holds a stream open, and as long as it is told for containerd."""


@pytest.mark.parametrize("reads", [True, False])
def test_output_that_is_read_slowly_is_waited_for_until_a_signal(cli: Cli, reads: bool) -> None:
    numbers = range(1, 20_001)  # more than a pipe holds, and less than all pipes on the way
    args = ["run", "--name", "slow", "--rootfs", cli.rootfs, "/bin/seq", str(len(numbers))]
    with under_way([sys.executable, "-c", IN_HASTE, "60", *args], env=os.environ | cli.env) as process:
        eventually(lambda: [one["status"] for one in cli.json("ps", "-a")] == ["exited"])
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(1)
        if not reads:
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 143
            return
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out.split(), err) == (0, [b"%d" % number for number in numbers], b"")


@pytest.mark.parametrize(("command", "code"), [("run", 125), ("exec", 1)])
def test_output_that_can_not_be_written_is_told_of(cli: Cli, command: str, code: int) -> None:
    args = ["run", "--rm", "--rootfs", cli.rootfs]
    if command == "exec":
        cli.start("web")
        args = ["exec", "web"]
    with Path("/dev/full").open("w") as full, cli.under_way(*args, "/bin/echo", "lost", stdout=full) as process:
        _, err = process.communicate(timeout=60)
    told = "pyctd: stdout can't be written, and output is lost: No space left on device\n"
    assert (process.returncode, err) == (code, told)


def test_output_to_a_pipe_that_does_not_block_is_whole(cli: Cli) -> None:
    numbers = range(1, 20_001)
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    args = ["run", "--name", "slow", "--rootfs", cli.rootfs, "/bin/seq", str(len(numbers))]
    with cli.under_way(*args, stdout=writing) as process:
        os.close(writing)
        eventually(lambda: [one["status"] for one in cli.json("ps", "-a")] == ["exited"])
        with os.fdopen(reading) as file:
            assert file.read().split() == [f"{number}" for number in numbers]
        assert process.wait(60) == 0


def test_an_exec_whose_output_nobody_reads_is_told_so(cli: Cli) -> None:
    cli.start("web")
    with cli.under_way("exec", "web", "yes") as process:
        assert process.stdout
        assert process.stderr
        process.stdout.read(10)
        process.stdout.close()
        assert process.wait(60) == 128 + signal.SIGPIPE
        assert process.stderr.read() == ""


def test_a_run_on_a_containerd_that_hangs_ends_with_ctrl_c(own_daemon: Daemon, rootfs: Path) -> None:
    with own_daemon.client() as client:
        cli = Cli(client, rootfs)
        name = unique("hung")
        args = ["run", "--rm", "--name", name, "--rootfs", cli.rootfs, "/bin/sh", "-c", "echo ready; sleep 600"]
        with under_way([sys.executable, "-c", IN_HASTE, "0.5", *args], text=True, env=os.environ | cli.env) as process:
            assert process.stdout
            assert process.stdout.readline() == "ready\n"
            with standing_still(own_daemon.pid):
                process.send_signal(signal.SIGINT)
                _, err = process.communicate(timeout=60)
        told = f"pyctd: containerd does not answer: {name} is left, and 'pyctd rm --force {name}' removes it\n"
        assert (process.returncode, err) == (130, told)
        assert cli("rm", "--force", name) == (0, f"{name}\n", "")


def test_what_a_killed_run_leaves_can_be_removed(cli: Cli) -> None:
    args = ("run", "--rm", "--name", "orphan", "--rootfs", cli.rootfs)
    with cli.under_way(*args, "/bin/sh", "-c", "echo ready; sleep 600") as process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        process.kill()
    assert cli("rm", "--force", "orphan") == (0, "orphan\n", "")
    with pytest.raises(pyctd.NotFoundError):
        cli.client.load_container("orphan")
