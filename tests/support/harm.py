"""Harm that is done to daemons."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pyctd

from .box import eventually
from .proc import state

__all__ = ["answers", "kill_daemon", "stopped"]


def answers(client: pyctd.Client) -> bool:
    try:
        return bool(client.version(timeout=10).version)
    except pyctd.UnavailableError:
        return False


def stopped(pid: int) -> bool:
    """Whether all threads of a process stand still, which takes a moment on a busy machine."""
    return {state(thread) for thread in Path(f"/proc/{pid}/task").iterdir()} == {"T"}


def kill_daemon(engine: pyctd.Engine, meanwhile: Callable[[], object] = lambda: None) -> int:
    """Kills the engine's containerd, whose shims live on, and waits for the next."""
    pid = engine.pid
    assert pid
    os.kill(pid, signal.SIGKILL)
    meanwhile()
    eventually(lambda: engine.pid not in (None, pid), 60, "a new containerd")
    return pid
