"""The workloads: what to measure, how often, and the targets."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["QUICK", "WORKLOADS", "Target", "Workload"]

PYCTD = ("sync", "asyncio")
MIB = 1 << 20


@dataclass(frozen=True)
class Target:
    """Targets for pyctd; None: no target.

    Attributes:
        ratio: its median to Go's, at most.
        extra_us: microseconds that its median may be above Go's.
        p99_extra_us: likewise for the 99th percentile.
        rate: operations a second, at least.
        faster: how many times docker's median must be pyctd's, at least.
    """

    ratio: float | None = None
    extra_us: float | None = None
    p99_extra_us: float | None = None
    rate: float | None = None
    faster: float | None = None


@dataclass(frozen=True)
class Workload:
    """One row of the table.

    Attributes:
        name: its name in the sides' programs.
        count: operations in one request.
        mode: for streams, the function of ``pyctd.stdio``; for ``step``, which one.
        rounds: the number of requests to each side.
        per: the units of a rate in one sample: concurrent operations or bytes; 0 if a sample is one operation.
        peers: the other clients that run it.
    """

    name: str
    count: int
    target: Target = Target()
    mode: str = ""
    rounds: int = 11
    per: int = 0
    peers: tuple[str, ...] = ()
    sides: tuple[str, ...] = PYCTD

    @property
    def title(self) -> str:
        count = {MIB * 1024: "1 GiB", 2 * MIB * 1024: "2 GiB", 256 * MIB: "256 MiB"}.get(self.count, f"{self.count:,}")
        mode = "" if self.mode == self.name else self.mode
        return " ".join(filter(None, (self.name, mode, f"x {count}" if self.per else "")))


_RPC = Target(ratio=1.05, extra_us=15)
_STREAM = Target(ratio=1.0)


def _workloads(
    rpcs: int, runs: int, many: tuple[int, ...], events: int, out: int, into: int, lines: int, rounds: int
) -> tuple[Workload, ...]:
    return (
        Workload("version", rpcs, _RPC, rounds=rounds),
        Workload("status", rpcs, _RPC, rounds=rounds),
        Workload("stats", rpcs // 2, _RPC, rounds=rounds),
        Workload("lifecycle", runs, Target(ratio=1.02, faster=2), rounds=rounds, peers=("docker", "ctr", "runc")),
        *(Workload("lifecycles", n, Target(ratio=1.03), rounds=max(3, rounds // 2), per=n) for n in many),
        *(Workload("step", runs, Target(), step, rounds) for step in ("create", "start", "wait")),
        Workload("connect", runs, Target(), rounds=rounds),
        Workload("exec", 2 * runs, Target(ratio=1.02, faster=1.5), rounds=rounds, peers=("docker",)),
        Workload("execs", 50, Target(ratio=1.03), rounds=rounds, per=50),
        Workload("exit-event", runs, Target(p99_extra_us=300), rounds=rounds),
        Workload("events", events, Target(rate=200_000), rounds=rounds, per=events),
        Workload("stdout", out, _STREAM, "capture", max(3, rounds // 2), out, sides=("sync",)),
        Workload("stdout", out, _STREAM, "files", max(3, rounds // 2), out, sides=("sync",)),
        Workload("stdout", out, _STREAM, "inherit", max(3, rounds // 2), out, sides=("sync",)),
        Workload("stdin", into, _STREAM, "capture", max(3, rounds // 2), into, sides=("sync",)),
        Workload("stdin", into, _STREAM, "files", max(3, rounds // 2), into, sides=("sync",)),
        Workload("lines", lines, Target(), "lines", max(3, rounds // 2), lines, sides=("sync",)),
        Workload("exec-stdout", out // 8, Target(faster=2), "capture", 3, out // 8, ("docker",), ("sync",)),
    )


WORKLOADS = _workloads(1000, 12, (100, 300), 100_000, 2048 * MIB, 1024 * MIB, 1_000_000, 7)
QUICK = _workloads(200, 4, (20,), 10_000, 256 * MIB, 256 * MIB, 100_000, 3)
