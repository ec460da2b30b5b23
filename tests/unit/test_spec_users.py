"""Who the process of a spec is, and what it may do: as moby finds users, and gives capabilities."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

import pyctd
from pyctd.spec import _moby


def moby_cases() -> Any:
    """What moby makes of users and capabilities; gosrc/cmd/moby-defaults tests that it does."""
    return json.loads(Path(__file__).with_name("moby-cases.json").read_text())


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root with users and groups."""
    (tmp_path / "etc").mkdir()
    for name in ("passwd", "group"):
        (tmp_path / "etc" / name).write_text(moby_cases()[name])
    return tmp_path


@pytest.mark.parametrize("user", moby_cases()["users"])
def test_users_are_those_that_moby_finds(root: Path, user: str) -> None:
    want = moby_cases()["users"][user]
    if want is None:
        with pytest.raises(pyctd.InvalidArgumentError, match="unable to find|in the range"):
            pyctd.spec.process(["a"], user=user, rootfs=root)
        return
    found = pyctd.spec.default(root, ["a"], user=user, additional_gids=[77])["process"]["user"]
    # As dockerd's getUser puts them together.
    assert found == {"uid": want["uid"], "gid": want["gid"], "additionalGids": [want["gid"], *want["groups"], 77]}


@pytest.mark.parametrize(("user", "same"), [(1000, "1000"), (0, ""), ((1000, 5), "1000:5")])
def test_users_in_numbers(root: Path, user: Any, same: str) -> None:
    assert pyctd.spec.process(["a"], user=user, rootfs=root) == pyctd.spec.process(["a"], user=same, rootfs=root)


@pytest.mark.parametrize(
    ("user", "said"),
    [
        ("eve", "unable to find user 'eve'"),
        ("ann:eves", "unable to find group 'eves'"),
        ("-1", "in the range"),
        (2**31, "in the range"),
        ("0:4294967295", "in the range"),
        (True, "user must be"),
        (1.5, "user must be"),
        ((1, 2, 3), "user must be"),
        (("ann", "users"), "user must be"),
    ],
)
def test_users_that_are_none(root: Path, user: Any, said: str) -> None:
    with pytest.raises(pyctd.InvalidArgumentError, match=said):
        pyctd.spec.process(["a"], user=user, rootfs=root)


def test_a_name_needs_a_root() -> None:
    assert pyctd.spec.process(["a"], user="5:6")["user"] == {"uid": 5, "gid": 6, "additionalGids": [6]}
    for user in ("ann", "5:users"):
        with pytest.raises(pyctd.InvalidArgumentError, match="give rootfs, or a number"):
            pyctd.spec.process(["a"], user=user)


@pytest.mark.parametrize(
    "link", ["/usr/lib/users", "../usr/lib/users", "../../../../usr/lib/users", "/lib/users", "link"]
)
def test_links_are_followed_inside_the_root(root: Path, link: str) -> None:
    passwd = root / "etc" / "passwd"
    (root / "usr" / "lib").mkdir(parents=True)
    passwd.rename(root / "usr" / "lib" / "users")
    (root / "lib").symlink_to("/usr/./lib")
    (root / "etc" / "link").symlink_to("/lib/users")
    passwd.symlink_to(link)
    assert pyctd.spec.process(["a"], user="ann", rootfs=root)["user"]["uid"] == 1000


@pytest.mark.parametrize(
    "link", ["/etc/passwd", "../../../../../../../etc/passwd", "passwd", "/proc/self/root/etc/passwd", "/"]
)
def test_users_are_never_the_hosts(root: Path, link: str) -> None:
    (root / "etc" / "passwd").unlink()
    (root / "etc" / "passwd").symlink_to(link)
    for user in ("root", "ann"):
        with pytest.raises(pyctd.InvalidArgumentError, match="unable to find user"):
            pyctd.spec.process(["a"], user=user, rootfs=root)
    assert pyctd.spec.process(["a"], user=1000, rootfs=root)["user"]["gid"] == 0


def test_a_pipe_in_place_of_the_users_does_not_block(root: Path) -> None:
    (root / "etc" / "passwd").unlink()
    os.mkfifo(root / "etc" / "passwd")
    assert pyctd.spec.process(["a"], user=1000, rootfs=root)["user"]["gid"] == 0


@pytest.mark.parametrize("case", moby_cases()["capabilities"])
def test_capabilities_are_those_that_moby_gives(case: Any) -> None:
    if case["want"] is None:
        with pytest.raises(pyctd.InvalidArgumentError, match="unknown capability"):
            pyctd.spec.process(["a"], cap_add=case["add"], cap_drop=case["drop"])
        return
    kinds = pyctd.spec.process(["a"], cap_add=case["add"], cap_drop=case["drop"])["capabilities"]
    assert kinds == dict.fromkeys(("bounding", "effective", "permitted"), case["want"])


def test_all_capabilities_are_those_of_this_machine() -> None:
    status = Path("/proc/self/status").read_text()
    bounding = int(status.partition("CapBnd:")[2].split()[0], 16)
    kinds = pyctd.spec.process(["a"], cap_add=["ALL"], cap_drop=["cap_chown"])["capabilities"]
    assert sum(1 << _moby.capabilities().index(name) for name in kinds["bounding"]) == bounding & ~1
    assert kinds["bounding"] == kinds["effective"] == kinds["permitted"]


@pytest.mark.parametrize("name", ["CAP_FLY", "", "sys admin", 5])
def test_capabilities_that_are_none(name: Any) -> None:
    with pytest.raises(pyctd.InvalidArgumentError, match="cap_add"):
        pyctd.spec.process(["a"], cap_add=[name])
    with pytest.raises(pyctd.InvalidArgumentError, match="cap_drop"):
        pyctd.spec.process(["a"], cap_drop=[name])
    with pytest.raises(pyctd.InvalidArgumentError, match="must be a list"):
        pyctd.spec.process(["a"], cap_add="CHOWN")
