"""What another user of the machine, or a process in a container, can make an engine do: nothing."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import leaks
from support.box import Box, default_spec, eventually, unique
from support.busybox import make_rootfs
from support.harm import answers, kill_daemon
from support.proc import gone
from support.strangers import NOBODY, kept, running

import pyctd

SHIM = "containerd-shim-runc-v2"


def shim_program() -> str:
    program = shutil.which(SHIM)
    assert program
    return os.path.realpath(program)


def arguments(program: str, address: str, name: str) -> list[str]:
    return [program, "-namespace", "moby", "-id", name, "-address", address, "start"]


@contextlib.contextmanager
def real_shim(address: str, cwd: Path, user: int | None = None, program: str | None = None) -> Iterator[int]:
    """The very program of containerd's shims, which stands still because it reads its spec from a FIFO."""
    program = program or shim_program()
    os.mkfifo(cwd / "config.json", 0o666)
    (cwd / "config.json").chmod(0o666)
    with running(program, arguments(program, address, cwd.name), cwd, user) as process:
        eventually(lambda: _opens_its_spec(process.pid))
        yield process.pid


def _opens_its_spec(pid: int) -> bool:
    return any("wait_for_partner" in stack.read_text() for stack in Path(f"/proc/{pid}/task").glob("*/stack"))


# -- another user's process ------------------------------------------------------------------------------------------


def test_no_program_of_another_users_is_executed(own_engine: pyctd.Engine, place: Path, precious: Path) -> None:
    evil, proof = place / "containerd-shim-evil", place / "proof"
    proof.mkdir()
    proof.chmod(0o777)
    evil.write_text(f"#!/bin/sh\nid -u >{proof}/executed-as\n")
    evil.chmod(0o755)
    args = [str(evil), "-c", "read -r _", "-namespace", "moby", "-id", "victim", "-address", own_engine.address]
    with running("/bin/sh", args, precious, NOBODY) as process:
        own_engine.close()
        assert process.poll() is None
    assert not list(proof.iterdir())
    assert kept(precious)


def test_the_shims_program_run_by_another_user_is_let_be(own_engine: pyctd.Engine, place: Path, precious: Path) -> None:
    with real_shim(own_engine.address, precious, NOBODY) as pid:
        own_engine.close()
        assert not gone(pid)
    assert kept(precious)


def test_roots_process_of_another_program_is_let_be(own_engine: pyctd.Engine, place: Path, precious: Path) -> None:
    """Root runs programs whose arguments others choose."""
    args = [f"{SHIM}", "-c", "read -r _", "-namespace", "moby", "-id", "victim", "-address", own_engine.address]
    with running("/bin/sh", args, precious, None) as process:
        own_engine.close()
        assert process.poll() is None
    assert kept(precious)


# -- a process in a container ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("pid", ["private", "host"])
def test_a_process_in_another_engines_container(
    engine: pyctd.Engine, own_engine: pyctd.Engine, place: Path, precious: Path, pid: str
) -> None:
    """It is root, and executes the host's own shim in a directory whose path is that of one of the host's."""
    program = shim_program()
    script = f"mkdir -p {precious} && cd {precious} && mkfifo config.json && exec " + " ".join(
        arguments(program, own_engine.address, "victim")
    )
    rootfs = make_rootfs(place / "rootfs")
    host = {Path("/lib"), Path("/lib64"), Path("/usr"), Path(program).parent}
    mounts = [pyctd.spec.bind(path, str(path), read_only=True) for path in sorted(host) if path.exists()]
    spec = pyctd.spec.default(rootfs, ["/bin/sh", "-c", script], mounts=mounts, pid=pid)
    with engine.client("strangers") as client:
        box = Box(client, rootfs)
        task = box.of(spec).start()
        try:
            eventually(lambda: _opens_its_spec(task.pid))
            own_engine.close()
            assert not gone(task.pid)
        finally:
            box.clean()
    assert kept(precious)


# -- the engine's own shims ------------------------------------------------------------------------------------------


def test_a_shim_that_no_containerd_knows_ends_with_the_engine(own_engine: pyctd.Engine, precious: Path) -> None:
    """As when containerd is killed while it starts one. The directory it is in is nobody's to remove."""
    with real_shim(own_engine.address, precious) as pid:
        own_engine.close()
        assert gone(pid)
    assert kept(precious)


