"""Splits a stream into lines."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Splitter"]


class Splitter:
    """A sink that passes each line on, without its newline. It takes linear time, however the bytes are split up.

    Args:
        take: called with each line, and at the end of the stream with an unterminated last line.
        limit: how many bytes of a line to keep; None: all.
        cut: called when a line is longer.
    """

    def __init__(self, take: Callable[[bytes], object], limit: int | None, cut: Callable[[], object]) -> None:
        self._take = take
        self._limit = limit
        self._cut = cut
        self._begun = bytearray()  # the current, incomplete line

    def __call__(self, data: bytes) -> None:
        """Takes bytes from the stream."""
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
        """The part of a piece that fits into its line, which already has ``before`` bytes."""
        if self._limit is None or before + len(piece) <= self._limit:
            return piece
        self._cut()
        return piece[: self._limit - before]
