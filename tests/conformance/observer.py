"""The observer: ``reference serve``, which looks at disk and daemon for the Python side as it does for the Go side."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from conformance.scenario import Place

__all__ = ["REFERENCE", "Observer"]

REFERENCE = Path(__file__).parents[2] / ".venv" / "reference"


class Observer:
    """Asks ``reference serve``, one question at a time."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [REFERENCE, "serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        )

    def ask(self, do: str, place: Place) -> dict[str, Any]:
        """The answer. Raises RuntimeError with the observer's words when it has none."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        question = {"do": do, "address": place.address, "dir": place.dir, "namespace": place.namespace}
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        if "error" in answer:
            raise RuntimeError(f"{do}: {answer['error']}")
        return answer

    def close(self) -> None:
        """Ends it, and the daemons that it keeps."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(timeout=60)
        self._process.stdout.close()
