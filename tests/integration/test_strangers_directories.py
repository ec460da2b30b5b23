"""What another user can do to an engine's and a client's directories, and with what is in them: nothing."""

from __future__ import annotations

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
from support.box import default_spec, eventually, unique
from support.proc import gone
from support.strangers import NOBODY, kept, open_to_all, replaced

import pyctd


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


@pytest.fixture
def no_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("no_umask")
def test_other_users_write_nothing_of_an_engines_directories(place: Path, rootfs: Path) -> None:
    """With the program's own umask containerd would let everybody write to config.json, hooks included, where the root
    of a user namespace and its group may enter."""
    root, state = place / "r", place / "s"
    with pyctd.Engine(root=root, state=state) as engine, engine.client() as client:
        task = client.new_container("web", in_a_user_namespace(rootfs)).start()
        found = [path for directory in (root, state) for path in directory.rglob("*") if "rootfs" not in path.parts]
        assert state / "daemon" / "io.containerd.runtime.v2.task" / "moby" / "web" / "config.json" in found
        writable = {path.name for path in found if path.lstat().st_mode & 0o002 and not path.is_symlink()}
        assert writable <= {"bootstrap.json"}  # which containerd 2 gives that mode whatever the umask is
        task.force_delete()


def test_no_temporary_directory_is_made_where_others_could_replace_it(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between its making and a chmod they would put a link in its place."""
    temporary = place / "temporary"
    temporary.mkdir()
    temporary.chmod(0o777)
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    before = temporary.stat().st_mtime_ns
    with pytest.raises(pyctd.FailedPreconditionError, match="the root directory is not safe: "):
        pyctd.Engine()
    assert temporary.stat().st_mtime_ns == before


MAPPED = [(0, 100000, 65536)]


def in_a_user_namespace(rootfs: Path, *args: str) -> dict[str, Any]:
    return default_spec(rootfs, *args, uid_mappings=MAPPED, gid_mappings=MAPPED)


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
            spec = in_a_user_namespace(rootfs, "/bin/true")
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
        spec = in_a_user_namespace(place)
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


def test_no_bundle_is_made_or_removed_in_a_directory_that_has_become_another_users(place: Path, rootfs: Path) -> None:
    state, elsewhere = place / "t" / "s", place / "elsewhere"
    open_to_all(state)
    place.chmod(0o711)
    state.mkdir()
    with pyctd.Engine(root=place / "r", state=state) as engine, engine.client() as client:
        container = client.new_container("web", default_spec(rootfs))
        kept_file = elsewhere / "moby" / "web" / "file"
        kept_file.parent.mkdir(parents=True)
        kept_file.write_text("precious")
        with replaced(state, elsewhere):
            for call in (container.delete, container.start, lambda: client.new_container("new", default_spec(rootfs))):
                with pytest.raises(pyctd.FailedPreconditionError, match="the state directory is not safe: "):
                    call()
            assert [path.name for path in (elsewhere / "moby").iterdir()] == ["web"]
            assert kept(kept_file.parent)


def test_a_client_connects_to_no_daemon_that_another_users_link_leads_to(
    engine: pyctd.Engine, place: Path, rootfs: Path
) -> None:
    """Who takes the place of an engine's state takes that of its socket, too, and would choose whose containers the
    client kills and deletes."""
    state, id = place / "t" / "s", unique()
    open_to_all(state)
    with engine.client() as other, pyctd.Engine(root=place / "r", state=state) as own, own.client() as client:
        container = other.new_container(id, default_spec(rootfs))
        task = container.start()
        pid = own.pid
        assert pid
        state.rename(place / "away")
        subprocess.run(["ln", "-s", engine.state, state], check=True, user=NOBODY, group=NOBODY)
        os.kill(pid, signal.SIGKILL)

        def refused() -> bool:
            with pytest.raises(pyctd.UnavailableError) as raised:
                client.load_container(id, timeout=60).task(timeout=60).kill("KILL", timeout=60)
            return f'is user 0\'s "{engine.address}" now' in str(raised.value).replace("\\", "")

        try:
            eventually(refused)
            assert task.status().status == "running"
        finally:
            state.unlink()
            (place / "away").rename(state)
            task.force_delete(timeout=60)
            container.delete(timeout=60)


def test_an_engine_executes_nothing_that_a_directory_names_that_has_become_another_users(place: Path) -> None:
    state, executed = place / "s", place / "executed"
    engine = pyctd.Engine(root=place / "r", state=state)
    state.rename(place / "away")
    bundle = state / "daemon" / "io.containerd.runtime.v2.task" / "moby" / "web"
    bundle.mkdir(parents=True)
    program = state / "program"
    program.write_text(f"#!/bin/sh\n: > {executed}\n")
    program.chmod(0o755)
    (bundle / "shim-binary-path").write_text(str(program))
    os.chown(state, NOBODY, NOBODY)
    with pytest.raises(pyctd.FailedPreconditionError, match="the state directory is not safe: "):
        engine.close()
    assert not executed.exists()


def test_an_engine_removes_no_file_in_a_directory_that_another_users_link_leads_to(place: Path) -> None:
    """What cleans /tmp up removes its state in the end. Another daemon's socket and number have the same names."""
    temporary, elsewhere = place / "t", place / "elsewhere"
    temporary.mkdir()
    temporary.chmod(0o1777)  # as /tmp
    elsewhere.mkdir()
    files = [elsewhere / name for name in ("containerd.sock", "containerd.pid")]
    engine = pyctd.Engine(root=place / "r", state=temporary / "s")
    engine.state.rename(place / "away")
    for path in files:
        path.touch()
    subprocess.run(["ln", "-s", elsewhere, engine.state], check=True, user=NOBODY, group=NOBODY)
    with pytest.raises(pyctd.FailedPreconditionError, match="the state directory is not safe: "):
        engine.close()
    assert sorted(elsewhere.iterdir()) == sorted(files)


@pytest.mark.parametrize("linked", ["state", "above"])
def test_the_process_id_is_never_that_of_a_daemon_that_another_users_link_leads_to(
    engine: pyctd.Engine, place: Path, linked: str
) -> None:
    temporary = place / "t"
    temporary.mkdir()
    temporary.chmod(0o1777)  # as /tmp
    above = temporary / "a"
    state, target = (
        (temporary / "s", engine.state) if linked == "state" else (above / engine.state.name, engine.state.parent)
    )
    link = state if linked == "state" else above
    with pyctd.Engine(root=place / "r", state=state) as own:
        pid = own.pid
        assert pid not in (None, engine.pid)
        link.rename(place / "away")
        subprocess.run(["ln", "-s", target, link], check=True, user=NOBODY, group=NOBODY)
        assert own.pid is None
        link.unlink()
        (place / "away").rename(link)
        assert own.pid == pid
