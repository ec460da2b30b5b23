"""Generates data for ``pyctd.spec`` from Go modules, so that the sources need no copies of third-party files.

``moby.json`` is dockerd's default spec with the capabilities that moby knows, printed by ``gosrc/cmd/moby-defaults``.
``_schema.py`` is the OCI schema from the runtime-spec module, compiled by fastjsonschema into plain Python. So a
validation takes microseconds, without compilation at run time.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from pprint import pformat
from typing import Any

from fastjsonschema import compile_to_code

GOSRC = Path(__file__).resolve().parents[1] / "gosrc"
RUNTIME_SPEC = "github.com/opencontainers/runtime-spec"

#: Properties that libcontainerd dereferences, in addition to those that OCI requires.
LIBCONTAINERD_NEEDS = ["root", "process", "linux"]
#: Other platforms, whose parts of a spec are not validated.
OTHER_PLATFORMS = ["solaris", "windows", "vm", "zos"]


def write(directory: Path) -> list[str]:
    """Writes both files into the package in directory; returns their paths."""
    moby, schema = directory / "spec" / "moby.json", directory / "spec" / "_schema.py"
    moby.write_bytes(go("run", "./cmd/moby-defaults"))
    # Verified against go.sum, and downloaded if necessary.
    module = json.loads(go("mod", "download", "-json", RUNTIME_SPEC))
    schema.write_text(compiled(Path(module["Dir"]) / "schema"))
    return [str(moby), str(schema)]


def go(*args: str) -> bytes:
    # Runs on the build machine, whatever the target.
    here = {"CGO_ENABLED": "0", "GOOS": "", "GOARCH": "", "GOPATH": os.environ["SETUPTOOLS_GOLANG_GOPATH"]}
    return subprocess.run(
        ["go", *args], cwd=GOSRC, env={**os.environ, **here}, check=True, stdout=subprocess.PIPE
    ).stdout


def compiled(directory: Path) -> str:
    """The source of ``_schema.py``: ``validate``, and ``PROPERTIES``, which maps a kind's properties to their kinds."""
    bundle = Bundle(directory)
    kinds = {
        "spec": "config-schema.json#",
        "process": "config-schema.json#/properties/process",
        "resources": "config-linux.json#/linux/properties/resources",
    }
    root = {"type": "object", "properties": {kind: bundle.refer(place) for kind, place in kinds.items()}}
    amend(bundle.definitions)
    schema = {"$schema": "http://json-schema.org/draft-04/schema#", **root, "definitions": bundle.definitions}
    properties = {kind: bundle.definitions[name_of(place)] for kind, place in kinds.items()} | bundle.definitions
    known = {
        kind: {name: kind_of(child, bundle.definitions) for name, child in of["properties"].items()}
        for kind, of in properties.items()
        if "properties" in of
    }
    return "\n".join(
        [
            f"# Compiled by pyctd's build from the JSON schema of {RUNTIME_SPEC}.",
            compile_to_code(schema),
            f"PROPERTIES = {pformat(known, width=120)}",
            "",
        ]
    )


def amend(definitions: dict[str, Any]) -> None:
    """Fixes the schema where it contradicts OCI's text, Go or runc."""
    spec = definitions[name_of("config-schema.json#")]
    spec["required"] = [*spec["required"], *LIBCONTAINERD_NEEDS]
    # runc and OCI's text also allow the recursive modes, and dockerd sets them.
    propagation = definitions["defs-linux_RootfsPropagation"]
    propagation["enum"] += [f"r{mode}" for mode in propagation["enum"]]
    # The schema's 512 was meant as 0o777, and moby passes all of chmod's bits.
    definitions["defs-linux_FileMode"]["maximum"] = 0o7777


class Bundle:
    """Combines the schema's files. Each object with properties becomes its own definition.

    So a validation error refers to the violated definition, not to the whole schema.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.definitions: dict[str, Any] = {}

    def refer(self, place: str) -> dict[str, str]:
        """A reference to the node at a place, such as ``defs.json#/definitions/Hook``."""
        name = name_of(place)
        if name not in self.definitions:
            self.definitions[name] = {}  # ends the recursion of a definition that contains itself
            file, _, pointer = place.partition("#")
            node = json.loads((self.directory / file).read_text())
            for step in filter(None, pointer.split("/")):
                node = node[int(step) if isinstance(node, list) else step]
            self.definitions[name] = self.inside(node, place)
        return {"$ref": f"#/definitions/{name}"}

    def place(self, node: Any, place: str) -> Any:
        """A node as it appears in the bundle."""
        if isinstance(node, dict) and node.get("type") == "object" and "properties" in node:
            return self.refer(place)
        return self.inside(node, place)

    def inside(self, node: Any, place: str) -> Any:
        if isinstance(node, list):
            return [self.place(item, f"{place}/{number}") for number, item in enumerate(node)]
        if not isinstance(node, dict):
            return node
        if "$ref" in node:  # in draft 4, it overrides all other keywords
            file, _, pointer = node["$ref"].partition("#")
            return self.refer(f"{file or place.partition('#')[0]}#{pointer}")
        if list(node) == ["anyOf"] and len(node["anyOf"]) == 1:  # with one choice: an error's path would end here
            return self.place(node["anyOf"][0], f"{place}/anyOf/0")
        return {
            key: {
                name: {} if name in OTHER_PLATFORMS else self.place(child, f"{place}/{key}/{name}")
                for name, child in value.items()
            }
            if key in ("properties", "patternProperties")
            else self.place(value, f"{place}/{key}")
            for key, value in node.items()
        }


def name_of(place: str) -> str:
    file, _, pointer = place.partition("#")
    steps = [step for step in pointer.split("/") if step not in ("", "definitions", "properties")]
    return "_".join([file.removesuffix(".json"), *steps])


def kind_of(schema: dict[str, Any], definitions: dict[str, Any]) -> str:
    """The name of the definition of a value's objects, possibly in a list; empty if it has none."""
    while True:
        if "$ref" in schema:
            name = schema["$ref"].removeprefix("#/definitions/")
            if "properties" in definitions[name]:
                return name
            schema = definitions[name]
        elif "items" in schema:
            schema = schema["items"]
        else:
            return ""
