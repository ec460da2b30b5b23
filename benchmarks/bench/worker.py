"""The program of a Python side: reads requests from stdin and prints the times, as ``gosrc/cmd/bench`` does.

``python -m bench.worker sync|asyncio|docker|ctr|runc``
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from typing import IO, Protocol


class Bench(Protocol):
    """A side's workloads. Each is a method that gets the request and returns nanoseconds: a sample for each operation,
    or one for all where they run at once or are one stream."""

    def run(self, workload: str, count: int, mode: str) -> list[int]: ...
    def close(self) -> None: ...


def take_stdout() -> IO[str]:
    """Moves stdout to another descriptor, and /dev/null to descriptor 1, which some workloads measure."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.close(null)
    return answers


def main(side: str) -> None:
    answers = take_stdout()
    setup = json.loads(sys.stdin.readline())
    try:
        bench: Bench = importlib.import_module(f"bench.sides.{side}").make(setup)
    except Exception as error:
        print(json.dumps({"error": f"{type(error).__name__}: {error}"}), file=answers)
        return
    print("{}", file=answers)
    for line in sys.stdin:
        request = json.loads(line)
        try:
            samples = bench.run(request["workload"], request["count"], request.get("mode", ""))
            answer: dict[str, object] = {"samples": samples}
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers)
    bench.close()


if __name__ == "__main__":
    main(sys.argv[1])
