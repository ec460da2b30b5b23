"""Calls every function of pyctd.h with drawn arguments, from several threads at once, in a process of its own.

    python -m support.fuzz JOURNAL SEED INPUTS SCRATCH ROOTFS [ADDRESS]

JOURNAL is a file that tells what each thread calls, and is there after a crash. With ADDRESS operations reach a
containerd. What came of it all is the last line of stdout, as JSON.
"""

from __future__ import annotations

import json
import mmap
import os
import random
import signal
import struct
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyctd
from pyctd import _ffi

from .fuzz_draw import (
    LETS_GO,
    MAKES,
    RANGES,
    SIZES,
    TIMEOUTS,
    WEIGHTS,
    Function,
    Handles,
    Texts,
    functions,
    pick,
    serve,
)

__all__ = ["SLOT", "THREADS"]

THREADS = 3
SLOT = 1024
"""Bytes of a thread's place in the journal: how many calls it has begun, and the last of them in words."""

IN_FLIGHT = 200
"""Operations after which a thread waits for the daemon, if there is one, or releases a queue, which cancels them."""
PAUSE = 0.005
"""Seconds after a few calls, so that the daemon has made something by the next ones."""
PATIENCE = 0.05
"""Seconds that it waits at most."""
MOST = {"queue": 12, "client": 6, "container": 40, "task": 12, "process": 24, "stdio": 48, "stray": 48, "engine": 2}
"""Handles of each kind, after which one is released."""
SETTLE = 90.0
"""Seconds that what was started may take to end: libcontainerd gives clean-up 45."""

Draw = Callable[[random.Random], tuple[Any, ...]]


