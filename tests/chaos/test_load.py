"""Many containers alive at once: each lives, answers, and ends once; and the process is as it was afterwards."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from support.box import Box, eventually
from support.chaos import Fault, much
from support.soak import Progress, at_length

import pyctd
from pyctd import _native
from pyctd.stdio import capture

AT_ONCE = 8
"""Starts at once: each is several programs that the machine runs."""


def weight() -> str:
    """What this process is made of."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return (
        f"{pages * os.sysconf('SC_PAGE_SIZE') / (1 << 20):.0f} MiB, {_native.counts().goroutines} goroutines, "
        f"{len(os.listdir('/proc/self/fd'))} descriptors, {len(os.listdir('/proc/self/task'))} threads"
    )


@at_length
def test_many_containers_at_once(fault: Fault, box: Box, make_client: Callable[..., pyctd.Client]) -> None:
    fault.name, fault.tries = "containers alive at once", much("ALIVE", 20)
    progress = Progress(fault.name, fault.tries)
    exits: Counter[str] = Counter()
    with make_client(backend=lambda id, event, info: exits.update([id] if event == "exit" else [])) as client:
        many = Box(client, box.rootfs)
        fault.notes.append(f"before: {weight()}")
        outs: dict[str, capture] = {}
        lock = threading.Lock()

        def start(number: int) -> pyctd.Task:
            args = ("/bin/sh", "-c", "cat; trap 'exit 7' TERM; sleep 900 >/dev/null 2>&1 & wait")
            task, out = many.start(*args, stdin=b"%d" % number)
            with lock:
                outs[task.container_id] = out
                progress.add()
            return task

        with ThreadPoolExecutor(AT_ONCE) as pool:
            tasks = list(pool.map(start, range(fault.tries)))
            fault.notes.append(f"alive: {weight()}")
            statuses = Counter(status.status for status in pool.map(lambda task: task.status(timeout=60), tasks))
            fault.seen.update({f"were {status}": number for status, number in statuses.items()})
            eventually(lambda: all(outs[task.container_id].stdout for task in tasks))
            for task in tasks:
                task.kill("TERM", timeout=60)
            codes = Counter(pool.map(lambda task: task.wait(timeout=120).exit_code, tasks))
            fault.seen.update({f"exit codes {code}": number for code, number in codes.items()})
            for number, task in enumerate(tasks):
                if outs[task.container_id].stdout != b"%d" % number:
                    fault.lost.append(f"output of {task.container_id}")
            list(pool.map(lambda task: task.delete(timeout=60), tasks))
        many.clean()
        ids = {task.container_id for task in tasks}
        eventually(lambda: exits.keys() >= ids, "the exits")
        time.sleep(0.2)  # for one that is told twice
        fault.lost += [f"{number} exits of {id}" for id, number in exits.items() if number != 1]
        if statuses["running"] != fault.tries or codes[7] != fault.tries:
            fault.crashed.append("not all were running, and ended as they should")
    tasks.clear()
    outs.clear()
    fault.notes.append(f"afterwards: {weight()}")
