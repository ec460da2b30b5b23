"""docker-py, with a dockerd on the same containerd."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from support.docker import beside, why_not

from .common import TRUE, each, stream_args

OWN = Path(__file__).resolve().parents[3] / ".venv" / "docker"
"""Where ``make bench`` puts dockerd."""


class Bench:
    """The workloads of docker-py, with the names of ``gosrc/cmd/bench``."""

    def __init__(self, setup: dict[str, str]) -> None:
        os.environ["PATH"] = f"{OWN}:{os.environ.get('PATH', os.defpath)}"
        if missing := why_not():
            raise FileNotFoundError(missing)
        import docker  # from the extra "bench"

        self._stack = contextlib.ExitStack()
        engine: Any = SimpleNamespace(address=setup["address"])
        dockerd = self._stack.enter_context(beside(engine, Path(setup["directory"]) / "d", Path(setup["rootfs"])))
        self._client: Any = docker.DockerClient(base_url=dockerd.host, timeout=60)
        self._sleeper: Any = None

    def run(self, workload: str, count: int, mode: str) -> list[int]:
        samples: list[int] = getattr(self, "run_" + workload.replace("-", "_"))(count)
        return samples

    @property
    def sleeper(self) -> Any:
        if self._sleeper is None:
            self._sleeper = self._client.containers.run(
                "busybox", ["/bin/sleep", "86400"], detach=True, network_mode="none"
            )
        return self._sleeper

    def lifecycle(self) -> None:
        container = self._client.containers.create("busybox", TRUE, network_mode="none")
        container.start()
        container.wait()
        container.remove()

    def run_lifecycle(self, count: int) -> list[int]:
        return each(count, self.lifecycle)

    def run_exec(self, count: int) -> list[int]:
        container = self.sleeper
        return each(count, lambda: container.exec_run(TRUE))

    def run_exec_stdout(self, count: int) -> list[int]:
        container = self.sleeper
        args = stream_args("stdout", count)
        return each(1, lambda: container.exec_run(args, stderr=False))

    def close(self) -> None:
        self._client.close()
        self._stack.close()


make = Bench
