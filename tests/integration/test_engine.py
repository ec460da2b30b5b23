"""Engines: started, harmed, restarted, stopped."""

from __future__ import annotations

import asyncio
import gc
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest
from support import leaks
from support.box import Box, eventually, unique
from support.cgroup import Cgroup
from support.harm import answers, kill_daemon, standing_still
from support.moments import Interrupt
from support.programs import Programs

import pyctd
from pyctd._calls import blocking


def test_an_engine_starts_and_leaves_nothing(rootfs: Path) -> None:
    with pyctd.Engine() as engine:
        root, state, pid = engine.root, engine.state, engine.pid
        assert pid
        assert "containerd" in Path(f"/proc/{pid}/cmdline").read_text()
        assert engine.address == str(state / "containerd.sock")
        with engine.client() as client:
            client.new_container(unique("left"), pyctd.spec.default(rootfs, ["/bin/sleep", "600"])).start()
    assert not Path(f"/proc/{pid}").exists()
    assert not root.exists()
    assert not state.exists()
    assert not leaks.processes(str(state))
    assert engine.pid is None
    assert "closed" in repr(engine)
    engine.close()
    with pytest.raises(pyctd.ClosedError):
        engine.client()


NO_MEMFD = """
echo 2 >/proc/sys/vm/memfd_noexec || exit 77
[ -z "$3" ] || mount -t tmpfs -o "$3" none "$2" || exit 78
exec "$1" -c 'import sys, pyctd
with pyctd.Engine(root=sys.argv[1] + "/r", state=sys.argv[1] + "/s") as engine, engine.client() as client:
    print(client.version().version)' "$2"
"""


@pytest.mark.parametrize("options", ["", "mode=711", "mode=711,noexec"])
def test_where_memory_may_not_be_executed(place: Path, options: str) -> None:
    shell = ["unshare", "--pid", "--fork", "--mount-proc", "sh", "-c", NO_MEMFD, "sh"]
    done = subprocess.run(
        [*shell, sys.executable, place, options], capture_output=True, text=True, timeout=60, check=False
    )
    if done.returncode == 77:
        pytest.skip("vm.memfd_noexec is not each pid namespace's own: " + done.stderr)
    if "noexec" in options:
        assert "FailedPreconditionError: nothing can be made that starts containerd" in done.stderr
    else:
        assert (done.returncode, done.stderr) == (0, "")


def test_what_an_engine_starts_is_gone_with_it(base: Path, rootfs: Path) -> None:
    c = unique("c")
    engine = pyctd.Engine(root=base / "gr", state=base / "gs")
    with engine.client("one") as one, engine.client("two") as two:
        pids = [
            client.new_container(f"{c}-{i}", pyctd.spec.default(rootfs, ["/bin/sleep", "600"])).start().pid
            for i in range(2)
            for client in (one, two)
        ]
        pause = one.load_container(f"{c}-0").task()
        pause.pause()
    engine.close()
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]


def test_containers_that_were_never_started_go_with_their_engine(base: Path, rootfs: Path) -> None:
    with pyctd.Engine(root=base / "cr", state=base / "cs") as engine, engine.client() as client:
        client.new_container("c", pyctd.spec.default(rootfs, ["/bin/true"]))
    with pyctd.Engine(root=base / "cr", state=base / "cs") as again, again.client() as client:
        assert client.containers() == []


def test_a_shim_that_does_not_answer_does_not_keep_an_engine(base: Path, rootfs: Path) -> None:
    """As when a pause overtakes an exec: its runc stands still in the frozen cgroup, and has the shim's lock."""
    engine = pyctd.Engine(root=base / "hr", state=base / "hs")
    with engine, engine.client() as client:
        box = Box(client, rootfs)
        task = box.container().start()
        (shim,) = leaks.shims(engine.state)
        pids = [task.pid, box.container().start().pid]
        Cgroup(task.pid).freeze()
        os.kill(shim, signal.SIGSTOP)
    assert not leaks.shims(engine.state)
    eventually(lambda: not [pid for pid in pids if Path(f"/proc/{pid}").exists()])  # the system's init reaps one


def test_an_engine_that_uses_another(engine: pyctd.Engine) -> None:
    with pyctd.Engine(engine.address) as other:
        assert other.pid is None
        assert other.address == engine.address
        with pyctd.Client(other.address, "moby", engine.state / "bundles" / "moby") as client:
            assert client.version().version
    with engine.client() as client:
        assert client.version().version


