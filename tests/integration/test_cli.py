"""The command line, the demo and the README's example, each as a user runs it."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.box import unique
from support.programs import CLI, cli, under_way

import pyctd

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.fixture
def run(engine: pyctd.Engine, rootfs: Path) -> list[str]:
    """The beginning of a command line that runs on the tests' daemon."""
    return ["run", "--address", engine.address, "--rootfs", str(rootfs)]


def test_run(run: list[str]) -> None:
    assert cli(*run, "--", "/bin/sh", "-c", "echo out; echo err >&2; exit 7") == (7, b"out\n", b"err\n")


def test_run_on_an_engine_of_its_own(rootfs: Path) -> None:
    assert cli("run", "--rootfs", str(rootfs), "--", "/bin/echo", "hello") == (0, b"hello\n", b"")


def test_run_with_options(run: list[str]) -> None:
    script = "echo $A $B; pwd; touch /tmp/x"
    code, out, err = cli(
        *run, "-e", "A=1", "--env", "B=a=b", "-w", "/tmp", "--read-only", "--", "/bin/sh", "-c", script
    )
    assert (code, out) == (1, b"1 a=b\n/tmp\n")
    assert b"Read-only file system" in err


def test_run_passes_stdin_if_asked(run: list[str]) -> None:
    assert cli(*run, "-i", "--", "/bin/cat", stdin=b"typed\n" * 100_000) == (0, b"typed\n" * 100_000, b"")
    assert cli(*run, "--", "/bin/cat", stdin=b"not asked for") == (0, b"", b"")


def test_run_keeps_arguments_apart(run: list[str]) -> None:
    code, out, _ = cli(*run, "--", "/bin/sh", "-c", 'printf "[%s]" "$@"', "sh", "a b", "", "--", "--name", "*")
    assert (code, out) == (0, b"[a b][][--][--name][*]")


@pytest.mark.parametrize(("number", "code"), [("KILL", 137), ("TERM", 143)])
def test_run_of_what_a_signal_ends(run: list[str], number: str, code: int) -> None:
    script = f"/bin/sh -c 'kill -{number} $$'; exit $?"
    assert cli(*run, "--", "/bin/sh", "-c", script)[0] == code


@pytest.mark.parametrize(
    ("command", "code"), [("/bin/nothing", 127), ("nothing", 127), ("/bin/notexecutable", 126), ("/etc", 126)]
)
def test_run_of_what_is_no_command(run: list[str], command: str, code: int) -> None:
    status, out, err = cli(*run, "--", command)
    assert (status, out) == (code, b"")
    assert err.startswith(b"pyctd: ")
    assert command.encode() in err
    assert err.count(b"\n") == 1


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--rootfs", "/no/where", "--", "sh"], "there is no directory '/no/where'"),
        (["--rootfs", "/", "--env", "A", "--", "sh"], "--env takes NAME=VALUE, not 'A'"),
        (["--rootfs", "/", "--workdir", "tmp", "--", "sh"], "cwd must be an absolute path"),
        (["--rootfs", "/", "--address", "/no.sock", "--", "sh"], "/no.sock"),
        (["--rootfs", "/", "--address", "no.sock", "--", "sh"], "absolute path"),
        (["--rootfs", "/", "--exec", "", "--", "sh"], "args must be"),
    ],
)
def test_run_that_can_not_be(args: list[str], words: str) -> None:
    code, out, err = cli("run", *args)
    assert (code, out) == (125, b"")
    assert words in err.decode()
    assert err.startswith(b"pyctd: ")
    assert err.count(b"\n") == 1


def test_run_with_a_name_that_is_none(run: list[str]) -> None:
    code, _, err = cli(*run, "--name", "../x", "--", "/bin/true")
    assert code == 125
    assert b"identifier" in err


def test_run_with_a_name_in_use(run: list[str], engine: pyctd.Engine, rootfs: Path) -> None:
    name = unique("cli")
    # The command line uses containerd's socket as any other client does: its containers are in the default place.
    with pyctd.Client(engine.address) as client:
        container = client.new_container(name, pyctd.spec.default(rootfs, ["/bin/sleep", "600"]))
        task = container.start()
        assert cli(*run, "--name", name, "--", "/bin/true") == (125, b"", b"pyctd: id already in use\n")
        assert task.status().status == "running", "a run must not touch another's container"
        task.force_delete()
        container.delete()


