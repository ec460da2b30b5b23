"""Options of new_container, and what containerd stores of each."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import leaks
from support.box import Box
from support.ctr import Ctr, version_of, write_image

import pyctd
from pyctd import options

SNAPSHOTTER = "native"  # the one that works on every file system
CONFIG = {"Labels": {"from": "image"}, "StopSignal": "SIGUSR1"}


@pytest.fixture
def ctr(engine: pyctd.Engine, namespace: str) -> Ctr:
    return Ctr(engine.address, namespace)


@pytest.fixture
def image(ctr: Ctr, box: Box, tmp_path: Path) -> Iterator[str]:
    """An image in the test's namespace, unpacked; containerd collects what was made of it when it goes."""
    name = "pyctd.test/busybox:1"
    write_image(tmp_path / "image.tar", name, box.rootfs, CONFIG)
    ctr("images", "import", "--snapshotter", SNAPSHOTTER, str(tmp_path / "image.tar"))
    yield name
    box.clean()
    ctr("images", "rm", "--sync", name)


def in_snapshot(box: Box, *args: str, **keywords: Any) -> dict[str, Any]:
    spec = box.spec(*args, **keywords)
    spec["root"] = {"path": "rootfs", "readonly": False}
    return spec


def make(box: Box, *opts: options.Option, spec: dict[str, Any] | None = None, **more: Any) -> pyctd.Container:
    id = f"c{len(box.ids)}"
    box.ids.append(id)
    return box.client.new_container(id, spec or box.spec(), opts=opts, **more)


def test_labels(box: Box, ctr: Ctr) -> None:
    id = make(box, options.labels({"a": "1", "b": "2"}), options.additional_labels({"b": "3", "é": "ü"})).id
    stored = ctr.container(id)["Labels"]
    bundle = stored.pop("com.docker/engine.bundle.path")
    assert bundle == f"{box.client.state_dir}/{id}"
    assert stored == {"a": "1", "b": "3", "é": "ü"}


def test_labels_replace_and_additional_labels_add(box: Box, ctr: Ctr) -> None:
    id = make(box, options.additional_labels({"a": "1"}), options.labels({"b": "2"})).id
    assert set(ctr.container(id)["Labels"]) == {"b", "com.docker/engine.bundle.path"}


def test_a_label_that_is_too_long(box: Box) -> None:
    with pytest.raises(pyctd.InvalidArgumentError, match="label key and value .*greater than maximum size"):
        make(box, options.labels({"k": "v" * 5000}))
    assert not leaks.bundles_of(box.client)


def test_image_name(box: Box, ctr: Ctr) -> None:
    assert ctr.container(make(box, options.image_name("not/looked:up")).id)["Image"] == "not/looked:up"


def test_image(box: Box, ctr: Ctr, image: str) -> None:
    stored = ctr.container(make(box, options.image(image)).id)
    assert stored["Image"] == image


def test_image_config_labels_and_stop_signal(box: Box, ctr: Ctr, image: str) -> None:
    stored = ctr.container(make(box, options.image_config_labels(image), options.image_stop_signal(image)).id)
    assert stored["Labels"]["from"] == "image"
    assert stored["Labels"]["io.containerd.image.config.stop-signal"] == "SIGUSR1"


@pytest.mark.parametrize(
    "option",
    [
        options.image("no/such:image"),
        options.image_config_labels("no/such:image"),
        options.image_stop_signal("no/such:image"),
        options.new_snapshot("s", "no/such:image"),
        options.new_snapshot_view("s", "no/such:image"),
        options.snapshot("no-such-snapshot"),
    ],
    ids=lambda option: option.name,
)
def test_what_is_not_there(box: Box, option: options.Option) -> None:
    with pytest.raises(pyctd.NotFoundError, match="no.such.*: not found|does not exist: not found"):
        make(box, options.snapshotter(SNAPSHOTTER), option)
    assert not leaks.bundles_of(box.client)


def test_a_snapshotter_that_is_not_there(box: Box, image: str) -> None:
    with pytest.raises(pyctd.Error, match="nosuch"):
        make(box, options.snapshotter("nosuch"), options.new_snapshot("s", image))


