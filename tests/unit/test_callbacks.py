"""What Go hands over, unpacked; and which log records it makes."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest

import pyctd
from pyctd import _native
from pyctd._native import externs


def unpacked(ffi: Any, fields: dict[str, int], container: bytes, process: bytes, error: bytes | None) -> Any:
    """What becomes of an event as C has it."""
    event = ffi.new("pyctd_event *", fields)
    event.container_id_len, event.process_id_len = len(container), len(process)
    event.error_len = -1 if error is None else len(error)
    return externs.unpack_event(ffi.buffer(event), container + process + (error or b""))


def test_every_field_of_an_event_arrives() -> None:
    _native.load()
    full = {
        "cookie": 2**64 - 1,
        "token": 2**63,
        "sec": -1,
        "nsec": 999_999_999,
        "type": 8,
        "pid": 2**32 - 1,
        "exit_code": 255,
        "origin": 1,
    }
    given: list[tuple[dict[str, int], bytes, bytes, bytes | None]] = [
        (full, b"container", b"process", "no\u00e9".encode()),
        ({}, b"", b"", b""),
        ({"type": 1}, b"c", b"\xff", None),
    ]
    assert [unpacked(_native.state.ffi, *one) for one in given] == [
        (2**64 - 1, 2**63, 8, 2**32 - 1, 255, -1, 999_999_999, "container", "process", "no\u00e9", 1),
        (0, 0, 0, 0, 0, 0, 0, "", "", "", 0),
        (0, 0, 1, 0, 0, 0, 0, "c", "\ufffd", None, 0),
    ]


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    logger = logging.getLogger("pyctd.libcontainerd")
    before = logger.level
    yield logger
    logger.setLevel(before)
    _native.library.match_log_level()


@pytest.mark.parametrize(
    ("level", "made"),
    [(logging.CRITICAL, 3), (logging.WARNING, 3), (logging.INFO, 4), (logging.DEBUG, 5), (1, 5)],
)
def test_go_makes_the_records_that_logging_shows(logger: logging.Logger, level: int, made: int) -> None:
    _native.load()
    logger.setLevel(level)
    with pytest.raises(pyctd.UnavailableError):
        pyctd.Client("/nowhere/c.sock")  # any call will do
    assert _native.state.log_level == made


def test_a_log_level_that_there_is_not() -> None:
    lib = _native.load()
    assert lib.pyctd_set_log_level(7) == lib.pyctd_set_log_level(-1) == lib.PYCTD_INVALID_ARGUMENT
