"""Streams: every byte of them, their ends, and who may hold them."""

from __future__ import annotations

import gc
import os
import select
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from support import leaks
from support.box import Box, Hold, SlowIO, eventually
from support.programs import Programs

import pyctd
from pyctd._streams.fifo import Fifo
from pyctd._streams.pumps import Pump


def test_stdout_and_stderr_are_apart(box: Box) -> None:
    _, out = box.run("/bin/sh", "-c", "echo out; echo err >&2; echo out2")
    assert (out.stdout, out.stderr) == (b"out\nout2\n", b"err\n")


def test_what_is_captured_is_given_without_a_copy(box: Box) -> None:
    _, out = box.run("/bin/sh", "-c", "yes | head -c 1000000")
    assert len(out.stdout) == 1000000
    assert out.stdout is out.stdout


def test_capture_keeps_no_more_than_its_limit(box: Box) -> None:
    out = pyctd.stdio.capture(limit=10)
    task = box.container("/bin/sh", "-c", "yes | head -c 1000000").start(attach_stdio=out)
    assert task.wait(timeout=60).exit_code == 0
    assert out.stdout == b"y\ny\ny\ny\ny\n"
    assert out.truncated


def test_no_streams(box: Box, client: pyctd.Client) -> None:
    for stdio in (None, pyctd.stdio.null()):
        container = box.container("/bin/sh", "-c", "echo lost; read x; exit 6")
        task = container.start(attach_stdio=stdio)
        assert task.wait(timeout=60).exit_code == 6
        assert not leaks.fifos(Path(client.state_dir))
        task.delete()
        container.delete()


def test_lines(box: Box) -> None:
    out: list[str] = []
    err: list[str] = []
    container = box.container("/bin/sh", "-c", r"printf 'a\nb\n\nlast'; printf 'e\377\n' >&2")
    task = container.start(attach_stdio=pyctd.stdio.lines(out.append, err.append))
    task.wait(timeout=60)
    task.delete()
    assert out == ["a", "b", "", "last"]
    assert err == ["e\ufffd"]


@pytest.mark.parametrize("kind", [pyctd.stdio.capture, pyctd.stdio.files, pyctd.stdio.inherit, pyctd.stdio.lines])
def test_a_ready_callback_is_for_one_process(box: Box, kind: Any) -> None:
    """Two would mix what they write, and its wait() would know of one of them."""
    used, other = kind(), box.container()
    task = box.container().start(attach_stdio=used)
    words = rf"this {kind.__name__}\(\) was used for a process already: make one for each"
    with pytest.raises(pyctd.InvalidArgumentError, match=words):
        other.start(attach_stdio=used)
    with pytest.raises(pyctd.InvalidArgumentError, match=words):
        task.exec("e", pyctd.spec.process(["/bin/true"]), attach_stdio=used)
    with pytest.raises(pyctd.InvalidArgumentError, match=words):
        other.attach_task(used)
    with pytest.raises(pyctd.NotFoundError):
        other.task()


def test_a_callback_that_was_never_called_can_be_used_again(box: Box) -> None:
    out = pyctd.stdio.capture()
    container = box.container("/bin/echo", "said")
    with pytest.raises(pyctd.InvalidArgumentError, match="with_stdin"):
        container.start(with_stdin="no", attach_stdio=out)  # type: ignore[arg-type]
    task = container.start(attach_stdio=out)
    task.wait(timeout=60)
    assert out.stdout == b"said\n"


