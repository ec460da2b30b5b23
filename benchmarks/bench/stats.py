"""Statistics of samples: percentiles, and ratios with their spread."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Ratio", "percentile", "ratio_of"]


def percentile(samples: Sequence[float], part: float) -> float:
    """The smallest sample that at least this part of all samples does not exceed (nearest rank).

    Raises:
        ValueError: there are no samples, or part is not above 0 and at most 1.
    """
    if not samples:
        raise ValueError("there are no samples")
    if not 0 < part <= 1:
        raise ValueError(f"part must be above 0 and at most 1, not {part!r}")
    return sorted(samples)[math.ceil(part * len(samples)) - 1]


@dataclass(frozen=True)
class Ratio:
    """The ratio of one side's medians to another's.

    Attributes:
        median: the median over the rounds.
        low: the lowest of the middle rounds: half of all lie between low and high.
        high: the highest of them.
    """

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.3f} ({self.low:.3f} to {self.high:.3f})"

    def agrees(self, other: Ratio) -> bool:
        """Whether the spreads overlap."""
        return self.low <= other.high and other.low <= self.high


def ratio_of(rounds: Sequence[Sequence[float]], base: Sequence[Sequence[float]]) -> Ratio:
    """The ratio of medians, round by round. The two sides of a round run one after the other, so a slow phase of the
    machine affects both.

    Raises:
        ValueError: there are no rounds, or not as many on both sides.
    """
    if len(rounds) != len(base) or not rounds:
        raise ValueError(f"{len(rounds)} rounds do not pair with {len(base)}")
    ratios = sorted(
        statistics.median(mine) / statistics.median(other) for mine, other in zip(rounds, base, strict=True)
    )
    edge = len(ratios) // 4
    return Ratio(statistics.median(ratios), ratios[edge], ratios[len(ratios) - 1 - edge])
