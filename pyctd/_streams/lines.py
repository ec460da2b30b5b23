"""Splits a stream into lines."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Splitter"]


class Splitter:
    """A sink that hands on each line without its newline. It takes time in proportion to the bytes, however they come.

    Args:
        take: is given each line, and what follows the last newline when the stream ends.
        limit: how many bytes of a line are kept; None for all.
        cut: is called when a line has more.
    """

    def __init__(self, take: Callable[[bytes], object], limit: int | None, cut: Callable[[], object]) -> None:
        self._take = take
        self._limit = limit
        self._cut = cut
        self._begun = bytearray()  # a line whose end is still to come

    def __call__(self, data: bytes) -> None:
        """Takes what the stream has brought."""
        first, *others = data.split(b"\n")
        self._begin(first)
        if others:
            *whole, last = others
            self._end_line()
            for line in whole:
                self._take(self._bounded(line, 0))
            self._begin(last)

    def end(self) -> None:
        """Takes the end of the stream."""
        if self._begun:
            self._end_line()

    def _begin(self, piece: bytes) -> None:
        self._begun += self._bounded(piece, len(self._begun))

    def _end_line(self) -> None:
        line, self._begun = bytes(self._begun), bytearray()
        self._take(line)

    def _bounded(self, piece: bytes, before: int) -> bytes:
        """What fits of a piece of a line that has some bytes before it."""
        if self._limit is None or before + len(piece) <= self._limit:
            return piece
        self._cut()
        return piece[: self._limit - before]
