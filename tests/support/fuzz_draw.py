"""What the fuzzing passes to the functions of pyctd.h: drawn from pools, by each parameter's type and name."""

from __future__ import annotations

import contextlib
import itertools
import json
import random
import re
import socket
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from .header import without_comments

__all__ = [
    "LETS_GO",
    "MAKES",
    "RANGES",
    "SIZES",
    "TIMEOUTS",
    "WEIGHTS",
    "Function",
    "Handles",
    "Texts",
    "functions",
    "hostile_json",
    "mutated",
    "pick",
    "serve",
]

NOWHERE = "/nonexistent/pyctd-fuzz"
"""The root of containers that are made of hostile specs: runc refuses it before it has done anything that they say."""

SIZES = (0, 1, -1, 7, 64, 65, 255, 2**15, 2**31 - 1, 2**31, -(2**31), 2**32 - 1, 2**32, 2**63 - 1, 2**63, 2**64 - 1)

#: What is no id, no path, no JSON, and what is JSON but not of the kind that is asked for.
WORDS: tuple[bytes, ...] = (
    b"",
    b"\0",
    b"a\0b",
    b"\xff\xfe",
    b"\xed\xa0\x80",
    b"\xf4\x90\x80\x80",
    b"../../etc",
    b"/etc/pyctd-fuzz",
    b"/",
    b"a/b",
    b"./a",
    b".",
    b"..",
    b"-a",
    b"a b",
    b"a\nb",
    b"%s%n%x",
    "é".encode(),
    "日本/\u202e".encode(),
    b"x" * 76,
    b"x" * 77,
    b"x" * 4096,
    b"x" * (1 << 16),
    b"{}",
    b"[]",
    b"null",
    b"7",
    b'"text"',
    b'{"":{}}',
    b"[null]",
    b"{",
    b"1e999",
    b'{"a":1}{"b":2}',
    b'{"a":1,"a":2}',
    b"\xef\xbb\xbf{}",
)

#: Long ones, which are drawn seldom.
LONG: tuple[bytes, ...] = (
    b"[" * 100_000,
    b'{"a":' * 100_000,
    b"[" * 9_000 + b"]" * 9_000,
    b'{"process":' * 5_000 + b"{}" + b"}" * 5_000,
    b'{"root":' + b"9" * 100_000 + b"}",
    b'{"process":{"env":["' + b"x" * (1 << 20) + b'"]}}',
    b"x" * (4 << 20),
)


MAKES = {
    "pyctd_client_new": "client",
    "pyctd_client_load_container": "container",
    "pyctd_client_new_container": "container",
    "pyctd_container_new_task": "task",
    "pyctd_container_task": "task",
    "pyctd_task_exec": "process",
    "pyctd_task_load_process": "process",
    "pyctd_engine_start": "engine",
}

#: How often a function is drawn that takes processes to be started; the others are at 1.
WEIGHTS = {
    "pyctd_client_new": 0.1,
    "pyctd_client_new_container": 0.5,
    "pyctd_container_new_task": 0.05,
    "pyctd_task_exec": 0.1,
    "pyctd_task_update_resources": 0.3,
    "pyctd_task_create_checkpoint": 0.02,
    "pyctd_engine_start": 0.005,
    "pyctd_queue_new": 0.02,
    "pyctd_cancel": 0.1,
    "pyctd_release": 0.1,
    "pyctd_let_go": 0.1,
    "pyctd_container_delete": 0.1,
    "pyctd_process_delete": 0.3,
    "pyctd_task_force_delete": 0.1,
    "pyctd_process_kill": 0.3,
}

LETS_GO = {"pyctd_release", "pyctd_let_go"}
"""What ends a handle."""

TIMEOUTS = (*(-1,) * 3, *(10**10,) * 10, 0, 1, 1000, 10**6, 10**8, 10**10, -(2**63), 2**63 - 1)

RANGES = {"int32_t": (-(2**31), 2**31), "uint32_t": (0, 2**32), "uint64_t": (0, 2**64), "size_t": (0, 2**64)}
RANGES |= {"int64_t": (-(2**63), 2**63), "pyctd_handle": (0, 2**64)}


class Function(NamedTuple):
    """A function of pyctd.h: its name, and its parameters' types and names."""

    name: str
    parameters: tuple[tuple[str, str], ...]


