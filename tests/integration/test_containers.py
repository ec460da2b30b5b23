"""``Client.containers`` and ``Container.info``: what containerd stores, in both faces."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from support.box import Box
from support.ctr import Ctr

import pyctd


def test_containers_are_those_of_the_namespace(box: Box, client: pyctd.Client, engine: pyctd.Engine) -> None:
    assert client.containers(timeout=60) == []
    ids = sorted(box.container().id for _ in range(3))
    assert sorted(info.id for info in client.containers(timeout=60)) == ids
    with engine.client(f"{client.namespace}-other", timeout=60) as other:
        assert other.containers(timeout=60) == []


def test_what_containers_tells_is_what_containerd_stores(box: Box, client: pyctd.Client, run_id: str) -> None:
    box.ids.append(run_id)
    labels = {"role": "db", "com.example.owner": "grüße"}
    spec = box.spec("/bin/true")
    client.new_container(run_id, spec, opts=[pyctd.options.labels(labels), pyctd.options.image_name("busybox:1")])
    (info,) = client.containers(timeout=60)
    stored = Ctr(client.address, client.namespace).container(run_id)
    assert info.id == run_id
    assert info.labels == stored["Labels"]
    assert {name: info.labels[name] for name in labels} == labels, "beside libcontainerd's own"
    assert info.image == stored["Image"] == "busybox:1"
    assert info.runtime == stored["Runtime"]["Name"] == "io.containerd.runc.v2"
    assert (info.snapshotter, info.snapshot_key, info.sandbox_id) == ("", "", "")
    assert info.spec == stored["Spec"]
    assert info.spec["process"]["args"] == ["/bin/true"]
    assert info.created_at == info.updated_at
    assert info.created_at
    assert abs(datetime.now(timezone.utc) - info.created_at) < timedelta(minutes=5)
    assert info.created_at.isoformat()[:23] in stored["CreatedAt"]


def test_containers_by_filter(box: Box, client: pyctd.Client, run_id: str) -> None:
    other = box.container().id
    box.ids.append(run_id)
    client.new_container(run_id, box.spec(), opts=[pyctd.options.labels({"role": "db"})])
    assert [info.id for info in client.containers(f"id=={run_id}")] == [run_id]
    assert [info.id for info in client.containers('labels."role"==db')] == [run_id]
    assert client.containers("id==no-such") == []
    assert sorted(i.id for i in client.containers(f"id=={run_id}", f"id=={other}")) == sorted([run_id, other])


def test_containers_of_another_client_of_containerd(client: pyctd.Client, rootfs: Path, run_id: str) -> None:
    ctr = Ctr(client.address, client.namespace)
    ctr("containers", "create", "--rootfs", str(rootfs), run_id, "/bin/true")
    try:
        (info,) = client.containers(timeout=60)
        assert info.id == run_id
        assert info.spec
        assert info.spec["process"]["args"] == ["/bin/true"]
    finally:
        ctr("containers", "delete", run_id)


@pytest.mark.parametrize("filters", [('id=="',), ("==",), ("id==a", "==")])
def test_containers_by_what_is_no_filter(client: pyctd.Client, filters: tuple[str, ...]) -> None:
    with pytest.raises(pyctd.InvalidArgumentError):
        client.containers(*filters, timeout=60)


def test_containers_by_a_filter_of_another_type(client: pyctd.Client) -> None:
    with pytest.raises(pyctd.InvalidArgumentError, match="filters must be strings such as 'id==web', not"):
        client.containers(1)  # type: ignore[arg-type]


def test_containers_awaited(box: Box, client: pyctd.Client) -> None:
    id = box.container().id
    box.container()

    async def main() -> list[pyctd.ContainerInfo]:
        async with pyctd.aio.Client(client.address, client.namespace, client.state_dir, timeout=60) as other:
            return await other.containers(f"id=={id}", timeout=60)

    assert asyncio.run(main()) == client.containers(f"id=={id}")


def test_containers_of_a_closed_client(engine: pyctd.Engine, namespace: str) -> None:
    client = engine.client(namespace, timeout=60)
    client.close()
    with pytest.raises(pyctd.ClosedError):
        client.containers()


# -- one container -----------------------------------------------------------------------------------------------------

BUNDLE = "com.docker/engine.bundle.path"


def test_info_is_what_containerd_stores_now(box: Box, client: pyctd.Client, run_id: str) -> None:
    box.ids.append(run_id)
    opts = [
        pyctd.options.labels({"role": "db"}),
        pyctd.options.image_name("busybox:1"),
        pyctd.options.extension("com.example.notes", {"owner": "grüße"}, type_url="example/notes"),
        pyctd.options.extension("raw", b"\0secret"),
    ]
    container = client.new_container(run_id, box.spec("/bin/true"), opts=opts)
    info = container.info(timeout=60)
    assert info == client.containers(timeout=60)[0] == client.load_container(run_id).info()
    assert info.spec == Ctr(client.address, client.namespace).container(run_id)["Spec"]
    assert (info.id, info.image, info.runtime) == (run_id, "busybox:1", "io.containerd.runc.v2")
    assert info.extensions == {
        "com.example.notes": pyctd.Extension("example/notes", '{"owner": "grüße"}'.encode()),
        "raw": pyctd.Extension("raw", b"\0secret"),
    }
    assert "secret" not in repr(info), "what is printed is soon in a log"
    container.set_labels({"role": "web"})
    later = container.info()
    assert later.labels["role"] == "web"
    assert later.updated_at
    assert info.updated_at
    assert later.updated_at > info.updated_at


def test_labels_are_set_changed_and_removed(box: Box, client: pyctd.Client, run_id: str) -> None:
    box.ids.append(run_id)
    container = client.new_container(
        run_id, box.spec(), opts=[pyctd.options.labels({"a": "1", "b": "2", "c.d/e": "3"})]
    )
    before = container.info()
    own = {name: value for name, value in before.labels.items() if name not in ("a", "b", "c.d/e")}
    assert BUNDLE in own
    assert container.set_labels({"b": "", "c.d/e": "4", "new": "grüße"}) == {
        **own, "a": "1", "c.d/e": "4", "new": "grüße"
    }  # fmt: skip
    assert container.set_labels({}) == container.info().labels, "an update of nothing changes nothing"
    assert container.set_labels(container.info().labels) == container.info().labels, "its bundle's among them"
    after = container.info()
    assert (after.spec, after.image, after.extensions) == (before.spec, before.image, before.extensions)
    with pytest.raises(pyctd.InvalidArgumentError):
        container.set_labels({"long": "x" * 5000})
    container.start().force_delete()
    container.delete()


def test_the_label_that_libcontainerd_deletes_by_can_not_be_changed(box: Box) -> None:
    container = box.container()
    for path in ("/", ""):
        with pytest.raises(pyctd.InvalidArgumentError, match=f"label {BUNDLE} belongs to libcontainerd"):
            container.set_labels({"a": "b", BUNDLE: path})
    assert "a" not in container.info().labels


def test_info_and_labels_of_a_deleted_container(box: Box) -> None:
    container = box.container()
    container.delete()
    with pytest.raises(pyctd.NotFoundError) as caught:
        container.info()
    assert (caught.value.call, caught.value.container_id) == ("Container.info", container.id)
    with pytest.raises(pyctd.NotFoundError):
        container.set_labels({"a": "b"})


def test_info_and_labels_awaited(box: Box, client: pyctd.Client) -> None:
    container = box.container()

    async def main() -> tuple[dict[str, str], pyctd.ContainerInfo]:
        async with pyctd.aio.Client(client.address, client.namespace, client.state_dir, timeout=60) as other:
            same = await other.load_container(container.id)
            return await same.set_labels({"a": "b"}, timeout=60), await same.info(timeout=60)

    labels, info = asyncio.run(main())
    assert labels["a"] == "b"
    assert info == container.info()
    assert info.labels == labels