def test_new_snapshot_is_the_root(box: Box, ctr: Ctr, image: str) -> None:
    spec = in_snapshot(box, "/bin/sh", "-c", "echo kept > /note; cat /note /proc/mounts")
    container = make(
        box, options.snapshotter(SNAPSHOTTER), options.new_snapshot("root", image, labels={"k": "v"}), spec=spec
    )
    stored = ctr.container(container.id)
    assert (stored["Snapshotter"], stored["SnapshotKey"], stored["Image"]) == (SNAPSHOTTER, "root", image)
    task = container.start(attach_stdio=(out := pyctd.stdio.capture()))
    assert task.wait(timeout=60).exit_code == 0
    assert out.stdout.startswith(b"kept\n")
    assert f"/{box.rootfs.parent.name}/rootfs ".encode() not in out.stdout
    assert json.loads(ctr("snapshots", "--snapshotter", SNAPSHOTTER, "info", "root"))["Labels"]["k"] == "v"


def test_snapshot_uses_what_exists(box: Box, ctr: Ctr, image: str) -> None:
    keep = {"containerd.io/gc.root": "2026-01-01T00:00:00Z"}  # or containerd collects it once its container is gone
    new = options.new_snapshot("root", image, labels=keep)
    make(box, options.snapshotter(SNAPSHOTTER), new, spec=in_snapshot(box)).delete()
    spec = in_snapshot(box, "/bin/sh", "-c", "test -w / && echo writable")
    container = make(box, options.snapshotter(SNAPSHOTTER), options.snapshot("root"), spec=spec)
    task = container.start(attach_stdio=(out := pyctd.stdio.capture()))
    assert task.wait(timeout=60).exit_code == 0
    assert out.stdout == b"writable\n"
    task.delete()
    container.delete()
    ctr("snapshots", "--snapshotter", SNAPSHOTTER, "rm", "root")


def test_new_snapshot_view_is_read_only(box: Box, ctr: Ctr, image: str) -> None:
    container = make(
        box, options.snapshotter(SNAPSHOTTER), options.new_snapshot_view("view", image), spec=in_snapshot(box)
    )
    assert ctr.container(container.id)["SnapshotKey"] == "view"
    assert ctr.snapshots(SNAPSHOTTER)["view"] == "View"


def test_new_snapshot_of_an_id_in_use(box: Box, image: str) -> None:
    make(box, options.snapshotter(SNAPSHOTTER), options.new_snapshot("root", image), spec=in_snapshot(box))
    with pytest.raises(pyctd.ConflictError, match="id already in use"):  # libcontainerd takes it for the container's
        make(box, options.snapshotter(SNAPSHOTTER), options.new_snapshot("root", image), spec=in_snapshot(box))


@pytest.mark.usefixtures("reachable")
def test_new_snapshot_with_shifted_owners(box: Box, image: str) -> None:
    shift = [options.IDMapping(0, 100000, 65536)]
    script = "stat -c '%u %g' /bin; cat /proc/self/uid_map"
    spec = in_snapshot(box, "/bin/sh", "-c", script, uid_mappings=shift, gid_mappings=shift)
    option = options.new_snapshot("root", image, uid_mappings=shift, gid_mappings=shift)
    container = make(box, options.snapshotter(SNAPSHOTTER), option, spec=spec)
    task = container.start(attach_stdio=(out := pyctd.stdio.capture()))
    assert task.wait(timeout=60).exit_code == 0, out.stderr
    assert out.stdout.split() == [b"0", b"0", b"0", b"100000", b"65536"]


def test_extension(box: Box, ctr: Ctr) -> None:
    id = make(
        box,
        options.extension("a.json", {"note": "kept", "n": [1, None]}),
        options.extension("b.bytes", b"\x00\xff", type_url="example.Type"),
    ).id
    stored = ctr.container(id)["Extensions"]
    assert stored["a.json"]["type_url"] == "a.json"
    assert json.loads(base64.b64decode(stored["a.json"]["value"])) == {"note": "kept", "n": [1, None]}
    assert stored["b.bytes"] == {"type_url": "example.Type", "value": base64.b64encode(b"\x00\xff").decode()}


def test_sandbox(box: Box, ctr: Ctr) -> None:
    stored = ctr.container(make(box, options.sandbox("some-sandbox")).id)
    if version_of(box.client) < (1, 7):
        assert not stored.get("SandboxID"), "containerd 1.6 has no sandboxes"
    else:
        assert ctr("containers", "ls", "-q").split() == box.ids


