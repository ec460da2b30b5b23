"""What the command line's options take, and how its numbers and tables come about."""

from __future__ import annotations

import json
import os
import signal
import socket
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.box import eventually

import pyctd
from pyctd._streams.keys import DetachKeys
from pyctd.cli import _errors, _output, _settings, _streams, _values
from pyctd.cli._settings import Settings

GIB = 1 << 30


def test_sizes_as_docker_takes_them() -> None:
    for text, count in [
        *[("1048576", 1 << 20), ("64m", 64 << 20), ("64M", 64 << 20), ("64MB", 64 << 20), ("64MiB", 64 << 20)],
        *[("1.5g", 3 << 29), ("2t", 2 << 40), ("512k", 512 << 10), ("8b", 8), ("1 g", GIB), ("-1", -1), ("0", 0)],
    ]:
        assert _values.size(text) == count, text


def test_what_is_no_size() -> None:
    for text in ["", "m", "64x", "-2", "1,5g", "1.g", "0x10", "64 m b", "∞", "٣m"]:
        with pytest.raises(click.BadParameter, match="a size is like 64m"):
            _values.size(text)


@given(st.integers(min_value=0, max_value=2**50))
def test_sizes_are_written_as_they_are_read(count: int) -> None:
    """To four digits."""
    assert _values.size(_output.size(count)) == pytest.approx(count, rel=1e-3, abs=1)


def test_signals() -> None:
    for text, number in [("9", 9), ("KILL", 9), ("sigterm", 15), ("RTMIN", 34)]:
        assert _values.signal(text) == number


def test_what_is_no_signal() -> None:
    for text in ["", "NOPE", "-1", "65", "9.0"]:
        with pytest.raises(click.BadParameter, match="signal must be"):
            _values.signal(text)


def test_volumes(tmp_path: Path) -> None:
    assert _values.volume(f"{tmp_path}:/mnt") == pyctd.spec.bind(tmp_path, "/mnt")
    assert _values.volume(f"{tmp_path}:/mnt:ro") == pyctd.spec.bind(tmp_path, "/mnt", read_only=True)
    assert _values.volume(f"{tmp_path}:/mnt:ro,rshared") == pyctd.spec.bind(
        tmp_path, "/mnt", read_only=True, propagation="rshared"
    )
    assert _values.volume(".:/mnt") == pyctd.spec.bind(os.getcwd(), "/mnt")


def test_what_is_no_volume() -> None:
    for text, words in [
        ("", "SOURCE:TARGET"),
        ("/tmp", "SOURCE:TARGET"),
        ("/tmp:", "SOURCE:TARGET"),
        (":/tmp", "SOURCE:TARGET"),
        ("/tmp:/a:ro:rw", "SOURCE:TARGET"),
        ("/tmp:mnt", "target must be an absolute path"),
        ("/tmp:/mnt:strange", "propagation must be one of"),
        ("data:/mnt", r"no volumes with names: .* \./data"),
        ("/no/where:/mnt", "there is no '/no/where'"),
    ]:
        with pytest.raises(click.BadParameter, match=words):
            _values.volume(text)


def test_mounts_spelt_out(tmp_path: Path) -> None:
    plain = pyctd.spec.bind(tmp_path, "/mnt")
    read_only = pyctd.spec.bind(tmp_path, "/mnt", read_only=True)
    assert _values.mount(f"type=bind,source={tmp_path},target=/mnt") == plain
    assert _values.mount(f"src={tmp_path},dst=/mnt,readonly=false") == plain
    for form in ("readonly", "ro", "readonly=true", "ro=1"):
        assert _values.mount(f"src={tmp_path},destination=/mnt,{form}") == read_only
    assert _values.mount(f"src={tmp_path},dst=/mnt,bind-propagation=slave")["options"][-1] == "slave"
    odd = tmp_path / "a,b"
    odd.mkdir()
    assert _values.mount(f'"src={odd}",dst=/mnt') == pyctd.spec.bind(odd, "/mnt")
    sized = pyctd.spec.tmpfs("/t", size=1 << 20, mode=0o700)
    assert _values.mount("type=tmpfs,target=/t,tmpfs-size=1m,tmpfs-mode=700") == sized
    assert _values.tmpfs("/t:size=1m,mode=700") == sized
    assert _values.tmpfs("/t") == pyctd.spec.tmpfs("/t")
    assert _values.tmpfs("/t:exec") == pyctd.spec.tmpfs("/t", executable=True)


