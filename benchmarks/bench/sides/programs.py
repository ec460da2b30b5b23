"""Peers that are programs: each life cycle is one run of the program."""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
from abc import ABC, abstractmethod
from pathlib import Path

from .common import each


class ProgramBench(ABC):
    """A side with the single workload ``lifecycle``."""

    def __init__(self, setup: dict[str, str]) -> None:
        self.setup = setup
        self.numbers = itertools.count(1)
        if shutil.which(self.program) is None:
            raise FileNotFoundError(f"there is no {self.program} on PATH")

    program: str

    @abstractmethod
    def command(self, id: str) -> list[str]:
        """The command that runs /bin/true in a new container and deletes the container."""

    def run(self, workload: str, count: int, mode: str) -> list[int]:
        if workload != "lifecycle":
            raise NotImplementedError(f"{self.program} has no {workload}")
        return each(count, self._one)

    def _one(self) -> None:
        command = self.command(f"{self.program}-{self.setup['namespace']}-{next(self.numbers)}")
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        if done.returncode:
            raise RuntimeError(done.stderr.decode("utf-8", "replace").strip())

    def close(self) -> None:
        """Nothing runs between two runs."""
        self.numbers = itertools.count(1)


class Ctr(ProgramBench):
    """containerd's own command line, on the same daemon."""

    program = "ctr"

    def command(self, id: str) -> list[str]:
        where = ["ctr", "--address", self.setup["address"], "--namespace", self.setup["namespace"]]
        return [*where, "run", "--rm", "--null-io", "--rootfs", self.setup["rootfs"], id, "/bin/true"]


class Runc(ProgramBench):
    """The runtime alone, without a daemon: the lower bound."""

    program = "runc"

    def __init__(self, setup: dict[str, str]) -> None:
        super().__init__(setup)
        self.bundle = Path(setup["directory"]) / "bundle"
        self.bundle.mkdir()
        spec = json.loads(Path(setup["spec"]).read_text())
        (self.bundle / "config.json").write_text(json.dumps(spec))

    def command(self, id: str) -> list[str]:
        return ["runc", "--root", str(self.bundle.with_name("runc")), "run", "--bundle", str(self.bundle), id]
