"""The commands of the command line that look at containers and change them, in pipes."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support import docker
from support.box import eventually
from support.cli import COMMAND, Cli, pyctd_command
from support.ctr import Ctr

import pyctd

NO_SUCH = "pyctd: there is no container 'none' in the namespace {!r}\n"


# -- what there is ---------------------------------------------------------------------------------------------------


def test_ps(cli: Cli) -> None:
    assert cli("ps") == (0, "ID   STATUS   PID   CREATED   IMAGE   COMMAND\n", "")
    cli.start("web", "-l", "role=web", "/bin/sleep", "600")
    assert cli("run", "--name", "done", "--rootfs", cli.rootfs, "/bin/sh", "-c", "exit 3").code == 3
    cli.client.new_container("new", pyctd.spec.default(cli.rootfs, ["/bin/echo", "a b", "\x1b[31m"]))
    pid = cli.client.load_container("web").task().pid

    rows = [re.split(" {3,}", line) for line in cli("ps").out.splitlines()]
    assert [row[:3] for row in rows] == [["ID", "STATUS", "PID"], ["web", "running", str(pid)]]
    assert rows[1][-1] == "/bin/sleep 600"

    out = cli("ps", "--all").out
    rows = [re.split(" {3,}", line) for line in out.splitlines()[1:]]
    assert [row[:3] for row in rows] == [
        ["new", "created", "-"],
        ["done", "exited (3)", "-"],
        ["web", "running", str(pid)],
    ]
    assert "\x1b" not in out, "what a command holds must not steer a terminal"
    assert rows[0][-1] == r"/bin/echo 'a b' '\x1b[31m'"
    assert cli("ps", "-aq").out == "new\ndone\nweb\n"
    assert cli("ps", "-q", "--filter", "labels.role==web").out == "web\n"

    found = {one["id"]: one for one in cli.json("ps", "-a")}
    assert found["web"]["status"] == "running"
    assert found["web"]["pid"] == pid
    assert found["web"]["labels"]["role"] == "web"
    assert (found["done"]["status"], found["done"]["exit_code"]) == ("exited", 3)
    assert found["done"]["exit_time"] > found["done"]["created_at"]
    assert found["new"]["command"] == ["/bin/echo", "a b", "\x1b[31m"]


def test_inspect(cli: Cli) -> None:
    cli.start("web")
    (told,) = json.loads(cli("inspect", "web").out)
    stored = Ctr(cli.client.address, cli.client.namespace).container("web")
    assert told["spec"] == stored["Spec"]
    assert told["labels"] == stored["Labels"]
    task = cli.client.load_container("web").task()
    assert told["task"] == {
        "status": "running",
        "pid": task.pid,
        "exit_code": None,
        "exit_time": None,
        "oom_killed": None,
        "exec_ids": [],
    }
    code, out, err = cli("inspect", "none", "web")
    assert (code, [one["id"] for one in json.loads(out)]) == (1, ["web"])
    assert err.startswith(NO_SUCH.format(cli.client.namespace))


def test_top(cli: Cli) -> None:
    cli.start("web", "/bin/sh", "-c", "sleep 601 & sleep 602; true")
    head, *rows = cli("top", "web").out.splitlines()
    assert head.split() == ["USER", "PID", "PPID", "CPU", "MEM", "TIME", "COMMAND"]
    assert [" ".join(row.split()[6:]) for row in rows] == [
        "/bin/sh -c sleep 601 & sleep 602; true",
        "sleep 601",
        "sleep 602",
    ]
    task = cli.client.load_container("web").task()
    assert sorted(int(row.split()[1]) for row in rows) == sorted(process.pid for process in task.pids())
    assert [one["command"] for one in cli.json("top", "web")][1:] == ["sleep 601", "sleep 602"]


def test_events(cli: Cli, tmp_path: Path) -> None:
    plain_out = tmp_path / "plain"
    exit_line = re.compile(r"^\d{4}-\S+\+00:00 exit +web pid=\d+ exit_code=4$", re.MULTILINE)

    def both_have_told() -> bool:
        return process.poll() == 0 and exit_line.search(plain_out.read_text()) is not None

    with (
        plain_out.open("w") as file,
        cli.under_way("events", "--json", "--count", "3", "web") as process,
        cli.under_way("events", stdout=file) as plain,
    ):
        # They tell of no moment from which they listen, so there is one container until both have.
        eventually(lambda: cli.run("--name", "web", "/bin/sh", "-c", "exit 4").code == 4 and both_have_told())
        plain.send_signal(signal.SIGINT)
        told = [json.loads(line) for line in process.communicate(timeout=60)[0].splitlines()]
        err = plain.communicate(timeout=60)[1]
    assert {one["container_id"] for one in told} == {"web"}
    assert {"time", "event", "container_id", "process_id", "pid", "exit_code", "exited_at"} <= told[0].keys()
    exits = [one["exit_code"] for one in told if one["event"] == "exit"]
    assert exits == [4] * len(exits)
    assert (plain.returncode, err) == (130, "\n"), "the line that ^C stands on is ended"


# -- what is done to them --------------------------------------------------------------------------------------------


def test_several_at_once_and_one_that_is_not_there(cli: Cli) -> None:
    cli.start("a")
    cli.start("b")
    hint = "hint: 'pyctd ps --all' lists those that there are; --namespace names another namespace\n"
    missing = NO_SUCH.format(cli.client.namespace) + hint
    assert cli("pause", "a", "none", "b") == (1, "a\nb\n", missing)
    assert {one["status"] for one in cli.json("ps")} == {"paused"}
    assert cli("resume", "a", "b") == (0, "a\nb\n", "")
    code, out, err = cli("kill", "--json", "-s", "SIGKILL", "none", "a")
    assert (code, json.loads(out)) == (1, [{"id": "a"}])
    told = json.loads(err)["error"]
    assert (told["kind"], told["container"]) == ("NotFoundError", "none")
    assert cli.client.load_container("a").task().wait(timeout=60).exit_code == 137


def test_kill_with_a_signal_that_docker_has_or_not(cli: Cli) -> None:
    script = "trap 'exit 3' 37; echo ready; while :; do sleep 0.1; done"
    with cli.under_way("run", "--rm", "--name", "web", "--rootfs", cli.rootfs, "/bin/sh", "-c", script) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        for wrong in ("0", "RTMIN+16"):
            code, out, err = cli("kill", "-s", wrong, "web")
            assert (code, out) == (1, "")
            assert repr(wrong) in err
        assert cli("kill", "-s", "RTMIN+3", "web") == (0, "web\n", "")
        assert process.wait(60) == 3


def test_update(cli: Cli) -> None:
    cli.start("web", "-m", "64m", "/bin/sleep", "600")
    assert cli("update", "-m", "128m", "--pids-limit", "20", "web") == (0, "web\n", "")
    assert cli.json("stats", "web")[0]["memory_limit_bytes"] == 128 << 20
    code, _, err = cli("update", "web")
    assert code == 1
    assert "there is nothing to change" in err


def test_rm(cli: Cli) -> None:
    cli.start("web")
    code, out, err = cli("rm", "web")
    assert (code, out) == (1, "")
    assert "hint: 'pyctd kill' ends what runs in it" in err
    assert err.startswith("pyctd: web: task must be stopped")
    code, out, err = cli("rm", "none", "web")
    assert [line.split()[1] for line in err.splitlines() if line.startswith("pyctd: ")] == ["there", "web:"]
    told = json.loads(cli("rm", "web", "--json").err)["error"]
    assert (told["container"], told["call"], told["reason"]) == ("web", "Process.delete", "running")
    assert cli("rm", "--force", "web") == (0, "web\n", "")
    assert cli("run", "--name", "done", "--rootfs", cli.rootfs, "/bin/true").code == 0
    cli.client.new_container("new", pyctd.spec.default(cli.rootfs, ["/bin/true"]))
    assert cli("rm", "done", "new") == (0, "done\nnew\n", "")
    assert cli.client.containers() == []
    assert cli("rm", "--force", "done").code == 0, "as with docker, so that a script can run twice"


def test_restore_from_what_is_no_checkpoint_takes_nothing_away(cli: Cli, tmp_path: Path) -> None:
    assert cli("run", "--name", "done", "--rootfs", cli.rootfs, "/bin/sh", "-c", "exit 3").code == 3
    code, out, err = cli("restore", "done", str(tmp_path))
    assert (code, out) == (1, "")
    assert f"directory '{tmp_path}' holds no checkpoint" in err
    assert cli.json("ps", "-a")[0]["exit_code"] == 3


@pytest.mark.timeout(400)  # some fifty command lines, and a dockerd to start
@pytest.mark.skipif(bool(docker.why_not()), reason=docker.why_not())
def test_exit_codes_are_dockers(cli: Cli, own_engine: pyctd.Engine, rootfs: Path) -> None:
    name = f"{cli.client.namespace}-web"
    cli.start(name)
    directory = own_engine.state.parent / "d"
    cases: list[tuple[str, ...]] = [
        (),
        ("nonsense",),
        ("ps", "--nonsense"),
        ("ps", "argument"),
        ("exec", "no-such", "true"),
        ("exec", name, "/etc"),  # what is not there at all is 126 with older dockers, and 127 with moby 28
        ("exec", name, "sh", "-c", "exit 7"),
        ("exec", "--nonsense"),
        ("kill", "no-such"),
        ("kill", "-s", "0", name),
        ("kill", "-s", "NONSENSE", name),
        ("kill", "-s", "RTMIN+99", name),
        ("kill", "-s", "RTMIN+3", "no-such"),
        ("pause", "no-such"),
        ("inspect", "no-such"),
        ("update", name),
        ("rm", name),
        ("rm", "no-such"),
        ("rm", "-f", "no-such"),
    ]
    runs: list[tuple[str, ...]] = [
        ("true",),
        ("sh", "-c", "exit 9"),
        ("nothing",),
        ("/etc",),
        ("/bin/notexecutable",),
        ("sh", "-c", "sh -c 'kill -TERM $$'; exit $?"),
        ("--nonsense", "true"),
        ("-m", "much", "true"),
        ("--name", "../x", "true"),
        ("--name", name, "true"),
    ]
    with docker.beside(own_engine, directory, rootfs) as dockerd:
        dockerd("run", "-d", "--network", "none", "--name", name, "busybox", "sleep", "600")

        def docker_code(*args: str) -> int:
            command = ["docker", "--host", dockerd.host, *args]
            return subprocess.run(command, capture_output=True, timeout=60, check=False).returncode

        for case in cases:
            assert cli(*case).code == docker_code(*case), case
        for case in runs:
            options = case[:-1] if case[0].startswith("-") else ()
            command = case[len(options) :]
            theirs = docker_code("run", "--rm", "--network", "none", *options, "busybox", *command)
            assert cli.run(*options, *command).code == theirs, case


# -- the program itself ----------------------------------------------------------------------------------------------


def test_where_containerd_is_may_be_said_before_the_verb_and_after(cli: Cli) -> None:
    cli.start("web")
    wrong = dict.fromkeys(cli.env, "/nowhere")
    where = ["--address", cli.client.address, "--namespace", cli.client.namespace]
    assert cli(*where, "ps", "-q", env=wrong).out == "web\n"
    assert cli("ps", *where, "-q", env=wrong).out == "web\n"
    assert cli("--namespace", "another", "ps", "--namespace", cli.client.namespace, "-q").out == "web\n"


def test_version(cli: Cli) -> None:
    for where in ([], ["--engine"]):
        code, out, err = cli("version", *where)
        assert (code, err) == (0, "")
        assert re.fullmatch(r"pyctd \d+\.\d+\S*\ncontainerd v?\d+\.\d+\.\d+\S*( \(\S+\))?\n", out)
    told = cli.json("version")
    assert told["containerd"]["version"] == cli.client.version().version
    assert cli("--version").out == f"pyctd {told['pyctd']}\n"


def test_where_no_containerd_is() -> None:
    code, out, err = pyctd_command("version", "--address", "/no.sock")
    assert code == 1
    assert out.startswith("pyctd ")
    assert err.startswith("pyctd: ")
    assert "\nhint: is containerd running there? 'pyctd doctor'" in err


def test_without_containerd(tmp_path: Path) -> None:
    code, _, err = pyctd_command("version", "--engine", env={"PATH": str(tmp_path)})
    assert code == 1
    assert "containerd is not on PATH: install it (on Debian: apt-get install containerd)" in err


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_a_script(shell: str) -> None:
    code, out, _ = pyctd_command("completion", shell, env={"PATH": os.environ["PATH"]})
    assert code == 0
    assert f"_PYCTD_COMPLETE={shell}_complete" in out


def test_completion_of_containers(cli: Cli) -> None:
    cli.start("web-one")
    cli.start("web-two")
    cli.start("other")

    def completed(line: str) -> list[str]:
        words = line.split(" ")
        variables = {"_PYCTD_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
        done = cli(env=variables)
        assert (done.code, done.err) == (0, "")
        return sorted(row.partition(",")[2] for row in done.out.splitlines() if row)

    assert completed("pyctd inspect web") == ["web-one", "web-two"]
    assert completed("pyctd inspect web-one web") == ["web-two"]
    assert completed("pyctd pa") == ["pause"]
    assert completed("pyctd kill --sig") == ["--signal"]
    assert completed("pyctd --address /no.sock inspect web") == []


def test_help_teaches_by_example() -> None:
    code, out, _ = pyctd_command("run", "--help")
    assert code == 0
    assert out.count("pyctd run") >= 5
    everything = pyctd_command()
    assert everything.code == 0
    assert "\x1b" not in everything.out
    for name in ("run", "exec", "ps", "doctor"):
        assert re.search(rf"^  {name} ", everything.out, re.MULTILINE)


def test_without_what_the_command_line_is_made_of(cli: Cli) -> None:
    for library in ("click", "rich"):
        code = f"""if True:
            import runpy, sys
            sys.modules[{library!r}] = None
            sys.argv = ["pyctd", "ps"]
            sys.stdout.isatty = lambda: True  # rich is for terminals alone
            runpy.run_module("pyctd", run_name="__main__")
        """
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd="/", env=os.environ | cli.env
        )
        assert done.returncode == 125
        assert done.stderr == f"pyctd: the command line needs {library}: pip install 'pyctd[cli]'\n"


def test_importing_pyctd_takes_none_of_the_command_lines_libraries() -> None:
    code = "import sys, pyctd, pyctd.aio, pyctd.metrics; sys.exit(bool({'click', 'rich'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd="/").returncode == 0


def test_the_program_and_the_module_are_the_same() -> None:
    program = Path(sys.executable).parent / "pyctd"
    done = subprocess.run([str(program), "--version"], capture_output=True, text=True, check=False, cwd="/")
    module = subprocess.run([*COMMAND, "--version"], capture_output=True, text=True, check=False, cwd="/")
    assert (done.returncode, done.stdout) == (0, module.stdout)
