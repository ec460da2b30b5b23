"""Checkpoint and restore, with a real CRIU."""

from __future__ import annotations

import contextlib
import functools
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support import criu
from support.box import Box, eventually
from support.criu import COUNT, numbers

import pyctd

pytestmark = pytest.mark.skipif(bool(criu.why_not()), reason=criu.why_not())

MakeClient = Callable[..., pyctd.Client]


@pytest.fixture
def counter(box: Box) -> Iterator[tuple[pyctd.Task, pyctd.stdio.capture]]:
    """A task that counts, and has got to 3."""
    task, out = box.start(*COUNT)
    eventually(lambda: len(numbers(out)) >= 3)
    yield task, out
    task.close()  # pytest keeps it


@pytest.fixture
def checkpoint(counter: tuple[pyctd.Task, pyctd.stdio.capture], tmp_path: Path) -> tuple[Path, int]:
    """The checkpoint of a counter that has ended with it, and the last number that it wrote."""
    task, out = counter
    task.create_checkpoint(tmp_path / "checkpoint", exit=True, timeout=60)
    task.wait(timeout=10)
    task.delete(timeout=10)
    return tmp_path / "checkpoint", numbers(out)[-1]


@pytest.fixture(autouse=True)
def nothing_stored(request: pytest.FixtureRequest) -> Iterator[None]:
    """No checkpoint may stay in containerd, whose collector of garbage would leave an image there for ever."""
    engine: pyctd.Engine = request.getfixturevalue("engine")
    namespace: str = request.getfixturevalue("namespace")
    before = criu.unpacked()
    yield
    assert criu.stored(engine, namespace) == []
    # Where the time ran out while containerd unpacked one, nobody knows of its directory.
    if "out_of_time" not in request.node.name:
        eventually(lambda: not criu.unpacked() - before, what="the removal of unpacked checkpoints")


def restored(container: pyctd.Container, directory: Path) -> tuple[pyctd.Task, int]:
    """A task restored from a counter's checkpoint, and the first number that it wrote."""
    out = pyctd.stdio.capture()
    task = container.start(checkpoint_dir=directory, attach_stdio=out, timeout=60)
    eventually(lambda: numbers(out))
    return task, numbers(out)[0]


def test_checkpoint(counter: tuple[pyctd.Task, pyctd.stdio.capture], box: Box, tmp_path: Path) -> None:
    task, out = counter
    before, pid = numbers(out)[-1], task.pid
    task.create_checkpoint(tmp_path / "new" / "checkpoint", timeout=60)
    assert task.status().status == "running"
    after = numbers(out)[-1]
    eventually(lambda: numbers(out)[-1] >= after + 3)
    assert numbers(out) == list(range(1, len(numbers(out)) + 1))
    assert task.pid == pid
    assert (tmp_path / "new" / "checkpoint" / "inventory.img").is_file()
    assert (tmp_path / "new" / "checkpoint").stat().st_mode & 0o777 == 0o700
    # Beside the one that runs on.
    _, first = restored(box.container(*COUNT), tmp_path / "new" / "checkpoint")
    assert before < first <= after + 1


def test_checkpoint_with_exit(box: Box, make_client: MakeClient, tmp_path: Path) -> None:
    exits: list[tuple[str, int | None]] = []

    def on_event(container_id: str, event: pyctd.EventType, info: pyctd.EventInfo) -> None:
        if event is pyctd.EventType.EXIT:
            exits.append((container_id, info.exit_code))

    make_client(backend=on_event)
    task, _ = box.start(*COUNT)
    task.create_checkpoint(tmp_path, exit=True, timeout=60)
    assert task.wait(timeout=10).exit_code == 137
    assert task.status().status == "stopped"
    assert eventually(lambda: exits) == [(task.container_id, 137)]
    assert task.delete().exit_code == 137
    box.client.load_container(task.container_id).delete()


def test_restore_goes_on_in_a_new_container(checkpoint: tuple[Path, int], box: Box) -> None:
    directory, last = checkpoint
    container = box.container(*COUNT)
    task, first = restored(container, directory)
    assert first == last + 1
    assert task.status().status == "running"
    assert task.pid in [process.pid for process in task.pids()]
    assert container.task().pid == task.pid
    task.kill("KILL")
    assert task.wait(timeout=10).exit_code == 137
    assert task.delete(timeout=10).exit_code == 137
    assert (directory / "inventory.img").is_file()


