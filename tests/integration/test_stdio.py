"""Streams: every byte of them, their ends, and who may hold them."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import leaks
from support.box import Box, eventually

import pyctd


def test_stdin_comes_to_its_end(box: Box) -> None:
    status, out = box.run("/bin/cat", stdin=b"through and through\n")
    assert (status.exit_code, out.stdout) == (0, b"through and through\n")


def test_empty_stdin(box: Box) -> None:
    status, out = box.run("/bin/cat", stdin=b"")
    assert (status.exit_code, out.stdout) == (0, b"")


def test_stdin_that_nobody_reads(box: Box) -> None:
    status, _ = box.run("/bin/true", stdin=b"x" * (1 << 20))
    assert status.exit_code == 0


def test_stdin_closed_early_under_stress(box: Box) -> None:
    """Older versions lost the CloseIO of a stdin that was closed before the start, and cat never ended."""
    task, _ = box.start()
    failures: list[object] = []

    def cat(worker: int) -> None:
        for i in range(10):
            process = task.exec(
                f"cat-{worker}-{i}",
                pyctd.spec.process(["/bin/cat"]),
                attach_stdio=pyctd.stdio.capture(stdin=b""),
                timeout=60,
            )
            try:
                if process.wait(timeout=30).exit_code:
                    failures.append((worker, i))
            except pyctd.DeadlineExceededError:
                failures.append((worker, i, "never ended"))
                process.kill(9)
                process.wait(timeout=10)
            process.delete(timeout=30)

    workers = [threading.Thread(target=cat, args=(worker,)) for worker in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert failures == []


def test_stdin_closed_before_the_start(box: Box) -> None:
    for _ in range(5):

        def close_at_once(dio: pyctd.DirectIO) -> pyctd.IO:
            assert dio.stdin
            dio.stdin.close()
            return dio

        container = box.container("/bin/cat")
        task = container.start(with_stdin=True, attach_stdio=close_at_once)
        assert task.wait(timeout=20).exit_code == 0
        task.delete()
        container.delete()


def test_big_streams_both_ways(box: Box) -> None:
    data = os.urandom(1 << 20) * 16
    status, out = box.run("/bin/cat", stdin=data)
    assert status.exit_code == 0
    assert out.stdout == data


def test_stdout_and_stderr_are_apart(box: Box) -> None:
    _, out = box.run("/bin/sh", "-c", "echo out; echo err >&2; echo out2")
    assert (out.stdout, out.stderr) == (b"out\nout2\n", b"err\n")


def test_capture_keeps_no_more_than_its_limit(box: Box) -> None:
    out = pyctd.stdio.capture(limit=10)
    task = box.container("/bin/sh", "-c", "yes | head -c 1000000").start(attach_stdio=out)
    assert task.wait(timeout=20).exit_code == 0
    assert out.stdout == b"y\ny\ny\ny\ny\n"
    assert out.truncated


def test_no_streams(box: Box, client: pyctd.Client) -> None:
    for stdio in (None, pyctd.stdio.null()):
        container = box.container("/bin/sh", "-c", "echo lost; read x; exit 6")
        task = container.start(attach_stdio=stdio)
        assert task.wait(timeout=20).exit_code == 6
        assert not leaks.fifos(Path(client.state_dir))
        task.delete()
        container.delete()


def test_lines(box: Box) -> None:
    out: list[str] = []
    err: list[str] = []
    container = box.container("/bin/sh", "-c", r"printf 'a\nb\n\nlast'; printf 'e\377\n' >&2")
    task = container.start(attach_stdio=pyctd.stdio.lines(out.append, err.append))
    task.wait(timeout=10)
    task.delete()
    assert out == ["a", "b", "", "last"]
    assert err == ["e\ufffd"]


def test_lines_arrive_while_the_process_runs(box: Box) -> None:
    seen: list[str] = []
    task = box.container("/bin/sh", "-c", "echo first; sleep 600").start(attach_stdio=pyctd.stdio.lines(seen.append))
    eventually(lambda: seen == ["first"])
    assert task.status().status == "running"


def test_a_line_receiver_that_raises(box: Box, caplog: pytest.LogCaptureFixture) -> None:
    seen: list[str] = []

    def receiver(line: str) -> None:
        seen.append(line)
        raise RuntimeError("not this one")

    task = box.container("/bin/sh", "-c", "echo a; echo b").start(attach_stdio=pyctd.stdio.lines(receiver))
    assert task.wait(timeout=10).exit_code == 0
    task.delete()
    assert seen == ["a", "b"]
    assert "not this one" in caplog.text


def test_files(box: Box, tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(b"from a file\n")
    with (tmp_path / "err").open("wb") as err:
        container = box.container("/bin/sh", "-c", "cat; echo err >&2")
        task = container.start(attach_stdio=pyctd.stdio.files(tmp_path / "in", tmp_path / "out", err))
        assert task.wait(timeout=10).exit_code == 0
        task.delete()
    assert (tmp_path / "out").read_bytes() == b"from a file\n"
    assert (tmp_path / "err").read_bytes() == b"err\n"


def test_files_that_can_not_be_opened(box: Box, client: pyctd.Client, tmp_path: Path) -> None:
    container = box.container()
    with pytest.raises(pyctd.StdioError) as caught:
        container.start(attach_stdio=pyctd.stdio.files(stdout=tmp_path / "no" / "where"))
    assert isinstance(caught.value.__cause__, FileNotFoundError)
    assert not leaks.fifos(Path(client.state_dir))


def test_fifo_names(box: Box, client: pyctd.Client) -> None:
    """The names that dockerd gives them: after the process's id, in the container's bundle."""
    seen: dict[str, pyctd.Config] = {}

    def keep(dio: pyctd.DirectIO) -> pyctd.IO:
        seen["init" if "init" not in seen else "exec"] = dio.config()
        return dio

    task = box.container().start(with_stdin=True, attach_stdio=keep)
    bundle = f"{client.state_dir}/{task.container_id}"
    id = task.container_id
    assert seen["init"] == pyctd.Config(False, f"{bundle}/{id}-stdin", f"{bundle}/{id}-stdout", f"{bundle}/{id}-stderr")
    assert leaks.fifos(Path(bundle)) == {f"{bundle}/{id}-{s}" for s in ("stdin", "stdout", "stderr")}
    process = task.exec("e1", pyctd.spec.process(["/bin/true"], terminal=True), attach_stdio=keep)
    assert seen["exec"] == pyctd.Config(True, "", f"{bundle}/e1-stdout", "")
    process.wait(timeout=10)
    process.delete()
    assert not any("e1" in fifo for fifo in leaks.fifos(Path(bundle)))
    task.force_delete()
    assert not leaks.fifos(Path(bundle))


def test_direct_io_in_the_callers_hands(box: Box) -> None:
    held: list[pyctd.DirectIO] = []

    def keep(dio: pyctd.DirectIO) -> pyctd.IO:
        held.append(dio)
        return dio

    task = box.container("/bin/cat").start(with_stdin=True, attach_stdio=keep)
    dio: Any = held[0]
    dio.stdin.write(b"ping\n")
    assert dio.stdout.read(5) == b"ping\n"
    assert os.get_inheritable(dio.stdout.fileno()) is False
    assert dio.stdout.readable()
    assert not dio.stdout.writable()
    with pytest.raises(OSError, match="write"):
        dio.stdout.write(b"x")
    dio.stdin.close()
    assert dio.stdout.read() == b""
    assert task.wait(timeout=10).exit_code == 0
    task.delete()
    assert dio.stdout.closed
    with pytest.raises(ValueError, match="closed"):
        dio.stdout.read()


def test_close_stdin(box: Box) -> None:
    held: list[Any] = []

    def keep(dio: pyctd.DirectIO) -> pyctd.IO:
        held.append(dio)
        return dio

    task, _ = box.start()
    process = task.exec("cat", pyctd.spec.process(["/bin/cat"]), with_stdin=True, attach_stdio=keep)
    process.close_stdin()
    held[0].stdin.close()
    assert process.wait(timeout=10).exit_code == 0
    process.delete()


def test_a_callback_that_raises(box: Box, client: pyctd.Client) -> None:
    class OurError(Exception):
        pass

    def refuse(dio: pyctd.DirectIO) -> pyctd.IO | None:
        raise OurError("no")

    container = box.container()
    for call in (container.start, container.new_task):
        with pytest.raises(pyctd.StdioError, match="no") as caught:
            call(attach_stdio=refuse)
        assert isinstance(caught.value.__cause__, OurError)
        with pytest.raises(pyctd.NotFoundError):
            container.task()
        assert not leaks.fifos(Path(client.state_dir))
    task = container.start()
    with pytest.raises(pyctd.StdioError) as caught:
        task.exec("e1", pyctd.spec.process(["/bin/true"]), attach_stdio=refuse)
    assert isinstance(caught.value.__cause__, OurError)
    assert not leaks.fifos(Path(client.state_dir))


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
def test_a_callback_that_exits(box: Box, error: type[BaseException]) -> None:
    def leave(dio: pyctd.DirectIO) -> pyctd.IO | None:
        raise error

    with pytest.raises(pyctd.StdioError) as caught:
        box.container().start(attach_stdio=leave)
    assert isinstance(caught.value.__cause__, error)


def test_a_callback_that_calls_back(box: Box, client: pyctd.Client) -> None:
    versions: list[str] = []

    def call_back(dio: pyctd.DirectIO) -> pyctd.IO | None:
        versions.append(client.version(timeout=10).version)
        return None

    task = box.container("/bin/true").start(attach_stdio=call_back)
    assert task.wait(timeout=10).exit_code == 0
    assert versions == [client.version().version]


def test_a_callback_that_answers_nonsense(box: Box) -> None:
    with pytest.raises(pyctd.StdioError, match="must return an object with config, cancel, wait and close") as caught:
        box.container("/bin/true").start(attach_stdio=lambda dio: 7)  # type: ignore[arg-type, return-value]
    assert isinstance(caught.value.__cause__, TypeError)


def test_a_child_that_keeps_stdout_does_not_hang_delete(box: Box) -> None:
    task, _ = box.start()
    out = pyctd.stdio.capture()
    process = task.exec("e1", pyctd.spec.process(["/bin/sh", "-c", "echo parent; sleep 600 &"]), attach_stdio=out)
    started = time.monotonic()
    assert process.wait(timeout=20).exit_code == 0
    process.delete(timeout=20)
    assert time.monotonic() - started < 10
    assert out.stdout == b"parent\n"


def test_attach_task_from_another_client(box: Box, make_client: Callable[..., pyctd.Client], run_id: str) -> None:
    """What a program does that comes back after its own end: the task's further output is its."""
    box.ids.append(run_id)
    first = make_client()
    got: list[str] = []
    script = "i=0; while :; do i=$((i+1)); echo line $i; sleep 0.05; done"
    first.new_container(run_id, box.spec("/bin/sh", "-c", script)).start(attach_stdio=pyctd.stdio.lines(got.append))
    eventually(lambda: len(got) >= 2)
    first.close()
    out = pyctd.stdio.capture()
    second = make_client()
    task = second.load_container(run_id).attach_task(out, timeout=5)
    eventually(lambda: out.stdout.count(b"\n") > 3)
    time.sleep(0.3)  # the deadline of the call is none of the streams
    seen = out.stdout.count(b"\n")
    eventually(lambda: out.stdout.count(b"\n") > seen)
    task.kill("KILL")
    assert task.wait(timeout=10).exit_code == 137
    task.delete(timeout=10)


