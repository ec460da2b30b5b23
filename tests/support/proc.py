"""What /proc tells of a process."""

from __future__ import annotations

from pathlib import Path

__all__ = ["gone", "parent", "state"]


def parent(pid: int) -> int:
    """The process that has started it, or adopted it."""
    return int(_fields(Path(f"/proc/{pid}/stat"))[1])


def state(task: int | Path) -> str:
    """The letter of a process's state, or of a thread's by its directory; empty when it is not there."""
    directory = task if isinstance(task, Path) else Path(f"/proc/{task}")
    try:
        return _fields(directory / "stat")[0]
    except OSError:
        return ""


def gone(pid: int) -> bool:
    """Whether a process has ended: it is not there, or nobody has waited for it."""
    return state(pid) in ("", "Z")


def _fields(stat: Path) -> list[str]:
    """Those that follow the program's name, which may have anything in it."""
    return stat.read_text().rpartition(")")[2].split()
