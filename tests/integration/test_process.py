"""What needs a process of its own: Ctrl-C, signals, other users."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from support.box import Box
from support.programs import Programs

import pyctd


def test_ctrl_c_during_wait(box: Box, programs: Programs) -> None:
    task, _ = box.start()
    code = """
        with connect() as client:
            task = client.load_container(rest[0]).task()
            print("waiting", flush=True)
            try:
                task.wait()
            except KeyboardInterrupt:
                print("interrupted", task.status().status, flush=True)
        """
    with programs.popen(code, task.container_id) as process:
        assert process.stdout
        assert process.stdout.readline() == "waiting\n"
        time.sleep(0.2)
        sent = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "interrupted running\n"
        assert time.monotonic() - sent < 1
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")


def test_a_signal_handler_that_calls_pyctd_during_wait(box: Box, programs: Programs) -> None:
    task, _ = box.start()
    code = """
        with connect() as client:
            task = client.load_container(rest[0]).task()
            signal.signal(signal.SIGUSR1, lambda number, frame: task.kill("KILL"))
            print("waiting", flush=True)
            print(task.wait(timeout=60).exit_code, flush=True)
        """
    with programs.popen(code, task.container_id) as process:
        assert process.stdout
        assert process.stdout.readline() == "waiting\n"
        time.sleep(0.2)
        process.send_signal(signal.SIGUSR1)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (0, "137\n", "")


def test_ctrl_c_that_does_not_interrupt_the_system_call(box: Box, programs: Programs) -> None:
    """As when it comes just before the system call; here because it is delivered to another thread."""
    task, _ = box.start()
    code = """
        with connect() as client:
            task = client.load_container(rest[0]).task()
            def interrupt():
                time.sleep(0.3)
                signal.pthread_kill(threading.get_ident(), signal.SIGINT)
            threading.Thread(target=interrupt).start()
            began = time.monotonic()
            try:
                task.wait(timeout=60)
            except KeyboardInterrupt:
                print("interrupted", time.monotonic() - began < 10)  # and not at the end
        """
    assert programs.run(code, task.container_id) == (0, "interrupted True\n", "")


def test_other_threads_run_during_a_call(box: Box) -> None:
    task, _ = box.start()
    ticks = 0
    done = threading.Event()

    def count() -> None:
        nonlocal ticks
        while not done.is_set():
            ticks += 1
            time.sleep(0.001)

    counter = threading.Thread(target=count)
    counter.start()
    with pytest.raises(pyctd.DeadlineExceededError):
        task.wait(timeout=0.3)
    done.set()
    counter.join()
    assert ticks > 50


def test_importing_does_not_load_go() -> None:
    code = "import pyctd, threading; print(open('/proc/self/maps').read().count('libpyctd'))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd="/")
    assert done.stdout == "0\n"


def test_an_engine_that_nobody_closed_is_taken_down(box: Box, programs: Programs) -> None:
    code = """
        engine = pyctd.Engine()
        client = engine.client()
        container = client.new_container(f"left-{os.getpid()}", spec("/bin/sleep", "600"))
        print(container.start().pid, engine.pid, engine.state, flush=True)
        """
    exit_code, out, err = programs.run(code, dev=True, timeout=60)
    assert exit_code == 0, err
    task, daemon, state = out.split()
    assert not os.path.exists(f"/proc/{task}")
    assert not os.path.exists(f"/proc/{daemon}")
    assert not os.path.exists(state)
    assert "ResourceWarning: unclosed <Engine" in err


def run_as_nobody(code: str) -> tuple[int, str, str]:
    """Runs code as nobody, the library loaded from where nobody may read it too."""
    done = subprocess.run(
        [sys.executable, "-c", f"import ctypes, os, pyctd, pyctd._ffi\npyctd.Engine\nos.setuid(65534)\n{code}"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd="/",
    )
    return done.returncode, done.stdout, done.stderr


def test_an_engine_without_root() -> None:
    code, _, err = run_as_nobody("pyctd.Engine()")
    assert code == 1
    assert err.splitlines()[-1].startswith(
        "pyctd.errors.PermissionDeniedError: starting a private containerd needs root: "
    )


def test_a_socket_that_may_not_be_used(engine: pyctd.Engine) -> None:
    code, out, err = run_as_nobody(
        f"try: pyctd.Client({engine.address!r}, 'moby', '/tmp/none')\n"
        "except PermissionError as error: print(type(error).__name__, error)"
    )
    assert code == 0, err
    assert out.startswith("PermissionDeniedError")
    assert "permission denied" in out


def test_an_engine_without_containerd(tmp_path: object) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import pyctd; pyctd.Engine()"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd="/",
        env={**os.environ, "PATH": str(tmp_path)},
    )
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("pyctd.errors.FailedPreconditionError: containerd is not on PATH: ")
    assert "apt-get install containerd" in last
