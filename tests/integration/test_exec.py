"""Execs: what their spec says, how they end, and what they leave."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from support import leaks
from support.box import SLEEP, Box, Hold, eventually
from support.proc import parent, state

import pyctd

EXEC = pyctd.spec.process


@pytest.fixture
def task(box: Box) -> Iterator[pyctd.Task]:
    """Without streams of its own, so that every FIFO is an exec's; its init collects orphans."""
    task = box.container("/bin/sh", "-c", "while :; do sleep 0.1; done").start()
    yield task
    task.close()


def run(task: pyctd.Task, *args: str, id: str = "e", stdin: bytes | None = None, **options: Any) -> tuple[int, bytes]:
    """The exit code and stdout of an exec, everything deleted."""
    out = pyctd.stdio.capture(stdin=stdin)
    process = task.exec(id, EXEC(list(args), **options), attach_stdio=out)
    code = process.wait(timeout=60).exit_code
    assert process.delete(timeout=60).exit_code == code
    return code, out.stdout


def test_every_exit_code(task: pyctd.Task) -> None:
    """Sixteen at a time, 0 to 255, each by an exec of its own."""
    codes: dict[int, int] = {}

    def worker(first: int) -> None:
        for code in range(first, 256, 16):
            codes[code] = run(task, "/bin/sh", "-c", f"exit {code}", id=f"e{code}")[0]

    threads = [threading.Thread(target=worker, args=(first,)) for first in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert codes == {code: code for code in range(256)}


def test_user_and_groups(task: pyctd.Task) -> None:
    code, out = run(task, "/bin/sh", "-c", "id -u; id -g; id -G", user="1000:2000", additional_gids=[3000, 4000])
    assert (code, out.split()) == (0, b"1000 2000 2000 3000 4000".split())


def test_cwd_and_env(task: pyctd.Task) -> None:
    code, out = run(task, "/bin/sh", "-c", "pwd; echo $A; echo $PATH", cwd="/tmp", env={"A": "ä b"})
    assert (code, out.decode().splitlines()[:2]) == (0, ["/tmp", "ä b"])


def test_capabilities(task: pyctd.Task) -> None:
    show = ("/bin/sh", "-c", "grep -E 'Cap(Eff|Bnd)' /proc/self/status")
    spec = EXEC(list(show))
    spec["capabilities"] = {kind: ["CAP_KILL"] for kind in ("bounding", "effective", "permitted")}
    out = pyctd.stdio.capture()
    process = task.exec("e", spec, attach_stdio=out)
    assert process.wait(timeout=60).exit_code == 0
    process.delete()
    only_kill = f"{1 << 5:016x}".encode()
    assert out.stdout.split() == [b"CapEff:", only_kill, b"CapBnd:", only_kill]


def test_rlimits(task: pyctd.Task) -> None:
    code, out = run(task, "/bin/grep", "core file", "/proc/self/limits", rlimits={"core": (64, 128)})
    assert (code, out.split()[4:6]) == (0, [b"64", b"128"])


def test_no_new_privileges(task: pyctd.Task) -> None:
    spec = EXEC(["/bin/grep", "NoNewPrivs", "/proc/self/status"])
    spec["noNewPrivileges"] = True
    out = pyctd.stdio.capture()
    process = task.exec("e", spec, attach_stdio=out)
    process.wait(timeout=60)
    process.delete()
    assert out.stdout.split() == [b"NoNewPrivs:", b"1"]


def test_tty_has_one_stream_and_a_size(task: pyctd.Task) -> None:
    hold = Hold()
    spec = EXEC(["/bin/sh", "-c", "tty; read x; stty size; echo err >&2"], terminal=True)
    process = task.exec("tty", spec, with_stdin=True, attach_stdio=hold)
    dio = hold.dio
    assert dio.config().terminal
    assert dio.stderr is None
    process.resize(111, 42)
    shown = dio.stdout.read(4096)  # of tty, before the terminal echoes what is written
    dio.stdin.write(b"go\n")
    while data := dio.stdout.read(4096):
        shown += data
    assert process.wait(timeout=60).exit_code == 0
    process.delete()
    assert shown.split() == [b"/dev/pts/0", b"go", b"42", b"111", b"err"]


def test_console_size_of_the_spec(task: pyctd.Task) -> None:
    spec = EXEC(["/bin/stty", "size"], terminal=True)
    spec["consoleSize"] = {"height": 33, "width": 99}
    out = pyctd.stdio.capture()
    process = task.exec("tty", spec, with_stdin=True, attach_stdio=out)
    assert process.wait(timeout=60).exit_code == 0
    process.delete()
    assert out.stdout.split() == [b"33", b"99"]


def test_stdin_of_an_exec_is_its_own(task: pyctd.Task) -> None:
    results: dict[int, tuple[int, bytes]] = {}

    def worker(i: int) -> None:
        results[i] = run(task, "/bin/cat", id=f"cat{i}", stdin=b"%d" % i * 10000)

    threads = [threading.Thread(target=worker, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {i: (0, b"%d" % i * 10000) for i in range(8)}


def test_an_id_in_use_while_it_runs_and_when_it_has_ended(task: pyctd.Task, client: pyctd.Client) -> None:
    process = task.exec("e", EXEC(["/bin/true"]))
    process.wait(timeout=60)
    with pytest.raises(pyctd.ConflictError) as caught:
        task.exec("e", EXEC(["/bin/true"]), attach_stdio=pyctd.stdio.capture(stdin=b"x"))
    assert str(caught.value) == "id already in use"
    assert not leaks.fifos(Path(client.state_dir))
    process.delete()
    assert run(task, "/bin/true")[0] == 0


def test_the_containers_own_id_is_free_for_an_exec(task: pyctd.Task) -> None:
    assert run(task, "/bin/sh", "-c", "exit 6", id=f"{task.container_id}-x")[0] == 6


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"args": ["/bin/nothing"]}, "no such file or directory|not found"),
        ({"args": ["/bin/notexecutable"]}, "permission denied"),
        ({"cwd": "/no/where"}, "no such file or directory"),
        ({"apparmorProfile": "no-such-profile"}, "apparmor"),
        ({"capabilities": {"effective": ["CAP_KILL"], "permitted": []}}, "operation not permitted|capabilit"),
        ({"rlimits": [{"type": "RLIMIT_NOFILE", "soft": 10, "hard": 5}]}, "rlimit|invalid argument"),
    ],
)
@pytest.mark.parametrize("terminal", [False, True])
def test_failing_to_start_leaves_nothing(
    task: pyctd.Task, client: pyctd.Client, change: dict[str, Any], words: str, terminal: bool
) -> None:
    spec = {**EXEC(["/bin/true"], terminal=terminal), **change}
    with pytest.raises(pyctd.Error, match=f"(?i){words}"):
        task.exec("e", spec, with_stdin=True, attach_stdio=pyctd.stdio.capture(stdin=b"x"), timeout=60)
    assert not leaks.fifos(Path(client.state_dir))
    assert run(task, "/bin/true")[0] == 0, "the id is free again"
    assert task.status().status == "running"


