"""Go's runtime in the process, and what others expect of a process: signals, faulthandler, debuggers, allocators."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.box import Box
from support.daemon import Daemon
from support.programs import Programs
from support.soak import SECOND, built

HANDLED = ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGCHLD", "SIGPIPE", "SIGWINCH", "SIGALRM", "SIGUSR1", "SIGUSR2"]
"""Not SIGURG, which Go sends to its own threads all the time, nor those that faults raise."""


@pytest.mark.parametrize("when", ["before", "after"])
def test_handlers_of_signals(programs: Programs, when: str) -> None:
    """Set before or after Go is loaded, each is called, in the midst of calls too, and once for each signal."""
    code = f"""
        heard = []
        def hear():
            for name in rest:
                signal.signal(getattr(signal, name), lambda number, frame: heard.append(signal.Signals(number).name))
        if {when == "before"}:
            hear()
        with connect(backend=lambda *event: None) as client:
            if {when == "after"}:
                hear()
            for name in rest:
                os.kill(os.getpid(), getattr(signal, name))
                client.version()
                assert signal.getsignal(getattr(signal, name)).__module__ == "__main__"
        assert heard == rest, heard
        """
    programs.check(code, *HANDLED)


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGALRM", "SIGUSR1", "SIGPIPE"])
def test_the_default_of_a_signal_ends_the_process(programs: Programs, name: str) -> None:
    code = f"""
        signal.signal(signal.{name}, signal.SIG_DFL)
        import resource
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        with connect() as client:
            client.version()
            os.kill(os.getpid(), signal.{name})
            time.sleep(60)
        """
    assert programs.run(code) == (-getattr(signal, name), "", "")


def test_ignored_signals_stay_ignored(programs: Programs) -> None:
    code = """
        for name in rest:
            signal.signal(getattr(signal, name), signal.SIG_IGN)
        with connect() as client:
            for name in rest:
                os.kill(os.getpid(), getattr(signal, name))
                client.version()
        """
    programs.check(code, *HANDLED)


def test_a_broken_pipe_is_an_error_and_no_death(programs: Programs) -> None:
    """Python ignores SIGPIPE; Go, which takes it over, must leave it at that."""
    code = """
        import socket
        with connect() as client:
            client.version()
            reader, writer = os.pipe()
            os.close(reader)
            one, other = socket.socketpair()
            other.close()
            for write in (lambda: os.write(writer, b"x"), lambda: one.sendall(b"x")):
                try:
                    write()
                except BrokenPipeError:
                    continue
                raise AssertionError("no error")
            os.dup2(writer, 1)
            try:
                print("x", flush=True)
            except BrokenPipeError:
                os.dup2(2, 1)
            assert client.version().version
        """
    programs.check(code)


def test_a_daemon_that_dies_does_not_kill_with_a_broken_pipe(own_daemon: Daemon, rootfs: Path) -> None:
    code = """
        with connect() as client:
            print(client.version().version, flush=True)
            failed = 0
            while True:
                try:
                    client.version(timeout=1)
                except pyctd.Error:
                    failed += 1
                    time.sleep(0.01)
                else:
                    if failed:
                        break
        """
    programs = Programs(own_daemon.address, "moby", str(own_daemon.bundles), rootfs)
    with programs.popen(code) as process:
        assert process.stdout
        assert process.stdout.readline()
        own_daemon.kill(lambda: time.sleep(0.5))
        _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err


def test_children_are_python_s_to_wait_for(programs: Programs) -> None:
    """SIGCHLD and the exit codes of children, while Go's supervisor has a child of its own."""
    code = """
        import asyncio, subprocess
        with pyctd.Engine() as engine, engine.client() as client:
            for number in range(5):
                assert subprocess.run(["/bin/sh", "-c", f"exit {number}"]).returncode == number
            async def run():
                child = await asyncio.create_subprocess_exec("/bin/sh", "-c", "exit 9")
                return await child.wait()
            assert asyncio.run(run()) == 9
            assert client.version().version
        """
    programs.check(code, timeout=60)


FAULTS = {
    "SIGSEGV": "import ctypes; ctypes.string_at(1)",
    "SIGABRT": "os.abort()",
    "SIGFPE": "os.kill(os.getpid(), signal.SIGFPE)",
    "SIGBUS": "os.kill(os.getpid(), signal.SIGBUS)",
    "SIGILL": "os.kill(os.getpid(), signal.SIGILL)",
}


@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.parametrize("when", ["before", "after"])
def test_faulthandler_dumps(programs: Programs, name: str, when: str) -> None:
    """Enabled before or after Go is loaded, it names the line, and the process dies of its signal."""
    enable = "import faulthandler; faulthandler.enable()"
    code = f"""
import resource
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
{enable if when == "before" else ""}
client = connect(backend=lambda *event: None)
client.version()
{enable if when == "after" else ""}
def fault():
    {FAULTS[name]}
fault()
"""
    exit_code, _, err = programs.run(code)
    assert exit_code == -getattr(signal, name), err
    assert "Fatal Python error" in err
    assert re.search(r'File "<string>", line \d+ in fault', err), err


def test_faulthandler_dumps_on_demand(programs: Programs) -> None:
    code = """
        import faulthandler
        faulthandler.register(signal.SIGUSR1)
        with connect() as client:
            client.version()
            os.kill(os.getpid(), signal.SIGUSR1)
            faulthandler.dump_traceback_later(0.1)
            def slow():
                time.sleep(1)
            slow()
            client.version()
        """
    exit_code, _, err = programs.run(code)
    assert exit_code == 0
    assert "Current thread" in err
    assert re.search(r"Timeout .*in slow", err, re.DOTALL)


