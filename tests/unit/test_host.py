"""What Go's callbacks come to in Python."""

from __future__ import annotations

import logging

import pytest

from pyctd._host import Host


def test_gos_levels_are_loggings(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="pyctd.libcontainerd")
    host = Host()
    for level in range(-1, 8):
        host.log(level, f"{level}", '{"key": "value", "module": "libcontainerd"}')
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("CRITICAL", "-1 key=value"),
        ("CRITICAL", "0 key=value"),
        ("CRITICAL", "1 key=value"),
        ("ERROR", "2 key=value"),
        ("WARNING", "3 key=value"),
        ("INFO", "4 key=value"),
        ("DEBUG", "5 key=value"),
        ("DEBUG", "6 key=value"),
        ("DEBUG", "7 key=value"),
    ]


def test_what_containerd_prints_has_a_logger_of_its_own(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    Host().log(4, "hello", '{"module": "containerd"}')
    Host().log(4, "hello", "")
    assert [record.name for record in caplog.records] == ["pyctd.containerd", "pyctd.libcontainerd"]
