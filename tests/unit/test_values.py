"""What needs no daemon: errors, events, options, signals, arguments."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

import pyctd
from pyctd import _native, errors
from pyctd._calls import operations
from pyctd._calls.operations import signal_number
from pyctd._clientcore import check_address
from pyctd._json import to_json
from pyctd._streams.attach import Attachment
from pyctd.types import to_datetime


def test_every_error_has_the_one_root() -> None:
    for name in set(errors.__all__) - {"Reason"}:
        assert issubclass(getattr(errors, name), pyctd.Error)
        assert getattr(pyctd, name) is getattr(errors, name)


@pytest.mark.parametrize(
    ("error", "builtin"),
    [
        (pyctd.NotFoundError, LookupError),
        (pyctd.InvalidArgumentError, ValueError),
        (pyctd.PermissionDeniedError, PermissionError),
        (pyctd.UnavailableError, ConnectionError),
        (pyctd.DeadlineExceededError, TimeoutError),
        (pyctd.UnimplementedError, NotImplementedError),
    ],
)
def test_errors_are_what_python_calls_them_too(error: type[pyctd.Error], builtin: type[Exception]) -> None:
    with pytest.raises(builtin, match="as Go says"):
        raise error("as Go says")
    assert str(error("as Go says")) == "as Go says"


def test_every_kind_of_the_header_has_the_class_of_its_name() -> None:
    header = (Path(__file__).parents[2] / "gosrc/pyctd.h").read_text()
    for number, kind in errors.BY_KIND.items():
        name = "Callback" if kind is pyctd.StdioError else kind.__name__.removesuffix("Error")
        constant = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).upper()
        assert re.search(rf"\bPYCTD_{constant} = {number}\b", header), constant


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('create failed: runc create failed: unable to start container process: exec: "x": permission denied', 126),
        ('exec failed: exec failed: unable to start container process: exec: "x": is a directory: unknown', 126),
        ('create failed: exec: "x": executable file not found in $PATH', 127),
        ('exec failed: exec: "x": stat /x: no such file or directory: unknown', 127),
        ("create failed: executable file `x` not found in $PATH: No such file or directory", 127),  # crun's
        ("start failed: open executable: Permission denied", 126),
        ("create failed: mount through procfd: not a directory", 127),
        ("create failed: cgroup: no space left on device", None),
        ("restore failed: criu failed: no such file or directory", None),
        ("create failed: unable to retrieve OCI runtime error (open log.json: no such file or directory)", None),
    ],
)
def test_reasons_in_the_words_of_runtimes(text: str, reason: int | None) -> None:
    """As dockerd reads them."""
    error = pyctd.UnknownError(f"failed to create shim task: OCI runtime {text}")
    assert error.reason is None, "it is of no start"
    error.call = "Task.exec"
    assert error.reason == {126: "command-not-executable", 127: "command-not-found", None: None}[reason]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("cannot pause task in created state", "created"),
        ("cannot checkpoint a task in created state", "created"),
        ("cannot exec in a deleted state", "deleted"),
        ("cannot kill a deleted process: not found", "deleted"),
        ("cannot delete running task web: failed precondition", "running"),
        ("cannot update a stopped container: unknown", "stopped"),
        ("cannot pause at all", None),
    ],
)
def test_reasons_in_the_words_of_shims(text: str, reason: str | None) -> None:
    assert pyctd.UnknownError(text).reason == reason


def test_event_types_are_the_nine_of_libcontainerd() -> None:
    assert [e.value for e in pyctd.EventType if e is not pyctd.EventType.GAP] == [
        "unknown",
        "exit",
        "oom",
        "create",
        "start",
        "exec-added",
        "exec-started",
        "paused",
        "resumed",
    ]
    assert "exec-added" in [pyctd.EventType.EXEC_ADDED]
    assert str(pyctd.EventType.EXIT) == "exit"
    assert pyctd.EventType("oom") is pyctd.EventType.OOM


def test_event_types_agree_with_the_header() -> None:
    lib = _native.load()
    for number, kind in enumerate(pyctd.EventType):
        assert getattr(lib, f"PYCTD_EVENT_{kind.name}") == number


@pytest.mark.parametrize(
    ("given", "number"),
    [
        (9, 9),
        ("KILL", 9),
        ("SIGKILL", 9),
        ("sigterm", 15),
        ("15", 15),
        (signal.SIGHUP, 1),
        ("SIGRTMIN", 34),
        ("RTMIN+3", 37),
        ("SIGRTMIN+15", 49),
        ("sigrtmax-14", 50),
        ("RTMAX-1", 63),
        ("RTMAX", 64),
        ("STKFLT", 16),
    ],
)
def test_signals(given: int | str, number: int) -> None:
    assert signal_number(given) == number


NO_REAL_TIME = ["RTMIN+0", "RTMIN+16", "RTMIN-1", "RTMAX-15", "RTMAX+1", "RTMIN+", "RTMIN+03", "RTMIN+\u0663"]
"""docker has no such names."""


@pytest.mark.parametrize(
    "given", ["", "SIGNONE", "SIG_DFL", "_DFL", "blocked", None, True, 1.5, b"KILL", "-9", *NO_REAL_TIME]
)
def test_signals_that_are_none(given: Any) -> None:
    with pytest.raises(pyctd.InvalidArgumentError, match="signal must be"):
        signal_number(given)


def test_options_are_plain_values() -> None:
    given = {"a": "b"}
    option = pyctd.options.labels(given)
    given["a"] = "c"
    assert option == pyctd.options.Option("labels", {"a": "b"})
    for name in pyctd.options.__all__:
        assert callable(getattr(pyctd.options, name))


@pytest.mark.parametrize("value", [None, [], "text", 3, b"{}"])
def test_json_of_what_is_no_object(value: Any) -> None:
    with pytest.raises(pyctd.InvalidArgumentError, match="spec must be a mapping"):
        to_json("spec", value)


def test_json_of_what_has_no_form_in_json() -> None:
    loop: dict[str, Any] = {}
    loop["loop"] = loop
    for value in ({"a": object()}, {"a": b"bytes"}, {"a": float("nan")}, {"a": {1, 2}}, loop):
        with pytest.raises(pyctd.InvalidArgumentError, match="no form in JSON"):
            to_json("spec", value)


@pytest.mark.parametrize("address", ["containerd.sock", "./c.sock", "", "unix://c.sock"])
def test_a_relative_address(address: str) -> None:
    with pytest.raises(pyctd.InvalidArgumentError, match="absolute path"):
        pyctd.Client(address)
    with pytest.raises(pyctd.InvalidArgumentError, match="absolute path"):
        pyctd.Engine(address)


def test_an_over_long_address() -> None:
    with pytest.raises(pyctd.InvalidArgumentError, match="at most 107 bytes"):
        pyctd.Client("/" + "x" * 107)
    assert check_address("unix:///" + "x" * 106) == "/" + "x" * 106


def test_a_backend_that_is_none() -> None:
    with pytest.raises(pyctd.InvalidArgumentError, match="backend must be"):
        pyctd.Client("/nowhere.sock", backend="events.log")  # type: ignore[arg-type]


@pytest.mark.parametrize("timeout", [-1, -0.5, float("nan"), "5", True])
def test_timeouts_that_are_none(timeout: Any) -> None:
    with pytest.raises(pyctd.InvalidArgumentError, match="timeout must be"):
        pyctd.Client("/nowhere.sock", timeout=timeout)


@pytest.mark.parametrize("timeout", [1e300, float("inf"), 2**70])
def test_timeouts_that_are_long(timeout: float) -> None:
    with pytest.raises(pyctd.UnavailableError):
        pyctd.Client("/nowhere.sock", timeout=timeout)


def test_no_daemon(tmp_path: Path) -> None:
    with pytest.raises(pyctd.UnavailableError, match=r"nowhere\.sock.*no such file"):
        pyctd.Client("/nowhere.sock")
    with pytest.raises(ConnectionError):
        pyctd.Client("/nowhere.sock")
    (tmp_path / "file").touch()
    with pytest.raises(pyctd.UnavailableError, match="connection refused"):
        pyctd.Client(tmp_path / "file")


def test_a_deadline_that_is_past() -> None:
    with pytest.raises(TimeoutError, match="deadline exceeded") as caught:
        pyctd.Client("/nowhere.sock", timeout=0)
    assert isinstance(caught.value, pyctd.DeadlineExceededError)


def test_a_relative_directory_is_that_of_this_moment() -> None:
    """Go, which knows no other working directory than the process's at some later moment, takes none."""
    with pytest.raises(pyctd.UnavailableError):
        pyctd.Client("/nowhere.sock", state_dir="state")
    with pytest.raises(pyctd.InvalidArgumentError, match="state_dir must be the path of a directory, not empty"):
        pyctd.Client("/nowhere.sock", state_dir="")


