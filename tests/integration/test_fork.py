"""Forked children, and the ways to have several processes that each use pyctd."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest
from support.box import Box
from support.programs import Programs

CHILD = """
def forked(work, fork=os.fork):
    child = fork()
    if not child:
        try:
            work()
        except SystemExit:
            raise
        except BaseException:
            import traceback
            traceback.print_exc()
            os._exit(3)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
def refused(*calls):
    for call in calls:
        started = time.monotonic()
        try:
            call()
        except pyctd.ForkedError as error:
            assert "does not survive a fork" in str(error)
            assert time.monotonic() - started < 2  # at once, even on a loaded machine
        else:
            raise AssertionError(f"{call} was not refused")
"""


def test_a_forked_child_is_refused_at_once(box: Box, programs: Programs) -> None:
    task, _ = box.start()
    code = """
        import asyncio, pyctd.aio
        client = connect(backend=lambda *event: None)
        events = client.events()
        container = client.load_container(rest[0])
        task = container.task()
        process = pyctd.spec.process(["/bin/true"])
        def in_child():
            refused(
                connect, pyctd.Engine, client.version, client.events, lambda: client.load_container("x"),
                lambda: client.new_container("x", spec("/bin/true")), container.start, container.task, container.delete,
                task.wait, task.status, task.delete, task.start, task.pause, task.resume, task.stats, task.pids,
                task.summary, task.force_delete, task.close_stdin, lambda: task.exec("e", process),
                lambda: task.kill(9), lambda: task.update_resources({}), lambda: task.resize(80, 24),
                lambda: task.create_checkpoint("/x"),
                lambda: container.attach_task(pyctd.stdio.capture()), events.get, lambda: next(events),
                lambda: asyncio.run(pyctd.aio.Client(address, namespace, state_dir).connect()),
            )
            events.close()
            client.close()
        forked(in_child)
        print(client.version().version != "", task.status().status)
        client.close()
        """
    assert programs.check(CHILD + textwrap.dedent(code), task.container_id) == "True running\n"


def test_a_child_that_was_forked_by_c(programs: Programs) -> None:
    """No hook of Python's runs there."""
    code = """
        import ctypes
        with connect() as client:
            forked(lambda: refused(client.version, connect), ctypes.PyDLL(None).fork)
            assert client.version().version
        """
    programs.check(CHILD + textwrap.dedent(code))


def test_a_forked_child_collects_and_ends_silently(box: Box, programs: Programs) -> None:
    task, _ = box.start()
    code = """
        import gc
        client = connect(backend=lambda *event: None)
        events = client.events()
        task = client.load_container(rest[0]).task()
        out = pyctd.stdio.capture()
        process = task.exec("e", pyctd.spec.process(["/bin/cat"]), with_stdin=True, attach_stdio=out)
        def in_child():
            global client, events, task, out, process
            del client, events, task, out, process
            gc.collect()
            sys.exit(0)
        forked(in_child)
        assert process.status().status == "running"
        process.kill(9)
        assert process.wait(timeout=60).exit_code == 137
        process.delete()
        client.close()
        """
    programs.check(CHILD + textwrap.dedent(code), task.container_id, dev=True)


@pytest.mark.parametrize("way", ["stream.__del__()", "stream.close()"])
def test_a_forked_child_ends_no_wait_of_its_parents(box: Box, programs: Programs, way: str) -> None:
    """The eventfd that ends the waits for a stream is one for both."""
    task, _ = box.start()
    code = f"""
        import select
        streams = []
        def callback(dio):
            streams.append(dio.stdout)
            return dio
        with connect() as client:
            task = client.load_container(rest[0]).task()
            process = task.exec("e", pyctd.spec.process(["/bin/cat"]), with_stdin=True, attach_stdio=callback)
            stream = streams[0]
            stream._opened()
            forked(lambda: {way})
            assert not select.select([stream._fifo._stop_fd], [], [], 0)[0]
            process.kill(9)
            assert stream.read(10) == b""
            process.wait(timeout=60)
            process.delete()
        """
    programs.check(CHILD + textwrap.dedent(code), task.container_id)


@pytest.mark.parametrize("way", ["sys.exit(0)", "engine.close()"])
def test_a_forked_child_leaves_the_engine_to_its_parent(programs: Programs, way: str) -> None:
    code = f"""
        with pyctd.Engine() as engine, engine.client() as client:
            container = client.new_container(f"kept-{{os.getpid()}}", spec("/bin/sleep", "600"))
            task = container.start()
            forked(lambda: {way})
            assert os.path.exists(engine.state) and os.path.exists(engine.root)
            assert task.status().status == "running"
            assert os.path.exists(os.path.join(client.state_dir, container.id))
        assert not os.path.exists(engine.state)
        """
    programs.check(CHILD + textwrap.dedent(code), dev=True, timeout=60)


def test_fork_before_the_first_use_is_fine(programs: Programs) -> None:
    code = """
        def use():
            with connect() as client:
                assert client.version().version
        forked(use)
        use()
        """
    programs.check(CHILD + textwrap.dedent(code))