def test_what_is_no_mount() -> None:
    for text, words in [
        ("src=/tmp", "needs target="),
        ("dst=/t", "needs source="),
        ("type=volume,src=a,dst=/t", "type must be bind or tmpfs, not 'volume'"),
        ("src=/tmp,dst=/t,nonsense=1", "there is no option 'nonsense'"),
        ("type=tmpfs,dst=/t,tmpfs-mode=rwx", "mode must be octal"),
        ("type=tmpfs,dst=/t,tmpfs-size=much", "a size is like"),
        ("type=tmpfs,dst=/t,tmpfs-size=0", "size must be a number"),
    ]:
        with pytest.raises(click.BadParameter, match=words):
            _values.mount(text)


def test_the_keys_that_leave_a_terminal() -> None:
    for typed, passed, leaves in [
        ([b"abc"], b"abc", False),
        ([b"a\x10\x11b"], b"a", True),
        ([b"a\x10", b"\x11"], b"a", True),
        ([b"\x10", b"x"], b"\x10x", False),
        ([b"\x10", b"\x10", b"\x11"], b"\x10", True),
        ([b"\x11\x10"], b"\x11", False),  # the last one waits for the next
    ]:
        keys = DetachKeys("ctrl-p,ctrl-q")
        assert b"".join(map(keys, typed)) == passed, typed
        assert keys.found == leaves, typed


class Told:
    """A process that signals are sent to."""

    def __init__(self) -> None:
        self.signals: list[int] = []

    def kill(self, number: int, *, timeout: float | None = None) -> None:
        self.signals.append(number)


def test_signals_wait_for_the_process_and_the_third_request_to_end_kills() -> None:
    process: Any = Told()
    with _streams.forwarded_signals() as signals:
        signal.raise_signal(signal.SIGUSR1)
        signal.raise_signal(signal.SIGINT)
        signals.to(process)
        eventually(lambda: process.signals == [signal.SIGUSR1, signal.SIGINT])
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        eventually(lambda: process.signals[2:] == [signal.SIGINT, signal.SIGKILL])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_a_request_to_end_that_no_process_takes_ends_the_program(
    number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_streams, "PATIENCE", 0.3)
    with _streams.forwarded_signals() as signals:
        signal.raise_signal(number)
        with pytest.raises(SystemExit) as ended:
            eventually(lambda: False, "the end")
    assert ended.value.code == 128 + number
    assert signals.given_up


@pytest.mark.parametrize("error", [pyctd.UnavailableError("away"), pyctd.DeadlineExceededError("late")])
def test_a_request_to_end_that_containerd_does_not_take_ends_the_program(error: pyctd.Error) -> None:
    class Out(Told):
        def kill(self, number: int, *, timeout: float | None = None) -> None:
            raise error

    process: Any = Out()
    with _streams.forwarded_signals() as signals:
        signals.to(process)
        with pytest.raises(SystemExit) as ended:  # noqa: PT012, it may come at once
            signal.raise_signal(signal.SIGTERM)
            eventually(lambda: False, "the end")
    assert ended.value.code == 128 + signal.SIGTERM


def test_a_log_is_for_its_owner_alone(tmp_path: Path) -> None:
    dio: Any = None
    before = os.umask(0)
    try:
        _streams.logged(f"{tmp_path}/new/log")(dio)
    finally:
        os.umask(before)
    assert (tmp_path / "new/log").stat().st_mode & 0o777 == 0o600


