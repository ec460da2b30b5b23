"""The forms that a spec may come in, and what the OCI schema says of it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import pyctd
from pyctd.spec import _given
from pyctd.spec._given import SpecLike, process_json, resources_json, spec_json

Spec = dict[str, Any]


@pytest.fixture
def spec(tmp_path: Path) -> Spec:
    return pyctd.spec.default(tmp_path, ["/bin/true"])


def test_every_form(spec: Spec, tmp_path: Path) -> None:
    text = json.dumps(spec, indent=2)
    (tmp_path / "config.json").write_text(text)
    forms: list[SpecLike] = [
        spec,
        MappingProxyType(spec),
        text,
        "\n " + text,
        text.encode(),
        tmp_path / "config.json",
        str(tmp_path / "config.json"),
        tmp_path,
    ]
    for form in forms:
        assert json.loads(spec_json(form)) == spec
    (tmp_path / "process.json").write_text(json.dumps(spec["process"]))
    assert json.loads(process_json(tmp_path / "process.json")) == spec["process"]
    assert json.loads(resources_json('{"pids": {"limit": 5}}')) == {"pids": {"limit": 5}}


def test_a_pipe_is_a_file_too(spec: Spec) -> None:
    read, write = os.pipe()
    try:
        os.write(write, json.dumps(spec).encode())
        os.close(write)
        assert json.loads(spec_json(f"/proc/self/fd/{read}")) == spec
    finally:
        os.close(read)


def test_a_file_has_a_size_that_a_message_may_have(spec: Spec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "config.json"
    file.write_text(json.dumps(spec))
    monkeypatch.setattr(_given, "_SIZE_MAX", file.stat().st_size)
    assert json.loads(spec_json(file)) == spec
    with file.open("a") as more:
        more.write(" ")
    with pytest.raises(pyctd.InvalidArgumentError, match="is longer than"):
        spec_json(file)


@pytest.mark.parametrize("number", ["1.0", "1e3", "1.5"])
def test_what_is_written_as_a_fraction_is_no_integer(number: str) -> None:
    """Go takes it for none, whatever its value is."""
    assert resources_json('{"pids": {"limit": 1}}')
    with pytest.raises(pyctd.InvalidArgumentError, match=r"resources\.pids\.limit must be integer"):
        resources_json(f'{{"pids": {{"limit": {number}}}}}')


def test_relative_paths_are_those_of_the_bundle(spec: Spec, tmp_path: Path) -> None:
    spec["root"]["path"] = "rootfs"
    spec["mounts"] += [
        {"destination": "/a", "type": "bind", "source": "data", "options": ["rbind"]},
        {"destination": "/b", "source": "/data", "options": ["rbind"]},
    ]
    (tmp_path / "config.json").write_text(json.dumps(spec))
    read = json.loads(spec_json(tmp_path))
    assert read["root"]["path"] == str(tmp_path / "rootfs")
    assert [m["source"] for m in read["mounts"][-2:]] == [str(tmp_path / "data"), "/data"]
    assert read["mounts"][:-2] == spec["mounts"][:-2]
    assert json.loads(spec_json(spec))["root"]["path"] == "rootfs"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "line 1, column 1"),
        (b'{"a": 1}\n}', "line 2, column 1: Extra data"),
        (b'{\n  "a": ,}', "line 2, column 8"),
        (b'{"a":\n "\xff"}', "not UTF-8: line 2, column 3"),
        (b'{"a": 1, "b": 2, "a": 3}', "the name 'a' twice"),
        (b'{"a": NaN}', "NaN is no number"),
        (b'{"a": ' + b"9" * 5000 + b"}", "not JSON that Go would read"),
        (b"[" * 100_000, "not JSON that Go would read"),
        (b"[1]", "spec must be object"),
        (b"null", "spec must be object"),
    ],
)
def test_files_that_hold_none(tmp_path: Path, content: bytes, said: str) -> None:
    file = tmp_path / "config.json"
    file.write_bytes(content)
    for form in (file, tmp_path, content):
        with pytest.raises(pyctd.InvalidArgumentError, match=said) as caught:
            spec_json(form)
        if "must be" not in said:
            assert (repr(str(file)) in str(caught.value)) == (form is not content)


def test_paths_that_lead_nowhere(tmp_path: Path) -> None:
    for form, said in (
        (tmp_path / "none", "No such file"),
        ("null", "No such file.*is taken as a path"),
        (tmp_path, r"config\.json': No such file"),
        ("/dev/zero", "neither a file nor a pipe"),
        ("a\0b", "null"),
    ):
        with pytest.raises(pyctd.InvalidArgumentError, match=said):
            spec_json(form)
    with pytest.raises(pyctd.InvalidArgumentError, match="Is a directory"):
        process_json(tmp_path)
    (tmp_path / "config.json").write_bytes(b" " * (16 << 20) + b"{}")
    with pytest.raises(pyctd.InvalidArgumentError, match="longer than"):
        spec_json(tmp_path)


@pytest.mark.parametrize("value", [None, [], 3, ("a",), ""])
def test_what_has_no_form(value: Any) -> None:
    for what, read in (("spec", spec_json), ("process", process_json), ("resources", resources_json)):
        with pytest.raises(pyctd.InvalidArgumentError, match=f"{what} must be a mapping"):
            read(value)


def change(path: str, value: Any) -> Callable[[Spec], None]:
    def apply(spec: Spec) -> None:
        *steps, last = path.split("/")
        for step in steps:
            spec = spec.setdefault(step, {})
        spec[last] = value

    return apply


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("process/args", ["a", 5], "spec.process.args[1] must be string, not 5"),
        ("process/cwd", None, "spec.process.cwd must be string, not None: leave the name out"),
        ("process/user", {"uid": -1}, "spec.process.user.uid must be bigger than or equal to 0, not -1"),
        ("process/user", {"uid": 2**32}, "spec.process.user.uid must be smaller than"),
        ("process/terminal", 1, "spec.process.terminal must be boolean, not 1"),
        ("process/rlimits", [{"type": "NOFILE", "soft": 1, "hard": 1}], "spec.process.rlimits[0].type must match"),
        ("linux/resources/memory", {"limit": 1.0}, "spec.linux.resources.memory.limit must be integer, not 1.0"),
        ("linux/resources/memory", {"limit": "64m"}, "spec.linux.resources.memory.limit must be integer, not '64m'"),
        ("linux/resources/pids", {}, 'spec.linux.resources.pids has no "limit"'),
        ("linux/namespaces", [{"type": "net"}], "spec.linux.namespaces[0].type must be one of ['mount', 'pid',"),
        ("linux/sysctl", {"net.core.somaxconn": 5}, "spec.linux.sysctl.net.core.somaxconn must be string, not 5"),
        ("linux/devices", [{"type": "c"}], 'spec.linux.devices[0] has no "path"'),
        ("mounts", [{"source": "/a"}], 'spec.mounts[0] has no "destination"'),
        ("hooks/prestart", [{"args": []}], 'spec.hooks.prestart[0] has no "path"'),
        ("linux", [], "spec.linux must be object, not []"),
        ("linux/resource", {}, 'spec.linux.resource is unknown to OCI and would be ignored: did you mean "resources"?'),
        ("linux/resources/memory", {"limt": 5}, 'spec.linux.resources.memory.limt is unknown.*"limit"'),
        ("linux/resources/memroy", {}, 'spec.linux.resources.memroy is unknown.*"memory"'),
        ("Hostname", "box", 'spec.Hostname is unknown.*"hostname"'),
        ("mounts", [{"destination": "/a", "option": []}], 'spec.mounts[0].option is unknown.*"options"'),
        ("process/noNewPriviledges", True, 'spec.process.noNewPriviledges is unknown.*"noNewPrivileges"'),
    ],
)
def test_the_path_of_the_fault(spec: Spec, path: str, value: Any, said: str) -> None:
    change(path, value)(spec)
    pattern = said.replace("[", r"\[").replace("]", r"\]").replace("?", r"\?")
    for form in (spec, json.dumps(spec)):
        with pytest.raises(pyctd.InvalidArgumentError, match=pattern):
            spec_json(form)


@pytest.mark.parametrize("part", ["root", "process", "linux", "ociVersion"])
def test_a_part_that_is_missing(spec: Spec, part: str) -> None:
    del spec[part]
    with pytest.raises(pyctd.InvalidArgumentError, match=f'spec has no "{part}": libcontainerd needs'):
        spec_json(spec)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("linux/netDevices", {"eth0": {}}),
        ("linux/rootfsPropagation", "rslave"),
        ("linux/devices", [{"type": "c", "path": "/dev/x", "major": 1, "minor": 3, "fileMode": 0o1777}]),
        ("windows", {"anything": 1}),
        ("x-note", "mine"),
        ("annotations", {"hostnam": "a name of the user's own"}),
        ("linux/resources/unified", {"memory.max": "max"}),
        ("linux/resources/memory", {"limit": -1}),
        ("process/args", ("a", "b")),
    ],
)
def test_what_is_no_fault(spec: Spec, path: str, value: Any) -> None:
    change(path, value)(spec)
    assert json.loads(spec_json(spec)) == json.loads(json.dumps(spec))


def test_processes_and_resources_are_checked_too() -> None:
    with pytest.raises(pyctd.InvalidArgumentError, match=r"process\.env\[0\] must be string, not that value"):
        process_json({"args": ["a"], "cwd": "/", "env": [1]})
    with pytest.raises(pyctd.InvalidArgumentError, match='process has no "cwd"'):
        process_json({"args": ["a"]})
    with pytest.raises(pyctd.InvalidArgumentError, match='resources.cpus is unknown.*did you mean "cpu"'):
        resources_json({"cpus": 1})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
NAMES = [
    *(
        "process",
        "linux",
        "root",
        "mounts",
        "hostname",
        "linux/resources",
        "linux/resources/memory",
        "linux/namespaces",
    ),
    *("process/args", "process/user", "process/capabilities", "hooks", "annotations", "linux/devices", "ociVersion"),
]


@given(path=st.sampled_from(NAMES), value=JSON)
def test_anything_is_taken_as_it_is_or_refused(path: str, value: Any) -> None:
    spec = pyctd.spec.default("/", ["a"])
    change(path, value)(spec)
    try:
        text = spec_json(spec)
    except pyctd.InvalidArgumentError:
        return
    assert json.loads(text) == spec


@given(st.binary() | st.text())
def test_no_text_breaks_the_reader(text: bytes | str) -> None:
    with pytest.raises(pyctd.InvalidArgumentError):
        spec_json(text if isinstance(text, bytes) else "{" + text)