def test_its_own_kill_resize_wait_status_and_delete(task: pyctd.Task) -> None:
    process = task.exec("e", EXEC([*SLEEP], terminal=True), attach_stdio=pyctd.stdio.capture())
    assert process.status().status == "running"
    process.resize(80, 25)
    with pytest.raises(pyctd.FailedPreconditionError):
        process.delete()
    with pytest.raises(pyctd.DeadlineExceededError):
        process.wait(timeout=0.1)
    process.kill(signal.SIGTERM)
    status = process.wait(timeout=60)
    assert status.exit_code == 128 + signal.SIGTERM
    assert process.status().exit_status == status.exit_code
    assert process.delete() == status
    for call in (process.delete, process.status, lambda: process.kill(9), lambda: process.resize(1, 1)):
        with pytest.raises(pyctd.NotFoundError):
            call()
    assert process.wait() == status, "what is known stays known"
    assert task.status().status == "running"


def test_exec_in_a_paused_task_is_refused(task: pyctd.Task, client: pyctd.Client) -> None:
    task.pause()
    with pytest.raises(pyctd.Error, match="paused"):
        task.exec("e", EXEC(["/bin/true"]), attach_stdio=pyctd.stdio.capture(), timeout=60)
    assert not leaks.fifos(Path(client.state_dir))
    task.resume()
    assert run(task, "/bin/true")[0] == 0