def test_restore_in_the_same_container_again_and_again(box: Box, tmp_path: Path) -> None:
    container = box.container(*COUNT)
    out = pyctd.stdio.capture()
    task = container.start(attach_stdio=out)
    eventually(lambda: numbers(out))
    task.create_checkpoint(tmp_path, exit=True, timeout=60)
    task.wait(timeout=10)
    task.delete()
    for _ in range(3):
        task, first = restored(container, tmp_path)
        assert first == numbers(out)[-1] + 1
        task.force_delete(timeout=20)


def test_a_restored_task_is_checkpointed_and_restored(checkpoint: tuple[Path, int], box: Box, tmp_path: Path) -> None:
    directory, last = checkpoint
    for hop in range(3):
        out = pyctd.stdio.capture()
        task = box.container(*COUNT).start(checkpoint_dir=directory, attach_stdio=out, timeout=60)
        eventually(functools.partial(numbers, out))
        directory = tmp_path / f"hop{hop}"
        task.create_checkpoint(directory, exit=True, timeout=60)
        task.wait(timeout=10)
        task.delete()
        assert numbers(out)[0] == last + 1
        last = numbers(out)[-1]


def test_restore_in_two_steps(checkpoint: tuple[Path, int], box: Box) -> None:
    directory, last = checkpoint
    out = pyctd.stdio.capture()
    task = box.container(*COUNT).new_task(checkpoint_dir=directory, attach_stdio=out, timeout=60)
    assert task.status().status == "created"
    task.start(timeout=60)
    assert task.status().status == "running"
    eventually(lambda: numbers(out))
    assert numbers(out)[0] == last + 1


def test_restore_that_is_never_started(checkpoint: tuple[Path, int], box: Box) -> None:
    task = box.container(*COUNT).new_task(checkpoint_dir=checkpoint[0], timeout=60)
    task.force_delete(timeout=20)


def test_a_restored_task_has_its_stdin_and_takes_execs(box: Box, tmp_path: Path) -> None:
    echo = ("/bin/sh", "-c", 'n=0; while read word; do n=$((n+1)); echo "$n $word"; done; echo end')
    given: list[pyctd.DirectIO] = []

    def keep(io: pyctd.DirectIO) -> pyctd.DirectIO:
        given.append(io)
        return io

    task = box.container(*echo).start(with_stdin=True, attach_stdio=keep)
    assert given[0].stdin is not None
    assert given[0].stdout is not None
    given[0].stdin.write(b"one\n")
    assert given[0].stdout.read(100) == b"1 one\n"
    task.create_checkpoint(tmp_path, exit=True, timeout=60)
    task.wait(timeout=10)
    task.delete()

    task = box.container(*echo).start(checkpoint_dir=tmp_path, with_stdin=True, attach_stdio=keep, timeout=60)
    assert given[1].stdin is not None
    assert given[1].stdout is not None
    given[1].stdin.write(b"two\n")
    assert given[1].stdout.read(100) == b"2 two\n"
    out = pyctd.stdio.capture()
    process = task.exec("e1", pyctd.spec.process(["/bin/echo", "in a restored task"]), attach_stdio=out)
    assert process.wait(timeout=10).exit_code == 0
    assert out.stdout == b"in a restored task\n"
    process.delete()
    given[1].stdin.close()
    assert task.wait(timeout=10).exit_code == 0
    assert given[1].stdout.read(100) == b"end\n"


def test_restores_at_the_same_time(checkpoint: tuple[Path, int], box: Box, make_client: MakeClient) -> None:
    """libcontainerd's own would find each other's copy of the checkpoint in containerd: "already exists"."""
    directory, last = checkpoint
    copy = directory.parent / "copy"
    shutil.copytree(directory, copy)
    ids = [box.container(*COUNT).id for _ in range(6)]
    clients = [box.client, make_client()]
    found: list[object] = []

    def restore(number: int, id: str) -> None:
        try:
            container = clients[number % 2].load_container(id)
            found.append(restored(container, (directory, directory, copy)[number % 3])[1])
        except BaseException as error:
            found.append(error)

    threads = [threading.Thread(target=restore, args=item) for item in enumerate(ids)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [last + 1] * 6


def test_checkpoints_into_one_directory_at_the_same_time(box: Box, tmp_path: Path) -> None:
    tasks = [box.start(*COUNT)[0] for _ in range(3)]
    found: list[str] = []

    def create(task: pyctd.Task) -> None:
        try:
            task.create_checkpoint(tmp_path / "checkpoint", timeout=60)
            found.append("made")
        except pyctd.AlreadyExistsError:
            found.append("refused")

    threads = [threading.Thread(target=create, args=(task,)) for task in tasks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == ["made", "refused", "refused"]
    restored(box.container(*COUNT), tmp_path / "checkpoint")


@contextlib.contextmanager
def read_only(directory: Path) -> Iterator[Path]:
    """A file system that not even root can write to."""
    directory.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "none", directory], check=True)
    try:
        yield directory
    finally:
        subprocess.run(["umount", directory], check=True)


