"""Containers and tasks from creation to deletion, on a real containerd."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

import pyctd
from pyctd import options, spec, stdio


def fifos(client):
    return sorted(p.name for p in Path(client.state_dir).glob("*/*") if p.is_fifo())


def test_version_is_the_daemons(client):
    version = client.version()
    assert version.version.lstrip("v")[0].isdigit()
    assert version.revision


def test_output_is_whole_after_wait(shell):
    status, out = shell("echo out; echo err >&2; exit 3")
    assert (status.exit_code, out.stdout, out.stderr) == (3, b"out\n", b"err\n")
    assert status.error is None
    assert abs(status.exited_at.timestamp() - time.time()) < 60
    assert status.exited_at_ns // 10**9 == int(status.exited_at.timestamp())


@pytest.mark.parametrize("code", [0, 1, 2, 127, 254, 255])
def test_exit_codes(shell, code):
    assert shell(f"exit {code}")[0].exit_code == code


@pytest.mark.parametrize("name", ["TERM", "SIGKILL", "9", signal.SIGINT, 15])
def test_kill_by_name_and_number(make, name):
    # An init process ignores what it has no handler for, so let the shell have one.
    task = make("/bin/sh", "-c", "trap 'exit 143' TERM INT; while :; do sleep 0.05; done").start()
    time.sleep(0.3)
    task.kill(name)
    assert task.wait(timeout=10).exit_code in (137, 143)
    task.delete()


def test_kill_with_an_impossible_signal_names_it(make):
    task = make("/bin/sleep", "60").start()
    with pytest.raises(pyctd.InvalidArgumentError, match="SIGNONE"):
        task.kill("SIGNONE")


def test_unknown_id_is_not_found(client):
    with pytest.raises(pyctd.NotFoundError, match="^no such container$") as caught:
        client.load_container("nobody")
    assert isinstance(caught.value, LookupError)


def test_the_same_id_twice_is_a_conflict(client, make, rootfs):
    container = make("/bin/true")
    with pytest.raises(pyctd.ConflictError, match="^id already in use$"):
        client.new_container(container.id, spec.default(rootfs, ["/bin/true"]))


@pytest.mark.parametrize("bad", ["", "../../etc", "a/b", "/etc", "a" * 77, "-a", "a b", "ü", "a\0b"])
def test_an_invalid_id_makes_nothing(client, rootfs, bad):
    before = sorted(Path(client.state_dir).glob("**/*"))
    with pytest.raises(pyctd.InvalidArgumentError, match="identifier"):
        client.new_container(bad, spec.default(rootfs, ["/bin/true"]))
    assert sorted(Path(client.state_dir).glob("**/*")) == before


@pytest.mark.parametrize("part", ["root", "process", "linux"])
def test_a_spec_that_lacks_what_libcontainerd_dereferences_is_refused(client, rootfs, new_id, part):
    document = spec.default(rootfs, ["/bin/true"])
    del document[part]
    with pytest.raises(pyctd.InvalidArgumentError, match=f'no "{part}"'):
        client.new_container(new_id(), document)


@pytest.mark.parametrize("document", [None, [], "{}", 1])
def test_a_spec_that_is_no_object_is_refused(client, new_id, document):
    with pytest.raises(pyctd.InvalidArgumentError, match="mapping"):
        client.new_container(new_id(), document)


def test_a_running_container_cannot_be_deleted(make):
    container = make("/bin/sleep", "60")
    container.start()
    with pytest.raises(pyctd.FailedPreconditionError):
        container.delete()


def test_a_running_task_cannot_be_deleted(make):
    task = make("/bin/sleep", "60").start()
    with pytest.raises(pyctd.FailedPreconditionError, match="task must be stopped before deletion: running"):
        task.delete()


def test_a_second_start_fails_and_the_task_runs_on(make):
    container = make("/bin/sleep", "60")
    task = container.start()
    with pytest.raises(pyctd.AlreadyExistsError):
        container.start()
    with pytest.raises(pyctd.Error):
        task.start()
    assert task.status().status == "running"


def test_deleting_twice_is_not_found(make):
    container = make("/bin/true")
    task = container.start()
    task.wait(timeout=10)
    task.delete()
    with pytest.raises(pyctd.NotFoundError):
        task.delete()
    container.delete()
    with pytest.raises(pyctd.NotFoundError):
        container.delete()


@pytest.mark.parametrize("how", ["command", "rootfs"])
def test_a_failed_start_leaves_no_task_and_no_fifo(client, make, tmp_path, how):
    if how == "command":
        container = make("/bin/nowhere")
    else:
        container = make("/bin/true", change=lambda s: s["root"].update(path=str(tmp_path / "nowhere")))
    with pytest.raises(pyctd.Error, match="no such file or directory|nowhere"):
        container.start(attach_stdio=stdio.capture())
    with pytest.raises(pyctd.NotFoundError):
        container.task()
    assert fifos(client) == []


def test_created_then_started(make):
    out = stdio.capture()
    task = make("/bin/echo", "later").new_task(attach_stdio=out)
    assert task.status().status == "created"
    task.start()
    assert task.wait(timeout=10).exit_code == 0
    assert out.stdout == b"later\n"


@pytest.mark.parametrize("state", ["created", "running", "paused"])
def test_force_delete_in_any_state(make, state):
    container = make("/bin/sleep", "60")
    task = container.new_task() if state == "created" else container.start()
    if state == "paused":
        task.pause()
    if state == "paused":
        # Go's own Delete with kill answers this for a paused task, or succeeds: both leave it to the caller.
        try:
            task.force_delete(timeout=5)
        except pyctd.Error:
            task.resume()
            task.force_delete()
    else:
        task.force_delete()
    with pytest.raises(pyctd.NotFoundError):
        container.task()


def test_pause_and_resume_show_in_status(make):
    task = make("/bin/sleep", "60").start()
    assert task.status().status == "running"
    task.pause()
    assert task.status().status == "paused"
    task.resume()
    assert task.status().status == "running"


def test_pids_stats_and_summary(make):
    task = make("/bin/sleep", "60").start()
    assert [process.pid for process in task.pids()] == [task.pid]
    stats = task.stats()
    assert stats.type.startswith("io.containerd.cgroups.v")
    assert stats.metrics["pids"]["current"] == 1
    assert task.summary() == []


def test_update_resources_shows_in_stats(make):
    task = make("/bin/sleep", "60").start()
    task.update_resources({"pids": {"limit": 77}})
    assert task.stats().metrics["pids"]["limit"] == 77


def test_update_resources_refuses_what_is_no_object(make):
    task = make("/bin/sleep", "60").start()
    with pytest.raises(pyctd.InvalidArgumentError, match="resources"):
        task.update_resources([])


def test_load_container_and_task_of_another_client(engine, namespace, make):
    container = make("/bin/sleep", "60")
    task = container.start()
    with engine.client(namespace) as second:
        found = second.load_container(container.id).task()
        assert found.pid == task.pid
        found.kill(9)
        assert found.wait(timeout=10).exit_code == 137


def test_replace_container_takes_a_running_ones_place(client, make, rootfs):
    old = make("/bin/sleep", "60")
    old.start()
    new = client.replace_container(old.id, spec.default(rootfs, ["/bin/true"]))
    with pytest.raises(pyctd.NotFoundError):
        new.task()
    assert new.start().wait(timeout=10).exit_code == 0


def test_no_task_is_not_found(make):
    container = make("/bin/true")
    with pytest.raises(pyctd.NotFoundError):
        container.task()
    with pytest.raises(pyctd.NotFoundError, match="error getting containerd task for container"):
        container.attach_task(stdio.capture())


def test_unknown_options_are_refused_by_name(client, rootfs, new_id):
    document = spec.default(rootfs, ["/bin/true"])
    with pytest.raises(pyctd.InvalidArgumentError, match="BinaryNames.*BinaryName"):
        client.new_container(new_id(), document, runtime_options={"BinaryNames": "/bin/true"})
    with pytest.raises(pyctd.InvalidArgumentError, match='"colour" is not known.*labels'):
        client.new_container(new_id(), document, opts=[options.Option("colour", 1)])


def test_runtime_options_reach_the_runtime(client, rootfs, new_id):
    container = client.new_container(
        new_id(), spec.default(rootfs, ["/bin/true"]), runtime_options={"BinaryName": "/nowhere/runc"}
    )
    with pytest.raises(pyctd.Error, match="/nowhere/runc"):
        container.start()
    container.delete()


def test_exit_of_a_checkpoint_is_refused_where_it_would_be_ignored(client, make, tmp_path):
    container = make("/bin/sleep", "60")
    container.start()
    with pytest.raises(pyctd.FailedPreconditionError, match="would ignore exit"):
        client.load_container(container.id).task().create_checkpoint(tmp_path, exit=True)


def test_checkpoint_into_a_container_without_criu_is_an_error_not_a_hang(make, tmp_path, monkeypatch):
    task = make("/bin/sleep", "60").start()
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(pyctd.Error):
        task.create_checkpoint(tmp_path / "file", timeout=60)
    assert task.status().status in ("running", "stopped")


def test_a_deadline_already_past(make):
    container = make("/bin/true")
    with pytest.raises(pyctd.DeadlineExceededError, match="^context deadline exceeded$") as caught:
        container.start(timeout=0)
    assert isinstance(caught.value, TimeoutError)


def test_wait_that_runs_out_leaves_the_process(make):
    task = make("/bin/sleep", "60").start()
    with pytest.raises(pyctd.DeadlineExceededError):
        task.wait(timeout=0.05)
    assert task.status().status == "running"


@pytest.mark.parametrize("timeout", [-1, float("nan"), "1", True])
def test_an_impossible_timeout_is_named(client, timeout):
    with pytest.raises(pyctd.InvalidArgumentError, match="timeout"):
        client.version(timeout=timeout)


def test_closed_objects_say_so(engine, make):
    container = make("/bin/true")
    task = container.start()
    task.wait(timeout=10)
    task.delete()
    task.close()
    with pytest.raises(pyctd.ClosedError, match="task .* is closed"):
        task.pids()
    container.delete()
    container.close()
    with pytest.raises(pyctd.ClosedError, match="container .* is closed"):
        container.task()
    client = engine.client()
    client.close()
    client.close()
    with pytest.raises(pyctd.ClosedError, match=r"client of .* is closed"):
        client.version()


def test_a_task_of_a_closed_client_is_closed_and_runs_on(engine, namespace, make):
    container = make("/bin/sleep", "60")
    with engine.client(namespace) as short:
        loaded = short.load_container(container.id)
        task = loaded.start(attach_stdio=stdio.capture())
    with pytest.raises(pyctd.ClosedError):
        task.status()
    assert container.task().status().status == "running"
