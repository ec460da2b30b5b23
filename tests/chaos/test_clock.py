"""The wall clock jumps: all that waits goes by the monotonic one.

It does so for what asks the C library, as Python does, by ``tests/tools/clock.c``: the machine's own clock is others',
too. Go asks the kernel, and has the true time.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from support.box import Box
from support.chaos import Fault
from support.programs import Programs

SOURCE = Path(__file__).parents[1] / "tools" / "clock.c"
PROGRAM = """
from datetime import datetime, timezone
id, offset = rest
process = pyctd.spec.process(["/bin/sh", "-c", "exit 7"])
real = lambda: float(os.popen("env -u LD_PRELOAD date +%s.%N").read())

def lasts(seconds, call, *errors):
    began = time.monotonic()
    try:
        call()
    except errors:
        pass
    else:
        raise AssertionError("it ended before its time")
    assert seconds <= time.monotonic() - began < seconds + 2, time.monotonic() - began

with connect(timeout=60) as client, client.events() as events:
    for days in (0, 1, -1, 3650):
        with open(offset, "w") as file:
            file.write(str(days * 86400))
        assert round((time.time() - real()) / 86400) == days
        task = client.load_container(id).task(timeout=60)
        lasts(0.3, lambda: task.wait(timeout=0.3), pyctd.DeadlineExceededError)
        lasts(0.3, lambda: events.get(timeout=0.3), TimeoutError)
        assert task.status(timeout=60).status == "running"
        one = task.exec("e", process, attach_stdio=pyctd.stdio.capture(), timeout=60)
        status = one.wait(timeout=60)
        assert status.exit_code == 7
        assert abs(status.exited_at.timestamp() - real()) < 60, status
        one.delete(timeout=60)
        while events.get(timeout=60).event != "exit":
            pass
"""


def test_the_clock_jumps(fault: Fault, box: Box, programs: Programs, tmp_path: Path) -> None:
    fault.name, fault.tries = "the clock jumps", 4
    task, _ = box.start()
    library, offset = tmp_path / "clock.so", tmp_path / "offset"
    subprocess.run(["cc", "-shared", "-fPIC", "-Wall", "-Werror", "-o", library, SOURCE], check=True)
    env = os.environ | {"LD_PRELOAD": str(library), "CLOCK_OFFSET": str(offset)}
    programs.check(PROGRAM, task.container_id, str(offset), env=env, timeout=100)
