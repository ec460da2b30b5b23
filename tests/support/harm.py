"""Stops and kills daemons."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pyctd

from .box import eventually
from .proc import state

__all__ = ["answers", "kill_daemon", "standing_still"]


def answers(client: pyctd.Client) -> bool:
    try:
        return bool(client.version(timeout=60).version)
    except pyctd.UnavailableError:
        return False


def _stopped(pid: int) -> bool:
    return {state(thread) for thread in Path(f"/proc/{pid}/task").iterdir()} == {"T"}


@contextlib.contextmanager
def standing_still(pid: int) -> Iterator[None]:
    """Stops a process for the duration. Waits until all its threads are stopped, which can take a moment."""
    os.kill(pid, signal.SIGSTOP)
    try:
        eventually(lambda: _stopped(pid))
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def kill_daemon(engine: pyctd.Engine, meanwhile: Callable[[], object] = lambda: None) -> int:
    """Kills the engine's containerd, but not its shims, and waits for the next containerd."""
    pid = engine.pid
    assert pid
    os.kill(pid, signal.SIGKILL)
    meanwhile()
    eventually(lambda: engine.pid not in (None, pid), "a new containerd")
    return pid
