"""What was broken on purpose, and what came of it: the rows of the table that ``make chaos`` ends with."""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pyctd

from . import leaks, soak

__all__ = ["Fault", "much", "remains"]

#: How many times: the environment's CHAOS_<name>, or what suits the normal tests.
much = functools.partial(soak.much, run="CHAOS")

NOT_OURS = ("/io.containerd.runtime.v2.task/", "/.runc/")
"""FIFOs of containerd and runc themselves. After a start that the daemon's end cut off, containerd deletes its own when
it starts again; runc's stay, as they do below dockerd's runtime root."""

_PATHS = re.compile(r"/\S*/")


@dataclass
class Fault:
    """One way to break something.

    Attributes:
        name: what is broken.
        tries: how many times it was.
        lost: containers that nobody can account for, and exits that nobody told.
        leaked: what stayed behind: processes, mounts, FIFOs, bundles, descriptors, goroutines and the like.
        crashed: what ended otherwise than it should: programs, threads, and calls with an error that says nothing.
        seen: what happened, and how often.
        notes: what else there is to say.
    """

    name: str = ""
    tries: int = 0
    lost: list[str] = field(default_factory=list)
    leaked: list[str] = field(default_factory=list)
    crashed: list[str] = field(default_factory=list)
    seen: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)

    def must_fail(self, words: str, call: Callable[[], object]) -> None:
        """A call that must fail, and say why."""
        try:
            call()
        except pyctd.Error as error:
            self.seen[f"{type(error).__name__} with {words!r}"] += 1
            if words not in str(error):
                self.crashed.append(f"an error that does not say {words!r}: {error!r}")
        else:
            self.crashed.append(f"no error where there should be {words!r}")

    def row(self) -> tuple[str, ...]:
        """A row of the table."""
        counts = (self.tries, len(self.lost), len(self.leaked), len(self.crashed))
        seen = [f"{n:,} {_PATHS.sub('…/', what)}" for what, n in self.seen.items()]
        return self.name, *(f"{n:,}" for n in counts), "; ".join([*seen, *self.notes])

    def wrong(self) -> str:
        """All that is in one of the three columns that should have zeros; empty if nothing is."""
        columns = {"lost": self.lost, "leaked": self.leaked, "crashed": self.crashed}
        return "\n".join(f"{column}: {what}" for column, found in columns.items() for what in found)


def remains(directory: Path) -> list[str]:
    """What is left of daemons below a directory that have ended."""
    return [
        *(f"process {pid}: {line}" for pid, line in leaks.processes(f"{directory}/").items()),
        *(f"mount {path}" for path in sorted(leaks.mounts(directory))),
        *(f"FIFO {path}" for path in sorted(leaks.fifos(directory)) if not any(part in path for part in NOT_OURS)),
    ]