def test_a_shim_of_another_engine_lives_on(engine: pyctd.Engine, own_engine: pyctd.Engine, precious: Path) -> None:
    with real_shim(engine.address, precious) as pid:
        own_engine.close()
        assert not gone(pid)


def test_a_shim_whose_program_was_upgraded_ends_with_the_engine(
    base: Path, place: Path, precious: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = place / "bin"
    programs.mkdir()
    own, other = programs / SHIM, programs / "new"
    for path in (own, other):
        shutil.copy2(shim_program(), path)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    engine = pyctd.Engine(root=place / "r", state=place / "s")
    with real_shim(engine.address, precious, program=str(own)) as pid:
        other.rename(own)
        assert os.readlink(f"/proc/{pid}/exe").endswith(" (deleted)")
        engine.close()
        assert gone(pid)


def test_containers_of_a_containerd_that_does_not_answer_end_with_the_engine(base: Path, rootfs: Path) -> None:
    """Several of them may have one shim."""
    engine = pyctd.Engine(root=base / "nr", state=base / "ns")
    tasks = []
    with engine.client() as client:
        for _ in range(2):
            spec = default_spec(rootfs)
            spec["annotations"] = {"io.containerd.runc.v2.group": "one"}
            tasks.append(client.new_container(unique("c"), spec).start().pid)
    daemon = engine.pid
    assert daemon
    os.kill(daemon, signal.SIGSTOP)
    with pytest.raises(pyctd.Error, match="failed to delete the containers"):
        engine.close(timeout=1)
    eventually(lambda: all(map(gone, tasks)))
    assert not list((base / "ns" / "daemon" / "io.containerd.runtime.v2.task").glob("*/*"))


# -- a containerd and where it is started ----------------------------------------------------------------------------


def test_a_shim_in_the_current_directory_is_not_executed(
    place: Path, rootfs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """containerd prefers it, and everybody can write to /tmp."""
    evil = place / SHIM
    evil.write_text(f"#!/bin/sh\ntouch {place}/executed\nexit 1\n")
    evil.chmod(0o755)
    monkeypatch.chdir(place)
    with pyctd.Engine() as engine, engine.client() as client:
        with contextlib.suppress(pyctd.Error):
            assert client.new_container(unique("c"), default_spec(rootfs, "/bin/true")).start().wait(timeout=60)
        assert not (place / "executed").exists()


def test_a_process_that_has_the_number_of_an_earlier_containerd_is_let_be(base: Path) -> None:
    (base / "is").mkdir()
    with running("/bin/sleep", ["sleep", "600"], Path("/"), None) as process:
        (base / "is" / "containerd.pid").write_text(str(process.pid))
        with pyctd.Engine(root=base / "ir", state=base / "is") as engine:
            assert engine.pid not in (None, process.pid)
        assert process.poll() is None


MEMORY = """
import pathlib, sys, pyctd
from support.peak import peak
base, number = pathlib.Path(sys.argv[1]), int(sys.argv[2])
with pyctd.Engine(root=base / "r", state=base / "s") as engine:
    assert engine.pid != number
print(peak())
"""


def test_the_command_line_of_another_users_process_is_not_read(place: Path) -> None:
    """It may have any length, and its memory may be a file whose server never answers."""
    (place / "s").mkdir()
    size = 512 << 20
    endless = [sys.executable, "-m", "support.endless", str(size)]
    with subprocess.Popen(endless, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        if process.stdout.readline() != "0\n":
            pytest.skip("the kernel is built without CONFIG_CHECKPOINT_RESTORE")
        (place / "s" / "containerd.pid").write_text(str(process.pid))
        done = subprocess.run(
            [sys.executable, "-c", MEMORY, place, str(process.pid)], stdout=subprocess.PIPE, timeout=60, check=True
        )
        process.kill()
    assert int(done.stdout) < size


IN_A_PID_NAMESPACE = """
echo $(($1 - 1)) >/proc/sys/kernel/ns_last_pid
"$2" -c 'import os, sys, pyctd
assert os.getpid() == int(sys.argv[1])
with pyctd.Engine(root=sys.argv[2] + "/r", state=sys.argv[2] + "/s") as engine: print(engine.pid)' "$1" "$3"
"""

OPEN = """
import os, sys
os.setgroups([]), os.setgid(int(sys.argv[2])), os.setuid(int(sys.argv[2]))
while os.open(sys.argv[1], os.O_RDONLY) < 99: pass
sys.stdin.read()
"""


def test_nothing_of_another_users_is_executed_under_a_proc_of_another_pid_namespace(place: Path) -> None:
    """There a process of that user's may have the program's own number."""
    theirs = place / "theirs"
    theirs.mkdir()
    theirs.chmod(0o777)
    evil = theirs / "evil"
    evil.write_text(f"#!/bin/sh\n: >{theirs}/executed\n")
    evil.chmod(0o755)
    with subprocess.Popen([sys.executable, "-c", OPEN, evil, str(NOBODY)], stdin=subprocess.PIPE) as process:
        eventually(lambda: Path(f"/proc/{process.pid}/fd/99").exists())
        done = subprocess.run(
            [
                "unshare",
                "--pid",
                "--fork",
                "sh",
                "-c",
                IN_A_PID_NAMESPACE,
                "sh",
                str(process.pid),
                sys.executable,
                place,
            ],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        process.kill()
    assert not (theirs / "executed").exists()
    assert "FailedPreconditionError: /proc is another pid namespace's" in done.stderr


def test_a_containerd_that_dies_is_back_soon_and_containers_run_on(own_engine: pyctd.Engine, rootfs: Path) -> None:
    with own_engine.client() as client:
        box = Box(client, rootfs)
        task = box.container().start()
        for _ in range(4):
            begun = time.monotonic()
            kill_daemon(own_engine)
            eventually(lambda: answers(client))
            assert time.monotonic() - begun < 6  # 2 on a machine with nothing else to do, where the supervisor takes 10
        assert task.status().status == "running"
        box.clean()


def test_an_engine_with_nothing_to_delete_closes_at_once(base: Path) -> None:
    took = []
    for _ in range(3):
        engine = pyctd.Engine()
        begun = time.monotonic()
        engine.close()
        took.append(time.monotonic() - begun)
    assert min(took) < 0.7  # 0.1 on a machine with nothing else to do, where the supervisor sleeps for a second


@pytest.mark.moby_may_keep_goroutines
def test_a_start_that_fails_leaves_nothing_in_directories_that_were_empty(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = place / "t"
    for directory in (temporary, place / "full"):
        directory.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    (place / "full" / "file").touch()
    pairs = [("r", "s"), ("full", "s"), ("r", "full")]
    for root, state in [*((place / root, place / state) for root, state in pairs), (None, None)]:
        with pytest.raises(pyctd.DeadlineExceededError):
            pyctd.Engine(root=root, state=state, timeout=0.02)
        assert not list((place / "r").glob("*"))
        assert not list((place / "s").glob("*"))
        assert (place / "full" / "file").exists()
        assert not list(temporary.iterdir())


@pytest.mark.moby_may_keep_goroutines
@pytest.mark.parametrize("timeout", [0.0, 0.001, 0.003, 0.01, 0.02, 0.03, 0.05, 0.1])
def test_a_start_that_is_given_up_leaves_no_containerd(base: Path, timeout: float) -> None:
    directory = Path(tempfile.mkdtemp(prefix="t", dir=base))
    for _ in range(3):
        try:
            engine = pyctd.Engine(root=directory / "r", state=directory / "s", timeout=timeout)
        except pyctd.DeadlineExceededError:
            assert not leaks.processes(f"{directory}/")
        else:
            engine.close()
    assert not leaks.processes(f"{directory}/")


ENVIRONMENT = """
import ctypes, os, sys, pyctd
libc = ctypes.CDLL(None)
libc.getenv.restype = ctypes.c_char_p
os.environ["PATH"] = sys.argv[1] + ":" + os.environ["PATH"]
libc.setenv(b"PATH", b"/of/c", 1)
with pyctd.Engine() as engine:
    print(libc.getenv(b"PATH").decode())
    environment = dict(item.split("=", 1) for item in open(f"/proc/{engine.pid}/environ").read().split(chr(0)) if item)
    print(environment["PATH"].split(":")[0])
"""


@pytest.mark.parametrize("name", ["", "it's $HOME; `a` place"])
def test_an_engines_path_is_its_containerds_alone(place: Path, name: str) -> None:
    """Other threads of C may be reading the environment."""
    first = place / name
    command = [sys.executable, "-c", ENVIRONMENT, str(first)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd="/")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"/of/c\n{first}\n", "")
