"""Fixtures: one real containerd for the whole run, and a leak check after each test.

A test that leaks fails. Its leftovers are removed, so that no other test fails.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import resource
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from support import leaks, tables
from support.box import PATIENCE, Box, unique
from support.busybox import make_rootfs
from support.case import Case, Loops
from support.cli import Cli
from support.daemon import Daemon, daemon
from support.programs import Programs

import pyctd
from pyctd import _native
from pyctd.aio import _loop

FAILED = pytest.StashKey[bool]()

# How long an example takes depends on the machine.
hypothesis.settings.register_profile("pyctd", deadline=None)
hypothesis.settings.load_profile("pyctd")

# Under nohup or in a shell's background, the tests would ignore signals, and so would every process that they start.
for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Passes the tables' rows to the process that shows them, if this is a worker of pytest-xdist."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["tables"] = tables.tell()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Takes a worker's rows. A crashed worker has none."""
    tables.hear(getattr(node, "workeroutput", {}).get("tables", {}))


def pytest_terminal_summary() -> None:
    """Shows the tables of chaos and soak."""
    tables.show()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Tells the fixtures whether their test has failed."""
    report = yield
    if report.failed:
        item.stash[FAILED] = True
    return report


@pytest.fixture(scope="session")
def base() -> Iterator[Path]:
    """The directory for all files of the tests. Its path is short: a socket path has at most 107 bytes."""
    directory = Path(tempfile.mkdtemp(prefix="ct-"))
    yield directory
    leaks.kill_shims(directory)
    leaks.remove_cgroups(directory)
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def rootfs(base: Path) -> Path:
    """A busybox root, shared by all containers."""
    return make_rootfs(base / "rootfs")


@pytest.fixture(scope="session")
def engine(base: Path) -> Iterator[pyctd.Engine]:
    """A containerd for all tests that do not harm it."""
    if os.geteuid() != 0:
        pytest.skip("real containers need root")
    engine = pyctd.Engine(root=base / "r", state=base / "s")
    # Creates what a process makes once and keeps, before the first leak check.
    with engine.client(backend=lambda *event: None, timeout=60) as client:
        client.version(timeout=60)
    yield engine
    cgroups = list(leaks.cgroup_trees(base / "r"))
    engine.close()
    assert not [tree for tree in cgroups if tree.exists()], "the engine left cgroups behind"
    assert not leaks.processes(str(engine.state)), "the engine left processes behind"
    assert not leaks.mounts(base), "the engine left mounts behind"


@pytest.fixture
def own_engine(leak: None, base: Path) -> Iterator[pyctd.Engine]:
    """A containerd for this test alone, which may harm it."""
    directory = Path(tempfile.mkdtemp(prefix="e", dir=base))
    with pyctd.Engine(root=directory / "r", state=directory / "s") as engine:
        yield engine
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def own_daemon(engine: pyctd.Engine, leak: None, base: Path) -> Iterator[Daemon]:
    """A containerd for this test alone, which may kill it. Only the test restarts it, so that happens at once."""
    directory = Path(tempfile.mkdtemp(prefix="e", dir=base))
    with daemon(directory) as one:
        one.start()
        yield one
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def reachable(engine: pyctd.Engine) -> Iterator[None]:
    """Lets the root user of a user namespace access the client's and containerd's bundles."""
    directories = (engine.state, engine.state.parent)
    for directory in directories:
        directory.chmod(0o711)
    yield
    for directory in directories:
        directory.chmod(0o700)


@pytest.fixture(scope="session", autouse=True)
def collected() -> None:
    """Hides existing objects from the leak check: scanning them takes longer than most tests."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def leak(request: pytest.FixtureRequest, base: Path) -> Iterator[None]:
    """Fails a test that leaks anything: on the Go side, in this process, on disk or in the process table."""
    if "engine" in request.fixturenames or {"integration", "chaos"}.intersection(request.path.parts):
        request.getfixturevalue("engine")
    _native.load()
    before = leaks.Snapshot.take(base)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield
    changed = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)  # otherwise all later tests would fail
    failed = request.node.stash.get(FAILED, False)
    if failed:  # a failed test's frames keep their objects alive
        sys.last_value = sys.last_traceback = None
        setattr(sys, "last_exc", None)  # noqa: B010, new in Python 3.12
    if request.node.get_closest_marker("moby_may_keep_goroutines"):
        before.counts["goroutines"] = sys.maxsize
    left = leaks.settle(before, base, 1 if failed else leaks.SETTLE)
    if left:
        leaks.kill_shims(base)
        files = leaks.Files.below(base)
        for fifo in files.fifos:
            with contextlib.suppress(FileNotFoundError):  # containerd removes its own with their task
                os.unlink(fifo)
        for bundle in files.bundles:
            shutil.rmtree(bundle, ignore_errors=True)
    if leaks.descriptors().total() > leaks.TOO_MANY:  # soon all tests would fail, without a clear reason
        pytest.exit(f"{request.node.nodeid} has left too much behind: {'; '.join(left)}", returncode=1)
    if changed != limits:
        left.append(f"a limit of open files that is not {limits} any more, but {changed}")
    if left and not failed:
        pytest.fail("left behind: " + "; ".join(left), pytrace=False)


