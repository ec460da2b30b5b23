"""``ctr run``."""

from .programs import Ctr as make

__all__ = ["make"]