def test_two_processes_that_are_started_at_once_share_no_callback(box: Box) -> None:
    for _ in range(5):
        used = pyctd.stdio.capture()
        containers = [box.container("/bin/true") for _ in range(4)]
        refused: list[pyctd.Error] = []

        def start(container: pyctd.Container, used: Any = used, refused: Any = refused) -> None:
            try:
                container.start(attach_stdio=used, timeout=60).wait(timeout=60)
            except (pyctd.StdioError, pyctd.InvalidArgumentError) as error:
                refused.append(error)

        threads = [threading.Thread(target=start, args=(container,)) for container in containers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert len(refused) == 3
        box.clean()


def test_one_receiver_gets_the_lines_of_both_streams_or_of_a_terminal(box: Box) -> None:
    for terminal in (False, True):
        seen: list[str] = []
        container = box.container("/bin/sh", "-c", "echo out; echo err >&2", terminal=terminal)
        task = container.start(attach_stdio=pyctd.stdio.lines(seen.append))
        task.wait(timeout=60)
        task.delete()
        assert sorted(seen) == ["err", "out"]


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
    assert task.wait(timeout=60).exit_code == 0
    task.delete()
    assert seen == ["a", "b"]
    assert "not this one" in caplog.text


def test_files(box: Box, tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(b"from a file\n")
    with (tmp_path / "err").open("wb") as err:
        container = box.container("/bin/sh", "-c", "cat; echo err >&2")
        task = container.start(attach_stdio=pyctd.stdio.files(tmp_path / "in", tmp_path / "out", err))
        assert task.wait(timeout=60).exit_code == 0
        task.delete()
    assert (tmp_path / "out").read_bytes() == b"from a file\n"
    assert (tmp_path / "err").read_bytes() == b"err\n"


MIB = os.urandom(1 << 20)


@pytest.fixture
def pipe_that_does_not_block() -> Iterator[tuple[BinaryIO, BinaryIO]]:
    """Both ends, neither of which blocks."""
    ends = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    with open(ends[0], "rb", buffering=0) as reading, open(ends[1], "wb", buffering=0) as writing:
        yield reading, writing


def test_a_mebibyte_from_and_to_pipes_that_do_not_block(
    box: Box, pipe_that_does_not_block: tuple[BinaryIO, BinaryIO], tmp_path: Path
) -> None:
    reading, writing = pipe_that_does_not_block
    (tmp_path / "in").write_bytes(MIB)
    first = box.container("/bin/cat").start(attach_stdio=pyctd.stdio.files(tmp_path / "in", writing))
    eventually(lambda: not select.select([], [writing], [], 0)[1], "that the pipe is full")
    second = box.container("/bin/cat").start(attach_stdio=pyctd.stdio.files(reading, tmp_path / "out"))
    assert first.wait(timeout=60).exit_code == 0
    first.delete()
    writing.close()
    assert second.wait(timeout=60).exit_code == 0
    second.delete()
    assert (tmp_path / "out").read_bytes() == MIB


def test_a_pipe_that_does_not_block_and_nobody_reads_holds_up_no_delete(
    box: Box, pipe_that_does_not_block: tuple[BinaryIO, BinaryIO]
) -> None:
    reading, writing = pipe_that_does_not_block
    container = box.container("/bin/sh", "-c", "yes | head -c 150000")
    task = container.start(attach_stdio=pyctd.stdio.files(stdout=writing))
    assert task.wait(timeout=60).exit_code == 0
    task.delete(timeout=60)
    reading.close()  # frees the pump


def test_what_is_inherited_may_be_pipes_that_do_not_block(box: Box, programs: Programs, tmp_path: Path) -> None:
    program = """
        os.set_blocking(0, False)
        os.set_blocking(1, False)
        with connect() as client:
            task = client.load_container(rest[0]).start(attach_stdio=pyctd.stdio.inherit(stdin=True))
            task.wait()
            task.delete()
    """
    (tmp_path / "in").write_bytes(MIB)
    id = box.container("/bin/cat").id
    feeding = subprocess.Popen(["cat", tmp_path / "in"], stdout=subprocess.PIPE)
    reading, writing = os.pipe()
    with feeding, programs.popen(program, id, stdin=feeding.stdout, stdout=writing) as process:
        eventually(lambda: not select.select([], [writing], [], 0)[1], "that the pipe is full")
        os.close(writing)
        with open(reading, "rb") as file:
            assert file.read() == MIB
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")


def test_files_that_can_not_be_opened(box: Box, client: pyctd.Client, tmp_path: Path) -> None:
    container = box.container()
    with pytest.raises(pyctd.StdioError) as caught:
        container.start(attach_stdio=pyctd.stdio.files(stdout=tmp_path / "no" / "where"))
    assert isinstance(caught.value.__cause__, FileNotFoundError)
    assert not leaks.fifos(Path(client.state_dir))


@pytest.mark.parametrize("had", [0, 1, 2])
@pytest.mark.parametrize("kind", [threading.Thread, Fifo], ids=["threads", "descriptors"])
def test_streams_for_which_there_is_too_little(
    box: Box, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type, had: int
) -> None:
    """Those that are pumped already are let go, and so is what was opened for all."""
    name = "start" if kind is threading.Thread else "__init__"
    ordinary = getattr(kind, name)
    given: list[object] = []

    def have(self: object, *args: object) -> None:
        if isinstance(self, Pump | Fifo):
            if len(given) == had:
                raise RuntimeError("there is no more")
            given.append(self)
        ordinary(self, *args)

    (tmp_path / "in").touch()
    container = box.container("/bin/cat")
    before = leaks.descriptors()
    with monkeypatch.context() as patch:
        patch.setattr(kind, name, have)
        with pytest.raises(pyctd.StdioError, match="there is no more"):
            container.start(attach_stdio=pyctd.stdio.files(tmp_path / "in", tmp_path / "out", tmp_path / "err"))
    eventually(lambda: not leaks.descriptors() - before, "that all is closed")
    task = container.start(attach_stdio=pyctd.stdio.files(tmp_path / "in", tmp_path / "out", tmp_path / "err"))
    assert task.wait(timeout=60).exit_code == 0


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
    process.wait(timeout=60)
    process.delete()
    assert not any("e1" in fifo for fifo in leaks.fifos(Path(bundle)))
    task.force_delete()
    assert not leaks.fifos(Path(bundle))


def test_direct_io_in_the_callers_hands(box: Box) -> None:
    hold = Hold()
    task = box.container("/bin/cat").start(with_stdin=True, attach_stdio=hold)
    dio: Any = hold.dio
    dio.stdin.write(b"ping\n")
    assert dio.stdout.read(5) == b"ping\n"
    assert os.get_inheritable(dio.stdout.fileno()) is False
    assert dio.stdout.readable()
    assert not dio.stdout.writable()
    with pytest.raises(OSError, match="write"):
        dio.stdout.write(b"x")
    dio.stdin.close()
    assert dio.stdout.read() == b""
    assert task.wait(timeout=60).exit_code == 0
    task.delete()
    assert dio.stdout.closed
    with pytest.raises(ValueError, match="closed"):
        dio.stdout.read()


def test_closing_a_stream_ends_what_another_thread_reads(box: Box) -> None:
    hold = Hold()
    task = box.container("/bin/sleep", "600").start(attach_stdio=hold)
    found: list[BaseException] = []

    def read() -> None:
        try:
            hold.dio.stdout.read(1)
        except ValueError as error:
            found.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    eventually(lambda: hold.dio.stdout._fifo, "that it reads")
    hold.dio.stdout.close()
    reader.join(60)
    assert "closed" in str(found[0])
    task.force_delete()


def test_a_direct_io_that_is_closed_does_not_end_stdin_until_stdin_is_closed(box: Box) -> None:
    """As in Go, whose DirectIO.Close closes the FIFOs below libcontainerd's own stdin, which tells containerd."""
    hold = Hold()
    task = box.container("/bin/cat").start(with_stdin=True, attach_stdio=hold)
    hold.dio.stdin.write(b"ping\n")
    hold.dio.close()
    with pytest.raises(BrokenPipeError, match="stdin is closed"):
        hold.dio.stdin.write(b"pong\n")
    with pytest.raises(pyctd.DeadlineExceededError):
        task.wait(timeout=0.3)
    hold.dio.stdin.close()
    assert task.wait(timeout=60).exit_code in (0, 1)  # 1: nobody reads what it writes
    task.delete()


def test_close_stdin(box: Box) -> None:
    hold = Hold()
    task, _ = box.start()
    process = task.exec("cat", pyctd.spec.process(["/bin/cat"]), with_stdin=True, attach_stdio=hold)
    process.close_stdin()
    hold.dio.stdin.close()
    assert process.wait(timeout=60).exit_code == 0
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
        versions.append(client.version(timeout=60).version)
        return None

    task = box.container("/bin/true").start(attach_stdio=call_back)
    assert task.wait(timeout=60).exit_code == 0
    assert versions == [client.version().version]


def test_a_callback_that_answers_nonsense(box: Box) -> None:
    with pytest.raises(pyctd.StdioError, match="must return an object with config, cancel, wait and close") as caught:
        box.container("/bin/true").start(attach_stdio=lambda dio: 7)  # type: ignore[arg-type, return-value]
    assert isinstance(caught.value.__cause__, TypeError)


def test_a_child_that_keeps_stdout_does_not_hang_delete(box: Box) -> None:
    task, _ = box.start()
    out = pyctd.stdio.capture()
    process = task.exec("e1", pyctd.spec.process(["/bin/sh", "-c", "echo parent; sleep 600 &"]), attach_stdio=out)
    assert process.wait(timeout=60).exit_code == 0
    process.delete(timeout=60)  # for ten seconds of which containerd itself waits, from 1.7 on
    assert out.stdout == b"parent\n"


def test_streams_that_a_child_keeps_open_are_waited_for_once(box: Box) -> None:
    task, _ = box.start()
    out = pyctd.stdio.capture()
    process = task.exec("e1", pyctd.spec.process(["/bin/sh", "-c", "echo parent; sleep 600 &"]), attach_stdio=out)
    process.wait(timeout=60)
    waited = time.monotonic()
    assert not out.wait()
    assert time.monotonic() - waited < 1.5, "the 2 seconds were over"


def test_a_terminal_has_one_stream(box: Box) -> None:
    status, out = box.run("/bin/sh", "-c", "echo out; echo err >&2; tty", terminal=True)
    assert status.exit_code == 0
    assert out.stdout == b"out\r\nerr\r\n/dev/pts/0\r\n"
    assert out.stderr == b""


class OwnIO:
    """An IO of the caller's own, that gives the process other streams than its FIFOs."""

    def __init__(self, config: pyctd.Config) -> None:
        self._config = config
        self.calls: list[str] = []

    def config(self) -> pyctd.Config:
        self.calls.append("config")
        return self._config

    def cancel(self) -> None:
        self.calls.append("cancel")

    def wait(self) -> None:
        self.calls.append("wait")

    def close(self) -> None:
        self.calls.append("close")


def test_an_ios_own_config_is_what_the_process_gets(box: Box, tmp_path: Path) -> None:
    """containerd's shim takes a file: URI, and writes there itself."""
    log = f"file://{tmp_path}/log"
    own = OwnIO(pyctd.Config(False, "", log, log))
    container = box.container("/bin/sh", "-c", "echo out")
    task = container.start(attach_stdio=lambda dio: own)
    assert own.calls == ["config"]
    assert task.wait(timeout=60).exit_code == 0
    task.delete(timeout=60)
    assert own.calls == ["config", "cancel", "wait", "close"]
    container.delete()
    assert (tmp_path / "log").read_bytes() == b"out\n"


def test_an_ios_own_streams_are_apart(box: Box, tmp_path: Path) -> None:
    ends = []
    for name in ("out", "err"):
        os.mkfifo(tmp_path / name)
        ends.append(os.open(tmp_path / name, os.O_RDWR))
    own = OwnIO(pyctd.Config(False, "", str(tmp_path / "out"), str(tmp_path / "err")))
    task = box.container("/bin/sh", "-c", "echo out; echo err >&2").start(attach_stdio=lambda dio: own)
    task.wait(timeout=60)
    task.delete(timeout=60)
    assert [os.read(end, 100) for end in ends] == [b"out\n", b"err\n"]
    for end in ends:
        os.close(end)


def test_an_ios_calls_when_the_start_fails(box: Box) -> None:
    own = OwnIO(pyctd.Config(False, "", "", ""))
    with pytest.raises(pyctd.Error, match="no such file"):
        box.container("/bin/nothing").start(attach_stdio=lambda dio: own)
    assert own.calls == ["config", "cancel", "close"]


@pytest.mark.parametrize("config", [None, "stdout", (False, "", "", "")])
def test_an_io_whose_config_is_none(box: Box, client: pyctd.Client, config: Any) -> None:
    with pytest.raises(pyctd.StdioError, match=r"config\(\) must return a pyctd.Config"):
        box.container("/bin/true").start(attach_stdio=lambda dio: OwnIO(config))
    assert not leaks.fifos(Path(client.state_dir))


def test_an_io_whose_config_raises(box: Box, client: pyctd.Client) -> None:
    class Bad(OwnIO):
        def config(self) -> pyctd.Config:
            raise OSError("no config today")

    with pytest.raises(pyctd.StdioError, match="no config today") as caught:
        box.container("/bin/true").start(attach_stdio=lambda dio: Bad(pyctd.Config(False, "", "", "")))
    assert isinstance(caught.value.__cause__, OSError)
    assert not leaks.fifos(Path(client.state_dir))


def test_a_client_that_is_collected_closes_streams_on_another_thread(box: Box, programs: Programs) -> None:
    """The thread on which it is collected may be anywhere, and hold any lock: this one's IO wants one that it holds."""
    program = """
        import gc
        lock = threading.Lock()
        closed = threading.Event()

        class Locked:
            def __init__(self, dio):
                self.config, self.cancel, self.wait = dio.config, dio.cancel, dio.wait

            def close(self):
                with lock:
                    closed.set()

        client = connect()
        client.itself = client
        client.load_container(rest[0]).start(attach_stdio=Locked)
        with lock:
            del client
            gc.collect()
        print(closed.wait(30))
    """
    container = box.container()
    assert programs.check(program, container.id) == "True\n"
    container.task().force_delete()


def test_a_client_that_is_closed_closes_streams_on_that_thread_before_it_returns(
    box: Box, make_client: Callable[..., pyctd.Client]
) -> None:
    closed: list[threading.Thread] = []

    class Noting(SlowIO):
        def close(self) -> None:
            closed.append(threading.current_thread())
            super().close()

    container = box.container()
    client = make_client()
    client.load_container(container.id).start(attach_stdio=Noting)
    client.close()
    assert closed == [threading.current_thread()]
    container.task().force_delete()


def test_a_stdin_that_is_collected_does_not_end_that_of_the_containers_next_task(box: Box) -> None:
    """Go never closes what is garbage, and CloseIO goes by the container's id."""
    container = box.container("/bin/cat")
    first = container.start(with_stdin=True, attach_stdio=Hold())
    first.kill("KILL")
    first.wait(timeout=60)
    first.delete(timeout=60)
    hold = Hold()
    second = container.start(with_stdin=True, attach_stdio=hold)
    del first
    gc.collect()
    hold.dio.close()  # which does not tell that stdin has ended
    time.sleep(0.5)
    assert second.status().status == "running"
    hold.dio.stdin.close()
    assert second.wait(timeout=60).exit_code == 0
    second.delete(timeout=60)
    container.delete(timeout=60)