def test_a_namespace_that_is_none() -> None:
    for namespace in ("", "a/b", "../..", "x" * 77):
        with pytest.raises(pyctd.InvalidArgumentError):
            pyctd.Client("/nowhere.sock", namespace, "/tmp")


@pytest.mark.parametrize("wrong", [None, 5, b"moby", Path("moby")], ids=repr)
def test_what_is_no_string_is_named(wrong: Any) -> None:
    handle: Any = 0
    calls: dict[str, Callable[[], object]] = {
        "namespace": lambda: pyctd.Client("/nowhere.sock", wrong, "/tmp"),
        "id": lambda: operations.client_load_container(handle, wrong),
        "shim": lambda: operations.client_new_container(handle, False, "c", spec, wrong, None, ()),
        "process_id": lambda: operations.task_exec(handle, wrong, spec["process"], False, Attachment(None)),
    }
    spec = pyctd.spec.default("/", ["/bin/true"])
    for name, call in calls.items():
        with pytest.raises(pyctd.InvalidArgumentError, match=f"^{name} must be a string, not "):
            call()
    with pytest.raises(pyctd.InvalidArgumentError, match="^id must be a string, not "):
        operations.client_new_container(handle, False, wrong, spec, "runc", None, ())


@pytest.mark.parametrize("wrong", [None, "80", 80.0], ids=repr)
def test_what_is_no_number_is_named(wrong: Any) -> None:
    handle: Any = 0
    with pytest.raises(pyctd.InvalidArgumentError, match="^width must be a whole number, not "):
        operations.process_resize(handle, wrong, 24)
    with pytest.raises(pyctd.InvalidArgumentError, match="^height must be a whole number, not "):
        operations.process_resize(handle, 80, wrong)


