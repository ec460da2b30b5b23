"""What smoke.py runs as a systemd service: a program with an engine and a container.

service.py ROOT STATE RUNNING ROOTFS [handler]

With "handler" SIGTERM closes the engine; without, it ends the program at once. RUNNING gets the process ids, once the
container runs.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pyctd


def main(root: str, state: str, running: str, rootfs: str, *words: str) -> None:
    if "handler" in words:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with pyctd.Engine(root=root, state=state) as engine, engine.client() as client:
        spec = pyctd.spec.default(rootfs, ["/bin/sleep", "3600"], memory=64 << 20, cpus=0.5, pids_limit=20)
        task = client.replace_container("served", spec).start()
        new = Path(f"{running}.new")
        new.write_text(f"{os.getpid()} {engine.pid} {task.pid}")
        new.rename(running)
        task.wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
