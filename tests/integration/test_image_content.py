"""What an image can make root do by what it consists of: nothing."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support import leaks
from support.box import Box
from support.ctr import Ctr, write_image

import pyctd
from pyctd import options

NAME = "pyctd.test/evil:1"
SNAPSHOTTER = "native"  # the one that works on every file system


@pytest.fixture
def importing(engine: pyctd.Engine, namespace: str, box: Box, tmp_path: Path) -> Iterator[Callable[..., None]]:
    """Imports an image of a config's labels and padding."""
    ctr = Ctr(engine.address, namespace)

    def run(labels: dict[str, str], padding: int = 0) -> None:
        write_image(tmp_path / "image.tar", NAME, box.rootfs, {"Labels": labels}, padding)
        ctr("images", "import", "--snapshotter", SNAPSHOTTER, str(tmp_path / "image.tar"))

    yield run
    box.clean()
    ctr("images", "rm", "--sync", NAME)


def test_labels_of_an_image_by_which_containerd_would_execute_a_program(
    box: Box, importing: Callable[..., None]
) -> None:
    """containerd's restart monitor starts a container with these labels within ten seconds, and a program of the host
    for its log, as root."""
    log = {"containerd.io/restart.status": "running", "containerd.io/restart.loguri": "binary:///bin/sh?-c=id"}
    importing({"from": "image", **log})
    for make in (box.client.new_container, box.client.replace_container):
        box.ids.append("web")
        with pytest.raises(pyctd.FailedPreconditionError, match="containerd.io/restart"):
            make("web", box.spec(), opts=[options.image_config_labels(NAME)])
    assert not box.client.containers()
    assert not leaks.bundles_of(box.client)


MEMORY = """
import sys, pyctd
from pyctd import options
from support.box import default_spec
from support.peak import peak
address, namespace, state, root, name, snapshotter = sys.argv[1:]
refused = 0
with pyctd.Client(address, namespace, state) as client:
    before = peak()
    for option in options.image_config_labels(name), options.image_stop_signal(name), options.new_snapshot("s", name):
        try:
            client.new_container(option.name, default_spec(root), opts=[options.snapshotter(snapshotter), option])
        except pyctd.ResourceExhaustedError:
            refused += 1
    print(peak() - before, refused)
"""


def test_an_image_whose_config_would_fill_memory(
    engine: pyctd.Engine, namespace: str, box: Box, importing: Callable[..., None]
) -> None:
    size = 256 << 20
    importing({"from": "image"}, size)
    box.ids += ["image_config_labels", "image_stop_signal", "new_snapshot"]
    done = subprocess.run(
        [
            *(sys.executable, "-c", MEMORY),
            *(engine.address, namespace, box.client.state_dir, str(box.rootfs), NAME, SNAPSHOTTER),
        ],
        stdout=subprocess.PIPE,
        check=True,
        timeout=120,
    )
    taken, refused = map(int, done.stdout.split())
    assert taken < size / 4
    assert refused == 3
    assert not leaks.bundles_of(box.client)
