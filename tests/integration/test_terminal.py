"""stdio.terminal on a real terminal: raw mode, sizes, and the way back."""

from __future__ import annotations

import fcntl
import os
import pty
import signal
import struct
import termios
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pexpect
import pytest
from support.box import Box, eventually
from support.programs import Programs

import pyctd

PROGRAM = """
with connect() as client:
    container = client.new_container(rest[0], pyctd.spec.default(rootfs, ["/bin/sh", "-c", rest[1]], terminal=True))
    task = container.start(attach_stdio=pyctd.stdio.terminal())
    print("started", end="\\r\\n", flush=True)
    code = task.wait().exit_code
    task.delete()
    container.delete()
print("exited", code)
input("cooked? ")
print("yes")
"""
LOOP = "while :; do sleep 0.05; done"


def mode(terminal: pexpect.spawn[str]) -> list[Any]:
    return termios.tcgetattr(terminal.child_fd)


def open_beside(terminal: pexpect.spawn[str]) -> int:
    """The program's side of the terminal: one that nobody has open any more forgets its mode."""
    return os.open(os.readlink(f"/proc/{terminal.pid}/fd/0"), os.O_RDWR | os.O_NOCTTY)


def is_raw(terminal: pexpect.spawn[str]) -> bool:
    return not mode(terminal)[3] & termios.ICANON


def test_what_is_typed_goes_to_the_process(programs: Programs, box: Box, run_id: str) -> None:
    box.ids.append(run_id)
    with programs.on_a_terminal(PROGRAM, run_id, "tty; read line; echo got $line; exit 4") as terminal:
        terminal.expect("/dev/pts/0")
        eventually(lambda: is_raw(terminal))
        terminal.send("typed\r")
        terminal.expect("got typed")
        terminal.expect("exited 4")
        terminal.expect("cooked")
        assert not is_raw(terminal)
        terminal.sendline("")
        terminal.expect("yes")


def test_what_is_typed_at_once_goes_to_the_process(programs: Programs, box: Box, run_id: str) -> None:
    """As soon as the terminal is raw, with its first lines as they are."""
    box.ids.append(run_id)
    with programs.on_a_terminal(
        PROGRAM, run_id, "sleep 0.3; echo one; echo two; read line; echo got $line"
    ) as terminal:
        eventually(lambda: is_raw(terminal))
        terminal.send("typed\r")
        terminal.expect("one\r\ntwo\r\n")
        terminal.expect("got typed")
        terminal.expect("exited 0")


def test_a_start_that_fails_gives_the_terminal_back(programs: Programs, box: Box, run_id: str) -> None:
    box.ids.append(run_id)
    program = """
with connect() as client:
    container = client.new_container(rest[0], pyctd.spec.default(rootfs, ["/none"], terminal=True))
    try:
        container.start(attach_stdio=pyctd.stdio.terminal())
    except pyctd.Error:
        print("failed")
input("cooked? ")
"""
    with programs.on_a_terminal(program, run_id) as terminal:
        terminal.expect("failed\r\n")
        terminal.expect("cooked")
        assert not is_raw(terminal)
        terminal.sendline("")


def test_ctrl_c_is_the_processs(programs: Programs, box: Box, run_id: str) -> None:
    box.ids.append(run_id)
    script = f"trap 'echo interrupted; exit 7' INT; echo ready; {LOOP}"
    with programs.on_a_terminal(PROGRAM, run_id, script) as terminal:
        terminal.expect("ready")
        eventually(lambda: is_raw(terminal))
        terminal.send("\x03")
        terminal.expect("interrupted")
        terminal.expect("exited 7")


def test_the_processs_terminal_has_the_size_of_the_persons(programs: Programs, box: Box, run_id: str) -> None:
    box.ids.append(run_id)
    script = f"trap 'stty size' WINCH; echo ready; {LOOP}"
    with programs.on_a_terminal(PROGRAM, run_id, script, rows=33, columns=101) as terminal:
        terminal.expect("33 101|ready")
        for rows, columns in ((44, 132), (20, 60)):
            terminal.setwinsize(rows, columns)
            terminal.expect(f"{rows} {columns}")


def test_sizes_without_the_main_thread(programs: Programs, box: Box, run_id: str) -> None:
    box.ids.append(run_id)
    body = "\n".join("    " + line for line in PROGRAM.strip().splitlines())
    program = f"def main():\n{body}\nthread = threading.Thread(target=main)\nthread.start()\nthread.join()\n"
    with programs.on_a_terminal(program, run_id, f"trap 'stty size' WINCH; echo ready; {LOOP}") as terminal:
        terminal.expect("ready")
        terminal.setwinsize(41, 142)
        terminal.expect("41 142")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL, signal.SIGINT, signal.SIGABRT])
def test_the_terminal_is_restored_when_the_program_is_killed(
    programs: Programs, box: Box, run_id: str, number: int
) -> None:
    box.ids.append(run_id)
    with programs.on_a_terminal(PROGRAM, run_id, f"echo ready; {LOOP}") as terminal:
        before = mode(terminal)
        terminal.expect("ready")
        eventually(lambda: is_raw(terminal))
        slave = open_beside(terminal)
        try:
            terminal.kill(number)
            eventually(lambda: mode(terminal) == before, "the terminal's mode of before")
        finally:
            os.close(slave)
        # After Ctrl-C the program undoes a start that it has cut off. It must not be killed in the middle of that:
        # containerd leaves the shim where it loses its client while it deletes the task.
        terminal.expect(pexpect.EOF)


