"""What calls give back of what Go has made for them."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path

import pytest
from support.leaks import descriptors

import pyctd
from pyctd import _native
from pyctd._calls import blocking


def resident() -> int:
    """Bytes of memory that this process has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_an_outcome_leaves_no_copy_of_itself() -> None:
    """Go hands each outcome over in memory of C's, which no garbage collector sees."""
    long = "x" * (1 << 20)

    def fail(times: int) -> None:
        for _ in range(times):
            with pytest.raises(pyctd.InvalidArgumentError) as caught:
                pyctd.Client("/nowhere.sock", long)
            assert long in str(caught.value)

    fail(30)  # until Go's heap is as large as it gets
    before = resident()
    fail(100)
    assert resident() - before < 50 << 20


def test_what_an_unheard_operation_has_opened_is_closed() -> None:
    before = descriptors()
    opened = os.open(os.devnull, os.O_RDONLY)
    _native.Completion(1, 0, 0, opened, 0, 0, b"", b"").give_back()
    assert descriptors() == before


def test_a_crowd_of_calls_leaves_few_queues(tmp_path: Path) -> None:
    """Each has a descriptor."""
    with socket.socket(socket.AF_UNIX) as daemon:  # which never answers, so that all wait at once
        daemon.bind(f"{tmp_path}/c.sock")
        daemon.listen(64)

        def connect() -> None:
            with pytest.raises(pyctd.DeadlineExceededError):
                pyctd.Client(f"{tmp_path}/c.sock", state_dir=tmp_path, timeout=1)

        crowd = [threading.Thread(target=connect) for _ in range(2 * blocking.IDLE_LIMIT)]
        for thread in crowd:
            thread.start()
        for thread in crowd:
            thread.join(60)
    assert len(blocking._idle) <= blocking.IDLE_LIMIT