def test_fifty_execs_at_once(task: pyctd.Task) -> None:
    processes: list[pyctd.Process] = []

    def start(i: int) -> None:
        processes.append(task.exec(f"e{i}", EXEC([*SLEEP]), attach_stdio=pyctd.stdio.capture(), timeout=90))

    threads = [threading.Thread(target=start, args=(i,)) for i in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(processes) == 50
    assert {p.pid for p in task.pids()} >= {task.pid, *(process.pid for process in processes)}
    task.kill("KILL")
    for process in processes:
        assert process.wait(timeout=60).exit_code == 137
        process.delete(timeout=60)
    assert task.wait(timeout=60).exit_code == 137
    task.delete(timeout=60)


def test_many_short_execs_at_once_take_no_longer_than_a_few_at_a_time(task: pyctd.Task) -> None:
    """containerd 1.6's shim nearly stands still when it starts as many at once."""

    def output(id: str) -> tuple[bytes, int]:
        out = pyctd.stdio.capture()
        process = task.exec(id, EXEC(["/bin/echo", id]), attach_stdio=out)
        process.wait(timeout=60)
        return out.stdout, process.delete(timeout=60).exit_code

    def seconds(at_once: int) -> float:
        ids = [f"{at_once}-{i}" for i in range(60)]
        begun = time.monotonic()
        with ThreadPoolExecutor(at_once) as threads:
            assert list(threads.map(output, ids)) == [(f"{id}\n".encode(), 0) for id in ids]
        return time.monotonic() - begun

    a_few = seconds(5)
    assert seconds(60) < 4 * a_few


def test_no_zombie_is_left(task: pyctd.Task) -> None:
    """Neither of an exec, nor of what an exec left behind, whose parent the task's init becomes."""
    run(task, "/bin/sh", "-c", "sleep 0.2 & exit 0")
    time.sleep(0.3)
    shim = parent(task.pid)
    eventually(lambda: not zombies(children(shim) | children(task.pid)), "no zombies")


def test_exec(box: Box) -> None:
    task, _ = box.start()
    out = pyctd.stdio.capture()
    process = task.exec("e1", pyctd.spec.process(["/bin/sh", "-c", "echo out; echo err >&2; exit 5"]), attach_stdio=out)
    assert not isinstance(process, pyctd.Task)
    assert (process.id, process.container_id) == ("e1", task.container_id)
    assert process.pid > 0
    assert process.wait(timeout=60).exit_code == 5
    assert (out.stdout, out.stderr) == (b"out\n", b"err\n")
    assert process.status().status == "stopped"
    assert process.delete().exit_code == 5
    with pytest.raises(pyctd.NotFoundError):
        process.delete()
    assert task.status().status == "running"


def test_exec_into_a_stopped_task(box: Box, client: pyctd.Client) -> None:
    task, _ = box.start("/bin/true")
    task.wait(timeout=60)
    with pytest.raises(pyctd.Error):
        task.exec("e1", pyctd.spec.process(SLEEP), attach_stdio=pyctd.stdio.capture(), timeout=60)
    task.delete()
    with pytest.raises(pyctd.NotFoundError):
        task.exec("e2", pyctd.spec.process(SLEEP), attach_stdio=pyctd.stdio.capture(), timeout=60)


@pytest.mark.parametrize("spec", [None, [], "sh", {"args": "sh"}, {"args": 5}])
def test_exec_of_a_spec_that_is_none(box: Box, spec: Any) -> None:
    task, _ = box.start()
    with pytest.raises(pyctd.InvalidArgumentError):
        task.exec("e1", spec)


def test_exec_ends_with_its_task(box: Box) -> None:
    task, _ = box.start()
    process = task.exec("e1", pyctd.spec.process(SLEEP))
    task.kill(9)
    assert task.wait(timeout=60).exit_code == 137
    assert process.wait(timeout=60).exit_code == 137
    process.delete()
    task.delete()


@pytest.mark.parametrize("id", ["", "../x", "a/b", "x" * 77])
def test_exec_ids_that_are_none(box: Box, client: pyctd.Client, id: str) -> None:
    task, _ = box.start()
    with pytest.raises(pyctd.InvalidArgumentError):
        task.exec(id, pyctd.spec.process(SLEEP), attach_stdio=pyctd.stdio.capture())
    assert leaks.bundles_of(client) == [task.container_id]


def children(pid: int) -> set[int]:
    return set(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


def zombies(pids: set[int]) -> set[int]:
    return {pid for pid in pids if state(pid) == "Z"}
