"""What the two faces refuse: every argument of every public method, with bad values, on both."""

from __future__ import annotations

import asyncio
import inspect
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import pyctd
from pyctd import _native, aio, stdio
from pyctd._clientcore import ClientCore
from pyctd._streams.builtin import BuiltInIO
from pyctd.events import EventFilter

SPEC = pyctd.spec.default("/", ["/bin/true"])


def coroutine_less(dio: pyctd.DirectIO) -> None:
    """A stdio callback, which is never called here."""


FLAGS: list[Any] = [None, 0, 1, "yes", b"the stdin itself"]
PATHS: list[Any] = [5, b"/bytes", ["/list"]]
TEXTS: list[Any] = [None, 5, b"bytes", Path("path"), "\ud800"]
SPECS: list[Any] = [None, 5, "", "{", [], {"nothing": "known"}, {"process": object()}]
NUMBERS: list[Any] = [None, "80", 80.0, -1, 2**32]

BAD: dict[str, list[Any]] = {
    "address": [None, *PATHS, "", "relative.sock", "/" + "x" * 107],
    "attach_stdio": [5, "capture", [], print, [].append],
    "backend": [5, "events.log", object()],
    "checkpoint_dir": [None, *PATHS],
    "container_id": [5, [5], b"bytes"],
    "directory": [None, "", *PATHS],
    "event": [5, [5], "exploded", ["exit", "exploded"]],
    "exit": FLAGS,
    "filters": [None, 5, ["id==web"]],
    "gaps": FLAGS,
    "height": NUMBERS,
    "id": TEXTS,
    "labels": [None, 5, "labels", [], {"a": 5}, {5: "a"}, {"a": None}, {"a": "\ud800"}],
    "limit": ["5", 5.0, -1],
    "log_level": [None, 5, "loud", []],
    "namespace": TEXTS,
    "opts": [None, 5, "labels", ["labels"], [5], [pyctd.options.Option("labels", object())]],
    "path": [*PATHS, ""],
    "process_id": TEXTS,
    "resources": SPECS,
    "root": [*PATHS, ""],
    "runtime_options": [5, "", [], {"a": object()}],
    "shim": TEXTS,
    "signal": [None, True, 1.5, "", "SIGNONE", -1, 65, b"KILL"],
    "spec": SPECS,
    "state": [*PATHS, ""],
    "state_dir": [*PATHS, ""],
    "stdin": ["text", 5, io.BytesIO(b"x")],
    "timeout": ["1", -1, -0.5, float("nan"), True, b"", []],
    "width": NUMBERS,
    "with_stdin": FLAGS,
}
"""Values that each argument refuses, whatever takes it."""

BAD_HERE: dict[tuple[str, str], list[Any]] = {
    ("Client.events", "process_id"): [5, [5], b"bytes"],
    ("Engine.bundles", "namespace"): TEXTS[:-1],
    ("Task.update_resources", "resources"): [None, 5, "", "{", [], {"pids": "many"}, {"memroy": object()}],
    ("Engine", "address"): [*PATHS, "", "relative.sock", "/" + "x" * 107],  # None starts one
}
"""Instead of those, where the name means something else."""

GOOD: dict[str, Any] = {
    "address": "/nowhere.sock",
    "attach_stdio": coroutine_less,
    "directory": "/nowhere",
    "height": 24,
    "id": "c",
    "labels": {},
    "namespace": "moby",
    "process_id": "e",
    "resources": {},
    "signal": 9,
    "spec": SPEC,
    "width": 80,
}
"""Arguments that are needed, of which another one is tried."""

OWN = {"put"}
"""Methods for pyctd's own use."""

BLOCKING_ONLY = {"Engine.bundles"}


def made(cls: Any) -> Any:
    """An object of a face's, whose process or container no daemon knows."""
    handle = _native.Handle(1, "none")
    if cls.__name__ == "Container":
        return cls("c", handle)
    if cls.__name__ in ("Process", "Task"):
        return cls("c", "c", (handle, 1), BuiltInIO())
    if cls.__name__ == "EventStream":
        return cls(EventFilter.of(None, None, None, False), lambda stream: None)
    if cls is pyctd.Engine:
        return cls("/nowhere.sock")
    if cls is aio.Engine:
        engine = cls("/nowhere.sock")
        engine._engine = pyctd.Engine("/nowhere.sock")
        return engine
    client = cls.__new__(cls)
    ClientCore.__init__(client, "/nowhere.sock", "moby", None, None, False)
    client._connected, client._warned = handle, True  # nobody closes it
    return client


NOUNS = [
    (pyctd.Client, aio.Client),
    (pyctd.Container, aio.Container),
    (pyctd.Process, aio.Process),
    (pyctd.Task, aio.Task),
    (pyctd.Engine, aio.Engine),
    (pyctd.EventStream, aio.EventStream),
]

Call = Callable[[Any, dict[str, Any]], Any]