@pytest.mark.parametrize("exit", [False, True])
def test_checkpoint_directories_that_are_refused(box: Box, tmp_path: Path, exit: bool) -> None:
    """Before CRIU begins: with exit the task would have ended, and its checkpoint had nowhere to go."""
    task, _ = box.start(*COUNT)
    (tmp_path / "file").write_text("mine")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("mine")
    with read_only(tmp_path / "ro") as ro:
        for directory, kind, text in (
            (tmp_path / "file", pyctd.InvalidArgumentError, "not a directory"),
            (tmp_path / "file" / "below", pyctd.InvalidArgumentError, "not a directory"),
            (tmp_path / "full", pyctd.AlreadyExistsError, "has files in it"),
            (ro, pyctd.InvalidArgumentError, "read-only file system"),
            (ro / "below", pyctd.InvalidArgumentError, "read-only file system"),
            (Path("/proc/nothing"), pyctd.NotFoundError, "no such file"),
        ):
            with pytest.raises(kind, match=text) as raised:
                task.create_checkpoint(directory, exit=exit, timeout=60)
            assert str(directory) in str(raised.value)
    with pytest.raises(pyctd.InvalidArgumentError, match="not empty"):
        task.create_checkpoint("", exit=exit)
    assert task.status().status == "running"
    assert (tmp_path / "file").read_text() == "mine"
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["file"]


def test_a_second_checkpoint_into_the_same_directory(box: Box, tmp_path: Path) -> None:
    task, _ = box.start(*COUNT)
    task.create_checkpoint(tmp_path / "checkpoint", timeout=60)
    before = sorted((path.name, path.stat().st_mtime_ns) for path in (tmp_path / "checkpoint").iterdir())
    with pytest.raises(pyctd.AlreadyExistsError, match="has files in it"):
        task.create_checkpoint(tmp_path / "checkpoint", timeout=60)
    assert sorted((path.name, path.stat().st_mtime_ns) for path in (tmp_path / "checkpoint").iterdir()) == before


def test_checkpoint_of_a_paused_task(counter: tuple[pyctd.Task, pyctd.stdio.capture], box: Box, tmp_path: Path) -> None:
    task, out = counter
    task.pause()
    task.create_checkpoint(tmp_path, timeout=60)
    assert task.status().status == "paused"
    last = numbers(out)[-1]
    task.resume()
    eventually(lambda: numbers(out)[-1] > last)
    _, first = restored(box.container(*COUNT), tmp_path)
    assert first == last + 1


def test_checkpoint_of_a_task_that_does_not_run(box: Box, tmp_path: Path) -> None:
    created = box.container().new_task()
    with pytest.raises(pyctd.Error, match="created"):
        created.create_checkpoint(tmp_path / "checkpoint", timeout=60)
    stopped, _ = box.start("/bin/true")
    stopped.wait(timeout=10)
    with pytest.raises(pyctd.Error, match="not running|stopped|not found"):
        stopped.create_checkpoint(tmp_path / "checkpoint", timeout=60)
    stopped.delete()
    with pytest.raises(pyctd.NotFoundError):
        stopped.create_checkpoint(tmp_path / "checkpoint", timeout=60)
    assert not (tmp_path / "checkpoint").exists()


def test_checkpoint_of_a_loaded_container(box: Box, client: pyctd.Client, tmp_path: Path) -> None:
    task, _ = box.start(*COUNT)
    loaded = client.load_container(task.container_id).task()
    with pytest.raises(pyctd.FailedPreconditionError, match="would ignore exit"):
        loaded.create_checkpoint(tmp_path / "checkpoint", exit=True)
    assert task.status().status == "running"
    loaded.create_checkpoint(tmp_path / "checkpoint", timeout=60)
    assert task.status().status == "running"
    restored(box.container(*COUNT), tmp_path / "checkpoint")


