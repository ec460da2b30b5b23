"""Text that is not Unicode, as ``os.listdir`` gives it for a name that is not UTF-8, is refused by its name: containerd
takes UTF-8 alone, and another character in its place would be another file."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.cli import pyctd_command

import pyctd
from pyctd._calls import operations
from pyctd._streams.attach import Attachment
from pyctd.spec._given import SpecLike, process_json, resources_json, spec_json

BAD = "caf\udce9"
ANY: Any = 0  # a handle that no call reaches


def refused(name: str, value: str = BAD) -> Any:
    return pytest.raises(pyctd.InvalidArgumentError, match=f"^{re.escape(f'{name} must be Unicode, not {value!r}')}")


@pytest.fixture
def spec(tmp_path: Path) -> dict[str, Any]:
    return pyctd.spec.default(tmp_path, ["/bin/cat", "x"])


def change(spec: dict[str, Any], where: str) -> None:
    match where:
        case "spec.process.args[1]":
            spec["process"]["args"][1] = BAD
        case "spec.process.cwd":
            spec["process"]["cwd"] = BAD
        case "spec.root.path":
            spec["root"]["path"] = f"/{BAD}"
        case "spec.mounts[0].source":
            spec["mounts"] = [{"destination": "/x", "type": "bind", "source": f"/{BAD}", "options": ["bind"]}]
        case "spec.annotations['a.b']":
            spec["annotations"] = {"a.b": BAD}


@pytest.mark.parametrize(
    "where",
    [
        "spec.process.args[1]",
        "spec.process.cwd",
        "spec.root.path",
        "spec.mounts[0].source",
        "spec.annotations['a.b']",
    ],
)
def test_a_spec_names_the_path_in_every_form(spec: dict[str, Any], where: str, tmp_path: Path) -> None:
    change(spec, where)
    text = json.dumps(spec)
    (tmp_path / "config.json").write_text(text)
    forms: list[SpecLike] = [spec, text, json.dumps(spec, ensure_ascii=False), text.encode(), tmp_path / "config.json"]
    for form in forms:
        with refused(where, f"/{BAD}" if where.endswith(("path", "source")) else BAD):
            spec_json(form)


def test_a_bundle_below_a_name_that_is_not_unicode(spec: dict[str, Any], tmp_path: Path) -> None:
    """Its file can be read, but its root could not be found."""
    bundle = tmp_path / BAD
    bundle.mkdir()
    (bundle / "config.json").write_text(json.dumps(spec))
    assert json.loads(spec_json(bundle)) == spec, "the root is elsewhere"
    spec["root"]["path"] = "rootfs"
    (bundle / "config.json").write_text(json.dumps(spec))
    with refused("spec.root.path", f"{bundle}/rootfs"):
        spec_json(bundle)


def test_the_other_objects_name_the_path() -> None:
    with refused("process.args[0]"):
        process_json(pyctd.spec.process([BAD]))
    with refused("resources.cpu.cpus"):
        resources_json({"cpu": {"cpus": BAD}})


def test_an_environment_is_named_without_its_value() -> None:
    process = pyctd.spec.process(["/bin/true"], env={"SECRET": BAD})
    with pytest.raises(pyctd.InvalidArgumentError, match=r"^process\.env\[1\] must be Unicode, not 'SECRET=…'"):
        process_json(process)


def test_a_name_in_an_object(spec: dict[str, Any]) -> None:
    spec["annotations"] = {BAD: "x"}
    with refused("a name in spec.annotations"):
        spec_json(spec)


def test_unicode_of_every_plane_goes_through(spec: dict[str, Any]) -> None:
    spec["process"]["args"] = ["é", "\U0001f600", "\x00", "\u2028"]
    assert json.loads(spec_json(spec)) == spec


@pytest.mark.parametrize(
    ("option", "where"),
    [
        (pyctd.options.labels({"role": BAD}), "opts[1].value.role"),
        (pyctd.options.image_name(BAD), "opts[1].value"),
        (pyctd.options.new_snapshot("s", BAD), "opts[1].value.image"),
    ],
)
def test_options(spec: dict[str, Any], option: pyctd.options.Option, where: str) -> None:
    with refused(where):
        operations.client_new_container(ANY, False, "c", spec, "runc", None, (pyctd.options.sandbox("s"), option))


def test_an_extension() -> None:
    with refused("value.a[0]"):
        pyctd.options.extension("x", {"a": [BAD]})


def test_runtime_options(spec: dict[str, Any]) -> None:
    with refused("runtime_options.BinaryName"):
        operations.client_new_container(ANY, False, "c", spec, "runc", {"BinaryName": BAD}, ())


def test_filters() -> None:
    with refused("filters[1]"):
        operations.client_containers(ANY, ("id==web", BAD))


CALLS: dict[str, Callable[[], object]] = {
    "address": lambda: pyctd.Client(f"/{BAD}"),
    "namespace": lambda: pyctd.Client("/nowhere.sock", BAD, "/tmp"),
    "state_dir": lambda: pyctd.Client("/nowhere.sock", "moby", f"/{BAD}"),
    "root": lambda: pyctd.Engine(root=f"/{BAD}"),
    "state": lambda: pyctd.Engine(state=f"/{BAD}"),
    "checkpoint_dir": lambda: operations.container_new_task(ANY, f"/{BAD}", False, Attachment(None), True),
    "directory": lambda: operations.task_create_checkpoint(ANY, f"/{BAD}", False),
    "id": lambda: operations.client_load_container(ANY, BAD),
    "process_id": lambda: operations.task_exec(ANY, BAD, pyctd.spec.process(["/bin/true"]), False, Attachment(None)),
    "shim": lambda: operations.client_new_container(ANY, False, "c", pyctd.spec.default("/", ["x"]), BAD, None, ()),
}


@pytest.mark.parametrize("name", CALLS)
def test_arguments(name: str) -> None:
    value = f"/{BAD}" if name in ("address", "state_dir", "root", "state", "checkpoint_dir", "directory") else BAD
    with refused(name, value):
        CALLS[name]()


@pytest.mark.parametrize("face", [pyctd, pyctd.aio])
def test_both_faces(face: Any) -> None:
    with refused("address", f"/{BAD}"):
        face.Client(f"/{BAD}")
    with refused("state_dir", f"/{BAD}"):
        face.Client("/nowhere.sock", state_dir=f"/{BAD}")


@pytest.mark.parametrize(
    "args",
    [
        ("run", "--rootfs", "/", "/bin/cat", BAD),
        ("run", "--rootfs", "/", "--label", f"role={BAD}", "/bin/true"),
        ("run", "--rootfs", BAD, "/bin/true"),
        ("exec", "web", BAD),
        ("rm", BAD),
        ("--address", f"/{BAD}", "ps"),
    ],
)
def test_the_command_line_names_the_argument(args: tuple[str, ...]) -> None:
    code, out, err = pyctd_command(*args)
    assert (code, out) == (125, "")
    bad = next(arg for arg in args if BAD in arg)
    assert err == f"pyctd: the argument {bad!r} must be Unicode: containerd takes no other text\n"
