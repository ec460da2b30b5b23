"""Options of ``new_container``: containerd's ``NewContainerOpts`` as Python values, applied in order.

containerd's options for the spec and the runtime are missing because libcontainerd sets those from ``spec``, ``shim``
and ``runtime_options``. Deleting a container leaves its snapshot to containerd's garbage collector, which removes
anything unreferenced; the label ``containerd.io/gc.root`` on a snapshot keeps it.
"""

import binascii
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from ._json import to_json

__all__ = [
    "IDMapping",
    "Option",
    "additional_labels",
    "extension",
    "image",
    "image_config_labels",
    "image_name",
    "image_stop_signal",
    "labels",
    "new_snapshot",
    "new_snapshot_view",
    "sandbox",
    "snapshot",
    "snapshotter",
]


class Option(NamedTuple):
    """One option. This module's functions make them.

    Attributes:
        name: the name of the function that made it.
        value: what is sent to Go, as JSON.
    """

    name: str
    value: Any


class IDMapping(NamedTuple):
    """A range of ids in a user namespace, like the OCI spec's ``LinuxIDMapping``."""

    container_id: int
    host_id: int
    size: int


def oci_mapping(mapping: IDMapping) -> dict[str, int]:
    """Returns a range in OCI's JSON form. Internal to pyctd."""
    return {"containerID": mapping.container_id, "hostID": mapping.host_id, "size": mapping.size}


def labels(labels: Mapping[str, str]) -> Option:
    """Sets the container's labels, replacing any that earlier options set (``WithContainerLabels``)."""
    return Option("labels", dict(labels))


def additional_labels(labels: Mapping[str, str]) -> Option:
    """Adds to the container's labels (``WithAdditionalContainerLabels``)."""
    return Option("additional_labels", dict(labels))


def image(ref: str) -> Option:
    """Bases the container on an image in containerd's store (``WithImage``).

    ``new_container`` raises NotFoundError if the store has no image of that name.
    """
    return Option("image", {"image": ref})


def image_name(name: str) -> Option:
    """Sets the image's name without looking it up (``WithImageName``)."""
    return Option("image_name", name)


def image_config_labels(ref: str) -> Option:
    """Sets the container's labels to those of the image's config (``WithImageConfigLabels``).

    ``new_container`` raises FailedPreconditionError if a label begins with ``containerd.io/``: such labels make
    containerd start containers and run programs as root, which is not an image's decision.
    """
    return Option("image_config_labels", {"image": ref})


def image_stop_signal(ref: str, default: str = "SIGTERM") -> Option:
    """Labels the container with the image's stop signal, or with ``default`` (``WithImageStopSignal``).

    The label is ``io.containerd.image.config.stop-signal``.
    """
    return Option("image_stop_signal", {"image": ref, "default": default})


def snapshotter(name: str) -> Option:
    """Chooses the snapshotter, such as ``overlayfs`` or ``native`` (``WithSnapshotter``); without it, containerd's
    default is used. It must precede the option that names or makes a snapshot."""
    return Option("snapshotter", name)


def snapshot(id: str) -> Option:
    """Uses an existing snapshot as the root (``WithSnapshot``). The spec's ``root.path`` must be ``rootfs``.

    ``new_container`` raises NotFoundError if no snapshot has that id.
    """
    return Option("snapshot", id)


def new_snapshot(
    id: str,
    ref: str,
    *,
    labels: Mapping[str, str] | None = None,
    uid_mappings: Iterable[IDMapping | tuple[int, int, int]] = (),
    gid_mappings: Iterable[IDMapping | tuple[int, int, int]] = (),
) -> Option:
    """Makes a writable snapshot of an unpacked image and uses it as the root (``WithNewSnapshot``).

    The spec's ``root.path`` must be ``rootfs``, relative to the bundle, where containerd mounts the snapshot.

    Args:
        id: the snapshot's id, often the same as the container's.
        ref: the image's name in containerd's store.
        labels: labels for the snapshot.
        uid_mappings: the user ids of the container's user namespace; the files' owners are shifted to them.
        gid_mappings: the group ids, likewise (both together are Go's ``WithUserNSRemapperLabels``).

    ``new_container`` raises NotFoundError if the image does not exist or is not unpacked, and ConflictError if the
    snapshot id is in use.
    """
    return Option("new_snapshot", _snapshot(id, ref, labels, uid_mappings, gid_mappings))


def new_snapshot_view(
    id: str,
    ref: str,
    *,
    labels: Mapping[str, str] | None = None,
    uid_mappings: Iterable[IDMapping | tuple[int, int, int]] = (),
    gid_mappings: Iterable[IDMapping | tuple[int, int, int]] = (),
) -> Option:
    """Like ``new_snapshot``, but read-only (``WithNewSnapshotView``)."""
    return Option("new_snapshot_view", _snapshot(id, ref, labels, uid_mappings, gid_mappings))


def _snapshot(
    id: str,
    ref: str,
    labels: Mapping[str, str] | None,
    *mappings: Iterable[IDMapping | tuple[int, int, int]],
) -> dict[str, Any]:
    uids, gids = ([oci_mapping(IDMapping._make(one)) for one in given] for given in mappings)
    return {"id": id, "image": ref, "labels": dict(labels or {}), "uid_mappings": uids, "gid_mappings": gids}


def extension(name: str, value: Mapping[str, Any] | bytes, *, type_url: str | None = None) -> Option:
    """Stores a value of your own with the container (``WithContainerExtension``).

    Args:
        name: the extension's name.
        value: a mapping, which is stored as JSON, or bytes in any encoding.
        type_url: the name of the value's type, by which containerd's typeurl decodes it. The default is ``name``.

    Raises:
        InvalidArgumentError: value is a mapping that cannot be represented in JSON.
    """
    data = bytes(value) if isinstance(value, (bytes, bytearray, memoryview)) else to_json("value", value)
    encoded = binascii.b2a_base64(data, newline=False).decode()
    return Option("extension", {"name": name, "type_url": type_url or name, "value": encoded})


def sandbox(id: str) -> Option:
    """Puts the container into a containerd sandbox (``WithSandbox``). containerd 1.6 has none and ignores this."""
    return Option("sandbox", id)
