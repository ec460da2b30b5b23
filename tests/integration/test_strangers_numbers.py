"""Process ids that an engine knows, and that other processes get: they are let be, and never told for containerd's."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from support.box import eventually
from support.harm import kill_daemon
from support.proc import gone
from support.strangers import NOBODY, successor

import pyctd


def test_a_process_that_gets_the_number_of_a_containerd_that_stops_slowly_is_let_be() -> None:
    engine = pyctd.Engine()
    number = engine.pid
    assert number
    os.kill(number, signal.SIGSTOP)

    def close() -> None:
        with contextlib.suppress(pyctd.Error):
            engine.close(timeout=0.1)

    closing = threading.Thread(target=close)
    closing.start()
    time.sleep(2)  # the supervisor would have looked after it by now
    os.kill(number, signal.SIGKILL)
    eventually(lambda: gone(number) and not Path(f"/proc/{number}").exists())
    with successor(number) as process:
        closing.join()
        assert process.poll() is None


def test_pid_is_never_that_of_a_process_that_has_ended(own_engine: pyctd.Engine) -> None:
    pid = own_engine.pid

    def look() -> None:
        eventually(lambda: not Path(f"/proc/{pid}").exists())
        seen = own_engine.pid
        assert seen is None or not gone(seen)

    assert kill_daemon(own_engine, look) == pid


LISTEN = """
import os, socket, sys
daemon = socket.socket(socket.AF_UNIX)
daemon.bind(sys.argv[1])
daemon.listen()
if child := os.fork():
    print(child, flush=True)
else:
    sys.stdin.read()
"""


def test_the_process_id_is_never_that_of_another_users_process_that_has_a_daemons_number(place: Path) -> None:
    """Of a daemon that goes into the background the kernel tells the number of its first process, which has ended."""
    temporary = place / "t"
    temporary.mkdir()
    temporary.chmod(0o1777)  # as /tmp
    with pyctd.Engine(root=place / "r", state=temporary / "s") as own:
        pid, state, socket = own.pid, own.state, place / "socket"
        assert pid
        listen = [sys.executable, "-c", LISTEN, str(socket)]
        with subprocess.Popen(listen, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as daemon:
            assert daemon.stdout
            daemon.stdout.readline()
            daemon.wait(timeout=60)
            state.rename(place / "away")
            plant = 'mkdir "$1" && ln -s "$2" "$1/containerd.sock"'
            subprocess.run(["sh", "-c", plant, "sh", state, socket], check=True, user=NOBODY, group=NOBODY)
            try:
                arguments = ["sh", "-c", "read -r _", "sh", "--config", f"{state}/containerd.toml"]
                with successor(daemon.pid, arguments, NOBODY):
                    assert own.pid is None
            finally:
                (state / "containerd.sock").unlink()
                state.rmdir()
                (place / "away").rename(state)
        assert own.pid == pid


LISTENS = """
import os, socket, sys
os.setgroups([]), os.setgid(int(sys.argv[2])), os.setuid(int(sys.argv[2]))
os.mkdir(sys.argv[1])
with socket.socket(socket.AF_UNIX) as listener:
    listener.bind(sys.argv[1] + "/containerd.sock"), listener.listen()
    print(flush=True), sys.stdin.read()
"""


def test_the_process_id_is_never_another_users(place: Path) -> None:
    """Who has made the state anew can have any command line."""
    temporary = place / "t"
    temporary.mkdir()
    temporary.chmod(0o1777)  # as /tmp
    state = temporary / "s"
    with pyctd.Engine(root=place / "r", state=state) as own:
        state.rename(place / "away")
        args = [sys.executable, "-c", LISTENS, str(state), str(NOBODY), str(state / "containerd.toml")]
        with subprocess.Popen(args, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as stranger:
            assert stranger.stdout
            stranger.stdout.readline()
            assert own.pid is None
        shutil.rmtree(state)
        (place / "away").rename(state)
        assert own.pid is not None
