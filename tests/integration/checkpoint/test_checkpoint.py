"""Checkpoint and restore, with a real CRIU."""

from __future__ import annotations

import functools
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

from support.box import Box, eventually
from support.criu import COUNT, needs_criu, numbers, restored

import pyctd
from pyctd.cli._usage import usage_of

pytestmark = needs_criu

MakeClient = Callable[..., pyctd.Client]
Counter = tuple[pyctd.Task, pyctd.stdio.capture]


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


def test_a_checkpoint_longer_than_what_is_read_of_an_image(box: Box, tmp_path: Path) -> None:
    task, _ = box.start("/bin/sh", "-c", "dd if=/dev/urandom bs=24M count=1 | sleep 600")
    eventually(lambda: usage_of(task.stats().metrics).memory >= 24 << 20)
    task.create_checkpoint(tmp_path, timeout=60)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) > 24 << 20


def test_checkpoint_with_exit(box: Box, make_client: MakeClient, tmp_path: Path) -> None:
    exits: list[tuple[str, int | None]] = []

    def on_event(container_id: str, event: pyctd.EventType, info: pyctd.EventInfo) -> None:
        if event is pyctd.EventType.EXIT:
            exits.append((container_id, info.exit_code))

    make_client(backend=on_event)
    task, _ = box.start(*COUNT)
    task.create_checkpoint(tmp_path, exit=True, timeout=60)
    assert task.wait(timeout=60).exit_code == 137
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
    assert task.wait(timeout=60).exit_code == 137
    assert task.delete(timeout=60).exit_code == 137
    assert (directory / "inventory.img").is_file()


def test_restore_in_the_same_container_again_and_again(box: Box, tmp_path: Path) -> None:
    container = box.container(*COUNT)
    out = pyctd.stdio.capture()
    task = container.start(attach_stdio=out)
    eventually(lambda: numbers(out))
    task.create_checkpoint(tmp_path, exit=True, timeout=60)
    task.wait(timeout=60)
    task.delete()
    for _ in range(3):
        task, first = restored(container, tmp_path)
        assert first == numbers(out)[-1] + 1
        task.force_delete(timeout=60)


def test_a_restored_task_is_checkpointed_and_restored(checkpoint: tuple[Path, int], box: Box, tmp_path: Path) -> None:
    directory, last = checkpoint
    for hop in range(3):
        out = pyctd.stdio.capture()
        task = box.container(*COUNT).start(checkpoint_dir=directory, attach_stdio=out, timeout=60)
        eventually(functools.partial(numbers, out))
        directory = tmp_path / f"hop{hop}"
        task.create_checkpoint(directory, exit=True, timeout=60)
        task.wait(timeout=60)
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
    task.force_delete(timeout=60)


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
    task.wait(timeout=60)
    task.delete()

    task = box.container(*echo).start(checkpoint_dir=tmp_path, with_stdin=True, attach_stdio=keep, timeout=60)
    assert given[1].stdin is not None
    assert given[1].stdout is not None
    given[1].stdin.write(b"two\n")
    assert given[1].stdout.read(100) == b"2 two\n"
    out = pyctd.stdio.capture()
    process = task.exec("e1", pyctd.spec.process(["/bin/echo", "in a restored task"]), attach_stdio=out)
    assert process.wait(timeout=60).exit_code == 0
    assert out.stdout == b"in a restored task\n"
    process.delete()
    given[1].stdin.close()
    assert task.wait(timeout=60).exit_code == 0
    assert given[1].stdout.read(100) == b"end\n"


def test_restores_at_the_same_time(checkpoint: tuple[Path, int], box: Box) -> None:
    """libcontainerd's own would find each other's copy of the checkpoint in containerd: "already exists".

    The second client knows the daemon by another path of its socket, as /run and /var/run are one directory.
    """
    directory, last = checkpoint
    other = directory.parent / "other"
    other.symlink_to(Path(box.client.address).parent)
    copy = directory.parent / "copy"
    shutil.copytree(directory, copy)
    ids = [box.container(*COUNT).id for _ in range(6)]
    address = other / Path(box.client.address).name
    second = pyctd.Client(address, box.client.namespace, box.client.state_dir, timeout=60)
    clients = [box.client, second]
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
    second.close()
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
