"""Another user puts a link in the place of a directory with FIFOs, as once /tmp was cleaned up: nothing is removed or
written where it leads."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from support.box import default_spec
from support.strangers import NOBODY, open_to_all, replaced

import pyctd


def test_no_fifo_is_removed_in_a_directory_that_another_users_link_leads_to(place: Path, rootfs: Path) -> None:
    state, elsewhere = place / "t" / "s", place / "elsewhere"
    open_to_all(state)
    place.chmod(0o711)
    with pyctd.Engine(root=place / "r", state=state) as engine, engine.client() as client:
        task = client.new_container("web", default_spec(rootfs)).start()
        process = task.exec("e", pyctd.spec.process(["/bin/true"]), attach_stdio=pyctd.stdio.capture())
        process.wait(timeout=60)
        file = elsewhere / "moby" / "web" / "e-stdout"
        file.parent.mkdir(parents=True)
        file.touch()
        with replaced(state, elsewhere):
            process.delete(timeout=60)
            assert file.exists()
        task.force_delete(timeout=60)


@pytest.mark.parametrize("fails", [True, False])
def test_no_fifo_is_removed_where_a_link_leads_that_is_made_during_a_callback(
    engine: pyctd.Engine, place: Path, rootfs: Path, fails: bool
) -> None:
    state, file = place / "t" / "s", place / "elsewhere" / "web" / "e-stdout"
    open_to_all(state)
    state.mkdir()
    file.parent.mkdir(parents=True)
    with pyctd.Client(engine.address, "links", state) as client:
        container = client.new_container("web", default_spec(rootfs))
        task = container.start()

        def attach(dio: pyctd.DirectIO) -> None:
            state.rename(place / "away")
            subprocess.run(["ln", "-s", place / "elsewhere", state], check=True, user=NOBODY, group=NOBODY)
            file.touch()
            if fails:
                raise ValueError("no streams")

        try:
            # Without its directory runc does not know the container.
            with pytest.raises(pyctd.StdioError if fails else pyctd.NotFoundError):
                task.exec("e", pyctd.spec.process(["/bin/true"]), attach_stdio=attach).wait(timeout=60)
            assert file.exists()
        finally:
            state.unlink()
            (place / "away").rename(state)
            task.force_delete(timeout=60)
            container.delete(timeout=60)


def test_no_file_is_written_that_another_users_link_leads_to(place: Path, rootfs: Path) -> None:
    state, elsewhere = place / "t" / "s", place / "elsewhere"
    open_to_all(state)
    place.chmod(0o711)
    with pyctd.Engine(root=place / "r", state=state) as engine, engine.client() as client:
        container = client.new_container("web", default_spec(rootfs, "/bin/sleep", "600"))
        task = container.start(with_stdin=True, attach_stdio=pyctd.stdio.capture())
        precious = elsewhere / "moby" / "web" / "web-stdin"
        precious.parent.mkdir(parents=True)
        precious.write_text("precious")
        with replaced(state, elsewhere):
            with pytest.raises(pyctd.FailedPreconditionError, match="the state directory is not safe: "):
                container.attach_task(pyctd.stdio.capture(b"harm"), timeout=10)
            assert precious.read_text() == "precious"
            assert list(precious.parent.iterdir()) == [precious]
        task.force_delete(timeout=60)