def test_exec(run: list[str]) -> None:
    execs = ["--exec", "echo 'in it'", "--exec", "sh -c 'exit 3'", "--exec", "nothing"]
    code, out, err = cli(*run, *execs, "--", "/bin/sh", "-c", "sleep 1; exit 5")
    assert (code, out) == (5, b"in it\n")
    assert b"""--exec "sh -c 'exit 3'" exited with 3""" in err
    assert b"--exec 'nothing': " in err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_are_passed_on(run: list[str], number: int) -> None:
    script = f"trap 'echo got it; exit 9' {number}; echo ready; while :; do sleep 0.05; done"
    command = [*CLI, *run, "--", "/bin/sh", "-c", script]
    with under_way(command) as process:
        assert process.stdout
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(number)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (9, b"got it\n", b"")


def test_the_third_ctrl_c_kills(run: list[str]) -> None:
    command = [*CLI, *run, "--", "/bin/sh", "-c", "trap '' INT; echo ready; sleep 600"]
    with under_way(command) as process:
        assert process.stdout
        assert process.stdout.readline() == b"ready\n"
        for _ in range(2):
            process.send_signal(signal.SIGINT)
            time.sleep(0.3)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (137, b"")


def test_a_terminal(run: list[str]) -> None:
    controller, terminal = pty.openpty()
    command = [*CLI, *run, "-it", "--", "/bin/sh", "-c", "tty; read line; echo got $line; exit 4"]
    with under_way(command, stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True) as p:
        os.close(terminal)
        seen = b""
        while select.select([controller], [], [], 20)[0]:
            try:
                data = os.read(controller, 4096)
            except OSError:  # the other side is closed
                break
            seen += data
            if b"/dev/pts/0" in seen and b"got" not in seen:
                os.write(controller, b"typed\r")
                seen += b" "
            if b"got typed" in seen:
                break
        assert p.wait(20) == 4, seen
    os.close(controller)
    assert b"got typed" in seen


def test_output_that_nobody_reads(run: list[str]) -> None:
    """As with `| head`: the command must not stall, nor the reader be told of each byte."""
    command = [*CLI, *run, "--", "/bin/sh", "-c", "yes | head -c 300000; exit 6"]
    with under_way(command) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.read(10)
        process.stdout.close()
        err = process.stderr.read()
        assert process.wait(20) == 6
    assert err.count(b"\n") <= 1


def test_version(engine: pyctd.Engine) -> None:
    for where in ([], ["--address", engine.address]):
        code, out, err = cli("version", *where)
        assert (code, err) == (0, b"")
        assert re.fullmatch(rb"pyctd \d+\.\d+\S*\ncontainerd v?\d+\.\d+\.\d+\S*( \(\S+\))?\n", out)


def test_version_without_a_daemon() -> None:
    code, out, err = cli("version", "--address", "/no.sock")
    assert code == 125
    assert out.startswith(b"pyctd ")
    assert err.startswith(b"pyctd: ")


def test_without_containerd(tmp_path: Path) -> None:
    code, _, err = cli("version", env={"PATH": str(tmp_path)})
    assert code == 125
    assert b"containerd is not on PATH: install it (on Debian: apt-get install containerd)" in err


def test_help_teaches_by_example() -> None:
    code, out, _ = cli("run", "--help")
    assert code == 0
    assert out.count(b"python -m pyctd run") >= 5
    assert cli("--help")[0] == 0
    assert cli()[0] == 2
    assert cli("run")[0] == 2


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


def test_the_example_of_the_readme(tmp_path: Path) -> None:
    example = re.search(r"```python\n(.*?)```", (CHECKOUT / "README.md").read_text(), re.DOTALL)
    assert example
    assert len(example.group(1).splitlines()) <= 12
    done = subprocess.run(
        [sys.executable, "-c", example.group(1)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "0 b'hello\\n'\n", "")


def test_the_readme_names_every_method() -> None:
    text = (CHECKOUT / "README.md").read_text()
    for cls in (pyctd.Client, pyctd.Container, pyctd.Process, pyctd.Task):
        for name in vars(cls):
            if not name.startswith("_") and name not in ("listens", "receive", "close"):
                assert f".{name}" in text, f"{cls.__name__}.{name}"