def test_a_killed_containerd_is_started_again(own_engine: pyctd.Engine, rootfs: Path) -> None:
    seen: list[str] = []
    with own_engine.client(backend=lambda id, event, info: seen.append(f"{id} {event}")) as client:
        kill_daemon(own_engine)
        eventually(lambda: answers(client), "an answer of the new containerd")
        box = Box(client, rootfs)

        def events_again() -> bool:
            id = box.container("/bin/true").id
            container = client.load_container(id)
            container.start(timeout=60).wait(timeout=60)
            container.task().delete()
            container.delete()
            time.sleep(0.2)
            return f"{id} exit" in seen

        eventually(events_again, "events after the restart")
        assert box.run("/bin/echo", "again")[1].stdout == b"again\n"


@pytest.mark.parametrize("after", [0.0, 0.1])
def test_a_containerd_that_dies_while_its_engine_is_closed(base: Path, rootfs: Path, after: float) -> None:
    """It is started again to delete what is left: the engine's root lasts."""
    directory = Path(tempfile.mkdtemp(prefix="e", dir=base))
    root, state = directory / "r", directory / "s"
    engine = pyctd.Engine(root=root, state=state)
    pid = engine.pid
    assert pid
    with engine.client() as client:
        for _ in range(8):
            client.new_container(unique("c"), pyctd.spec.default(rootfs, ["/bin/sleep", "600"])).start()
    closing = threading.Thread(target=engine.close)
    closing.start()
    time.sleep(after)
    os.kill(pid, signal.SIGKILL)
    closing.join()
    with pyctd.Engine(root=root, state=state) as again, again.client() as client:
        assert client.containers() == []


def test_calls_while_the_daemon_hangs_keep_their_deadlines(own_engine: pyctd.Engine) -> None:
    with own_engine.client() as client:
        daemon = own_engine.pid
        assert daemon
        with standing_still(daemon):
            started = time.monotonic()
            with pytest.raises(pyctd.DeadlineExceededError):
                client.version(timeout=0.3)
            assert time.monotonic() - started < 3
            with pytest.raises((pyctd.DeadlineExceededError, pyctd.UnavailableError)):
                own_engine.client(timeout=0.3)
        assert client.version(timeout=60).version


@pytest.mark.parametrize("missing", ["containerd", "runc"])
def test_a_program_that_is_missing_is_named(missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in {"containerd", "runc"} - {missing}:
        (tmp_path / name).symlink_to("/bin/true")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(pyctd.FailedPreconditionError, match=f"^{missing} is not on PATH: install it"):
        pyctd.Engine()


@pytest.mark.moby_may_keep_goroutines  # its supervisor makes a client for each try, and may forget to close one
def test_a_containerd_that_can_not_start(base: Path, tmp_path: Path) -> None:
    fake = tmp_path / "containerd"
    fake.write_text("#!/bin/sh\necho 'no, not today' >&2\nexit 1\n")
    fake.chmod(0o755)
    (tmp_path / "runc").symlink_to(fake)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        started = time.monotonic()
        with pytest.raises(pyctd.Error, match="context deadline exceeded; .*: no, not today"):
            pyctd.Engine(root=base / "fr", state=base / "fs", timeout=3)
        assert time.monotonic() - started < 8
    eventually(lambda: not leaks.processes(str(base / "fs")))
    with pyctd.Engine(root=base / "fr", state=base / "fs") as engine, engine.client() as client:
        assert client.version().version


def test_an_engine_that_was_not_closed_warns_and_is_closed(base: Path) -> None:
    with pytest.warns(ResourceWarning, match="unclosed <Engine"):
        pyctd.Engine(root=base / "ur", state=base / "us")
    eventually(lambda: not leaks.processes(str(base / "us")))


def test_a_client_keeps_its_engine(base: Path) -> None:
    def test() -> None:
        with pyctd.Engine(root=base / "kept", state=base / "kept-s").client() as client:
            gc.collect()
            assert client.version().version

    with pytest.warns(ResourceWarning, match="unclosed <Engine"):
        test()


def test_an_awaited_client_keeps_its_engine(base: Path) -> None:
    async def test() -> None:
        async with (await pyctd.aio.Engine(root=base / "kept", state=base / "kept-s").start()).client() as client:
            gc.collect()
            assert (await client.version()).version

    with pytest.warns(ResourceWarning, match="unclosed <Engine"):
        asyncio.run(test())


def test_a_close_that_can_not_begin_leaves_the_engine_open(
    own_engine: pyctd.Engine, rootfs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_descriptor() -> None:
        raise pyctd.ResourceExhaustedError

    for timeout in (-1, "5", float("nan")):
        with pytest.raises(pyctd.InvalidArgumentError, match="timeout must be"):
            own_engine.close(timeout=timeout)  # type: ignore[arg-type]
    with monkeypatch.context() as patch:
        patch.setattr(blocking, "_idle", [])
        patch.setattr(blocking, "_Waiter", no_descriptor)
        with pytest.raises(pyctd.ResourceExhaustedError):
            own_engine.close()
    with Interrupt("match_log_level") as interrupt:
        own_engine.close()
    assert interrupt.came
    with own_engine.client() as client:
        client.new_container(unique("c"), pyctd.spec.default(rootfs, ["/bin/sleep", "600"])).start()
    own_engine.close()
    assert not leaks.processes(f"{own_engine.state}/")


FORGOTTEN = """
import sys
import pyctd

class Engine(pyctd.Engine):
    def close(self, **options):
        super().close(**options)
        raise RuntimeError("trouble")

rootfs, base, *ids = sys.argv[1:]
engines = [Engine(root=f"{base}/r{i}", state=f"{base}/s{i}") for i in range(3)]
for engine, id in zip(engines, ids):
    with engine.client() as client:
        client.new_container(id, pyctd.spec.default(rootfs, ["/bin/sleep", "600"])).start()
del engine
engines.pop()  # the others are left to the end
"""


def test_forgotten_engines_are_closed_where_warnings_are_errors(base: Path, rootfs: Path) -> None:
    """And where the closing of one raises."""
    directory = Path(tempfile.mkdtemp(prefix="e", dir=base))
    args = [str(rootfs), str(directory), *(unique("f") for _ in range(3))]
    command = [sys.executable, "-W", "error", "-c", FORGOTTEN, *args]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd="/")
    assert not leaks.processes(f"{directory}/")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.count("ResourceWarning: unclosed <Engine ") == 3


def test_an_engine_that_was_closed_is_not_forgotten() -> None:
    """Though it is there until the end of the program."""
    code = "import pyctd\nengine = pyctd.Engine()\nengine.close()\n"
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd="/")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_program_that_leaves_on_sigterm_closes_its_engine(programs: Programs, base: Path) -> None:
    """As the guide has it for a systemd service."""
    program = """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with pyctd.Engine(root=rest[0], state=rest[1]) as engine, engine.client() as client:
        task = client.new_container("c", spec("/bin/sleep", "600")).start()
        print(task.pid, flush=True)
        task.wait()
    """
    root, state = base / "term", base / "term-s"
    with programs.popen(program, str(root), str(state)) as process:
        assert process.stdout
        pid = int(process.stdout.readline())
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (0, "", "")
    assert not Path(f"/proc/{pid}").exists()
    assert not leaks.processes(str(state))
    with pyctd.Engine(root=root, state=state) as again, again.client() as client:
        assert client.containers() == []