THREADS = """
held, entered = threading.Event(), threading.Event()
client = connect(backend=lambda *event: (entered.set(), held.wait(60)))
task = client.load_container(rest[0]).task()
out = pyctd.stdio.capture()
process = task.exec("e", pyctd.spec.process(["/bin/cat"]), with_stdin=True, attach_stdio=out)
assert entered.wait(60)
print("ready", flush=True)
sys.stdin.read()
held.set()
process.kill(9)
process.wait()
process.delete()
client.close()
"""


def test_threads_have_names(box: Box, programs: Programs) -> None:
    """Python's, which py-spy shows, and the system's, which gdb and top show.

    Go names none, so its threads have their parent's name: that of the thread which loaded the library, as a rule; on a
    busy machine that of one which called Go when it wanted another thread.
    """
    task, _ = box.start()
    with programs.popen(THREADS, task.container_id, stdin=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        tasks = Path(f"/proc/{process.pid}/task")
        names = [(path / "comm").read_text().strip() for path in tasks.iterdir()]
        done = subprocess.run(
            [Path(sys.executable).with_name("py-spy"), "dump", "--pid", str(process.pid)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        process.communicate(timeout=60)
    assert {"pyctd-go", "pyctd-events", "pyctd-stdout", "pyctd-stderr"} <= set(names)
    assert done.returncode == 0, done.stderr
    for name in ("MainThread", "pyctd-events", "pyctd-stdout", "pyctd-stderr"):
        assert f'"{name}"' in done.stdout, done.stdout


@pytest.mark.parametrize("tool", ["trace", "profile"])
def test_handlers_are_traced_and_profiled_as_python_s_threads_are(box: Box, programs: Programs, tool: str) -> None:
    """By coverage, debuggers and profilers that ask for it with ``threading.settrace`` or ``threading.setprofile``."""
    task, _ = box.start()
    code = f"""
        called = threading.Event()
        def see(frame, event, arg):
            if frame.f_code.co_name == "handler_of_events":
                called.set()
        def handler_of_events(*event): pass
        threading.set{tool}(see)
        with connect(backend=handler_of_events) as client:
            client.load_container(rest[0]).task().pause()
            assert called.wait(60)
            client.load_container(rest[0]).task().resume()
        """
    programs.check(code, task.container_id, timeout=90)


def test_only_go_s_threads_sleep_exactly(programs: Programs) -> None:
    """Go's scheduler sleeps before it runs what a call has started; the kernel would add 50 µs. Python's are left."""
    code = """
        import os, threading
        from pathlib import Path
        def slack(thread): return int(Path(f"/proc/{thread}/timerslack_ns").read_text())
        mine = slack(threading.get_native_id())
        with connect() as client:
            for _ in range(20):
                client.version()
            assert slack(threading.get_native_id()) == mine > 1
            assert 1 in [slack(thread) for thread in os.listdir("/proc/self/task")]
        """
    programs.check(code, timeout=60)


FLOW = """
seen = []
with connect(backend=lambda *event: seen.append(event)) as client, client.events() as events:
    for number in range(3):
        container = client.new_container(f"{namespace}-{number}", spec("/bin/cat"))
        out = pyctd.stdio.capture(stdin=b"x" * 100000)
        task = container.start(attach_stdio=out)
        assert task.wait(timeout=60).exit_code == 0
        assert len(out.stdout) == 100000
        task.delete()
        container.delete()
        try:
            client.load_container("none")
        except pyctd.NotFoundError:
            pass
    while len(seen) < 9:
        time.sleep(0.01)
"""


@pytest.mark.parametrize(
    "settings", [{"PYTHONMALLOC": "debug"}, {"PYTHONMALLOC": "malloc_debug"}, {"PYTHONDEVMODE": "1"}]
)
def test_debugging_allocators(programs: Programs, settings: dict[str, str]) -> None:
    programs.check(FLOW, env={**os.environ, **settings, "MALLOC_CHECK_": "3", "MALLOC_PERTURB_": "165"}, timeout=60)


@pytest.mark.parametrize("first", ["pyctd", "second"])
def test_another_go_library_in_the_process(programs: Programs, first: str) -> None:
    """Two Go runtimes, each with threads, signal handlers and a garbage collector of its own."""
    code = (
        f"""
import ctypes
load = lambda: ctypes.CDLL(rest[0])
if {first == "second"}:
    second = load()
with connect(backend=lambda *event: None) as client:
    client.version()
    if {first == "pyctd"}:
        second = load()
    second.second_work.restype = ctypes.c_long
    def work():
        for _ in range(20):
            assert second.second_work(ctypes.c_long(300)) == 45150
    worker = threading.Thread(target=work)
    worker.start()
    for _ in range(200):
        client.version()
    worker.join()
"""
        + FLOW
    )
    programs.check(code, str(built(SECOND)), timeout=60)


def test_subinterpreters_are_refused(programs: Programs) -> None:
    """Those that share the main one's GIL, and those with one of their own where Python has such; the first to use
    pyctd, and those beside its use."""
    code = """
inner = '''
import sys
sys.path[:] = PATHS
try:
    import pyctd
    pyctd.Client("/nowhere")
except ImportError as error:
    assert "subinterpreters" in str(error), error
else:
    raise AssertionError("not refused")
'''.replace("PATHS", repr(sys.path))
if sys.version_info >= (3, 13):
    import _interpreters as interpreters
    made = [interpreters.create("isolated"), interpreters.create("legacy")]
else:
    import _xxsubinterpreters as interpreters
    made = [interpreters.create(isolated=True), interpreters.create(isolated=False)]
def try_all():
    for one in made:
        failed = interpreters.run_string(one, inner)
        assert failed is None, failed
try_all()
with connect() as client:
    client.version()
    try_all()
    client.version()
    for one in made:
        interpreters.destroy(one)
"""
    programs.check(code)
