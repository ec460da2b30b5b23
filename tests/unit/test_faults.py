"""The planted faults of ``make mutants``: each one still fits the code and the tests."""

from __future__ import annotations

from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets a test import what is in scripts/."""
    monkeypatch.syspath_prepend(str(CHECKOUT))


def test_every_fault_fits_the_code_and_its_tests() -> None:
    from scripts import mutants

    assert not [f"{fault.file}: {fault.what}: {why}" for fault in mutants.everyone() if (why := mutants.stale(fault))]


def test_every_fault_in_python_compiles() -> None:
    """One that does not would fail the tests, whatever they test."""
    from scripts import mutants

    for fault in mutants.everyone():
        if not fault.in_go:
            compile(fault.planted(), fault.file, "exec")


def test_a_fault_whose_text_or_test_is_gone_is_stale() -> None:
    from scripts import mutants

    test = "unit/test_lines.py::test_lines_that_come_in_pieces"
    fault = mutants.Fault("pyctd/_streams/lines.py", "", "class ", "", [test])
    assert mutants.stale(fault) == ""
    assert "0 times" in mutants.stale(fault._replace(old="no such text"))
    assert "0 times" in mutants.stale(fault._replace(file="pyctd/no_such_file.py"))
    assert "2 times" in mutants.stale(fault._replace(old="import "))
    for gone in ("unit/test_lines.py::test_no_such", "unit/test_no_such.py::test_lines_that_come_in_pieces"):
        assert gone in mutants.stale(fault._replace(tests=[gone]))
    in_go = mutants.Fault("gosrc/internal/kind/kind.go", "", "package kind\n", "", ["TestKindsOfOtherErrors"])
    assert mutants.stale(in_go) == ""
    assert "TestKindsOf" in mutants.stale(in_go._replace(tests=["TestKindsOf"]))
