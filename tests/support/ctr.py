"""What containerd itself says, and images for it, by its own command ``ctr``."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pyctd


class Ctr:
    """``ctr`` on one daemon and namespace."""

    def __init__(self, address: str, namespace: str) -> None:
        self._command = ["ctr", "--address", address, "--namespace", namespace]

    def __call__(self, *args: str) -> str:
        done = subprocess.run([*self._command, *args], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, f"ctr {' '.join(args)}: {done.stderr}"
        return done.stdout

    def container(self, id: str) -> dict[str, Any]:
        """What containerd stores of a container."""
        info: dict[str, Any] = json.loads(self("containers", "info", id))
        return info

    def snapshots(self, snapshotter: str) -> dict[str, str]:
        """The kinds of a snapshotter's snapshots, by id."""
        rows = [line.split() for line in self("snapshots", "--snapshotter", snapshotter, "ls").splitlines()[1:]]
        return {row[0]: row[-1] for row in rows}


def version_of(client: pyctd.Client) -> tuple[int, int]:
    """The daemon's major and minor version."""
    major, minor = client.version(timeout=60).version.lstrip("v").split(".")[:2]
    return int(major), int(minor)


def write_image(path: Path, name: str, rootfs: Path, config: dict[str, Any], padding: int = 0) -> None:
    """Writes an OCI image of one layer as ``ctr images import`` takes it, with blanks at the end of its config."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        for entry in sorted(rootfs.iterdir()):
            tar.add(entry, entry.name)
    blobs: dict[str, bytes] = {}

    def blob(data: bytes, media_type: str) -> dict[str, Any]:
        digest = hashlib.sha256(data).hexdigest()
        blobs[f"blobs/sha256/{digest}"] = data
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)}

    oci = "application/vnd.oci.image"
    content = blob(layer.getvalue(), f"{oci}.layer.v1.tar")
    described = {
        "architecture": "amd64",
        "os": "linux",
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": [content["digest"]]},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{oci}.manifest.v1+json",
        "config": blob(json.dumps(described).encode() + b" " * padding, f"{oci}.config.v1+json"),
        "layers": [content],
    }
    listed = blob(json.dumps(manifest).encode(), f"{oci}.manifest.v1+json")
    listed["annotations"] = {"io.containerd.image.name": name}
    files = {
        "oci-layout": json.dumps({"imageLayoutVersion": "1.0.0"}).encode(),
        "index.json": json.dumps({"schemaVersion": 2, "manifests": [listed]}).encode(),
        **blobs,
    }
    with tarfile.open(path, "w") as tar:
        for file, data in files.items():
            member = tarfile.TarInfo(file)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