def functions() -> list[Function]:
    """All that the header declares."""
    found = []
    for name, inside in re.findall(r"^[\w ]+?[ *](pyctd_\w+)\(([^)]*)\);", without_comments(), re.MULTILINE):
        parameters = [part.rpartition(" ") for part in inside.replace("*", "* ").split(",") if part.strip() != "void"]
        found.append(Function(name, tuple((" ".join(kind.split()), what) for kind, _, what in parameters)))
    return found


def hostile_json(draw: random.Random) -> Any:
    """A value that is most likely of a wrong type."""
    deep: Any = []
    for _ in range(draw.randrange(100)):
        deep = [deep] if draw.random() < 0.5 else {"a": deep}
    texts = ("", "x" * 5000, "\0", "\ud800", "../../a", f"{NOWHERE}/a", "user", "é", "-1", "none")
    return draw.choice((None, True, draw.choice(SIZES), -(2**70), 1.5, 1e308, draw.choice(texts), {}, [], [{}], deep))


def mutated(document: Any, draw: random.Random) -> Any:
    """A copy of a JSON value with one place in it changed, taken away or added to."""
    if isinstance(document, dict) and document and draw.random() < 0.9:
        changed, name = dict(document), draw.choice(list(document))
        if draw.random() < 0.15:
            del changed[name]
        else:
            changed[name] = mutated(document[name], draw)
        return changed
    if isinstance(document, list) and document and draw.random() < 0.9:
        at = draw.randrange(len(document))
        return [*document[:at], mutated(document[at], draw), *document[at + 1 :]]
    return hostile_json(draw)


class Handles:
    """The handles that there are, by what they stand for, and those that there were."""

    def __init__(self) -> None:
        self.live: dict[str, list[int]] = {kind: [] for kind in ("queue", "client", "container", "task", "process")}
        self.live |= {"stdio": [], "engine": [], "stray": []}
        self.stale: deque[int] = deque(maxlen=256)

    def add(self, kind: str, number: int) -> None:
        self.live[kind].append(number)

    def drop(self, number: int) -> None:
        """Forgets one that was released."""
        for numbers in self.live.values():
            with contextlib.suppress(ValueError):
                numbers.remove(number)
        self.stale.append(number)

    def all(self) -> list[int]:
        return list(itertools.chain(*map(list, self.live.values())))

    def draw(self, kind: str, draw: random.Random) -> int:
        """One of that kind, more often than one of another, a stale or a forged one."""
        chance = draw.random()
        numbers = self.live.get(kind) or self.live["process"]
        if kind == "process" and draw.random() < 0.5:
            numbers = self.live["task"]
        if chance < (0.85 if kind == "queue" else 0.7) and numbers:
            return pick(numbers, draw)
        if chance < 0.88:
            return pick(self.all(), draw)
        if chance < 0.94:
            return pick(self.stale, draw)
        forged = (0, 1, 1 << 32, 2**64 - 1, draw.getrandbits(64), pick(numbers, draw) ^ 1 << draw.randrange(64))
        return draw.choice(forged)


def pick(numbers: Any, draw: random.Random) -> int:
    """One of some that another thread may be taking away; 0 if there is none."""
    try:
        return int(numbers[int(draw.random() * len(numbers))])
    except IndexError:
        return 0


