"""Closing a client while a start of another thread is under way."""

from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path

import pytest
from support.box import default_spec, eventually

import pyctd

#: runc, which makes a container once a file is gone.
RUNC = """#!/bin/sh
case " $* " in *" create "*) : >{here}/under-way; while [ -e {here}/held ]; do sleep 0.02; done;; esac
exec {runc} "$@"
"""


def test_a_start_ends_though_its_client_is_closed_before_the_shim_opens_the_streams(
    place: Path, rootfs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The shim waits for who reads the output when runc has made the container."""
    (place / "held").touch()
    (place / "runc").write_text(RUNC.format(here=place, runc=shutil.which("runc")))
    (place / "runc").chmod(0o755)
    monkeypatch.setenv("PATH", f"{place}:{os.environ['PATH']}")
    came: list[object] = []

    def start() -> None:
        try:
            came.append(container.start(attach_stdio=pyctd.stdio.capture()))
        except pyctd.Error as error:
            came.append(error)

    with pyctd.Engine(root=place / "r", state=place / "s") as engine:
        client = engine.client()
        container = client.new_container("web", default_spec(rootfs))
        starting = threading.Thread(target=start)
        starting.start()
        eventually((place / "under-way").exists)
        client.close()
        (place / "held").unlink()
        starting.join(30)
        assert isinstance(came[0], pyctd.Task)
        with engine.client() as other:
            task = other.load_container("web").task()
            assert task.status().status == "running"
            task.force_delete(timeout=60)
