"""Secrets stay in their specs, and what is made on disk is as tight as works."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import stat
import tempfile
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.box import Box, Hold, eventually
from support.cli import Cli
from support.programs import Programs

import pyctd

SECRET = "hunter2-Zq8"
ENV = {"PASSWORD": SECRET}


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Callable[[], str]:
    """All that was logged, at debug level, with what records carry beside their text."""
    caplog.set_level(logging.DEBUG)
    return lambda: "\n".join(f"{record.getMessage()} {record.__dict__}" for record in caplog.records)


def whole(error: BaseException) -> str:
    """An error as it may be shown: its traceback, with all that it was caused by."""
    return "".join(traceback.format_exception(error)) + repr(error) + repr(error.__dict__)


def reprs() -> str:
    """What every object of pyctd's looks like now."""
    found = [o for o in gc.get_objects() if str(type(o).__module__).partition(".")[0] == "pyctd"]
    return "\n".join(map(repr, found))


def test_of_a_life(box: Box, said: Callable[[], str]) -> None:
    events: list[str] = []
    stream = box.client.events()
    task, out = box.start("/bin/sh", "-c", "echo ${#PASSWORD}; exec sleep 600", env=ENV)
    process = task.exec("e", pyctd.spec.process(["/bin/sleep", "600"], env=ENV), attach_stdio=Hold())
    info = box.client.containers(f"id=={task.container_id}")[0]
    assert info.spec is not None
    assert f"PASSWORD={SECRET}" in info.spec["process"]["env"]
    shown = "\n".join(map(repr, (task, process, info, task.status(), task.stats(), task.pids(), stream))) + reprs()
    task.force_delete(timeout=60)
    stream.close()
    events += [repr(event) for event in stream]
    assert out.stdout == f"{len(SECRET)}\n".encode()
    for text in (shown, "\n".join(events), said()):
        assert SECRET not in text
    assert "bundle dir created" in said()


def failing(box: Box) -> dict[str, Callable[[], Any]]:
    """Each way for a spec with a secret to fail."""
    good = box.spec(env=ENV)
    process = pyctd.spec.process(["/bin/none"], env=ENV)
    pairs = [f"PASSWORD={SECRET}"]

    def spec(**changed: Any) -> dict[str, Any]:
        return {**good, "process": {**good["process"], **changed}}

    def start(spec: Any, **options: Any) -> None:
        id = f"{box.client.namespace}-f"
        box.ids.append(id)
        box.client.new_container(id, spec, **options).start(attach_stdio=pyctd.stdio.capture())

    return {
        "env is a mapping": lambda: start(spec(env=ENV)),
        "env holds a list": lambda: start(spec(env=[pairs])),
        "env holds a number": lambda: start(spec(env=[*pairs, 7])),
        "env is text": lambda: start(spec(env=pairs[0])),
        "process is a list": lambda: start({**good, "process": pairs}),
        "spec is a list": lambda: start([good]),
        "spec holds a set": lambda: start(spec(env=set(pairs))),
        "spec is broken text": lambda: start('{"process": {"env": ["' + pairs[0] + '"]'),
        "spec is broken bytes": lambda: start(f'{{"process": {{"env": ["{SECRET}"\xff'.encode("latin-1")),
        "no root": lambda: start({name: part for name, part in good.items() if name != "root"}),
        "no such command": lambda: start(spec(args=["/bin/none"])),
        "no such directory": lambda: start(spec(cwd="/proc/none")),
        "no such runtime": lambda: start(good, shim="io.containerd.none.v9"),
        "no such runc": lambda: start(good, runtime_options={"BinaryName": "/none"}),
        "past its deadline": lambda: box.client.new_container("late", good, timeout=0),
        "no id": lambda: box.client.new_container("a/b", good),
        "too long": lambda: box.client.new_container("long", spec(env=[*pairs, "x" * (17 << 20)])),
        "an option that is none": lambda: box.client.new_container("o", good, opts=[good]),  # type: ignore[list-item]
        "exec of no command": lambda: box.start()[0].exec("e", process, attach_stdio=pyctd.stdio.capture()),
        "exec of a list": lambda: box.start()[0].exec("e", [process]),  # type: ignore[arg-type]
        "exec env is a mapping": lambda: box.start()[0].exec("e", {**process, "env": ENV}),
        "env of bytes": lambda: pyctd.spec.default(box.rootfs, ["a"], env={"PASSWORD": SECRET.encode()}),  # type: ignore[dict-item]
        "env by a name with =": lambda: pyctd.spec.default(box.rootfs, ["a"], env={pairs[0]: "x"}),
        "env without names": lambda: pyctd.spec.process(["a"], env=[SECRET]),
        "env is a str": lambda: pyctd.spec.process(["a"], env=pairs[0]),
    }


def test_of_each_failure(box: Box, said: Callable[[], str]) -> None:
    for what, fail in failing(box).items():
        with pytest.raises(pyctd.Error) as error:
            fail()
        shown = whole(error.value)
        # The lines of this file are in the traceback; what they hold is not.
        assert SECRET not in shown, f"{what}: {shown}"
        box.clean()
    assert SECRET not in said()


