"""Adds the libraries linked into runc, other than Go modules, to runc's bill of materials.

    libraries.py SBOM LIBSECCOMP-VERSION SOURCES ZIG-VERSION

SOURCES is the directory of Debian's libseccomp source package of LIBSECCOMP-VERSION.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any


def libseccomp(version: str, sources: Path) -> dict[str, Any]:
    (archive,) = sources.glob("*.orig.tar.gz")
    purl = f"pkg:deb/debian/libseccomp@{version}?arch=source"
    return {
        "bom-ref": purl,
        "type": "library",
        "name": "libseccomp",
        "version": version,
        "purl": purl,
        "hashes": [{"alg": "SHA-256", "content": hashlib.sha256(archive.read_bytes()).hexdigest()}],
        "licenses": [{"license": {"id": "LGPL-2.1-only"}}],
    }


def musl(zig: str) -> dict[str, Any]:
    purl = f"pkg:pypi/ziglang@{zig}"
    return {
        "bom-ref": purl,
        "type": "library",
        "name": "musl",
        "version": f"of zig {zig}",
        "purl": purl,
        "licenses": [{"license": {"id": "MIT"}}],
    }


if __name__ == "__main__":
    sbom = Path(sys.argv[1])
    bill = json.loads(sbom.read_text())
    added = [libseccomp(sys.argv[2], Path(sys.argv[3])), musl(sys.argv[4])]
    bill["components"] += added
    bill["dependencies"] += [{"ref": component["bom-ref"]} for component in added]
    for dependency in bill["dependencies"]:
        if dependency["ref"] == bill["metadata"]["component"]["bom-ref"]:
            dependency["dependsOn"] += [component["bom-ref"] for component in added]
    sbom.write_text(json.dumps(bill, indent=1, sort_keys=True) + "\n")