class Fuzz:
    """The library, what there is of it, and what came of the calls."""

    def __init__(self, journal: str, seed: str, scratch: Path, rootfs: str, address: str | None) -> None:
        self.ffi: Any = _ffi.ffi
        self.lib: Any = _ffi.lib
        self.seed = seed
        self.address = address
        self.handles = Handles()
        self.tokens: deque[int] = deque(maxlen=512)
        self.made: dict[int, str] = {}
        self.spared: list[int] = []  # a queue and a client, most often not released, so that tasks live to be started
        self.faults: Counter[str] = Counter()
        self.kinds: Counter[int] = Counter()
        self.kept: Counter[str] = Counter()
        self.spec = pyctd.spec.default(rootfs, ["/bin/sleep", "600"], readonly=True)
        addresses = [str(scratch / "silent"), str(scratch / "rude")]
        self.texts = Texts(scratch, self.spec, addresses + [address] * 4 if address else addresses, seed)
        self.state_dir = f"{scratch}/state".encode()
        self.functions = [f for f in functions() if f.name != "pyctd_shutdown"]
        self.total: Counter[str] = Counter()
        with open(journal, "r+b") as file:
            self.journal = mmap.mmap(file.fileno(), 0)
        self._numbers = iter(range(1, 2**62))
        self._callbacks = random.Random(f"{seed}/callbacks")
        self._define()

    # -- the library's side ---------------------------------------------------------------------------------------

    def _define(self) -> None:
        """The callbacks: they answer anything, at once or later, and call back."""
        ffi, lib, draw = self.ffi, self.lib, self._callbacks

        @ffi.def_extern(name="pyctd_py_on_event")  # type: ignore[misc]
        def on_event(event: Any, strings: Any, strings_len: int) -> int:
            self.tokens.append(event.token)
            if draw.random() < 0.7:
                lib.pyctd_event_ack(event.token, b"said\0\xff", draw.choice((0, 4, 6)))
            return draw.choice((0, 1, 1, 1, 2, -1, 2**31 - 1))

        @ffi.def_extern(name="pyctd_py_on_stdio")  # type: ignore[misc]
        def on_stdio(cookie: int, io: Any) -> int:
            if draw.random() < 0.2:
                paths = [self.texts.draw("stdout_path", draw) for _ in range(3)]
                lib.pyctd_stdio_set_config(io.stdio, draw.randrange(-1, 2), *(a for p in paths for a in (p, len(p))))
            self.handles.add("stdio", io.stdio)
            return draw.choice((0, 1, 1, 1, 1, 2, 3, -1, 2**31 - 1))

        @ffi.def_extern(name="pyctd_py_on_io")  # type: ignore[misc]
        def on_io(cookie: int, call: int) -> None:
            pass

        @ffi.def_extern(name="pyctd_py_on_log")  # type: ignore[misc]
        def on_log(level: int, text: Any, text_len: int, fields: Any, fields_len: int) -> None:
            if fields_len:
                json.loads(ffi.buffer(fields, fields_len)[:])

        given = (lib.pyctd_py_on_event, lib.pyctd_py_on_stdio, lib.pyctd_py_on_io, lib.pyctd_py_on_log)
        size = ffi.sizeof("pyctd_callbacks")
        self.callbacks = [ffi.new("pyctd_callbacks *", (size, *given))]
        self.callbacks += [ffi.new("pyctd_callbacks *", (size, *given[:at])) for at in range(4)]
        others = (0, 1, size - 1, size + 8, 2**64 - 1)
        self.callbacks += [ffi.new("pyctd_callbacks *", (other, *given)) for other in others]

    def init(self) -> None:
        assert self.lib.pyctd_init(self.callbacks[0], 3) == 0
        place, later = self.texts.place, 10 * 10**9
        args = (place, len(place), place, len(place), b"info", 4, b"/nonexistent", 12)
        assert (
            self.lib.pyctd_engine_start(self.queue(), later, *args) > 0
        )  # it looks after what daemons say from then on

    def counts(self) -> dict[str, int]:
        out = self.ffi.new("pyctd_counts *")
        self.lib.pyctd_get_counts(out)
        return {name: getattr(out, name) for name in ("handles", "operations", "pending_events", "goroutines")}

    def queue(self) -> int:
        fd = self.ffi.new("int32_t *")
        number = int(self.lib.pyctd_queue_new(fd))
        self.handles.add("queue", number)
        return number

    def release(self, number: int) -> None:
        self.lib.pyctd_release(number)
        self.handles.drop(number)

    def take(self, out: Any, count: int) -> None:
        """Completions: what they made is kept, and what can't be is a fault."""
        for at in range(count):
            done = out[at]
            self.kinds[done.kind] += 1
            if not 0 <= done.kind <= 15:
                self.faults[f"kind {done.kind}"] += 1
            for data, length in ((done.data, done.len), (done.detail, done.detail_len)):
                if data:
                    text = self.ffi.buffer(data, length)[:].decode()
                    if done.kind == self.lib.PYCTD_INTERNAL and "panic" in text:
                        self.faults[text] += 1
                    self.lib.pyctd_free(data)
            if done.value >> 32:
                kind = self.made.pop(done.op, "stray")
                self.kept[kind] += 1
                self.handles.add("container" if kind == "good" else kind, done.value)
                if kind == "good":
                    self._begin(done.value)
            elif done.value:
                os.close(done.value)

    # -- arguments --------------------------------------------------------------------------------------------------

    def drawer(self, function: Function) -> Draw:
        """Draws all arguments of a function."""
        draws: list[Draw] = []
        names = iter(function.parameters)
        for kind, name in names:
            if kind == "const char *":
                next(names)
                draws.append(self._text("process" if (function.name, name) == ("pyctd_task_exec", "spec") else name))
            elif kind == "pyctd_handle":
                draws.append(lambda draw, name=name: (self.handles.draw(name, draw),))  # type: ignore[misc]
            elif name == "timeout_ns":
                draws.append(lambda draw: (TIMEOUTS[int(draw.random() * len(TIMEOUTS))],))
            elif kind in RANGES and name != "capacity":
                draws.append(self._number(kind, name))
            else:
                draws.append(self._pointer(kind, name))
        return lambda draw: tuple(value for one in draws for value in one(draw))

    def _text(self, name: str) -> Draw:
        null = self.ffi.NULL

        def draw_text(draw: random.Random) -> tuple[Any, ...]:
            if draw.random() < 0.03:
                return null, SIZES[int(draw.random() * len(SIZES))] % 2**64
            text = self.texts.draw(name, draw)
            return text, len(text) if draw.random() < 0.97 else int(draw.random() * len(text))

        return draw_text

    def _number(self, kind: str, name: str) -> Draw:
        low, high = RANGES[kind]
        sizes = [size for size in SIZES if low <= size < high]
        usual = {"signal": (0, 9, 15, 64, 65), "stream": (0, 1, 2, 3), "token": self.tokens, "op": (1,)}.get(
            name, (0, 1)
        )

        def draw_number(draw: random.Random) -> tuple[Any, ...]:
            chance = draw.random()
            if name == "op":
                return (int(chance * self.total["made"] * 2),)
            if name == "stdio_cookie" or chance < 0.6:
                return ((*usual, 0)[int(draw.random() * (len(usual) + 1))],)
            return (sizes[int(draw.random() * len(sizes))] if chance < 0.9 else draw.randrange(low, high),)

        return draw_number

    def _pointer(self, kind: str, name: str) -> Draw:
        """Null, or what the function may write to; a capacity is never more than there is."""
        ffi, null = self.ffi, self.ffi.NULL
        if kind == "const pyctd_callbacks *":
            return lambda draw: (draw.choice((null, *self.callbacks)),)
        if name == "data":
            return lambda draw: (null,)  # what is to be freed is freed where it is taken
        if name == "capacity":
            return lambda draw: ()
        if name == "out" and "completion" in kind:
            out = threading.local()

            def draw_out(draw: random.Random) -> tuple[Any, ...]:
                if draw.random() < 0.05:
                    return null, SIZES[int(draw.random() * len(SIZES))] % 2**64
                if not hasattr(out, "array"):
                    out.array = ffi.new("pyctd_completion[]", 64)
                return out.array, (64, 64, 1, 0)[int(draw.random() * 4)]

            return draw_out
        return lambda draw: (ffi.new(kind) if draw.random() < 0.9 else null,)

    # -- calls --------------------------------------------------------------------------------------------------------

    def work(self, thread: int, inputs: int, chosen: list[Function]) -> None:
        """So many calls of one thread."""
        draw = random.Random(f"{self.seed}/{thread}/{inputs}")
        weights = [WEIGHTS.get(function.name, 1.0) for function in chosen]
        calls = [(f.name, getattr(self.lib, f.name), self.drawer(f)) for f in chosen]
        counted: Counter[str] = Counter()
        number = struct.unpack_from("<q", self.journal, thread * SLOT)[0]
        batch = 8 if self.address else 32
        for begun in range(0, inputs, batch):
            drawn = draw.choices(calls, weights, k=min(batch, inputs - begun)) if begun else calls
            for name, call, arguments in drawn:
                args = arguments(draw)
                if name in LETS_GO and args[0] in self.spared and draw.random() < 0.9:
                    continue
                number += 1
                self.note(thread, number, name, args)
                answer = call(*args)
                counted[name] += 1
                self.answered(name, args, answer)
            self.tend(thread, draw)
        self.total.update(counted)

    def note(self, thread: int, number: int, name: str, args: tuple[Any, ...]) -> None:
        """Writes down a call that is about to be made."""
        said = ", ".join([f"{len(a)}:{a[:40]!r}" if type(a) is bytes else str(a) for a in args])
        line = f"{name}({said})".encode()[: SLOT - 9]
        at = thread * SLOT
        self.journal[at : at + 9 + len(line)] = struct.pack("<q", number) + line + b"\n"

    def answered(self, name: str, args: tuple[Any, ...], answer: Any) -> None:
        """Judges an answer, and keeps what it made."""
        if name == "pyctd_queue_new":
            if answer:
                self.handles.add("queue", answer)
        elif name == "pyctd_queue_drain":
            if answer > 0:
                self.take(args[1], answer)
            elif answer < -15:
                self.faults[f"{name}: {answer}"] += 1
        elif name in LETS_GO:
            self.handles.drop(args[0])
        elif answer is not None and name != "pyctd_abi_version":
            if not (-15 <= answer <= 15 or answer > 0):
                self.faults[f"{name}: {answer}"] += 1
            if answer > 15:
                self.total["made"] = answer
                if name in MAKES:
                    self.made[answer] = MAKES[name]

    def tend(self, thread: int, draw: random.Random) -> None:
        """Keeps it going: takes completions, releases what is too much, and makes what good calls need."""
        live = self.handles.live
        out = self.ffi.new("pyctd_completion[]", 64)
        for queue in tuple(live["queue"]):
            if (count := self.lib.pyctd_queue_drain(queue, out, 64)) > 0:
                self.take(out, count)
        while len(live["queue"]) < 3:
            self.queue()
        for kind, most in MOST.items():
            while len(live[kind]) > most:
                if (number := pick(live[kind], draw)) not in self.spared:
                    self.release(number)
        if self.address:
            time.sleep(PAUSE)
        until, most = time.monotonic() + PATIENCE, IN_FLIGHT // 10 if self.address else IN_FLIGHT
        while (under_way := self.counts()["operations"]) > most and time.monotonic() < until:
            time.sleep(0.001)
        if under_way > IN_FLIGHT and (queue := pick(live["queue"], draw)) not in self.spared:
            self.release(queue)
        if thread == 0 and self.address and draw.random() < 0.3:
            self._supply(draw)

    def _supply(self, draw: random.Random) -> None:
        """Starts what makes a client, a container and a task, where there are too few."""
        live, lib = self.handles.live, self.lib
        if not set(self.spared[:1]) & set(live["queue"]):
            self.spared[:1] = [self.queue()]
        queue = self.spared[0]
        self.spared[1:] = live["client"][:1]
        assert self.address
        at, later = self.address.encode(), 20 * 10**9
        if len(live["client"]) < 2:
            op = lib.pyctd_client_new(queue, later, at, len(at), b"fuzz", 4, self.state_dir, len(self.state_dir), 1)
            self.made[op] = "client"
        elif len(live["task"]) < 4 and self.counts()["operations"] < 2 * IN_FLIGHT // 10:
            id, spec = f"fuzz-{os.getpid()}-{next(self._numbers)}".encode(), json.dumps(self.spec).encode()
            shim = b"io.containerd.runc.v2"
            client, null = self.spared[1], self.ffi.NULL
            args = (id, len(id), spec, len(spec), shim, len(shim), null, 0, null, 0)
            op = lib.pyctd_client_new_container(queue, later, client, 0, *args)
            self.made[op] = "good"
            self.texts.ids.append(id)

    def _begin(self, container: int) -> None:
        """Makes the task of a container that is good, and most likely starts it."""
        queue, draw, null = self.spared[0], self._callbacks, self.ffi.NULL
        args = (null, 0, draw.randrange(2), draw.randrange(2), int(draw.random() < 0.8))
        op = self.lib.pyctd_container_new_task(queue, 20 * 10**9, container, *args)
        self.made[op] = "task"

    def run(self, inputs: int, chosen: list[Function]) -> None:
        """So many calls, by all threads."""
        share = inputs // THREADS
        threads = [threading.Thread(target=self._guarded, args=(i, share, chosen)) for i in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _guarded(self, thread: int, inputs: int, chosen: list[Function]) -> None:
        try:
            self.work(thread, inputs, chosen)
        except BaseException as error:
            self.faults[f"the fuzzing itself: {error!r}"] += 1
            raise

    def settle(self, before: dict[str, int] | None) -> dict[str, int]:
        """Releases everything, and waits until the counts are as before, or stay as they are; what they are at last."""
        until = time.monotonic() + SETTLE
        seen: deque[dict[str, int]] = deque(maxlen=20)
        while True:
            for number in self.handles.all():
                self.release(number)
            for token in tuple(self.tokens):
                self.lib.pyctd_event_ack(token, b"", 0)
            after = self.counts()
            if before is None:
                seen.append(after)
                settled = seen.count(after) == seen.maxlen
            else:
                settled = all(after[name] <= before[name] for name in before)
            if settled or time.monotonic() > until:
                return after
            time.sleep(0.1)


def main(journal: str, seed: str, inputs: str, scratch: str, rootfs: str, address: str | None = None) -> None:
    place = Path(scratch)
    serve(place / "silent", b"")
    serve(place / "rude", b"HTTP/1.1 400 Bad Request\r\n\r\n" + b"\0" * 100)
    fuzz = Fuzz(journal, seed, place, rootfs, address)
    began = time.monotonic()
    total = int(inputs)
    # Before pyctd_init there is nothing behind the functions; it is left out itself, for its callbacks may be good.
    early = total // 20
    fuzz.run(early, [f for f in fuzz.functions if f.name != "pyctd_init"])
    fuzz.init()
    fuzz.run(THREADS * 200, fuzz.functions)  # what is made once and kept is there before the first look
    before = fuzz.settle(None)
    fuzz.queue()
    fuzz.run(total - early, fuzz.functions)
    seconds = time.monotonic() - began
    after = fuzz.settle(before)
    calls = sum(fuzz.total[f.name] for f in fuzz.functions)
    shut = fuzz.lib.pyctd_shutdown(10 * 10**9)
    report = {"calls": calls, "seconds": seconds, "before": before, "after": after, "shutdown": shut}
    report |= {"made": fuzz.kept, "faults": fuzz.faults, "kinds": fuzz.kinds, "functions": fuzz.total}
    print(json.dumps(report), flush=True)
    if any(after[name] > before[name] for name in before):
        os.kill(os.getpid(), signal.SIGSEGV)  # upon which Go writes down what its goroutines do
        time.sleep(10)
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