def test_a_checkpoint_that_criu_refuses(box: Box, tmp_path: Path) -> None:
    """CRIU dumps no file system of POSIX message queues that has one in it."""
    task, out = box.start("/bin/sh", "-c", f": > /dev/mqueue/q; {COUNT[-1]}")
    eventually(lambda: numbers(out))
    for directory, exit in ((tmp_path / "new", False), (tmp_path, True)):
        with pytest.raises(pyctd.UnknownError, match="criu failed") as raised:
            task.create_checkpoint(directory, exit=exit, timeout=60)
        cause = raised.value.__cause__
        assert isinstance(cause, pyctd.CriuError)
        assert "mqueue isn't empty" in str(cause)
        assert all(line.startswith("Error (criu/") for line in str(cause).splitlines())
        assert list(tmp_path.iterdir()) == []
    assert task.status().status == "running"
    seen = len(numbers(out))
    eventually(lambda: len(numbers(out)) > seen)
    # Without what it refused, the same task can be checkpointed.
    process = task.exec("e1", pyctd.spec.process(["/bin/rm", "/dev/mqueue/q"]))
    assert process.wait(timeout=10).exit_code == 0
    process.delete()
    task.create_checkpoint(tmp_path, timeout=60)


def test_a_restore_that_criu_refuses(checkpoint: tuple[Path, int], box: Box) -> None:
    directory, _ = checkpoint
    (directory / "core-1.img").write_bytes(b"\0\0")
    container = box.container(*COUNT)
    for _ in range(2):
        with pytest.raises(pyctd.UnknownError, match="OCI runtime restore failed: criu failed") as raised:
            container.start(checkpoint_dir=directory, attach_stdio=pyctd.stdio.capture(), timeout=60)
        assert isinstance(raised.value.__cause__, pyctd.CriuError)
        assert "Can't open core data for 1" in str(raised.value.__cause__)
        with pytest.raises(pyctd.NotFoundError):
            container.task()
    task = container.new_task(checkpoint_dir=directory, timeout=60)
    with pytest.raises(pyctd.UnknownError, match="criu failed") as raised:
        task.start(timeout=60)
    assert "Can't open core data for 1" in str(raised.value.__cause__)
    task.force_delete(timeout=20)


def test_restore_from_what_is_no_checkpoint(box: Box, tmp_path: Path) -> None:
    container = box.container()
    (tmp_path / "file").write_text("")
    for directory, kind, text in (
        (tmp_path, pyctd.InvalidArgumentError, "holds no checkpoint"),
        (tmp_path / "nothing", pyctd.NotFoundError, "no such file"),
        (tmp_path / "file", pyctd.InvalidArgumentError, "not a directory"),
    ):
        for make in (container.start, container.new_task):
            with pytest.raises(kind, match=text) as raised:
                make(checkpoint_dir=directory, attach_stdio=pyctd.stdio.capture(), timeout=60)
            assert str(directory) in str(raised.value)
    with pytest.raises(pyctd.NotFoundError):
        container.task()


def test_restore_with_a_stdio_callback_that_raises(checkpoint: tuple[Path, int], box: Box) -> None:
    container = box.container(*COUNT)

    def refuse(io: pyctd.DirectIO) -> None:
        raise RuntimeError("no")

    with pytest.raises(pyctd.StdioError):
        container.start(checkpoint_dir=checkpoint[0], attach_stdio=refuse, timeout=60)
    _, first = restored(container, checkpoint[0])
    assert first == checkpoint[1] + 1


def test_restores_that_run_out_of_time(box: Box, tmp_path: Path) -> None:
    """Wherever the time runs out, nothing stays in the way of the next one."""
    held = "x=$(head -c 4000000 /dev/zero | tr '\\0' a); "
    args = ("/bin/sh", "-c", held + COUNT[-1])
    task, out = box.start(*args)
    eventually(lambda: numbers(out))
    task.create_checkpoint(tmp_path, exit=True, timeout=60)
    task.wait(timeout=10)
    task.delete()
    for timeout in (0.0, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128):
        container = box.container(*args)
        with contextlib.suppress(pyctd.DeadlineExceededError):
            container.start(checkpoint_dir=tmp_path, timeout=timeout).force_delete(timeout=20)
        task, first = eventually(functools.partial(when_free, container, tmp_path))
        assert first == numbers(out)[-1] + 1
        task.force_delete(timeout=20)


def when_free(container: pyctd.Container, directory: Path) -> tuple[pyctd.Task, int] | None:
    """A restored task, or None while containerd is still giving up an earlier one."""
    try:
        return restored(container, directory)
    except (pyctd.AlreadyExistsError, pyctd.UnknownError) as error:
        if "failed to upload" in str(error) or (type(error) is pyctd.UnknownError and "file exists" not in str(error)):
            raise
        return None


# -- daemons with another CRIU on their PATH ------------------------------------------------------------------------