def test_the_terminal_is_restored_when_the_program_fails(programs: Programs, box: Box, run_id: str) -> None:
    box.ids.append(run_id)
    program = PROGRAM.replace("    code =", "    time.sleep(0.5)\n    raise RuntimeError('on purpose')\n    code =")
    with programs.on_a_terminal(program, run_id, f"echo ready; {LOOP}") as terminal:
        slave = open_beside(terminal)
        before = mode(terminal)
        terminal.expect("RuntimeError: on purpose")
        terminal.wait()
        assert mode(terminal) == before
        os.close(slave)


def test_a_start_that_fails_leaves_the_terminal_as_it_is(programs: Programs, box: Box, run_id: str) -> None:
    box.ids.append(run_id)
    program = PROGRAM.replace('["/bin/sh", "-c", rest[1]]', '["/bin/nothing"]')
    with programs.on_a_terminal(program, run_id, "") as terminal:
        slave = open_beside(terminal)
        before = mode(terminal)
        terminal.expect("no such file or directory")
        terminal.wait()
        assert mode(terminal) == before
        os.close(slave)


@pytest.fixture
def tty_pair() -> Iterator[tuple[int, int]]:
    pair = pty.openpty()
    yield pair
    for fd in pair:
        os.close(fd)


def test_output_alone_leaves_the_terminal_as_it_is(box: Box, tty_pair: tuple[int, int]) -> None:
    controller, terminal = tty_pair
    before = termios.tcgetattr(terminal)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 17, 71, 0, 0))
    stdio = pyctd.stdio.terminal(stdin=False, output=terminal)
    task = box.container("/bin/sh", "-c", "sleep 0.5; stty size", terminal=True).start(attach_stdio=stdio)
    assert termios.tcgetattr(terminal) == before
    assert task.wait(timeout=60).exit_code == 0
    task.delete()
    assert os.read(controller, 4096).split() == [b"17", b"71"]


def test_a_terminal_has_its_size_from_the_start(box: Box) -> None:
    status, out = box.run("/bin/stty", "size", terminal=True, console_size=(71, 17))
    assert (status.exit_code, out.stdout) == (0, b"17 71\r\n")
    task, _ = box.start()
    exec_out = pyctd.stdio.capture()
    wanted = pyctd.spec.process(["/bin/stty", "size"], terminal=True, console_size=(72, 18))
    process = task.exec("e", wanted, attach_stdio=exec_out)
    assert process.wait(timeout=60).exit_code == 0
    assert exec_out.stdout == b"18 72\r\n"


def test_a_forked_child_leaves_the_terminal_to_its_parent(programs: Programs, box: Box, run_id: str) -> None:
    box.ids.append(run_id)
    forking = """
    if not os.fork():
        sys.exit(0)
    os.wait()
    print("started","""
    program = PROGRAM.replace(
        """
    print("started",""",
        forking,
    )
    with programs.on_a_terminal(program, run_id, "read line; exit 4") as terminal:
        terminal.expect("started")
        assert is_raw(terminal)
        terminal.send("\r")
        terminal.expect("exited 4")


def test_what_is_no_terminal(box: Box, tty_pair: tuple[int, int], tmp_path: Path) -> None:
    with (tmp_path / "file").open("wb") as file:
        with pytest.raises(pyctd.InvalidArgumentError, match=r"input must be a terminal.*use inherit\(stdin=True\)"):
            pyctd.stdio.terminal(input=file)
        with pytest.raises(pyctd.InvalidArgumentError, match=r"output must be a terminal.*use inherit\(\)"):
            pyctd.stdio.terminal(stdin=False, output=file)
    stdio = pyctd.stdio.terminal(input=tty_pair[1], output=tty_pair[1])
    with pytest.raises(pyctd.StdioError, match="set terminal=True in its spec"):
        box.container("/bin/true").start(attach_stdio=stdio)


def test_exec_on_a_terminal_and_a_thread(box: Box, tty_pair: tuple[int, int]) -> None:
    controller, terminal = tty_pair
    before = termios.tcgetattr(terminal)
    task, _ = box.start()
    codes: list[int] = []

    def run() -> None:
        stdio = pyctd.stdio.terminal(input=terminal, output=terminal)
        process = task.exec("sh", pyctd.spec.process(["/bin/sh"], terminal=True), attach_stdio=stdio)
        codes.append(process.wait(timeout=60).exit_code)
        process.delete(timeout=60)

    thread = threading.Thread(target=run)
    thread.start()
    eventually(lambda: not termios.tcgetattr(terminal)[3] & termios.ICANON)
    os.write(controller, b"exit 3\r")
    thread.join(60)
    assert codes == [3]
    assert termios.tcgetattr(terminal) == before


DETACHING = """
detached = threading.Event()
with connect() as client:
    script = "read a; echo got $a; read b; echo got $b; exit 6"
    container = client.new_container(rest[0], pyctd.spec.default(rootfs, ["/bin/sh", "-c", script], terminal=True))
    callback = pyctd.stdio.terminal(detach_keys="ctrl-p,ctrl-q", on_detach=detached.set)
    task = container.start(attach_stdio=callback)
    assert detached.wait(60)
    print("detached from what is", task.status().status)
    input("cooked? ")
    code = container.attach_task(pyctd.stdio.terminal()).wait().exit_code
    print("exited", code)
"""


def test_a_process_that_was_detached_from_runs_on_and_can_be_attached_to(
    programs: Programs, box: Box, run_id: str
) -> None:
    box.ids.append(run_id)
    with programs.on_a_terminal(DETACHING, run_id) as terminal:
        eventually(lambda: is_raw(terminal))
        terminal.send("one\r")
        terminal.expect("got one")
        terminal.send("\x10\x11")
        terminal.expect("detached from what is running")
        terminal.expect("cooked")
        assert not is_raw(terminal)
        terminal.sendline("")
        eventually(lambda: is_raw(terminal))
        terminal.send("two\r")
        terminal.expect("got two")
        terminal.expect("exited 6")