def test_engine_arguments(tmp_path: Path) -> None:
    with pytest.raises(pyctd.InvalidArgumentError, match="takes no root or state"):
        pyctd.Engine("/some.sock", root=tmp_path)
    with pytest.raises(pyctd.InvalidArgumentError, match="log_level must be one of"):
        pyctd.Engine(log_level="loud")
    with pytest.raises(pyctd.InvalidArgumentError, match="too long"):
        pyctd.Engine(root=tmp_path, state=tmp_path / ("x" * 120))
    assert not (tmp_path / ("x" * 120)).exists()


def test_capture_takes_bytes() -> None:
    with pytest.raises(pyctd.InvalidArgumentError, match="stdin must be bytes"):
        pyctd.stdio.capture(stdin="text")  # type: ignore[arg-type]


def test_lines_knows_its_encoding() -> None:
    with pytest.raises(LookupError):
        pyctd.stdio.lines(print, encoding="klingon")


def test_times() -> None:
    assert to_datetime(0, 0) is None
    assert to_datetime(1, 0) == datetime(1970, 1, 1, 0, 0, 1, tzinfo=timezone.utc)
    assert to_datetime(0, 5000) == datetime(1970, 1, 1, 0, 0, 0, 5, tzinfo=timezone.utc)
    assert to_datetime(1, 5000) == datetime(1970, 1, 1, 0, 0, 1, 5, tzinfo=timezone.utc)
    assert to_datetime(2**33, 999_999_999) == datetime(2242, 3, 16, 12, 56, 32, 999999, tzinfo=timezone.utc)


def test_public_names() -> None:
    for name in pyctd.__all__:
        assert getattr(pyctd, name) is not None
    assert sorted(pyctd.__all__) == sorted(set(pyctd.__all__))
