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
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support import leaks
from support.box import Box, default_spec, eventually, unique
from support.busybox import make_rootfs
from support.harm import answers, kill_daemon
from support.proc import gone

import pyctd

NOBODY = 65534
SHIM = "containerd-shim-runc-v2"


def shim_program() -> str:
    program = shutil.which(SHIM)
    assert program
    return os.path.realpath(program)


@contextlib.contextmanager
def running(program: str, args: list[str], cwd: Path, user: int | None) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(args, executable=program, cwd=cwd, user=user, group=user, stdin=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()


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


@pytest.fixture
def place(base: Path) -> Iterator[Path]:
    """A directory that other users can enter."""
    base.chmod(0o711)
    directory = Path(tempfile.mkdtemp(prefix="p", dir=base))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory)
    base.chmod(0o700)


@pytest.fixture
def precious(place: Path) -> Path:
    """A directory of root's that is named as a container might be, with a file in it."""
    directory = place / "victim"
    directory.mkdir(mode=0o755)
    (directory / "file").write_text("precious")
    return directory


def kept(directory: Path) -> bool:
    return (directory / "file").read_text() == "precious"


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


# -- directories -----------------------------------------------------------------------------------------------------


def test_what_is_mounted_in_an_engines_directory_is_unmounted_and_kept(precious: Path) -> None:
    engine = pyctd.Engine()
    for place in (engine.root / "a place", engine.state / "bundles" / "moby" / "b"):
        place.mkdir(parents=True)
        subprocess.run(["mount", "--bind", precious, place], check=True)
    (engine.root / "link").symlink_to(precious)
    engine.close()
    assert kept(precious)
    assert not engine.root.exists()
    assert not engine.state.exists()
    assert str(engine.root) not in Path("/proc/self/mountinfo").read_text()


DEEP = "import os, sys\nos.chdir(sys.argv[1])\nfor _ in range(3000): os.mkdir('d'); os.chdir('d')"


def test_a_directory_deeper_than_python_and_its_descriptors_go(own_engine: pyctd.Engine) -> None:
    """As a container can make them in its snapshot."""
    engine = pyctd.Engine()
    subprocess.run([sys.executable, "-c", DEEP, engine.root], check=True)
    engine.close()
    assert not engine.root.exists()


def readable(path: Path) -> Iterator[Path]:
    """What other users can read of a directory and all below, whatever its path."""
    if path.is_dir() and not path.is_symlink():
        if path.stat().st_mode & 0o001 and path.name != "rootfs":  # that a container's own, which shows nothing else
            for below in path.iterdir():
                yield from readable(below)
    elif path.lstat().st_mode & 0o004 and not path.is_symlink():
        yield path


@pytest.mark.parametrize("mode", [None, 0o755])
def test_other_users_read_nothing_of_an_engines_directories(place: Path, rootfs: Path, mode: int | None) -> None:
    """containerd keeps the environment of containers in files that all may read, but for the directories above."""
    root, state = place / "r", place / "s"
    for path in (root, state) if mode else ():
        path.mkdir(mode=mode or 0)
    with pyctd.Engine(root=root, state=state) as engine, engine.client() as client:
        task = client.new_container("web", default_spec(rootfs)).start(attach_stdio=pyctd.stdio.capture())
        assert [*readable(root), *readable(state)] == [state / "containerd.pid"]
        task.force_delete()


def in_a_user_namespace(spec: dict[str, Any]) -> dict[str, Any]:
    spec["linux"]["namespaces"].append({"type": "user"})
    spec["linux"].pop("sysctl", None)
    for kind in ("uidMappings", "gidMappings"):
        spec["linux"][kind] = [{"containerID": 0, "hostID": 100000, "size": 65536}]
    return spec


PLANT = """
mkdir -p "$1/bundles/moby" && chmod 755 "$1" "$1/bundles" "$1/bundles/moby"
ln -s "$2" "$1/bundles/moby/web.100000.100000"
"""


def test_the_bundle_of_a_user_namespace_is_made_where_only_root_can_write(rootfs: Path, precious: Path) -> None:
    """libcontainerd would make a directory beside one that the namespace's root may not enter: beside the engine's, in
    /tmp, where anybody can make it first and put a link in it. libcontainerd would give that root what it leads to."""
    with pyctd.Engine() as engine, engine.client() as client:
        beside = engine.state.with_name(f"{engine.state.name}.100000.100000")
        subprocess.run(["/bin/sh", "-c", PLANT, "sh", beside, precious], check=True, user=NOBODY, group=NOBODY)
        try:
            spec = in_a_user_namespace(default_spec(rootfs, "/bin/true"))
            container = client.new_container("web", spec)
            assert (precious.stat().st_uid, precious.stat().st_mode & 0o777) == (0, 0o755)
            assert (engine.state / "bundles" / "moby" / "web.100000.100000").is_dir()
            assert container.start().wait(timeout=60).exit_code == 0
        finally:
            shutil.rmtree(beside)