def test_options_that_are_none(box: Box) -> None:
    with pytest.raises(pyctd.InvalidArgumentError, match="opts must come from"):
        make(box, "labels")  # type: ignore[arg-type]
    with pytest.raises(pyctd.InvalidArgumentError, match='option "nothing" is not known: there are addit'):
        make(box, options.Option("nothing", 1))
    known = "there are id, image, labels, uid_mappings, gid_mappings"
    with pytest.raises(pyctd.InvalidArgumentError, match=f'"new_snapshot": field "img" is not known: {known}'):
        make(box, options.Option("new_snapshot", {"img": "x"}))
    with pytest.raises(pyctd.InvalidArgumentError, match="labels"):
        make(box, options.Option("labels", [1]))
    with pytest.raises(pyctd.InvalidArgumentError, match='option "image"'):
        make(box, options.Option("image", "x"))
    with pytest.raises(pyctd.InvalidArgumentError, match="extension key must not be zero-length"):
        make(box, options.extension("", {}))
    assert not leaks.bundles_of(box.client)


RUNC_OPTIONS: dict[str, Any] = {
    "NoPivotRoot": True,
    "NoNewKeyring": True,
    "ShimCgroup": "",
    "IoUid": 0,
    "IoGid": 0,
    "BinaryName": "runc",
    "Root": "/run/containerd/runc",
    "SystemdCgroup": False,
    "CriuImagePath": "/images",
    "CriuWorkPath": "/work",
    "TaskApiAddress": "",
    "TaskApiVersion": 3,
}


def test_each_runtime_option_of_runc(box: Box, ctr: Ctr) -> None:
    id = make(box, runtime_options=RUNC_OPTIONS).id
    runtime = ctr.container(id)["Runtime"]
    assert runtime["Name"] == "io.containerd.runc.v2"
    assert runtime["Options"]["type_url"] == "containerd.runc.v1.Options"
    value = base64.b64decode(runtime["Options"]["value"])
    for given in RUNC_OPTIONS.values():
        if isinstance(given, str):
            assert given.encode() in value


def test_runtime_options_have_their_effect(box: Box, tmp_path: Path) -> None:
    """runc is called by the name and with the root that are given."""
    log = tmp_path / "called"
    runc = tmp_path / "my-runc"
    runc.write_text(f'#!/bin/sh\necho "$@" >> {log}\nexec runc "$@"\n')
    runc.chmod(0o755)
    runtime_options = {"BinaryName": str(runc), "Root": str(tmp_path / "root"), "NoPivotRoot": True}
    container = make(box, runtime_options=runtime_options)
    task = container.start()
    assert any((tmp_path / "root").rglob("state.json"))
    task.force_delete(timeout=60)
    container.delete()
    called = log.read_text()
    assert f"--root {tmp_path}/root" in called
    assert "--no-pivot" in called


def test_runtime_options_of_another_shim(box: Box, ctr: Ctr) -> None:
    container = make(
        box, shim="io.example.other.v1", runtime_options={"TypeUrl": "example.Options", "ConfigPath": "/etc/x.toml"}
    )
    runtime = ctr.container(container.id)["Runtime"]
    assert runtime["Name"] == "io.example.other.v1"
    assert runtime["Options"]["type_url"] == "runtimeoptions.v1.Options"
    assert b"/etc/x.toml" in base64.b64decode(runtime["Options"]["value"])


@pytest.mark.parametrize(
    "given",
    [{"BinaryName": 5}, {"SystemdCgroup": "yes"}, {"ShimCgroup": 1.5}, {"IoUid": -1.5}, {"TaskApiVersion": "3"}],
)
def test_runtime_options_of_the_wrong_type(box: Box, given: dict[str, Any]) -> None:
    with pytest.raises(pyctd.InvalidArgumentError, match="runtime"):
        make(box, runtime_options=given)
    assert not leaks.bundles_of(box.client)


def test_runtime_options_that_are_not_known(box: Box) -> None:
    with pytest.raises(
        pyctd.InvalidArgumentError, match=r'"NoSuch" is not known to io.containerd.runc.v2: it has .*Root'
    ):
        make(box, runtime_options={"NoSuch": 1})
    with pytest.raises(pyctd.InvalidArgumentError, match=r'"BinaryName" is not known to io.example.other: it has Type'):
        make(box, shim="io.example.other", runtime_options={"BinaryName": "x"})
