"""The entry of pyctd's build backend (PEP 517); ``building`` is what is behind it."""

import sys

if __name__ == "__main__":  # also what `python -m build` reaches in this directory
    sys.exit("build.py is pyctd's build backend, not a program. Use `pip wheel .` or `pyproject-build`.")

from building import machine

machine.refuse_free_threading()

from building.backend import *  # noqa: E402, F403
