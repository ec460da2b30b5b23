"""``runc run``."""

from .programs import Runc as make

__all__ = ["make"]
