"""The OCI schema, compiled when the package is built."""

from typing import Any

#: By kind of object ("spec", "process", "resources" and those inside them): its properties, each with the kind of
#: object that it holds, or has a list of; empty where it holds none.
PROPERTIES: dict[str, dict[str, str]]

def validate(data: dict[str, Any]) -> dict[str, Any]:
    """Checks what stands under "spec", "process" or "resources"; raises fastjsonschema's JsonSchemaValueException."""