@pytest.fixture
def engine_with(
    leak: None, base: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str | None], pyctd.Engine]]:
    """Starts a containerd whose ``criu`` is a script, or missing."""
    with contextlib.ExitStack() as stack:

        def start(script: str | None) -> pyctd.Engine:
            directory = Path(tempfile.mkdtemp(prefix="c", dir=base))
            stack.callback(shutil.rmtree, directory, ignore_errors=True)
            programs = criu.programs_but_criu(directory / "bin")
            if script is not None:
                (programs / "criu").write_text("#!/bin/sh\n" + script)
                (programs / "criu").chmod(0o755)
            with monkeypatch.context() as patch:
                patch.setenv("PATH", str(programs))
                return stack.enter_context(pyctd.Engine(root=directory / "r", state=directory / "s"))

        yield start


def test_no_criu(engine_with: Callable[[str | None], pyctd.Engine], rootfs: Path, tmp_path: Path) -> None:
    with engine_with(None).client(timeout=20) as client:
        box = Box(client, rootfs)
        task, _ = box.start()
        for exit in (False, True):
            with pytest.raises(pyctd.NotFoundError, match='"criu": executable file not found') as raised:
                task.create_checkpoint(tmp_path / "checkpoint", exit=exit, timeout=60)
            assert "install CRIU" in str(raised.value.__cause__)
        assert task.status().status == "running"
        assert list(tmp_path.iterdir()) == []
        (tmp_path / "inventory.img").write_bytes(b"")
        container = box.container()
        with pytest.raises(pyctd.NotFoundError, match='"criu": executable file not found') as raised:
            container.start(checkpoint_dir=tmp_path, timeout=60)
        assert "install CRIU" in str(raised.value.__cause__)
        box.clean()


def test_a_criu_that_fails_at_once(
    engine_with: Callable[[str | None], pyctd.Engine], rootfs: Path, tmp_path: Path
) -> None:
    """The criu here is a stand-in: it fails before it has a log, so that runc's words are all there is."""
    with engine_with("echo 'this is no CRIU' >&2; exit 1").client(timeout=20) as client:
        box = Box(client, rootfs)
        task, _ = box.start()
        with pytest.raises(pyctd.UnknownError, match="CRIU version check failed"):
            task.create_checkpoint(tmp_path / "checkpoint", timeout=60)
        assert task.status().status == "running"
        assert list(tmp_path.iterdir()) == []
        box.clean()


@pytest.mark.parametrize("close", [False, True])
def test_a_checkpoint_that_runs_out_of_time_goes_on(
    engine_with: Callable[[str | None], pyctd.Engine], rootfs: Path, tmp_path: Path, close: bool
) -> None:
    """The criu here is the real one behind a gate. Cut off, the task would stay paused for ever."""
    gate = tmp_path / "gate"
    engine = engine_with(criu.behind(gate))
    with engine.client(timeout=20) as client:
        box = Box(client, rootfs)
        task, out = box.start(*COUNT)
        eventually(lambda: numbers(out))
        other = engine.client(timeout=20)
        with pytest.raises(pyctd.DeadlineExceededError):
            other.load_container(task.container_id).task().create_checkpoint(tmp_path / "checkpoint", timeout=0.5)
        if close:
            other.close()
        gate.touch()
        eventually(lambda: (tmp_path / "checkpoint" / "inventory.img").exists())
        eventually(lambda: task.status().status == "running")
        seen = numbers(out)[-1]
        eventually(lambda: numbers(out)[-1] > seen)
        eventually(lambda: criu.stored(engine, "moby") == [])
        other.close()
        restored(box.container(*COUNT), tmp_path / "checkpoint")
        box.clean()


def test_a_restore_that_runs_out_of_time_in_criu(
    engine_with: Callable[[str | None], pyctd.Engine], rootfs: Path, tmp_path: Path
) -> None:
    """The criu here is the real one behind a gate."""
    gate = tmp_path / "gate"
    gate.touch()
    engine = engine_with(criu.behind(gate))
    with engine.client(timeout=20) as client:
        box = Box(client, rootfs)
        task, _ = box.start(*COUNT)
        task.create_checkpoint(tmp_path / "checkpoint", exit=True, timeout=60)
        task.force_delete(timeout=20)
        gate.unlink()
        container = box.container(*COUNT)
        with pytest.raises(pyctd.DeadlineExceededError):
            container.start(checkpoint_dir=tmp_path / "checkpoint", timeout=0.5)
        assert criu.stored(engine, "moby") == []
        gate.touch()
        assert eventually(functools.partial(when_free, container, tmp_path / "checkpoint"))
        box.clean()