@pytest.fixture
def namespace() -> str:
    """A containerd namespace for this test alone, so that leftovers do not affect other tests."""
    return unique("ns")


@pytest.fixture
def client(leak: None, engine: pyctd.Engine, namespace: str) -> Iterator[pyctd.Client]:
    with engine.client(namespace, timeout=60) as client:
        yield client


@pytest.fixture
def box(client: pyctd.Client, rootfs: Path) -> Iterator[Box]:
    """Makes containers, and deletes those that the test leaves behind."""
    box = Box(client, rootfs)
    yield box
    box.clean()


@pytest.fixture(scope="session")
def loops() -> Loops:
    """The kinds of event loops to test on."""
    loops: Loops = {"asyncio": asyncio.new_event_loop}
    with contextlib.suppress(ImportError):
        import uvloop

        uvloop.new_event_loop().close()  # makes libuv create its pipe for the whole process
        loops["uvloop"] = uvloop.new_event_loop
    return loops


@pytest.fixture
def case(
    request: pytest.FixtureRequest,
    loops: Loops,
    leak: None,
    engine: pyctd.Engine,
    namespace: str,
    rootfs: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Case:
    """Runs tests on event loops: asyncio's unless a module asks for others."""
    monkeypatch.setattr(_loop, "CLEAN_UP", PATIENCE)  # waits for Go's clean-up even on a slow machine
    kind = getattr(request, "param", "asyncio")
    if kind not in loops:
        pytest.skip(f"{kind} can not be installed here")
    return Case(engine, namespace, rootfs, loops[kind])


@pytest.fixture
def programs(box: Box) -> Programs:
    """Runs programs on the tests' daemon, in the test's namespace."""
    return Programs(box.client.address, box.client.namespace, box.client.state_dir, box.rootfs)


@pytest.fixture
def cli(client: pyctd.Client, rootfs: Path) -> Iterator[Cli]:
    """The command line, in the test's namespace. Leftover containers are removed."""
    cli = Cli(client, rootfs)
    yield cli
    cli.clean()


@pytest.fixture
def run_id() -> str:
    """An id that no other test uses."""
    return unique()


@pytest.fixture
def make_client(leak: None, engine: pyctd.Engine, namespace: str) -> Iterator[Callable[..., pyctd.Client]]:
    """Makes more clients of the test's namespace, and closes them afterwards."""
    made: list[pyctd.Client] = []

    def make(**options: Any) -> pyctd.Client:
        made.append(engine.client(namespace, timeout=60, **options))
        return made[-1]

    yield make
    while made:
        made.pop().close()
