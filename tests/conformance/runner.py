"""Runs scenarios through pyctd and prints what happened: the counterpart of the reference's runner.go.

Usage: python -m conformance.runner --face sync --address SOCKET --rootfs DIR --base SPEC --work DIR --namespace PREFIX,
with words ``FILE::NAME`` on stdin, a line each. It prints JSON, one object a line, as the reference does.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import faulthandler
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyctd
from conformance.events import Events
from conformance.faces import FACES, Face, run_blocking
from conformance.observer import Observer
from conformance.scenario import Place, Scenario, Step, load
from conformance.steps import STEPS, Args
from conformance.streams import PATIENCE, Mistake, Streams

STEP_LIMIT = 100.0
"""Seconds after which a step is taken to hang, and the run ends."""


def kind_of(error: BaseException) -> str:
    """An error's kind, in the words of errdefs, as the reference prints them."""
    if isinstance(error, Mistake):
        return "scenario"
    if isinstance(error, pyctd.Error):
        name = type(error).__name__.removesuffix("Error")
        return "".join("_" + c.lower() if c.isupper() else c for c in name).lstrip("_")
    return f"python {type(error).__name__}"


class Runner:
    """Runs one scenario."""

    client: Any

    def __init__(self, place: Place, scenario: Scenario, face: Face, observer: Observer) -> None:
        self.own = scenario.daemon == "own"
        self.place = (
            Place(f"{place.dir}/c.sock", place.rootfs, place.base, place.dir, place.namespace) if self.own else place
        )
        self.scenario = scenario
        self.face = face
        self.observer = observer
        self.events = Events(scenario.order)
        self.containers: dict[str, Any] = {}
        self.processes: dict[str, tuple[Any, Streams | None]] = {}
        self.attached: dict[str, Streams] = {}
        self._background: dict[str, concurrent.futures.Future[dict[str, Any]]] = {}
        self._threads = concurrent.futures.ThreadPoolExecutor(128)

    async def run(self, emit: Callable[[dict[str, Any]], None]) -> None:
        os.makedirs(self.place.state, mode=0o711)
        if self.own:
            self.observer.ask("daemon_start", self.place)
        await self.open()
        emit({"scenario": self.scenario.name.partition("::")[2], "values": self.place.values()})
        for number, raw in enumerate(self.scenario.steps):
            faulthandler.dump_traceback_later(STEP_LIMIT, exit=True)
            step = Step.of(raw, self.place.values())
            line = await self.perform(step)
            faulthandler.cancel_dump_traceback_later()
            emit({**line, "step": number, "after": self.observer.ask("brief", self.place)})
        emit(self.end())
        if self.own:
            self.observer.ask("daemon_heal", self.place)
        self.observer.ask("clear", self.place)
        if self.own:
            self.observer.ask("daemon_kill", self.place)
        await self.face.close(self.client)
        self._threads.shutdown()

    async def open(self) -> None:
        """Makes the client, and waits until its events flow as the reference does."""
        self.client = await self.face.connect(self.place.address, self.place.namespace, self.place.state, self.events)
        self.events.ready(self.publish)

    def publish(self) -> None:
        self.observer.ask("probe", self.place)

    def end(self) -> dict[str, Any]:
        """What is left."""
        self.events.settle()
        return {
            "end": self.observer.ask("full", self.place),
            "events": {id: self.events.print(id) for id in self.events.containers()},
            "io_calls": {name: streams.calls for name, streams in self.attached.items()},
        }

    async def perform(self, step: Step) -> dict[str, Any]:
        name = step.args.get("background")
        if name is None:
            return {"do": step.do, **await self.outcome(step)}
        self._background[name] = self._threads.submit(lambda: run_blocking(self.outcome(step)))
        return {"do": step.do, "background": name}

    async def outcome(self, step: Step) -> dict[str, Any]:
        """What a step came to: a result, or an error's kind and text."""
        try:
            if step.do not in STEPS:
                raise Mistake(f"there is no step {step.do!r}: there are {', '.join(sorted(STEPS))}")
            return {"result": await STEPS[step.do](self, step.args)}
        except Exception as error:
            return {"error": {"kind": kind_of(error), "text": str(error)}}

    async def call(self, args: Args, method: Callable[..., Any], *positional: Any) -> Any:
        return await self.face.call(
            method, *positional, cancel_after=args.get("cancel_after"), timeout=args.get("timeout")
        )

    def container(self, args: Args) -> Any:
        name = args.get("of", "c")
        if name not in self.containers:
            raise Mistake(f"there is no container {name!r}")
        return self.containers[name]

    def process(self, args: Args) -> tuple[Any, Streams | None]:
        name = args.get("of", "c")
        if name not in self.processes:
            raise Mistake(f"there is no process {name!r}")
        return self.processes[name]

    def join(self, name: str) -> dict[str, Any]:
        if name not in self._background:
            raise Mistake(f"nothing runs as {name!r}")
        try:
            return self._background[name].result(PATIENCE)
        except concurrent.futures.TimeoutError:
            raise Mistake(f"{name!r} does not end") from None

    async def parallel(self, args: Args) -> list[list[dict[str, Any]]]:
        """Runs its steps many times at once; each $i is the time's number."""

        def one(number: int) -> list[dict[str, Any]]:
            outcomes = []
            for raw in args["steps"]:
                numbered = json.loads(json.dumps(raw).replace("$i", str(number)))
                outcomes.append(run_blocking(self.outcome(Step.of(numbered, self.place.values()))))
            return outcomes

        return list(self._threads.map(one, range(max(args.get("times", 1), 1))))


def main() -> None:
    parser = argparse.ArgumentParser(description="run scenarios through pyctd")
    for name in ("face", "address", "rootfs", "base", "work", "namespace"):
        parser.add_argument(f"--{name}", required=True)
    options = parser.parse_args()
    face = FACES[options.face]()
    observer = Observer()
    number = 0

    def emit(line: dict[str, Any]) -> None:
        print(json.dumps(line), flush=True)

    for word in sys.stdin:
        file, _, wanted = word.strip().partition("::")
        for scenario in load(Path(file)):
            if wanted in ("", scenario.name.partition("::")[2]):
                number += 1
                place = Place(
                    options.address,
                    options.rootfs,
                    options.base,
                    f"{options.work}/{number}",
                    f"{options.namespace}-{number:03d}",
                )
                run_blocking(Runner(place, scenario, face, observer).run(emit))
    observer.close()


if __name__ == "__main__":
    main()
