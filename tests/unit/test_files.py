"""Streams that go to files, and to this program's own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from support.leaks import descriptors
from support.streams import End, Streams, feed, join

from pyctd import stdio


def run(callback: Any, out: bytes, err: bytes) -> None:
    """Has a callback take what a process writes, to its end."""
    (out_source, out_target), (err_source, err_target) = os.pipe(), os.pipe()
    dio: Any = Streams(End(out_source), End(err_source))
    io = callback(dio)
    join(feed(out_target, out), feed(err_target, err), *io._pumps)


def test_a_file_has_what_the_process_wrote_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("what was there before, and is longer")
    before = descriptors()
    run(stdio.files(stdout=tmp_path / "out"), b"new", b"thrown away")
    assert (tmp_path / "out").read_bytes() == b"new"
    assert descriptors() == before


def test_two_streams_of_one_path_are_in_one_file(tmp_path: Path) -> None:
    run(stdio.files(stdout=tmp_path / "both", stderr=f"{tmp_path}/./both"), b"out" * 10000, b"err" * 10000)
    data = (tmp_path / "both").read_bytes()
    assert (len(data), data.count(b"o"), data.count(b"e")) == (60000, 10000, 10000)


PROGRAM = """
import os
from pyctd import stdio
from support.streams import End, Streams
print("first")
source, target = os.pipe()
os.write(target, b"second\\n")
os.close(target)
for pump in stdio.inherit()(Streams(End(source)))._pumps:
    pump.join()
"""


def test_what_a_program_has_printed_comes_before_what_the_process_writes() -> None:
    paths = [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    env = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths)), "PYTHONUNBUFFERED": ""}
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["first", "second"]
