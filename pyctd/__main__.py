"""The command line: ``python -m pyctd`` and the program ``pyctd``. It needs the ``cli`` extra."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> int:
    """Runs the command line; returns the exit status."""
    try:
        from .cli import main

        return main()
    except ModuleNotFoundError as missing:
        library = (missing.name or "").partition(".")[0]
        if library not in ("click", "rich"):
            raise
        print(f"pyctd: the command line needs {library}: pip install 'pyctd[cli]'", file=sys.stderr)
        return 125


if __name__ == "__main__":
    sys.exit(main())
