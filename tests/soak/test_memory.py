"""What is used again and again leaves the process as it was: memory, handles, goroutines, descriptors, threads."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path

import pytest
from support import tables
from support.box import Box
from support.programs import Programs
from support.soak import ON, Progress, at_length, much, samples

GROWTH = 16 << 20
"""Bytes that the resident set may have grown by in the end, however much was done: the heaps of Go and of Python both
breathe by some MiB, more on a machine that is busy. 100,000 calls that lose two hundred bytes each are over it."""

#: A process before and after: it has done a tenth before the first look, so that what is made once is there.
PROGRAM = """
import asyncio, atexit, contextlib, gc, itertools, json
import pyctd.aio
from pyctd import _native
sys.path.insert(0, rest[2])
id, total = rest[0], int(rest[1])

def look():
    gc.collect()
    counts = _native.counts()
    pages = int(open("/proc/self/statm").read().split()[1])
    return {
        "RSS": pages * os.sysconf("SC_PAGE_SIZE"),
        "handles": counts.handles,
        "operations": counts.operations,
        "events": counts.pending_events,
        "goroutines": counts.goroutines,
        "descriptors": len(os.listdir("/proc/self/fd")),
        "threads": len(os.listdir("/proc/self/task")),
    }

def settled(before):
    # What ends on a thread or a goroutine of its own has some seconds for it.
    until = time.monotonic() + 20
    while True:
        after = look()
        new = [name for name in before if after[name] > before[name] and name not in ("RSS", "threads")]
        if not new or time.monotonic() > until:
            return after
        time.sleep(0.2)

def work(count):
    step = max(count // 100, 20)
    for number in range(count):
        call(number)
        if number % step == step - 1:
            print(number, json.dumps(look()), flush=True)

client = connect(backend=lambda *event: None)
container = client.load_container(id)
task = container.task()
process = pyctd.spec.process(["/bin/true"])
{kind}
work(max(total // 10, 20))
time.sleep(1)
before = look()
began = time.monotonic()
work(total)
seconds = time.monotonic() - began
print(json.dumps([before, settled(before), seconds]), flush=True)
client.close()
"""

#: One request each, or none.
CALLS = {
    "version": "client.version()",
    "load_container": "client.load_container(id)",
    "load_container, of none": "with contextlib.suppress(pyctd.NotFoundError): client.load_container('none')",
    "task": "container.task()",
    "status": "task.status()",
    "pids": "task.pids()",
    "stats": "task.stats()",
    "kill with signal 0": "task.kill(0)",
    "a call past its deadline": "with contextlib.suppress(pyctd.DeadlineExceededError): client.version(timeout=0)",
    "a stream of events": "client.events().close()",
}

#: Many requests each, or processes: a tenth of a second.
LIVES = {
    "a container's life": """
        one = client.new_container(f"{id}-{number}", spec("/bin/echo", "hello"))
        running = one.start(attach_stdio=(out := pyctd.stdio.capture()))
        assert running.wait(timeout=60).exit_code == 0 and out.stdout == b"hello\\n"
        running.delete()
        one.delete()
    """,
    "a start that fails": """
        one = client.new_container(f"{id}-{number}", spec("/bin/none"))
        try:
            one.start(attach_stdio=pyctd.stdio.capture())
        except pyctd.Error:
            one.delete()
    """,
    "a client, attached": """
        with connect(backend=lambda *event: None) as other, other.events():
            other.load_container(id).attach_task(pyctd.stdio.capture())
    """,
    "pause, resume": "task.pause(); task.resume()",
    "update_resources": "task.update_resources({'pids': {'limit': 100 + number % 100}})",
}

EXEC = """
        one = task.exec(f"e{number}", process, attach_stdio=pyctd.stdio.capture())
        assert one.wait(timeout=60).exit_code == 0
        one.delete()
"""

AWAITED = """
async def hundred():
    async with pyctd.aio.Client(address, namespace, state_dir) as other:
        one = await (await other.load_container(id)).task()
        for _ in range(50):
            await asyncio.gather(*(one.status() for _ in range(100)))
def call(number):
    if number % 5000 == 0:
        asyncio.run(hundred())
"""

EVENTS = """
from support.soak import publishing
BATCH = 2000  # libcontainerd has a goroutine for each event that waits: a million at once would be gigabytes
handled, seen = itertools.count(), []
listener = connect(backend=lambda *event: next(handled))
stream = listener.events()
def read():
    for number, _ in enumerate(stream, 1):
        seen[:] = [number]
threading.Thread(target=read, daemon=True).start()
stack = contextlib.ExitStack()
publisher = stack.enter_context(publishing(address, namespace))
atexit.register(stack.close)
sent = 0
def work(count):
    global sent
    for _ in range(max(count // BATCH, 1)):
        publisher.publish(BATCH)
        sent += BATCH
        until = time.monotonic() + 120
        while seen != [sent]:
            assert time.monotonic() < until, (seen, sent)
            time.sleep(0.01)
        print(sent, flush=True)
"""


def call(body: str) -> str:
    return "def call(number):\n" + textwrap.indent(textwrap.dedent(body), "    ")


def endure(box: Box, programs: Programs, what: str, kind: str, total: int) -> None:
    """Runs a program that does one thing so many times, and compares it with itself."""
    task, _ = box.start(*ON)
    progress = Progress(what, total)
    tests = str(Path(__file__).parents[1])
    weights = samples[what] = []
    with programs.popen(PROGRAM.replace("{kind}", kind), task.container_id, str(total), tests) as program:
        assert program.stdout
        assert program.stderr
        found = ""
        for line in program.stdout:
            if line.startswith("["):
                found = line
                continue
            number, _, weight = line.partition(" ")
            progress.at(int(number))
            if weight:
                weights.append(json.loads(weight))
        err = program.stderr.read()
    assert (program.returncode, err) == (0, ""), err
    before, after, seconds = json.loads(found)
    task.force_delete(timeout=60)
    changes = [
        f"{name} {size(before[name], name)} → {size(after[name], name)}"
        for name in before
        if before[name] or after[name]
    ]
    tables.soak.append((what, f"{total:,}", f"{', '.join(changes)}; {total / seconds:,.0f} a second"))
    grown = {name: after[name] - before[name] for name in before}
    assert grown.pop("RSS") < GROWTH, changes
    grown["threads"] -= SPARE_THREADS
    assert max(grown.values()) <= 0, changes


SPARE_THREADS = 4
"""Go starts a thread where one is in a system call for long, and keeps it; each is good for all that follows."""


def size(value: int, name: str) -> str:
    return f"{value / (1 << 20):.1f} MiB" if name == "RSS" else str(value)


@at_length
@pytest.mark.parametrize("kind", CALLS)
def test_calls(box: Box, programs: Programs, kind: str) -> None:
    endure(box, programs, kind, call(CALLS[kind]), much("CALLS", 500))


@at_length
def test_calls_that_are_awaited(box: Box, programs: Programs) -> None:
    endure(box, programs, "status, 100 at once on a loop", AWAITED, much("CALLS", 5000))


@at_length
@pytest.mark.parametrize("kind", LIVES)
def test_lives(box: Box, programs: Programs, kind: str) -> None:
    endure(box, programs, kind, call(LIVES[kind]), much("LIVES", 10))


@at_length
def test_execs(box: Box, programs: Programs) -> None:
    endure(box, programs, "exec", call(EXEC), much("EXECS", 20))


@at_length
def test_events(box: Box, programs: Programs) -> None:
    endure(box, programs, "events", EVENTS, much("EVENTS", 20_000))