class Texts:
    """Texts for parameters, by their names.

    Args:
        scratch: a directory. No path that is drawn where pyctd or containerd would write lies outside of it.
        spec: a spec that runs.
        addresses: sockets, the daemon's among them if there is one.
    """

    def __init__(self, scratch: Path, spec: dict[str, Any], addresses: list[str], seed: str) -> None:
        self._draw = random.Random(seed)
        self._spec, self._scratch = spec, scratch
        self.place = f"{scratch}/one".encode()
        self.ids: deque[bytes] = deque([b"none"], maxlen=32)
        paths = [f"{scratch}/{name}" for name in ("one", "two", "three/four", "file", "file/below", "x" * 300)]
        places = [path.encode() for path in paths] + [b"", b"relative", b"./a/../b", b"\0", b"/proc/self/none/\xff"]
        json_of: dict[str, Callable[[], bytes]] = {
            "filters": lambda: self._json(["id==a", "labels.x~=^a", "x" * 99, "a==b,c==d", "runtime.name!=a"]),
            "opts": self._opts,
            "runtime_options": lambda: self._json({"BinaryName": "none", "SystemdCgroup": False, "Root": "none"}),
            "resources": lambda: self._json(
                {"pids": {"limit": 50}, "cpu": {"shares": 2}, "memory": {"limit": 1 << 26}, "unified": {"a": "b"}}
            ),
            "labels": lambda: self._json({"a": "b", "": "", "com.docker/engine.bundle.path": f"{scratch}/victim"}),
            "spec": self._hostile_spec,
            "process": lambda: self._json(
                {"args": ["/bin/true"], "cwd": "/", "env": ["A=b"], "user": {"uid": 0, "gid": 0}, "terminal": False}
                | {
                    "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 9, "soft": 9}],
                    "consoleSize": {"height": 1, "width": 1},
                }
            ),
        }
        self._fresh = json_of
        self._pools: dict[str, list[bytes]] = {name: [make() for _ in range(150)] for name, make in json_of.items()}
        for name in ("state_dir", "checkpoint_dir", "directory", "root", "state"):
            self._pools[name] = places
        #: There a containerd would write what a process says.
        self._pools["stdin_path"] = self._pools["stdout_path"] = self._pools["stderr_path"] = [
            *places,
            b"file:",
            b"file://\0",
            f"file://{scratch}/out".encode(),
            b"binary:",
            b"://",
        ]
        #: Nowhere in there is a containerd.
        self._pools["path"] = [b"", str(scratch).encode(), b"/nonexistent", b"\0", b"\xff:\xff", b"x" * (1 << 17)]
        self._pools["address"] = [address.encode() for address in addresses] + [*places, b"/etc/passwd", b"x" * 200]
        self._pools["shim"] = [b"io.containerd.runc.v2"] * 4 + [b"io.containerd.none.v1", b"none", b"/none", *WORDS]
        self._pools["ns"] = [b"fuzz", b"other", *WORDS]
        self._pools["log_level"] = [b"info", b"none", *WORDS]

    #: Parameters for which nothing outside of their pools may be drawn: paths that would be written to.
    OWN = frozenset(("state_dir", "checkpoint_dir", "directory", "root", "state", "path", "address"))
    STREAMS = frozenset(("stdin_path", "stdout_path", "stderr_path"))

    def draw(self, name: str, draw: random.Random) -> bytes:
        """A text for the parameter of that name."""
        chance = draw.random()
        if name == "id" and chance < 0.5:
            return self.ids[int(draw.random() * len(self.ids))]
        pool = self._pools.get(name)
        if pool and (chance < 0.8 or name in self.OWN or name in self.STREAMS):
            if name in self._fresh and chance < 0.1:
                pool[int(draw.random() * len(pool))] = self._fresh[name]()
            return pool[int(draw.random() * len(pool))]
        pool = list(LONG) if chance > 0.999 else WORDS  # type: ignore[assignment]
        assert pool is not None
        return pool[int(draw.random() * len(pool))]

    def _json(self, good: Any) -> bytes:
        for _ in range(self._draw.choice((0, 1, 1, 2, 5))):
            good = mutated(good, self._draw)
        return json.dumps(good).encode()

    def _opts(self) -> bytes:
        names = ("labels", "image", "new_snapshot", "extension", "sandbox", "snapshotter", "image_stop_signal", "none")
        one = {
            "name": self._draw.choice(names),
            "value": {"id": "a", "image": "b", "labels": {"a": "b"}, "value": "YQ=="},
        }
        return self._json(
            [one, {"name": "labels", "value": {"com.docker/engine.bundle.path": f"{self._scratch}/victim"}}]
        )

    def _hostile_spec(self) -> bytes:
        spec = self._spec
        for _ in range(self._draw.choice((1, 1, 2, 5))):
            spec = mutated(spec, self._draw)
        if isinstance(spec, dict):
            spec = {**spec, "root": {"path": NOWHERE}} if isinstance(spec.get("root"), dict) else spec
            if isinstance(linux := spec.get("linux"), dict) and self._draw.random() < 0.1:
                users = [{"containerID": 0, "hostID": self._draw.choice((0, 100_000, 2**32 - 1)), "size": 65536}]
                spec["linux"] = {**linux, "namespaces": [{"type": "user"}], "uidMappings": users, "gidMappings": users}
        return json.dumps(spec).encode()


def serve(path: Path, answer: bytes) -> None:
    """A socket that takes every connection: one that says nothing, or nonsense."""
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(path))
    server.listen(128)
    held: deque[socket.socket] = deque(maxlen=64)

    def accept() -> None:
        while True:
            held.append(server.accept()[0])
            with contextlib.suppress(OSError):
                held[-1].send(answer)
                if answer:
                    held[-1].close()

    threading.Thread(target=accept, daemon=True).start()
