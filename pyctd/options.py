"""Options of ``new_container``: containerd's ``NewContainerOpts`` as Python values, applied in order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = [
    "Option",
    "additional_labels",
    "extension",
    "image",
    "image_name",
    "image_stop_signal",
    "labels",
    "new_snapshot",
    "new_snapshot_view",
    "sandbox",
    "snapshot",
    "snapshotter",
]


@dataclass(frozen=True)
class Option:
    """One option, to be had from this module's functions."""

    name: str
    value: Any


def labels(labels: Mapping[str, str]) -> Option:
    """Sets the container's labels (``WithContainerLabels``)."""
    return Option("labels", dict(labels))


def additional_labels(labels: Mapping[str, str]) -> Option:
    """Adds to the container's labels (``WithAdditionalContainerLabels``)."""
    return Option("additional_labels", dict(labels))


def image(ref: str) -> Option:
    """Takes an image of containerd's store as the container's base (``WithImage``)."""
    return Option("image", {"image": ref})


def image_name(name: str) -> Option:
    """Sets the image's name without looking it up (``WithImageName``)."""
    return Option("image_name", name)


def image_stop_signal(ref: str, default: str = "SIGTERM") -> Option:
    """Labels the container with the image's stop signal, or with default (``WithImageStopSignal``)."""
    return Option("image_stop_signal", {"image": ref, "default": default})


def snapshotter(name: str) -> Option:
    """Chooses the snapshotter (``WithSnapshotter``)."""
    return Option("snapshotter", name)


def snapshot(id: str) -> Option:
    """Uses an existing snapshot (``WithSnapshot``)."""
    return Option("snapshot", id)


def new_snapshot(id: str, ref: str) -> Option:
    """Makes a writable snapshot of an image (``WithNewSnapshot``)."""
    return Option("new_snapshot", {"id": id, "image": ref})


def new_snapshot_view(id: str, ref: str) -> Option:
    """Makes a read-only snapshot of an image (``WithNewSnapshotView``)."""
    return Option("new_snapshot_view", {"id": id, "image": ref})


def extension(name: str, value: Mapping[str, Any]) -> Option:
    """Stores a value of the caller's own with the container (``WithContainerExtension``)."""
    return Option("extension", {"name": name, "value": dict(value)})


def sandbox(id: str) -> Option:
    """Puts the container into a sandbox of containerd's (``WithSandbox``)."""
    return Option("sandbox", id)
