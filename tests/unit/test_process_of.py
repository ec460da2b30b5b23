"""``spec.process_of``: the process that ``docker exec`` would run in a container."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

import pyctd
from pyctd.spec import process_of

Spec = dict[str, Any]


@pytest.fixture
def spec(tmp_path: Path) -> Spec:
    """A container's, in which nothing is as in the default."""
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "passwd").write_text("web:x:1000:1001::/:/bin/sh\n")
    (tmp_path / "etc" / "group").write_text("more:x:7:web\n")
    spec = pyctd.spec.default(
        tmp_path,
        ["/bin/httpd", "-f"],
        cwd="/srv",
        env={"A": "container", "B": "container"},
        user="web",
        additional_gids=[3000],
        cap_drop=["ALL"],
        cap_add=["KILL"],
        rlimits={"core": (64, 128)},
        no_new_privileges=True,
    )
    spec["process"] |= {"apparmorProfile": "mine", "selinuxLabel": "a:b:c", "oomScoreAdj": 500}
    return spec


def info_of(spec: Spec | None) -> pyctd.ContainerInfo:
    return pyctd.ContainerInfo("web", {}, "", "", "", "", "", None, None, spec, {})


def test_it_is_the_containers_own_with_other_arguments(spec: Spec) -> None:
    before = copy.deepcopy(spec)
    wanted = process_of(info_of(spec), ["/bin/ps", "-a"])
    assert wanted == before["process"] | {"args": ["/bin/ps", "-a"]}
    assert process_of(spec, ["/bin/ps", "-a"]) == wanted
    wanted["user"]["uid"], wanted["rlimits"][0]["soft"] = 5, 5
    assert spec == before, "the container's spec stays as it is"


def test_what_is_given_takes_the_place_of_the_containers(spec: Spec) -> None:
    wanted = process_of(spec, ["/bin/ps"], cwd="/", env=["B=exec", "C=exec"], user="1000:5", additional_gids=[6])
    assert wanted["cwd"] == "/"
    assert wanted["env"][1:] == ["A=container", "B=exec", "C=exec"]
    assert wanted["user"] == {"uid": 1000, "gid": 5, "additionalGids": [5, 6]}
    assert wanted["capabilities"] == spec["process"]["capabilities"]


def test_users_are_looked_up_in_the_containers_root(spec: Spec, tmp_path: Path) -> None:
    assert process_of(spec, ["id"], user="web")["user"] == {"uid": 1000, "gid": 1001, "additionalGids": [1001, 7]}
    spec["root"]["path"] = "rootfs"  # in containerd's bundle, where a snapshot is mounted
    with pytest.raises(pyctd.InvalidArgumentError, match="can't be looked up without a root file system: give rootfs"):
        process_of(spec, ["id"], user="web")
    assert process_of(spec, ["id"], user="web", rootfs=tmp_path)["user"]["gid"] == 1001


def test_further_groups_join_the_containers(spec: Spec) -> None:
    user = process_of(spec, ["id"], additional_gids=[8])["user"]
    assert user == {"uid": 1000, "gid": 1001, "additionalGids": [1001, 7, 3000, 8]}
    del spec["process"]["user"]
    assert process_of(spec, ["id"], additional_gids=[8])["user"]["additionalGids"] == [8]


@pytest.mark.parametrize("size", [None, (99, 33)])
def test_a_terminal_for_a_container_without_one(spec: Spec, size: tuple[int, int] | None) -> None:
    wanted = process_of(spec, ["/bin/sh"], terminal=True, console_size=size)
    assert wanted["terminal"]
    assert wanted["env"][-1] == "TERM=xterm"
    assert wanted.get("consoleSize") == (size and {"width": 99, "height": 33})
    assert process_of(spec, ["/bin/sh"], terminal=True, env=["TERM=vt100"])["env"][-1] == "TERM=vt100"


def test_no_terminal_for_a_container_that_has_one(tmp_path: Path) -> None:
    """dockerd gives TERM to a process with a terminal, and the container's size to one that is not given another."""
    spec = pyctd.spec.default(tmp_path, ["/bin/sh"], terminal=True, console_size=(80, 24))
    wanted = process_of(spec, ["/bin/sh"])
    assert (wanted["terminal"], "consoleSize" in wanted, len(wanted["env"])) == (False, False, 1)
    assert process_of(spec, ["/bin/sh"], terminal=True)["consoleSize"] == {"width": 80, "height": 24}
    spec["process"]["env"] = ["TERM=vt100"]
    assert process_of(spec, ["/bin/sh"])["env"] == ["TERM=vt100"], "the user's own stays"


@pytest.mark.parametrize(
    ("container", "said"),
    [
        (info_of(None), "the spec of container 'web' has no process"),
        ({"root": {}}, "or a spec with a process, not dict"),
        ({"process": None}, "or a spec with a process, not dict"),
        ("web", "container must be what Container.info.. returns, .* not str"),
        (None, "container must be what Container.info.. returns, .* not NoneType"),
    ],
)
def test_what_has_no_process_is_refused(container: Any, said: str) -> None:
    with pytest.raises(pyctd.InvalidArgumentError, match=said):
        process_of(container, ["/bin/ps"])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"args": "ps"}, "args must be"),
        ({"cwd": "srv"}, "cwd must be an absolute path"),
        ({"env": "A=b"}, "env must be"),
        ({"user": "nobody-knows"}, "unable to find user"),
        ({"additional_gids": [-1]}, "additional_gids must be"),
        ({"console_size": (80, 24)}, "console_size needs a terminal"),
    ],
)
def test_arguments_are_checked_as_those_of_process(spec: Spec, given: Any, said: str) -> None:
    with pytest.raises(pyctd.InvalidArgumentError, match=said):
        process_of(spec, **({"args": ["/bin/ps"]} | given))
