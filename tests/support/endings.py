"""Programs that end in the midst of things, and what is to be seen of their ends.

Each is given the ids of two running containers, one of which may be paused at times, and how long to go on before it
ends.
"""

from __future__ import annotations

import re
import signal
from dataclasses import dataclass

__all__ = ["ENDINGS", "STORMS", "Ending"]

PRELUDE = """
import asyncio, atexit, contextlib, gc, logging, random
import pyctd.aio
id, paused, delay = rest
def go_on():
    time.sleep(float(delay))
def thread(work):
    threading.Thread(target=work, daemon=True).start()
def forever(call):
    while True:
        call()
def blink():
    with connect() as client:
        task = client.load_container(paused).task()
        while True:  # other programs do so too
            try:
                return task.pause()
            except pyctd.Error:
                with contextlib.suppress(pyctd.Error):
                    task.resume()
def handler(container_id, event, info):
    info.exited_at
"""

OPEN_CLIENT = r".*ResourceWarning: unclosed <Client /\S+ \S+>, client \d+ of this process"


@dataclass(frozen=True)
class Ending:
    """A program and its end.

    Attributes:
        code: the program, after PRELUDE.
        exit_code: what it ends with.
        clients: how many clients it leaves open, each for one ResourceWarning under ``-X dev``.
        says: what it writes on stderr itself, as a pattern for the last line.
    """

    code: str
    exit_code: int = 0
    clients: int = 1
    says: str = ""

    @property
    def program(self) -> str:
        return PRELUDE + self.code

    def faults(self, exit_code: int, stderr: str, dev: bool) -> list[str]:
        """What was wrong with a run."""
        found = [] if exit_code == self.exit_code else [f"exit code {exit_code}, not {self.exit_code}"]
        # The line of source below a warning is indented; the allocations are told of with tracemalloc only.
        lines = [line for line in stderr.splitlines() if line and not line.startswith(" ")]
        lines = [line for line in lines if "Enable tracemalloc" not in line]
        warned = [line for line in lines if re.fullmatch(OPEN_CLIENT, line)]
        wanted = self.clients if dev else 0
        if len(warned) != wanted or len(set(warned)) != wanted:
            found.append(f"{len(warned)} ResourceWarnings, not {wanted}")
        lines = [line for line in lines if line not in warned]
        if self.says and lines and re.fullmatch(self.says, lines[-1]):
            lines = []
        elif self.says:
            found.append(f"it did not say {self.says}")
        return found + [f"on stderr: {line}" for line in lines]