def test_fork_while_the_library_is_being_loaded(programs: Programs) -> None:
    """Such a child works or is refused, and never waits for what its parent's thread was about to do."""
    code = """
        from pyctd import _native
        thread = threading.Thread(target=_native.load)
        def use():
            try:
                connect().close()
            except pyctd.ForkedError:
                pass
        thread.start()
        for _ in range(20):
            forked(use)
        thread.join()
        use()
        """
    for _ in range(3):
        programs.check(CHILD + textwrap.dedent(code))


WORKER = """
def work(id):
    with connect(timeout=60) as client:
        container = client.new_container(id, spec("/bin/echo", id))
        out = pyctd.stdio.capture()
        task = container.start(attach_stdio=out)
        code = task.wait(timeout=60).exit_code
        task.delete()
        container.delete()
        return code, out.stdout
ids = [f"{namespace}-{number}" for number in range(3)]
results = [(0, id.encode() + b"\\n") for id in ids]
"""

POOLS = {
    "multiprocessing": "with multiprocessing.get_context(rest[0]).Pool(2) as pool: found = pool.map(work, ids)",
    "concurrent.futures": """
with concurrent.futures.ProcessPoolExecutor(2, multiprocessing.get_context(rest[0])) as pool:
    found = list(pool.map(work, ids))""",
}


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
@pytest.mark.parametrize("pool", POOLS)
def test_pools_of_processes(programs: Programs, tmp_path: Path, pool: str, method: str) -> None:
    """The parent uses pyctd, too."""
    code = f"""
import concurrent.futures, multiprocessing
{WORKER}
if __name__ == "__main__":
    with connect() as client:
{textwrap.indent(POOLS[pool], " " * 8)}
        assert found == results, found
        assert client.version().version
"""
    programs.check(code, method, file=tmp_path / "program.py", timeout=90)


def test_a_pool_of_forked_processes_is_refused(programs: Programs, tmp_path: Path) -> None:
    code = f"""
import concurrent.futures, multiprocessing
{WORKER}
if __name__ == "__main__":
    with connect() as client:
        with concurrent.futures.ProcessPoolExecutor(2, multiprocessing.get_context("fork")) as pool:
            for failed in [pool.submit(work, id).exception(timeout=60) for id in ids]:
                assert isinstance(failed, pyctd.ForkedError), failed
        assert client.version().version
"""
    programs.check(code, file=tmp_path / "program.py")


def test_a_pool_of_threads(programs: Programs) -> None:
    code = f"""
import concurrent.futures
{WORKER}
with concurrent.futures.ThreadPoolExecutor(3) as pool:
    assert list(pool.map(work, ids)) == results
"""
    programs.check(code, timeout=60)


def test_workers_that_are_forked_before_the_first_use(programs: Programs) -> None:
    """As gunicorn's are: imported before the fork, used after it, ended by SIGTERM."""
    code = f"""
{WORKER}
import signal
def serve(id, ready):
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    client = connect(backend=lambda *event: None)
    assert work(id) == (0, id.encode() + b"\\n")
    os.write(ready, b".")
    with client.events() as events:
        for event in events:
            pass
ready, tell = os.pipe()
workers = []
for id in ids:
    worker = os.fork()
    if not worker:
        serve(id, tell)
    workers.append(worker)
for _ in workers:
    assert os.read(ready, 1) == b"."
for worker in workers:
    os.kill(worker, signal.SIGTERM)
    assert os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1]) == 0
assert work("master") == (0, b"master\\n")
"""
    programs.check(code, timeout=60)


def test_programs_started_beside_a_client(programs: Programs) -> None:
    """They run, however they are started, and get none of pyctd's descriptors."""
    code = """
        import subprocess
        client = connect(backend=lambda *event: None)
        client.version()
        listing = ["/bin/sh", "-c", "ls -l /proc/self/fd | sed 's/.*-> //'"]
        for options in ({}, {"close_fds": False}, {"preexec_fn": os.setsid}, {"start_new_session": True}):
            done = subprocess.run(listing, capture_output=True, text=True, check=True, **options)
            assert "socket" not in done.stdout and "eventfd" not in done.stdout, done.stdout
        assert os.system("true") == 0
        child = os.posix_spawn("/bin/true", ["true"], os.environ)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert client.version().version
        client.close()
        """
    programs.check(code)


@pytest.mark.parametrize("callback", ["handler of events", "stdio callback"])
def test_a_child_that_a_callback_forks_ends_with_it(box: Box, programs: Programs, callback: str) -> None:
    """The way back leads into Go, which does not survive the fork."""
    task, _ = box.start()
    code = f"""
        children = []
        def fork(*args):
            if children:
                return
            child = os.fork()
            if child:
                children.append(child)
            else:
                refused(client.version)
        handler, stdio = (fork, None) if "{callback}" == "handler of events" else (None, fork)
        client = connect(backend=handler)
        task = client.load_container(rest[0]).task()
        task.exec("e", pyctd.spec.process(["/bin/true"]), attach_stdio=stdio).wait(timeout=60)
        until = time.monotonic() + 30
        while not (children and os.waitid(os.P_PID, children[0], os.WEXITED | os.WNOHANG | os.WNOWAIT)):
            if time.monotonic() > until:
                os.kill(children[0], signal.SIGKILL)
            time.sleep(0.01)
        assert os.waitstatus_to_exitcode(os.waitpid(children[0], 0)[1]) == 0
        client.close()
        """
    programs.check(CHILD + textwrap.dedent(code), task.container_id, timeout=90)
