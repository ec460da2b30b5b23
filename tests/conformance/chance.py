"""The rule for what differs by chance: whether pyctd differs from Go more often than Go differs from itself.

A scenario that differs only where chance has a part is run ``ROUNDS`` times more, beside a second Go program as the
control. In each round the same Go trace is compared with each face of pyctd and with the control. A face fails when
Fisher's exact test finds that it differs in significantly more rounds than the control. The run that gave rise to the
trial does not count: it was chosen because it differed.

With the control at 0 of 40, a face fails from 7 of 40 on: a fault that shows in 30 % of runs fails 97 times of 100, and
a face that is as good as Go fails at most once in 100 trials.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from math import comb

__all__ = ["ROUNDS", "SIGNIFICANT", "Trial", "p_value"]

ROUNDS = 40
"""How many rounds a trial has, unless its time runs out."""
SIGNIFICANT = 0.01
"""How often a face that differs as rarely as the control may fail."""


def p_value(face: int, control: int, rounds: int) -> float:
    """How likely so high a count of the face is where both differ equally often: Fisher's exact test, one-sided."""
    differing = face + control
    ways = sum(comb(rounds, k) * comb(rounds, differing - k) for k in range(face, min(rounds, differing) + 1))
    return ways / comb(2 * rounds, differing)


@dataclass
class Trial:
    """What the further rounds of one scenario came to.

    Attributes:
        rounds: how many there were.
        differed: in how many of them each face, and ``control``, differed from Go.
    """

    rounds: int = 0
    differed: Counter[str] = field(default_factory=Counter)

    def add(self, differing: Iterable[str]) -> None:
        """Counts a round and the sides that differed in it."""
        self.rounds += 1
        self.differed.update(differing)

    def worse(self, face: str) -> bool:
        """Whether a face differs from Go significantly more often than Go from itself."""
        return p_value(self.differed[face], self.differed["control"], self.rounds) <= SIGNIFICANT

    def __str__(self) -> str:
        counts = ", ".join(f"{name} {count}" for name, count in sorted(self.differed.items()))
        return f"of {self.rounds} further rounds differed from Go: {counts or 'none'}"