def test_a_state_directory_that_the_root_of_a_user_namespace_may_not_enter(engine: pyctd.Engine, place: Path) -> None:
    state = place / "closed" / "state"
    state.parent.mkdir(mode=0o700)
    with pyctd.Client(engine.address, state_dir=state) as client:
        spec = in_a_user_namespace(default_spec(place))
        for call in (client.new_container, client.replace_container):
            with pytest.raises(pyctd.FailedPreconditionError, match="may not enter"):
                call(unique("c"), spec)
    assert [path.name for path in place.iterdir()] == ["closed"]


def test_containerd_is_not_started_again_in_a_directory_that_has_become_another_users(place: Path) -> None:
    """What cleans /tmp up removes it in the end, and anybody can make another of its name."""
    root, away = place / "r", place / "away"
    with pyctd.Engine(root=root, state=place / "s") as engine:
        pid = engine.pid
        assert pid
        root.rename(away)
        root.mkdir()
        os.chown(root, NOBODY, NOBODY)
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: gone(pid))
        time.sleep(1.5)  # nothing tells of what is not to happen; it is started again after 0.1
        assert engine.pid is None
        assert not list(root.iterdir())
        root.rmdir()
        away.rename(root)
        eventually(lambda: engine.pid is not None)


def link(path: Path) -> None:
    path.rmdir()
    path.symlink_to("/var")
    os.chown(path, NOBODY, -1, follow_symlinks=False)


@pytest.mark.parametrize("what", ["root", "state"])
@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: os.chown(path, NOBODY, NOBODY),
        lambda path: path.chmod(0o777),
        lambda path: os.chown(path.parent, NOBODY, -1),
        lambda path: path.parent.chmod(0o777),
        link,
    ],
    ids=["owned", "writable", "parent owned", "parent writable", "link"],
)
def test_a_directory_that_another_user_can_change_is_refused(
    place: Path, what: str, spoil: Callable[[Path], object]
) -> None:
    path = place / "above" / "dir"
    path.mkdir(parents=True, mode=0o700)
    spoil(path)
    root, state = (path, place / "good") if what == "root" else (place / "good", path)
    with pytest.raises(pyctd.FailedPreconditionError, match=f"the {what} directory is not safe: "):
        pyctd.Engine(root=root, state=state).close()


@pytest.mark.parametrize("spoil", [None, link, lambda path: os.chown(path, NOBODY, NOBODY)])
def test_a_state_directory_of_a_clients_that_another_user_can_change_is_refused(
    engine: pyctd.Engine, place: Path, spoil: Callable[[Path], object] | None
) -> None:
    path = place / "state"
    path.mkdir()
    if spoil is None:  # one that is not there yet, but that anybody could make
        place.chmod(0o1777)
        path.rmdir()
    else:
        spoil(path)
    with pytest.raises(pyctd.FailedPreconditionError, match="the state directory is not safe: "):
        pyctd.Client(engine.address, state_dir=path / "below").close()


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


def test_pid_is_never_that_of_a_process_that_has_ended(own_engine: pyctd.Engine) -> None:
    pid = own_engine.pid

    def look() -> None:
        eventually(lambda: not Path(f"/proc/{pid}").exists())
        seen = own_engine.pid
        assert seen is None or not gone(seen)

    assert kill_daemon(own_engine, look) == pid


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
def test_a_start_that_fails_leaves_nothing_in_directories_that_were_empty(place: Path) -> None:
    (place / "full").mkdir()
    (place / "full" / "file").touch()
    for root, state in ((place / "r", place / "s"), (place / "full", place / "s"), (None, None)):
        before = set(Path(tempfile.gettempdir()).glob("pyctd-*"))
        with pytest.raises(pyctd.DeadlineExceededError):
            pyctd.Engine(root=root, state=state, timeout=0.02)
        assert not list((place / "r").glob("*"))
        assert not list((place / "s").glob("*"))
        assert (place / "full" / "file").exists()
        assert set(Path(tempfile.gettempdir()).glob("pyctd-*")) <= before


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


def test_an_engines_path_is_its_containerds_alone(place: Path) -> None:
    """Other threads of C may be reading the environment."""
    done = subprocess.run(
        [sys.executable, "-c", ENVIRONMENT, place], capture_output=True, text=True, timeout=60, check=False, cwd="/"
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, f"/of/c\n{place}\n", "")