def test_of_command_lines(cli: Cli) -> None:
    secret = f"PASSWORD={SECRET}"
    for args in (
        ["/bin/true"],
        ["/bin/none"],
        ["--user", "nobody9", "/bin/true"],
        ["--env", f"={SECRET}", "/bin/true"],
    ):
        done = cli("run", "--rm", "--rootfs", cli.rootfs, "--env", secret, *args)
        assert SECRET not in done.out + done.err
    for args in (["ps", "-a"], ["ps", "-a", "--json"], ["--debug", "ps"], ["doctor"]):
        assert SECRET not in "".join(map(str, cli(*args)))


@pytest.fixture(params=[0, 0o022, 0o077], ids=["umask 0", "umask 022", "umask 077"])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def mode(path: Path) -> str:
    return f"{stat.filemode(path.lstat().st_mode)} {path.lstat().st_uid}"


@pytest.mark.usefixtures("umask")
def test_modes_of_bundles_and_fifos(box: Box) -> None:
    """The bundle is libcontainerd's: anybody may look into it, and only its owner may use the FIFOs in it."""
    task = box.container().start(with_stdin=True, attach_stdio=Hold())
    bundle = Path(box.client.state_dir, task.container_id)
    assert mode(bundle) == "drwxr-xr-x 0"
    fifos = {path.name.rpartition("-")[2]: mode(path)[:10] for path in bundle.iterdir()}
    assert set(fifos) == {"stdin", "stdout", "stderr"}
    assert all(found == "prwx------" for found in fifos.values()), fifos
    task.force_delete(timeout=60)


@pytest.mark.usefixtures("umask")
def test_modes_of_an_engine(base: Path) -> None:
    """Others may enter the state, as the root of a user namespace has to, and see nothing there."""
    with pyctd.Engine() as engine:
        assert (mode(engine.root), mode(engine.state)) == ("drwx------ 0", "drwx--x--x 0")
        assert mode(engine.state / "containerd.toml")[:10] == "-rw-------"
    given = Path(tempfile.mkdtemp(prefix="m", dir=base))
    with pyctd.Engine(root=given / "r", state=given / "s") as engine:
        assert (mode(engine.root), mode(engine.state)) == ("drwx------ 0", "drwx--x--x 0")
        assert mode(Path(engine.address))[7:10] == "---"


@pytest.mark.usefixtures("umask")
def test_mode_of_a_log(cli: Cli, tmp_path: Path, run_id: str) -> None:
    log = tmp_path / "new" / "web.log"
    args = ("--name", run_id, "--log", str(log), "--rootfs", cli.rootfs, "/bin/echo", "hello")
    assert cli("run", "-d", *args).code == 0
    eventually(lambda: log.read_text() == "hello\n")
    assert mode(log)[:10] == "-rw-------"


@pytest.mark.usefixtures("reachable", "umask")
def test_a_user_namespace(box: Box) -> None:
    """Its bundle has a name of its own and belongs to its root; the FIFOs are the shim's, which opens them for it."""
    spec = box.spec("/bin/sh", "-c", "read word; echo $word; cat /proc/self/uid_map; exec sleep 600")
    spec["linux"]["namespaces"].append({"type": "user"})
    spec["linux"].pop("sysctl", None)
    for kind in ("uidMappings", "gidMappings"):
        spec["linux"][kind] = [{"containerID": 0, "hostID": 100000, "size": 65536}]
    task = box.of(spec).start(attach_stdio=(out := pyctd.stdio.capture(stdin=b"hello\n")))
    bundle = Path(box.client.state_dir, f"{task.container_id}.100000.100000")
    assert mode(bundle) == "drwx------ 100000"
    assert {mode(path) for path in bundle.iterdir()} == {"prwx------ 0"}
    eventually(lambda: out.stdout.split() == [b"hello", b"0", b"100000", b"65536"])
    process = task.exec("e", pyctd.spec.process(["/bin/id", "-u"]), attach_stdio=(said := pyctd.stdio.capture()))
    assert process.wait(timeout=60).exit_code == 0
    assert said.stdout == b"0\n"
    task.force_delete(timeout=60)
    box.client.load_container(task.container_id).delete()
    assert not bundle.exists()


def test_nothing_on_stderr(programs: Programs) -> None:
    """At debug level, with logging as a program sets it up."""
    _, out, err = programs.run(
        """
        import contextlib, logging
        logging.basicConfig(level=logging.DEBUG)
        with connect() as client:
            one = client.new_container(rest[0], spec("/bin/none") | {})
            with contextlib.suppress(pyctd.Error):
                one.start(attach_stdio=pyctd.stdio.capture())
            one.delete()
            wanted = pyctd.spec.default(rootfs, ["/bin/true"], readonly=True, env={"PASSWORD": rest[1]})
            two = client.new_container(rest[0], wanted)
            two.start(attach_stdio=pyctd.stdio.capture()).wait(timeout=60)
            two.task().delete()
            two.delete()
            raise ValueError(repr(client.containers()))
        """,
        f"{programs.args[1]}-s",
        SECRET,
    )
    assert "DEBUG:pyctd.libcontainerd" in err
    assert SECRET not in out + err


def test_that_the_texts_would_tell() -> None:
    """What the tests above look for is found where it is."""
    with contextlib.suppress(ValueError):
        raise ValueError(SECRET)
    assert SECRET in repr(ENV)
