"""``Origin``: where an event comes from."""

from __future__ import annotations

from enum import IntEnum

__all__ = ["Origin"]


class Origin(IntEnum):
    """Where an event comes from: the ``origin`` of a pyctd_event."""

    NEWS = 0
    """libcontainerd."""
    RECOVERED = 1
    """A gap in libcontainerd's events, or an exit found after one."""
    REPEATED = 2
    """libcontainerd, with a start or an exit of a process whose exit was already reported as recovered."""

    def wanted_by(self, gaps: bool) -> bool:
        """Whether a receiver gets such an event: recovered ones only with gaps, their late repeats only without."""
        return self is Origin.NEWS or (self is Origin.RECOVERED) == gaps
