"""The keys that detach a person's terminal from a process."""

from __future__ import annotations

from ..errors import InvalidArgumentError

__all__ = ["DetachKeys"]

_CTRL = "@abcdefghijklmnopqrstuvwxyz[\\]^_"


class DetachKeys:
    """Passes typed input on until the detach keys come. As in docker, it holds the first keys back until the next ones.

    Args:
        text: the keys in docker's notation, such as ``ctrl-p,ctrl-q`` (Go: ``moby/term.ToBytes``).

    Attributes:
        found: whether the keys have come.

    Raises:
        InvalidArgumentError: text names no key, or a key that docker does not know.
    """

    def __init__(self, text: str) -> None:
        self._keys = b"".join(_code(name) for name in text.split(","))
        self._held = b""
        self.found = False

    def __call__(self, data: bytes) -> bytes:
        """Takes typed input, and returns the part to pass on."""
        typed, found, _ = (self._held + data).partition(self._keys)
        if found:
            self.found = True
            return typed
        self._held = next(
            (typed[-n:] for n in range(min(len(self._keys), len(typed)), 0, -1) if self._keys.startswith(typed[-n:])),
            b"",
        )
        return typed.removesuffix(self._held)


def _code(name: str) -> bytes:
    ctrl, _, key = name.partition("ctrl-")
    if not ctrl and len(key) == 1 and key in _CTRL:
        return bytes([_CTRL.index(key)])
    if name == "DEL":
        return b"\x7f"
    if len(name) == 1 and name.isascii():
        return name.encode()
    raise InvalidArgumentError(
        f"detach_keys must be keys such as ctrl-p,ctrl-q: a character, ctrl- with one of {_CTRL}, or DEL, not {name!r}"
    )
