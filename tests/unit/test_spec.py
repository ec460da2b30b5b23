"""dockerd's default spec, and what the keywords make of it."""

from __future__ import annotations

import copy
import importlib.resources
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import pyctd
from pyctd.options import IDMapping
from pyctd.spec import _caps, _moby
from pyctd.spec._given import spec_json

Spec = dict[str, Any]


@pytest.fixture
def spec(tmp_path: Path) -> Spec:
    return pyctd.spec.default(tmp_path, ["/bin/true"])


def packed() -> Any:
    return json.loads((importlib.resources.files("pyctd.spec") / "moby.json").read_text())


def test_the_default_is_mobys_and_what_dockerd_adds(spec: Spec, tmp_path: Path) -> None:
    """gosrc/cmd/moby-defaults tests that what is packed is moby's ``oci.DefaultLinuxSpec()``."""
    moby = packed()["spec"]
    assert spec.pop("root") == {"path": str(tmp_path), "readonly": False}
    assert spec.pop("process") == {
        "terminal": False,
        "user": {"uid": 0, "gid": 0, "additionalGids": [0]},
        "args": ["/bin/true"],
        "env": [f"PATH={packed()['path']}"],
        "cwd": "/",
        "capabilities": moby["process"]["capabilities"],
        "oomScoreAdj": 0,
    }
    shm = next(mount for mount in moby["mounts"] if mount["destination"] == "/dev/shm")
    shm["options"].append("size=67108864")
    linux = spec["linux"]
    linux.pop("sysctl", None)
    throttles = linux["maskedPaths"][len(moby["linux"]["maskedPaths"]) :]
    del linux["maskedPaths"][len(moby["linux"]["maskedPaths"]) :]
    assert throttles == sorted(map(str, Path("/sys/devices/system/cpu").glob("cpu*/thermal_throttle")))
    if Path("/sys/fs/cgroup/cgroup.controllers").exists():
        assert linux["namespaces"].pop() == {"type": "cgroup"}
    del moby["root"], moby["process"]
    assert spec == moby


def test_what_is_known_of_moby() -> None:
    assert _moby.capabilities()[0] == "CAP_CHOWN"
    assert "CAP_CHECKPOINT_RESTORE" in _moby.capabilities()
    assert packed()["spec"]["linux"]["maskedPaths"]
    assert packed()["spec"]["process"]["capabilities"]["bounding"]


def test_building_a_spec_does_not_load_go() -> None:
    program = (
        "import pyctd; from pyctd.spec._given import spec_json\n"
        "spec_json(pyctd.spec.default('/', ['a'], cap_add=['ALL'], user=5))\n"
        "assert 'libpyctd' not in open('/proc/self/maps').read()"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_default_specs_share_nothing(tmp_path: Path) -> None:
    first = pyctd.spec.default("/", ["a"])
    again = copy.deepcopy(first)
    first["linux"]["maskedPaths"].append("/x")
    first["process"]["capabilities"]["bounding"].clear()
    first["mounts"][0]["options"].clear()
    assert pyctd.spec.default("/", ["a"]) == again


@pytest.mark.parametrize("make", [lambda path: None, Path.touch])
def test_a_root_that_is_no_directory_is_refused_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, make: Callable[[Path], None]
) -> None:
    monkeypatch.chdir(tmp_path)
    make(tmp_path / "alpine")
    for rootfs in ("alpine", tmp_path / "alpine"):
        with pytest.raises(pyctd.InvalidArgumentError) as caught:
            pyctd.spec.default(rootfs, ["/bin/sh"])
        assert str(caught.value) == (
            f"rootfs {str(rootfs)!r} is not a directory: pyctd pulls no images. Unpack one to a directory, or give None"
            " and use pyctd.options.new_snapshot with an image that containerd has"
        )


def test_a_relative_root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").mkdir()
    assert pyctd.spec.default("here", ["a"])["root"]["path"] == str(tmp_path / "here")


def test_no_root_is_that_of_the_bundle() -> None:
    assert pyctd.spec.default(None, ["a"])["root"]["path"] == "rootfs"


@pytest.mark.parametrize("args", [[], "echo hello", b"echo", [1], [None]])
def test_no_command(args: Any) -> None:
    with pytest.raises(pyctd.InvalidArgumentError, match="args must be"):
        pyctd.spec.process(args)