def test_two_engines_at_once(engine: pyctd.Engine, own_engine: pyctd.Engine) -> None:
    assert engine.address != own_engine.address
    with engine.client() as one, own_engine.client() as two:
        assert one.version() == two.version()


def test_containerd_does_not_write_on_our_streams(base: Path) -> None:
    code = "import pyctd\nwith pyctd.Engine(log_level='debug') as e, e.client() as c: c.version()\n"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False, cwd="/"
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_closing_an_engine_whose_containerd_was_just_killed(base: Path, rootfs: Path) -> None:
    """What runs under it must go, though there is no daemon at that moment to ask for it."""
    engine = pyctd.Engine(root=base / "qr", state=base / "qs")
    with engine.client() as client:
        pid = client.new_container(unique("q"), pyctd.spec.default(rootfs, ["/bin/sleep", "600"])).start().pid
    daemon = engine.pid
    assert daemon
    os.kill(daemon, signal.SIGKILL)
    engine.close()
    assert not Path(f"/proc/{pid}").exists()
    assert not leaks.processes(str(base / "qs"))


def test_a_task_whose_container_was_deleted_meanwhile_goes_with_the_engine(
    own_engine: pyctd.Engine, rootfs: Path
) -> None:
    slow, begun = own_engine.root / "slow-shim", own_engine.root / "begun"
    slow.write_text(
        f'#!/bin/sh\ncase "$*" in *" start") touch {begun}; sleep 1;; esac\nexec containerd-shim-runc-v2 "$@"\n'
    )
    slow.chmod(0o755)
    with own_engine.client() as client:
        spec = pyctd.spec.default(rootfs, ["/bin/sleep", "600"], readonly=True)
        container = client.new_container(unique("c"), spec, shim=str(slow))
        starting = threading.Thread(target=container.new_task)
        starting.start()
        eventually(begun.exists)
        container.delete(timeout=60)
        starting.join()
        assert leaks.shims(own_engine.state)
    own_engine.close()
    assert not leaks.processes(str(own_engine.state))


def test_the_process_id_of_a_containerd_in_a_mount_namespace_of_its_own(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = Path(tempfile.mkdtemp(prefix="b", dir=base))
    script = programs / "containerd"
    script.write_text(f'#!/bin/sh\nexec unshare --mount {shutil.which("containerd")} "$@"\n')
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    with pyctd.Engine() as engine:
        assert engine.pid is not None