def constructed(cls: Any, given: dict[str, Any]) -> Any:
    return cls(**given)


def of_method(name: str) -> Call:
    def call(cls: Any, given: dict[str, Any]) -> Any:
        filters = (given.pop("filters"),) if "filters" in given else ()
        return getattr(made(cls), name)(*filters, **given)

    return call


def calls() -> Iterator[tuple[str, Any, Any, Call, inspect.Signature]]:
    """Every public constructor and method: its name, both classes, and how it is called."""
    for blocking, awaitable in [*NOUNS[:1], *NOUNS[4:5], (stdio.capture, aio.stdio.capture)]:
        yield blocking.__name__, blocking, awaitable, constructed, inspect.signature(blocking)
    for blocking, awaitable in NOUNS:
        for name in dir(blocking):
            method = getattr(blocking, name)
            if not name.startswith("_") and callable(method) and name not in OWN:
                signature = inspect.signature(method)
                yield f"{blocking.__name__}.{name}", blocking, awaitable, of_method(name), signature


def cases() -> Iterator[Any]:
    for name, blocking, awaitable, call, signature in calls():
        parameters = [one for one in signature.parameters.values() if one.name != "self"]
        needed = {one.name: GOOD[one.name] for one in parameters if one.default is one.empty and one.kind != 2}
        for one in parameters:
            for number, bad in enumerate(BAD_HERE.get((name, one.name)) or BAD[one.name]):  # a new one has to be here
                given = needed | {one.name: bad}
                yield pytest.param(name, blocking, awaitable, call, given, id=f"{name}-{one.name}-{number}")


async def awaited(cls: Any, call: Call, given: dict[str, Any]) -> Any:
    came = call(cls, given)
    if cls is aio.Engine and call is constructed:
        return await came.start()
    return await came if inspect.isawaitable(came) else came


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not refused, and taken for the current directory, must not write to this one."""
    monkeypatch.chdir(tmp_path)


def refusal(call: Callable[[], Any]) -> tuple[type, str]:
    with pytest.raises(pyctd.InvalidArgumentError) as caught:
        call()
    return type(caught.value), str(caught.value)


@pytest.mark.parametrize(("name", "blocking", "awaitable", "call", "given"), list(cases()))
def test_both_faces_refuse_the_same_in_the_same_words(
    name: str, blocking: Any, awaitable: Any, call: Call, given: dict[str, Any]
) -> None:
    refused = refusal(lambda: call(blocking, dict(given)))
    if name not in BLOCKING_ONLY:
        assert refusal(lambda: asyncio.run(awaited(awaitable, call, dict(given)))) == refused


def ready() -> Iterator[Any]:
    """The built-in callbacks that are one face's alone, or both faces'."""
    bad: dict[str, list[Any]] = {
        "detach_keys": [5, "", "ctrl-", "ctrl-1", "ab", "ctrl-p, ctrl-q", "é"],
        "encoding": [None, 5, b"utf-8"],
        "input": ["/dev/tty", None, -1, io.BytesIO()],
        "limit": [None, "5", 5.0, -1, 0],
        "on_detach": [5, "print"],
        "on_error": [5, "print"],
        "on_stderr": [5, "print"],
        "on_stdout": [5, "print"],
        "output": ["/dev/tty", None, -1, io.BytesIO()],
        "stderr": [5, "", b"/bytes", io.BytesIO()],
        "stdin": [*FLAGS[1:], io.BytesIO()],
        "stdout": [5, "", b"/bytes", io.BytesIO()],
    }
    here = {
        (stdio.files, "stdin"): bad["stderr"],
        (stdio.lines, "limit"): bad["limit"][1:],
        (stdio.sinks, "stdin"): [5, "", io.BytesIO()],
        (aio.stdio.sinks, "stdin"): [5, "text", io.BytesIO()],
    }
    kinds = (stdio.files, stdio.inherit, stdio.lines, stdio.sinks, stdio.terminal, aio.stdio.sinks, aio.stdio.streams)
    for kind in kinds:
        for name in inspect.signature(kind).parameters:
            values = here.get((kind, name)) or bad[name]
            for number, value in enumerate(values):
                given = {name: value} if name != "output" else {"stdin": False, name: value}
                yield pytest.param(kind, given, id=f"{kind.__module__}.{kind.__name__}-{name}-{number}")


@pytest.mark.parametrize(("kind", "given"), list(ready()))
def test_ready_callbacks_refuse_bad_arguments_when_they_are_made(kind: Any, given: dict[str, Any]) -> None:
    async def make() -> None:
        kind(**given)

    with pytest.raises(pyctd.InvalidArgumentError, match=[*given][-1]):
        asyncio.run(make())


def test_every_ready_callback_is_tried() -> None:
    tried = {"files", "inherit", "lines", "sinks", "terminal", "capture"}
    assert {name for name in stdio.__all__ if name.islower()} - {"null"} == tried
    assert set(aio.stdio.__all__) == {"capture", "sinks", "streams"}
