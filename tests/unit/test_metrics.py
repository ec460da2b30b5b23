"""The metrics' classes against containerd's protobuf messages, and what Go sends of them.

The files in testdata are written by gosrc/internal/core/metrics_test.go from the Go module that containerd's shims fill
in, and compared with it there. ``metrics_v1.json`` and ``metrics_v2.json`` are full messages as Go's own code sends
them, every field set. They stand for what one machine can't show: all controllers of both cgroup versions at once.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
import subprocess
import sys
import typing
from pathlib import Path
from types import ModuleType, NoneType, UnionType
from typing import Any

import pytest

import pyctd
from pyctd import metrics

TESTDATA = Path(__file__).resolve().parents[2] / "gosrc" / "internal" / "core" / "testdata"
MODULES = {"v1": metrics.v1, "v2": metrics.v2}
SCALARS: dict[type, set[str]] = {int: {"uint32", "uint64"}, float: {"double"}, str: {"string"}}
each_version = pytest.mark.parametrize("version", MODULES)


def full(version: str) -> dict[str, Any]:
    """A full message as Go sends it, with its type."""
    data: dict[str, Any] = json.loads((TESTDATA / f"metrics_{version}.json").read_bytes())
    return data


def classes(module: ModuleType) -> list[type]:
    return [getattr(module, name) for name in module.__all__]


def protobuf_types(hint: Any) -> set[str]:
    """What a field of this type may be in protobuf, as metrics_test.go describes it."""
    if typing.get_origin(hint) is tuple:
        inner, rest = typing.get_args(hint)
        assert rest is ...
        return {f"repeated {name}" for name in protobuf_types(inner)}
    if isinstance(hint, UnionType):
        (hint,) = (arg for arg in typing.get_args(hint) if arg is not NoneType)
        assert dataclasses.is_dataclass(hint)
        return protobuf_types(hint)
    return SCALARS.get(hint, {re.sub(r"^CgroupV\dMetrics$", "Metrics", hint.__name__)})


def as_json(value: Any) -> Any:
    """A dataclass as the JSON that it came from."""
    return json.loads(json.dumps(dataclasses.asdict(value)))


@each_version
def test_every_field_of_the_messages_is_there_and_no_other(version: str) -> None:
    messages = json.loads((TESTDATA / "metrics.json").read_text())[f"io.containerd.cgroups.{version}.Metrics"]
    ours = {
        next(iter(protobuf_types(cls))): {
            name: protobuf_types(hint) for name, hint in typing.get_type_hints(cls).items()
        }
        for cls in classes(MODULES[version])
    }
    assert ours.keys() == messages.keys()
    for message, fields in messages.items():
        assert ours[message].keys() == fields.keys(), message
        for name, type_name in fields.items():
            assert type_name in ours[message][name], f"{message}.{name}"


@each_version
def test_every_field_is_documented_and_has_a_zero(version: str) -> None:
    zeros: dict[type, object] = {int: 0, float: 0.0, str: ""}
    for cls in classes(MODULES[version]):
        assert dataclasses.is_dataclass(cls)
        assert not hasattr(cls(), "__dict__")
        documented = re.findall(r"^ {4}(\w+): \S", inspect.getdoc(cls) or "", re.MULTILINE)
        assert documented == [field.name for field in dataclasses.fields(cls)], cls
        for name, hint in typing.get_type_hints(cls).items():
            zero = zeros[hint] if hint in zeros else () if typing.get_origin(hint) is tuple else None
            assert getattr(cls(), name) == zero, f"{cls}.{name}"


@each_version
def test_a_full_message_is_decoded_exactly(version: str) -> None:
    sent = full(version)
    decoded = metrics.decode((TESTDATA / f"metrics_{version}.json").read_bytes())
    assert type(decoded).__module__ == MODULES[version].__name__
    assert as_json(decoded) == sent["metrics"]
    assert decoded.pids is not None
    assert 2**64 - 1 in (decoded.pids.current, as_json(decoded)["hugetlb"][0].get("usage"))
    with pytest.raises(dataclasses.FrozenInstanceError):
        decoded.pids = None  # type: ignore[misc]


@each_version
def test_fields_of_a_newer_containerd_are_left_out(version: str) -> None:
    sent = full(version)
    known = metrics.decode(json.dumps(sent).encode())
    sent["metrics"]["pids"]["peak"] = 7
    sent["metrics"]["news"] = [{"of": {"any": "kind"}}]
    sent["more"] = True
    assert metrics.decode(json.dumps(sent).encode()) == known


@each_version
def test_what_is_absent_is_zero_none_or_empty(version: str) -> None:
    """Go leaves out what is zero: an empty message is all zeros, an absent one is None."""
    sent = {"type": f"io.containerd.cgroups.{version}.Metrics", "metrics": {"pids": {}, "cpu": {}}}
    decoded = metrics.decode(json.dumps(sent).encode())
    module: Any = MODULES[version]
    assert decoded == metrics.BY_TYPE[sent["type"]](pids=module.PidsStat(), cpu=module.CPUStat())  # type: ignore[index]
    assert (decoded.memory, decoded.hugetlb) == (None, ())


def test_metrics_of_another_type() -> None:
    with pytest.raises(pyctd.UnimplementedError, match=r"'io\.example\.Metrics'; pyctd knows io\.containerd"):
        metrics.decode(b'{"type": "io.example.Metrics", "metrics": {}}')


@pytest.mark.parametrize("value", ['"1"', "1.5", "true", "{}", "null"])
def test_metrics_that_are_malformed(value: str) -> None:
    sent = f'{{"type": "io.containerd.cgroups.v2.Metrics", "metrics": {{"pids": {{"current": {value}}}}}}}'
    with pytest.raises(pyctd.InternalError, match=r"no io\.containerd\.cgroups\.v2\.Metrics.*\$\.pids\.current"):
        metrics.decode(sent.encode())


def test_the_module_is_loaded_when_it_is_asked_for() -> None:
    code = """
import sys, pyctd
assert not {"msgspec", "pyctd.metrics"} & sys.modules.keys()
assert pyctd.metrics.CgroupV1Metrics is sys.modules["pyctd.metrics"].CgroupV1Metrics
assert not hasattr(pyctd, "metrix")
from pyctd import *
assert metrics is pyctd.metrics
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd="/", timeout=60)
