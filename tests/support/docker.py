"""A dockerd on the tests' containerd, driven by docker's own command line."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyctd
from support.box import eventually


def why_not() -> str:
    """Why dockerd can't run here; empty if it can."""
    missing = [name for name in ("dockerd", "docker") if shutil.which(name) is None]
    return f"{' and '.join(missing)} not on PATH: `make test` gets them, where it can" if missing else ""


class Dockerd:
    """A running dockerd without networks, on the test's containerd."""

    def __init__(self, directory: Path, process: subprocess.Popen[bytes]) -> None:
        self.host = f"unix://{directory}/docker.sock"
        self.process = process
        self._log = directory / "log"

    def __call__(self, *args: str) -> str:
        """Runs docker. Returns its output."""
        done = subprocess.run(
            ["docker", "--host", self.host, *args], capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, f"docker {' '.join(args)}: {done.stderr}\n{self.log()}"
        return done.stdout.strip()

    def inspect(self, id: str) -> dict[str, Any]:
        found: list[dict[str, Any]] = json.loads(self("inspect", id))
        return found[0]

    def log(self) -> str:
        return self._log.read_text()

    def answers(self) -> bool:
        return self.process.poll() is None and os.path.exists(self.host.removeprefix("unix://"))


@contextlib.contextmanager
def beside(engine: pyctd.Engine, directory: Path, rootfs: Path) -> Iterator[Dockerd]:
    """Runs a dockerd on engine's containerd, with the image ``busybox``, and stops it at the end."""
    command = [
        "dockerd",
        f"--containerd={engine.address}",
        f"--host=unix://{directory}/docker.sock",
        f"--data-root={directory}/data",
        f"--exec-root={directory}/exec",
        f"--pidfile={directory}/docker.pid",
        "--storage-driver=vfs",
        "--bridge=none",
        "--iptables=false",
        "--ip6tables=false",
        "--ip-masq=false",
    ]
    directory.mkdir()
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd="/")
    dockerd = Dockerd(directory, process)
    try:
        eventually(dockerd.answers, f"dockerd: {dockerd.log()}")
        tar = directory / "root.tar"
        subprocess.run(["tar", "-C", str(rootfs), "-cf", str(tar), "."], check=True)
        dockerd("import", str(tar), "busybox")
        yield dockerd
        for id in dockerd("ps", "-aq").split():
            dockerd("rm", "-f", id)
    finally:
        process.terminate()
        try:
            process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