def test_attach_task_outlives_its_deadline(box: Box, make_client: Callable[..., pyctd.Client], run_id: str) -> None:
    box.ids.append(run_id)
    with make_client() as first:
        container = first.new_container(run_id, box.spec("/bin/sh", "-c", "while :; do echo x; sleep 0.05; done"))
        container.start(attach_stdio=pyctd.stdio.capture())
    out = pyctd.stdio.capture()
    task = make_client().load_container(run_id).attach_task(out, timeout=0.5)
    time.sleep(0.8)
    seen = len(out.stdout)
    eventually(lambda: len(out.stdout) > seen)
    task.force_delete(timeout=10)


def test_attach_task_with_a_callback_that_raises(box: Box, client: pyctd.Client) -> None:
    task, out = box.start("/bin/sh", "-c", "echo up; sleep 600")
    eventually(lambda: out.stdout)

    def refuse(dio: pyctd.DirectIO) -> pyctd.IO | None:
        raise RuntimeError("no")

    with pytest.raises(pyctd.StdioError) as caught:
        client.load_container(task.container_id).attach_task(refuse)
    assert isinstance(caught.value.__cause__, RuntimeError)
    assert task.status().status == "running"


def test_a_terminal_has_one_stream(box: Box) -> None:
    status, out = box.run("/bin/sh", "-c", "echo out; echo err >&2; tty", terminal=True)
    assert status.exit_code == 0
    assert out.stdout == b"out\r\nerr\r\n/dev/pts/0\r\n"
    assert out.stderr == b""
