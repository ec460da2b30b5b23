"""Users are looked up in files that a container writes, and changes meanwhile."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import pyctd


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    (root / "etc" / "passwd").write_text("ann:x:1000:1000::/:\n")
    return root


def test_users_are_never_the_hosts_while_a_container_changes_its_files(root: Path, tmp_path: Path) -> None:
    outside, etc = tmp_path / "outside", root / "etc"
    outside.mkdir()
    (outside / "passwd").write_text("eve:x:1:1::/:\n")
    (root / "link").symlink_to(outside)
    done = threading.Event()

    def change() -> None:
        while not done.is_set():
            etc.rename(root / "away")
            (root / "link").rename(etc)
            etc.rename(root / "link")
            (root / "away").rename(etc)

    with ThreadPoolExecutor() as pool:
        changing = pool.submit(change)
        try:
            for _ in range(5000):
                with pytest.raises(pyctd.InvalidArgumentError, match="unable to find user"):
                    pyctd.spec.process(["a"], user="eve", rootfs=root)
        finally:
            done.set()
        changing.result()


def test_users_that_have_no_end(root: Path) -> None:
    """A file of a container's can be longer than memory."""
    with (root / "etc" / "passwd").open("ab") as passwd:
        passwd.truncate(1 << 40)
    assert pyctd.spec.process(["a"], user="ann", rootfs=root)["user"]["uid"] == 1000


def test_users_below_more_directories_than_there_may_be_descriptors(root: Path) -> None:
    """A program has 1,024 by default, for all that it does at the same time."""
    deep = root
    for _ in range(300):
        deep /= "d"
        deep.mkdir()
    (root / "etc" / "passwd").rename(deep / "passwd")
    (root / "etc" / "passwd").symlink_to("/" + "d/" * 300 + "passwd")
    with pytest.raises(pyctd.InvalidArgumentError, match="unable to find user"):
        pyctd.spec.process(["/bin/true"], user="ann", rootfs=root)


def test_users_in_a_log_of_the_kernels(root: Path) -> None:
    """A read of it waits for the next message, which the system's own log then misses. A container may not read it."""
    if os.geteuid() != 0:
        pytest.skip("only root may open it")
    passwd, proc = root / "etc" / "passwd", root / "proc"
    passwd.unlink()
    passwd.symlink_to("/proc/kmsg")
    proc.mkdir()
    subprocess.run(["mount", "--bind", "/proc", proc], check=True)
    script = "import sys, pyctd; pyctd.spec.process(['a'], user='ann', rootfs=sys.argv[1])"
    try:
        done = subprocess.run([sys.executable, "-c", script, root], stderr=subprocess.PIPE, text=True, timeout=30)
    finally:
        subprocess.run(["umount", proc], check=True)
    assert "unable to find user 'ann'" in done.stderr


def test_users_in_a_file_of_a_devices(root: Path) -> None:
    """Root may read more of some than a container may, and not all devices stand that."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount")
    file = Path("/sys/kernel/mm/transparent_hugepage/enabled")  # stands for a device's
    if not file.exists():
        pytest.skip("the kernel has no huge pages")
    passwd, mounted = root / "etc" / "passwd", root / "sys"
    passwd.unlink()
    passwd.symlink_to(file)
    mounted.mkdir()
    subprocess.run(["mount", "--bind", "/sys", mounted], check=True)
    try:
        with pytest.raises(pyctd.InvalidArgumentError, match="unable to find user"):
            pyctd.spec.process(["a"], user=file.read_text().strip(), rootfs=root)
    finally:
        subprocess.run(["umount", mounted], check=True)


MEMORY = """
import sys, pyctd
from support.peak import peak
before = peak()
pyctd.spec.process(["a"], user="bob", rootfs=sys.argv[1])
print(peak() - before)
"""


def test_users_among_lines_that_would_fill_memory(root: Path) -> None:
    """A list of a line's fields takes fifty times the memory of a short line."""
    for name in "passwd", "group":
        with (root / "etc" / name).open("ab") as file:
            file.write(b"ab\n" * (1 << 20) + b"bob:x:1:1::/:\n")
    done = subprocess.run([sys.executable, "-c", MEMORY, root], stdout=subprocess.PIPE, check=True, timeout=300)
    assert int(done.stdout) < 64 << 20