def test_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HERE", "from here")
    monkeypatch.delenv("NOT_HERE", raising=False)
    assert _values.environment(["A=1", "B=a=b", "C=", "HERE", "NOT_HERE"]) == {
        "A": "1",
        "B": "a=b",
        "C": "",
        "HERE": "from here",
    }


def test_ages() -> None:
    now = datetime(2026, 1, 31, tzinfo=timezone.utc)
    for seconds, text in [
        *[(0, "now"), (1, "1 second ago"), (59, "59 seconds ago"), (60, "1 minute ago"), (7199, "1 hour ago")],
        *[(7200, "2 hours ago"), (86400 * 3 + 5, "3 days ago"), (-5, "now")],
    ]:
        assert _output.ago(now - timedelta(seconds=seconds), lambda: now) == text
    assert _output.ago(None) == "-"


def test_plain_tables_line_up_and_stay_on_their_lines() -> None:
    assert _output.lines(["A", "LONG"], [["value", "x"], ["b\nc", "\x1b[31m"]]) == [
        "A       LONG",
        "value   x",
        r"b\nc    \x1b[31m",
    ]


@pytest.mark.parametrize("terminal", [False, True])
def test_json_steers_no_terminal(
    terminal: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An image's labels may hold any text, such as the one character that begins what ESC and [ do."""
    value = {"é": "\x9b31m\x1b[31m\x7f\u202e\U000e0001", "[b]": "[/b]"}
    monkeypatch.setattr("sys.stdout.isatty", lambda: terminal)
    monkeypatch.setenv("TERM", "dumb")
    _output.show_json(value)
    out = capsys.readouterr().out
    assert json.loads(out) == value
    assert out.replace("\n", "").isprintable()
    assert "é" in out


def test_values_as_json() -> None:
    moment = datetime(2026, 1, 31, tzinfo=timezone.utc)
    info = pyctd.EventInfo("web", exited_at=moment)
    told = json.loads(json.dumps(_output.as_json({"info": info, "many": (1, None)})))
    assert told["many"] == [1, None]
    assert told["info"]["container_id"] == "web"
    assert told["info"]["exited_at"] == "2026-01-31T00:00:00+00:00"


def test_exit_codes_of_commands_that_can_not_start() -> None:
    for text, code in [
        ("OCI runtime create failed: executable file not found in $PATH: unknown", 127),
        ("OCI runtime create failed: permission denied: unknown", 126),
        ("open /x: permission denied", 125),
    ]:
        error = pyctd.Error(text)
        error.call = "Container.start"
        assert _errors.code_of(error, Settings(executes=True, failure=125)) == code, text
        assert _errors.code_of(error, Settings()) == 1, "of a command that executes nothing"


def test_settings_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CONTAINERD_ADDRESS", "CONTAINERD_NAMESPACE", "PYCTD_STATE_DIR"):
        monkeypatch.setenv(name, "")
    assert (Settings().socket, Settings().space) == ("/run/containerd/containerd.sock", "moby")
    monkeypatch.setenv("CONTAINERD_ADDRESS", "/a.sock")
    monkeypatch.setenv("CONTAINERD_NAMESPACE", "n")
    assert (Settings().socket, Settings().space) == ("/a.sock", "n")


def test_a_containerd_that_does_not_answer_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_settings, "CONNECT_TIMEOUT", 0.2)
    address = str(tmp_path / "c.sock")
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(address)
        silent.listen()
        with pytest.raises(pyctd.UnavailableError, match=rf"containerd at {address} does not answer within 0\.2 s"):
            Settings(address=address, state_dir=str(tmp_path / "state")).client()


def test_columns_of_a_terminal_that_is_narrow() -> None:
    from rich.console import Console

    console = Console(width=20, file=open(os.devnull, "w"), record=True)  # noqa: SIM115
    rows: list[list[Any]] = [["web", "x" * 40]]
    console.print(_output.rich_table(["ID", "COMMAND"], rows))
    console.file.close()
    assert all(len(line) <= 20 for line in console.export_text().splitlines())