@pytest.mark.parametrize(
    ("keywords", "env"),
    [
        ({"env": {"A": "b", "B": "=c="}}, ["PATH=…", "A=b", "B==c="]),
        ({"env": ["A=b", "A=c", "PATH=/only"]}, ["PATH=/only", "A=c"]),
        ({"env": {"A": ""}, "terminal": True}, ["PATH=…", "TERM=xterm", "A="]),
        ({"env": ["TERM=vt100"], "terminal": True}, ["PATH=…", "TERM=vt100"]),
    ],
)
def test_environments(keywords: Any, env: list[str]) -> None:
    assert pyctd.spec.process(["a"], **keywords)["env"] == [v.replace("…", packed()["path"]) for v in env]


def test_a_host_name_is_in_the_environment() -> None:
    spec = pyctd.spec.default("/", ["a"], hostname="box")
    assert spec["hostname"] == "box"
    assert "HOSTNAME=box" in spec["process"]["env"]
    spec = pyctd.spec.default("/", ["a"], hostname="box", env={"HOSTNAME": "other"})
    assert [v for v in spec["process"]["env"] if v.startswith("HOSTNAME")] == ["HOSTNAME=other"]


def test_rlimits() -> None:
    limits = pyctd.spec.process(["a"], rlimits={"nofile": 64, "RLIMIT_CORE": (0, -1)})["rlimits"]
    assert limits == [
        {"type": "RLIMIT_NOFILE", "soft": 64, "hard": 64},
        {"type": "RLIMIT_CORE", "soft": 0, "hard": 2**64 - 1},
    ]


def test_mounts_go_with_mobys_as_in_dockerd(tmp_path: Path) -> None:
    deep, shallow = pyctd.spec.tmpfs("/a/b/c"), pyctd.spec.bind(tmp_path, "/a")
    mounts = pyctd.spec.default("/", ["a"], mounts=[deep, shallow, pyctd.spec.tmpfs("/sys")])["mounts"]
    assert [m["destination"] for m in mounts].count("/sys") == 1
    assert [m["destination"] for m in mounts[-3:]] == ["/a", "/sys", "/a/b/c"]
    mounts = pyctd.spec.default("/", ["a"], mounts=[pyctd.spec.bind("/dev", "/dev")])["mounts"]
    assert [m["destination"] for m in mounts if m["destination"].startswith("/dev")] == ["/dev"]


def test_bind_and_tmpfs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert pyctd.spec.bind("here", "/there", read_only=True) == {
        "destination": "/there",
        "type": "bind",
        "source": str(tmp_path / "here"),
        "options": ["rbind", "ro", "rprivate"],
    }
    assert pyctd.spec.bind("/a", "/b", recursive=False, propagation="shared")["options"] == ["bind", "shared"]
    assert pyctd.spec.tmpfs("/t")["options"] == ["noexec", "nosuid", "nodev", "rprivate"]
    options = pyctd.spec.tmpfs("/t", size=1 << 20, mode=0o700, executable=True)["options"]
    assert options == ["nosuid", "nodev", "rprivate", "size=1048576", "mode=700"]


def test_resources_are_converted_as_in_dockerd() -> None:
    assert pyctd.spec.resources() == {}
    assert pyctd.spec.resources(memory=64 << 20, memory_swap=-1, memory_reservation=32 << 20) == {
        "memory": {"limit": 64 << 20, "reservation": 32 << 20}
    }
    assert pyctd.spec.resources(memory=64 << 20, memory_swap=96 << 20)["memory"]["swap"] == 96 << 20
    assert pyctd.spec.resources(cpus=0.29, cpu_shares=512, cpuset_cpus="0", cpuset_mems="0") == {
        "cpu": {"shares": 512, "period": 100_000, "quota": 29_000, "cpus": "0", "mems": "0"}
    }
    assert pyctd.spec.resources(pids_limit=5) == {"pids": {"limit": 5}}
    assert pyctd.spec.resources(pids_limit=0) == {"pids": {"limit": -1}}


def test_a_reservation_is_at_most_the_limit() -> None:
    assert pyctd.spec.resources(memory_reservation=1 << 40) == {"memory": {"reservation": 1 << 40}}
    assert pyctd.spec.resources(memory=64 << 20, memory_reservation=64 << 20)["memory"]["reservation"] == 64 << 20
    with pytest.raises(pyctd.InvalidArgumentError, match="memory_reservation must be .* to 67108864, not 67108865"):
        pyctd.spec.resources(memory=64 << 20, memory_reservation=(64 << 20) + 1)


MAPPED = [(0, 100000, 65536)]


