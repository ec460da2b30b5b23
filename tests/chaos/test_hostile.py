"""Hostile ids, specs, labels and planted links: nothing is written or removed outside of the state directory."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.box import SLEEP, Box
from support.ctr import Ctr

import pyctd

LABEL = "com.docker/engine.bundle.path"
IDS = ["../../etc", "/etc/pyctd-hostile", "a/../../b", "a/b", ".", "..", "", "a\0b", "a\nb", "é", "x" * 77, "-a"]


def below(directory: Path) -> dict[str, int]:
    """All that is in a directory, links not followed, with the mode of each."""
    return {str(path.relative_to(directory)): path.lstat().st_mode for path in directory.rglob("*")}


@pytest.fixture
def outside(base: Path, run_id: str) -> Iterator[Path]:
    """A directory with a file in it, which stays as it is whatever a test does."""
    directory = base / f"outside-{run_id}"
    directory.mkdir()
    (directory / "kept").write_text("kept")
    before, mode, owner = below(directory), directory.stat().st_mode, directory.stat().st_uid
    yield directory
    assert below(directory) == before
    assert (directory / "kept").read_text() == "kept"
    assert (directory.stat().st_mode, directory.stat().st_uid) == (mode, owner)


@pytest.mark.parametrize("id", IDS)
def test_ids_stay_in_the_state_directory(client: pyctd.Client, box: Box, id: str) -> None:
    around = Path(client.state_dir).parent
    before = below(around)
    for call in (client.new_container, client.replace_container):
        with pytest.raises(pyctd.InvalidArgumentError):
            call(id, box.spec())
    with pytest.raises((pyctd.InvalidArgumentError, pyctd.NotFoundError)):
        client.load_container(id)
    assert below(around) == before
    assert not Path("/etc/pyctd-hostile").exists()


def test_exec_ids_stay_in_the_bundle(client: pyctd.Client, box: Box) -> None:
    task, _ = box.start()
    around = Path(client.state_dir).parent
    before = below(around)
    for id in IDS:
        with pytest.raises(pyctd.InvalidArgumentError):
            task.exec(id, pyctd.spec.process(SLEEP), with_stdin=True, attach_stdio=pyctd.stdio.capture())
    assert below(around) == before


@pytest.mark.usefixtures("reachable")
@pytest.mark.parametrize("suffix", ["", ".100000.100000"])
def test_a_bundle_that_is_a_link(client: pyctd.Client, box: Box, outside: Path, run_id: str, suffix: str) -> None:
    link = Path(client.state_dir, run_id + suffix)
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(outside)
    spec = box.spec()
    if suffix:
        spec["linux"]["namespaces"].append({"type": "user"})
        for kind in ("uidMappings", "gidMappings"):
            spec["linux"][kind] = [{"containerID": 0, "hostID": 100000, "size": 65536}]
    for call in (client.new_container, client.replace_container):
        with pytest.raises(pyctd.FailedPreconditionError, match="is a symbolic link"):
            call(run_id, spec)
    with pytest.raises(pyctd.NotFoundError):
        client.load_container(run_id)
    link.unlink()


def test_a_bundle_that_became_a_link(client: pyctd.Client, box: Box, outside: Path) -> None:
    container = box.container()
    bundle = Path(client.state_dir, container.id)
    bundle.rmdir()
    bundle.symlink_to(outside)
    with pytest.raises(pyctd.FailedPreconditionError, match="is a symbolic link"):
        container.start(attach_stdio=pyctd.stdio.capture())
    container.delete()
    assert not bundle.is_symlink()


@pytest.mark.parametrize("stream", ["stdin", "stdout", "stderr"])
@pytest.mark.parametrize("target", ["kept", "none", "."])
def test_a_link_in_the_place_of_a_fifo(client: pyctd.Client, box: Box, outside: Path, stream: str, target: str) -> None:
    container = box.container("/bin/sleep", "600")
    bundle = Path(client.state_dir, container.id)
    planted = bundle / f"{container.id}-{stream}"
    planted.symlink_to(outside / target)
    with pytest.raises(pyctd.FailedPreconditionError, match="there already and no FIFO"):
        container.start(with_stdin=True, attach_stdio=pyctd.stdio.capture())
    planted.unlink()
    task = container.start(attach_stdio=pyctd.stdio.capture())
    planted = bundle / f"e-{stream}"
    planted.symlink_to(outside / target)
    with pytest.raises(pyctd.FailedPreconditionError, match="there already and no FIFO"):
        task.exec("e", pyctd.spec.process(SLEEP), with_stdin=True, attach_stdio=pyctd.stdio.capture())
    planted.unlink()


def test_a_fifo_that_was_left_is_used(client: pyctd.Client, box: Box) -> None:
    container = box.container("/bin/echo", "hello")
    os.mkfifo(Path(client.state_dir, container.id, f"{container.id}-stdout"), 0o600)
    task = container.start(attach_stdio=(out := pyctd.stdio.capture()))
    assert task.wait(timeout=60).exit_code == 0
    assert out.stdout == b"hello\n"


def test_a_state_directory_that_is_a_link(engine: pyctd.Engine, namespace: str, rootfs: Path, base: Path) -> None:
    """As /var/run is one: followed, as in Go."""
    real, link = base / f"real-{namespace}", base / f"link-{namespace}"
    real.mkdir()
    link.symlink_to(real)
    with pyctd.Client(engine.address, namespace, link) as client:
        container = client.new_container("c", pyctd.spec.default(rootfs, ["/bin/true"], readonly=True))
        assert [path.name for path in real.iterdir()] == ["c"]
        container.delete()
    assert list(real.iterdir()) == []


@pytest.mark.parametrize("path", ["outside", "outside/../outside", "relative", "/", ""])
def test_a_label_that_names_another_bundle(
    box: Box, outside: Path, make_client: Any, engine: pyctd.Engine, path: str, namespace: str
) -> None:
    id = box.container().id
    Ctr(engine.address, namespace)("containers", "label", id, f"{LABEL}={path.replace('outside', str(outside))}")
    loaded = make_client().load_container(id)
    with pytest.raises(pyctd.FailedPreconditionError, match="says that its bundle is"):
        loaded.start(attach_stdio=pyctd.stdio.capture())
    if path:
        with pytest.raises(pyctd.FailedPreconditionError, match="says that its bundle is"):
            loaded.delete()
        with pytest.raises(pyctd.FailedPreconditionError, match="says that its bundle is"):
            box.client.replace_container(id, box.spec())
    Ctr(engine.address, namespace)("containers", "label", id, f"{LABEL}={box.client.state_dir}/{id}")


@pytest.mark.parametrize("signal", [-1, 65, 2**31 - 1, 2**31, 2**64, -(2**63), "KILL ", "", "²"])
def test_signals_that_are_none(box: Box, signal: Any) -> None:
    task, _ = box.start()
    with pytest.raises(pyctd.InvalidArgumentError, match="signal must be"):
        task.kill(signal)
    assert task.status().status == "running"


@pytest.mark.parametrize("depth", [9_000, 100_000])
@pytest.mark.parametrize("shape", ['{"a":', "["])
def test_deep_specs(client: pyctd.Client, box: Box, run_id: str, depth: int, shape: str) -> None:
    close = "}" if shape.startswith("{") else "]"
    deep = shape * depth + "1" + close * depth
    with pytest.raises(pyctd.InvalidArgumentError):
        client.new_container(run_id, '{"ociVersion":"1.1.0","annotations":' + deep + "}")
    task, _ = box.start()
    with pytest.raises(pyctd.InvalidArgumentError):
        task.exec("e", '{"args":["a"],"cwd":"/","x":' + deep + "}", timeout=60)
    value: Any = 1
    for _ in range(depth):
        value = {"a": value}
    with pytest.raises(pyctd.InvalidArgumentError):
        client.new_container(run_id, {**box.spec(), "annotations": value})
    while isinstance(value, dict):
        value = value.pop("a")  # which its own end would do by recursion


def test_a_huge_environment(box: Box, client: pyctd.Client, run_id: str) -> None:
    status, _ = box.run("/bin/true", env=[f"V{i}={'x' * 1000}" for i in range(1000)])
    assert status.exit_code == 0
    box.ids.append(run_id)
    with pytest.raises(pyctd.ResourceExhaustedError):  # no message to containerd is longer than 16 MiB
        client.new_container(run_id, box.spec(env=[f"V{i}={'x' * 100_000}" for i in range(200)]))
    assert not Path(client.state_dir, run_id).exists()


def test_a_gigabyte_of_an_id(client: pyctd.Client) -> None:
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if free < 8 << 30:
        pytest.skip("not enough memory")
    with pytest.raises(pyctd.Error) as error:
        client.load_container("x" * (1 << 30), timeout=60)
    assert len(str(error.value)) < 4 << 20


def test_what_is_there_already_keeps_its_mode(client: pyctd.Client, box: Box, run_id: str) -> None:
    bundle = Path(client.state_dir, run_id)
    bundle.mkdir(parents=True)
    bundle.chmod(0o700)
    box.container(id=run_id)
    assert stat.S_IMODE(bundle.stat().st_mode) == 0o700
