"""The command line, on click and rich, which the extra ``pyctd[cli]`` brings. Nothing else in pyctd imports it.

``_app`` has the commands and the way out; a module each has one command or a few that are alike; below those are
``_settings`` (where to connect), ``_output`` (what a person or a program reads), ``_values`` (what options take) and
``_streams`` (what a process gets of this program's own, on top of ``_own``).
"""

from ._app import main

__all__ = ["main"]