def test_namespaces() -> None:
    def kinds(**modes: Any) -> dict[str, str]:
        spec = pyctd.spec.default("/", ["a"], **({"cgroupns": "host"} | modes))
        return {ns["type"]: ns.get("path", "") for ns in spec["linux"]["namespaces"]}

    assert set(kinds()) == {"mount", "network", "uts", "pid", "ipc"}
    assert set(kinds(host_network=True, pid="host", ipc="host", uts="host", cgroupns="private")) == {"mount", "cgroup"}
    assert kinds(network="/proc/1/ns/net", pid="/proc/1/ns/pid") | {"uts": ""} == kinds() | {
        "network": "/proc/1/ns/net",
        "pid": "/proc/1/ns/pid",
    }
    assert "sysctl" not in pyctd.spec.default("/", ["a"], host_network=True)["linux"]
    shm = [m for m in pyctd.spec.default("/", ["a"], ipc="host")["mounts"] if m["destination"] == "/dev/shm"]
    assert shm == [pyctd.spec.bind("/dev/shm", "/dev/shm")]


def test_a_user_namespace() -> None:
    linux = pyctd.spec.default("/", ["a"], uid_mappings=MAPPED, gid_mappings=[IDMapping(0, 1000, 1), (1, 5000, 9)])[
        "linux"
    ]
    assert {"type": "user"} in linux["namespaces"]
    assert linux["uidMappings"] == [{"containerID": 0, "hostID": 100000, "size": 65536}]
    assert [one["hostID"] for one in linux["gidMappings"]] == [1000, 5000]
    assert "net.ipv4.ping_group_range" not in linux["sysctl"]
    assert "uidMappings" not in pyctd.spec.default("/", ["a"])["linux"]
    last = pyctd.spec.default("/", ["a"], uid_mappings=MAPPED, gid_mappings=[(0, 2**32 - 3, 2)])["linux"]
    assert last["gidMappings"] == [{"containerID": 0, "hostID": 2**32 - 3, "size": 2}]


def test_devices() -> None:
    linux = pyctd.spec.default("/", ["a"], devices=["/dev/null:/dev/nil:r", Path("/dev/zero")])["linux"]
    nil, zero = linux["devices"]
    assert nil.items() >= {"path": "/dev/nil", "type": "c", "major": 1, "minor": 3, "uid": 0, "gid": 0}.items()
    assert nil["fileMode"] == os.stat("/dev/null").st_mode & 0o7777
    assert zero["path"] == "/dev/zero"
    assert linux["resources"]["devices"][-2:] == [
        {"allow": True, "type": "c", "major": 1, "minor": 3, "access": "r"},
        {"allow": True, "type": "c", "major": 1, "minor": 5, "access": "rwm"},
    ]