ENDINGS = {
    "right after the import": Ending("", clients=0),
    "right after the library was loaded": Ending("from pyctd import _native; _native.load()", clients=0),
    "all closed": Ending(
        """
with connect(backend=handler) as client, client.events() as events:
    client.load_container(id).task().status()
    go_on()
""",
        clients=0,
    ),
    "nothing closed": Ending(
        """
client = connect(backend=handler)
events = client.events()
task = client.load_container(id).task()
go_on()
"""
    ),
    "three clients open": Ending(
        """
clients = [connect(backend=handler) for _ in range(3)]
go_on()
""",
        clients=3,
    ),
    "a client in a cycle": Ending(
        """
class Holder: pass
holder = Holder()
holder.client, holder.own = connect(backend=lambda *event: holder), holder
del holder
go_on()
"""
    ),
    "waits in daemon threads": Ending(
        """
client = connect()
task = client.load_container(id).task()
for _ in range(50):
    thread(task.wait)
go_on()
"""
    ),
    "calls in daemon threads": Ending(
        """
client = connect()
task = client.load_container(id).task()
for _ in range(8):
    thread(lambda: forever(task.status))
go_on()
"""
    ),
    "a thread that connects": Ending("thread(lambda: forever(lambda: connect().close())); go_on()", clients=0),
    "a call in a thread that is waited for": Ending(
        """
client = connect()
task = client.load_container(id).task()
threading.Thread(target=lambda: [(task.status(), time.sleep(float(delay))) for _ in range(3)]).start()
"""
    ),
    "a handler at work": Ending(
        """
entered = threading.Event()
client = connect(backend=lambda *event: (entered.set(), time.sleep(600)))
blink()
assert entered.wait(60)
go_on()
"""
    ),
    "sys.exit in a handler of events": Ending(
        """
logging.getLogger("pyctd").addHandler(logging.NullHandler())
left = threading.Event()
def leave(*event):
    left.set()
    sys.exit(3)
client = connect(backend=leave)
blink()
assert left.wait(60)
go_on()
"""
    ),
    "sys.exit in a signal's handler": Ending(
        """
signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(7))
client = connect(backend=handler)
task = client.load_container(id).task()
threading.Timer(float(delay), os.kill, [os.getpid(), signal.SIGTERM]).start()
task.wait()
""",
        exit_code=7,
    ),
    "Ctrl-C": Ending(
        """
client = connect(backend=handler)
task = client.load_container(id).task()
threading.Timer(float(delay), os.kill, [os.getpid(), signal.SIGINT]).start()
task.wait()
""",
        exit_code=-signal.SIGINT,
        says="KeyboardInterrupt",
    ),
    "SIGTERM": Ending(
        """
client = connect(backend=handler)
task = client.load_container(id).task()
threading.Timer(float(delay), os.kill, [os.getpid(), signal.SIGTERM]).start()
task.wait()
""",
        exit_code=-signal.SIGTERM,
        clients=0,
    ),
    "os._exit": Ending("client = connect(backend=handler); go_on(); os._exit(5)", exit_code=5, clients=0),
    "os._exit in a handler of events": Ending(
        """
client = connect(backend=lambda *event: os._exit(6))
blink()
time.sleep(600)
""",
        exit_code=6,
        clients=0,
    ),
    "an exception in main": Ending(
        """
client = connect(backend=handler)
task = client.load_container(id).task()
thread(task.wait)
go_on()
raise RuntimeError("the program's own")
""",
        exit_code=1,
        says="RuntimeError: the program's own",
    ),
    "calls at exit": Ending(
        """
client = connect(backend=handler)
task = client.load_container(id).task()
atexit.register(lambda: (task.status(), client.close()))
go_on()
""",
        clients=0,
    ),
    "calls at exit, arranged before the first use": Ending(
        """
atexit.register(lambda: (client.version(), client.close()))
client = connect(backend=handler)
go_on()
""",
        clients=0,
    ),
    "streams attached": Ending(
        """
client = connect()
out = pyctd.stdio.capture()
task = client.load_container(id).task()
process = task.exec(f"e{os.getpid()}", pyctd.spec.process(["/bin/cat"]), with_stdin=True, attach_stdio=out)
go_on()
"""
    ),
    "a stdio callback at work": Ending(
        """
client = connect()
entered = threading.Event()
def block(dio):
    entered.set()
    time.sleep(600)
task = client.load_container(id).task()
spec = pyctd.spec.process(["/bin/true"])
thread(lambda: task.exec(f"e{os.getpid()}", spec, attach_stdio=block))
assert entered.wait(60)
go_on()
"""
    ),
    "debug logs on their way": Ending(
        """
class Drop(logging.Handler):
    def emit(self, record): record.getMessage()
logging.basicConfig(level=logging.DEBUG, handlers=[Drop()])
client = connect(backend=handler)
task = client.load_container(id).task()
for _ in range(4):
    thread(lambda: forever(task.status))
go_on()
"""
    ),
    "operations in flight on an event loop": Ending(
        """
logging.getLogger("asyncio").setLevel(logging.ERROR)  # with -X dev it tells of slow calls
async def main():
    client = await pyctd.aio.Client(address, namespace, state_dir)
    task = await (await client.load_container(id)).task()
    waits = [asyncio.ensure_future(task.wait()) for _ in range(50)]
    await asyncio.sleep(float(delay))
asyncio.run(main())
"""
    ),
    "an event loop in a daemon thread": Ending(
        """
logging.getLogger("asyncio").setLevel(logging.ERROR)  # with -X dev it tells of slow calls
async def main():
    client = await pyctd.aio.Client(address, namespace, state_dir, backend=handler)
    task = await (await client.load_container(id)).task()
    async with client.events() as events:
        connected.set()
        while True:
            await asyncio.gather(*(task.status() for _ in range(10)))
connected = threading.Event()
thread(lambda: asyncio.run(main()))
assert connected.wait(60)
go_on()
"""
    ),
    "a forked child": Ending(
        """
client = connect(backend=handler)
events = client.events()
task = client.load_container(id).task()
go_on()
if not os.fork():
    del task, events, client
    gc.collect()
    sys.exit(0)
assert os.waitstatus_to_exitcode(os.wait()[1]) == 0
client.close()
""",
        clients=0,
    ),
}

#: Programs that end while their events come as fast as a daemon can send them.
STORMS = {
    "a storm of events": Ending(
        """
client = connect(backend=handler)
go_on()
"""
    ),
    "a storm of events whose handlers sleep": Ending(
        """
client = connect(backend=lambda *event: time.sleep(random.random() / 20))
go_on()
"""
    ),
    "a storm of events, and operations": Ending(
        """
client = connect(backend=handler)
task = client.load_container(id).task()
for _ in range(50):
    thread(task.wait)
for _ in range(4):
    thread(lambda: forever(task.status))
go_on()
"""
    ),
    "a storm of events that a stream reads": Ending(
        """
client = connect()
events = client.events()
thread(lambda: [event for event in events])
go_on()
"""
    ),
    "a storm of events on an event loop": Ending(
        """
logging.getLogger("asyncio").setLevel(logging.ERROR)  # with -X dev it tells of slow calls
async def handle(*event):
    await asyncio.sleep(0)
async def main():
    async with pyctd.aio.Client(address, namespace, state_dir, backend=handle):
        await asyncio.sleep(float(delay))
asyncio.run(main())
""",
        clients=0,
    ),
    "a storm of events that a child is forked in": Ending(
        ENDINGS["a forked child"].code,
        clients=0,
    ),
    "a storm of events, and os._exit": Ending("client = connect(backend=handler); go_on(); os._exit(5)", 5, 0),
}
