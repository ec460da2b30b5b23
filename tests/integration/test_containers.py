"""``Client.containers``: containerd's own list, in both faces."""

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