@pytest.mark.parametrize(
    ("keywords", "said"),
    [
        ({"cwd": "tmp"}, "cwd must be an absolute path"),
        ({"cwd": None}, "cwd must be an absolute path"),
        ({"env": ["A"]}, 'such as "NAME=value"'),
        ({"env": "A=b"}, 'such as "NAME=value"'),
        ({"env": {"A=": "b"}}, "names without ="),
        ({"env": {"A": 5}}, "to strings"),
        ({"additional_gids": [-1]}, "additional_gids must be"),
        ({"rlimits": {"no-file": 1}}, "rlimits must be like"),
        ({"rlimits": {"nofile": "1"}}, "must be from 0"),
        ({"rlimits": {"nofile": (2, 1)}}, "is above the hard one"),
        ({"mounts": ["/a:/b"]}, "mounts must be OCI mounts"),
        ({"shm_size": 0}, "shm_size must be"),
        ({"devices": ["/nowhere"]}, "No such file"),
        ({"devices": ["/etc/passwd"]}, "no device node"),
        ({"devices": ["dev/null"]}, "absolute paths"),
        ({"devices": ["/dev/null:dev/null"]}, "absolute paths"),
        ({"devices": ["/dev/null:/dev/null:x"]}, "r, w and m"),
        ({"devices": ["/dev/null:/dev/null:r:w"]}, "r, w and m"),
        ({"devices": [5]}, 'such as "/dev/fuse"'),
        ({"memory": 1024}, "memory must be a whole number from 6291456"),
        ({"memory": "64m"}, "memory must be a whole number"),
        ({"memory": 64 << 20, "memory_swap": 1 << 20}, "memory_swap must be"),
        ({"memory_swap": 64 << 20}, "needs memory"),
        ({"cpus": 0}, "cpus must be from 0.01"),
        ({"cpus": 10_000}, "as many as there are"),
        ({"cpus": float("nan")}, "cpus must be"),
        ({"cpu_shares": -1}, "cpu_shares must be"),
        ({"cpuset_cpus": 1}, "cpuset_cpus must be"),
        ({"pids_limit": 1.5}, "pids_limit must be"),
        ({"pids_limit": "5"}, "pids_limit must be"),
        ({"host_network": True, "network": "/proc/1/ns/net"}, "contradicts"),
        ({"uid_mappings": [(0, 100000, 65536)]}, "both uid_mappings and gid_mappings"),
        ({"gid_mappings": [(0, 100000, 65536)]}, "both uid_mappings and gid_mappings"),
        ({"uid_mappings": MAPPED, "gid_mappings": [(0, 100000)]}, "gid_mappings must be ranges"),
        ({"uid_mappings": ["0:100000:65536"], "gid_mappings": MAPPED}, "uid_mappings must be ranges"),
        ({"uid_mappings": [100000], "gid_mappings": MAPPED}, "uid_mappings must be ranges"),
        ({"uid_mappings": [(0, 100000, 0)], "gid_mappings": MAPPED}, "uid_mappings must be ranges"),
        ({"uid_mappings": [(0, 2**32 - 2, 2)], "gid_mappings": MAPPED}, "uid_mappings must be ranges"),
        ({"uid_mappings": [(0, True, 2)], "gid_mappings": MAPPED}, "uid_mappings must be ranges"),
        ({"uid_mappings": MAPPED, "gid_mappings": MAPPED, "host_network": True}, "can't be shared"),
        ({"uid_mappings": MAPPED, "gid_mappings": MAPPED, "pid": "host"}, "can't be shared"),
        ({"network": "bridge"}, 'network must be "private", "host" or the path'),
        ({"cgroupns": "none"}, "cgroupns must be"),
        ({"hostname": "box", "uts": "host"}, "hostname needs a namespace"),
        ({"console_size": (80, 24)}, "console_size needs a terminal"),
        ({"terminal": True, "console_size": (80, -1)}, "console_size must be a width and a height"),
        ({"terminal": True, "console_size": "80x24"}, "console_size must be a width and a height"),
        ({"terminal": True, "console_size": 80}, "console_size must be a width and a height"),
    ],
)
def test_keywords_that_are_malformed(keywords: Any, said: str) -> None:
    with pytest.raises(pyctd.InvalidArgumentError, match=said):
        pyctd.spec.default("/", ["a"], **keywords)


@pytest.mark.parametrize(
    ("function", "args"),
    [(pyctd.spec.default, ("/", ["a"])), (pyctd.spec.process, (["a"],)), (pyctd.spec.resources, ())],
)
def test_unknown_keywords(function: Callable[..., Any], args: Any) -> None:
    with pytest.raises(TypeError, match=rf"{function.__name__}\(\) got an unexpected keyword argument 'memroy'"):
        function(*args, memroy=1 << 30)


@pytest.mark.parametrize("target", ["there", "", None])
def test_mounts_on_relative_paths(target: Any) -> None:
    with pytest.raises(pyctd.InvalidArgumentError, match="target must be an absolute path"):
        pyctd.spec.bind("/a", target)
    with pytest.raises(pyctd.InvalidArgumentError, match="target must be an absolute path"):
        pyctd.spec.tmpfs(target)
    with pytest.raises(pyctd.InvalidArgumentError, match="propagation must be one of"):
        pyctd.spec.bind("/a", "/b", propagation="wide")
    for wrong in ({"size": 0}, {"size": "1m"}, {"mode": 0o10000}, {"mode": True}):
        with pytest.raises(pyctd.InvalidArgumentError, match="must be a number from 1"):
            pyctd.spec.tmpfs("/a", **wrong)


@given(
    memory=st.none() | st.integers(6 << 20, 2**62),
    cpus=st.none() | st.floats(0.01, 1),
    pids_limit=st.none() | st.integers(),
    cap_drop=st.lists(st.sampled_from(["ALL", *_moby.capabilities()])).filter(
        lambda names: {*names} <= {"ALL", *_caps._available()}
    ),
    env=st.dictionaries(st.text("ABC", min_size=1), st.text()),
    user=st.integers(0, 2**31 - 1) | st.tuples(st.integers(0, 2**31 - 1), st.integers(0, 2**31 - 1)),
)
def test_every_spec_of_the_keywords_is_valid(**keywords: Any) -> None:
    if keywords["pids_limit"] is not None and abs(keywords["pids_limit"]) >= 2**63:
        keywords["pids_limit"] = 5
    spec = pyctd.spec.default("/", ["a"], **keywords)
    assert json.loads(spec_json(spec)) == spec
