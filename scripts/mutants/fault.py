"""What a planted fault is."""

from __future__ import annotations

from typing import NamedTuple


class Fault(NamedTuple):
    """A single fault.

    Attributes:
        file: the source, from the top of the checkout.
        what: what is wrong then.
        old: text that is in the file once.
        new: what takes its place.
        tests: which tests must fail, one at least: names for pytest from tests/, or the names of Go tests of the same
            package, with | between them.
    """

    file: str
    what: str
    old: str
    new: str
    tests: str

    @property
    def by_pytest(self) -> bool:
        """Whether pytest runs the tests. For a fault in Go it needs a library that has it, half a minute to build."""
        return ".py" in self.tests
