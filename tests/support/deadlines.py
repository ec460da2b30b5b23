"""Every call that takes a timeout, on either face."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

import pyctd


def timed(thing: Any) -> set[str]:
    """The public methods of an object or a class that take a timeout."""
    methods = inspect.getmembers(thing, lambda one: inspect.isfunction(one) or inspect.ismethod(one))
    return {name for name, m in methods if name[0] != "_" and "timeout" in inspect.signature(m).parameters}


def timed_calls(
    client: Any, container: Any, task: Any, spec: dict[str, Any], directory: Any, timeout: float = 0
) -> dict[str, Callable[[], Any]]:
    """All calls by class and name. The default timeout has already expired. Asserts that no call is missing."""
    process = pyctd.spec.process(["/bin/true"])
    arguments: dict[Any, dict[str, tuple[Any, ...]]] = {
        client: {
            "version": (),
            "containers": (),
            "load_container": (container.id,),
            "new_container": ("late", spec),
            "replace_container": ("late", spec),
        },
        container: {
            "start": (),
            "new_task": (),
            "task": (),
            "attach_task": (pyctd.stdio.null(),),
            "delete": (),
            "info": (),
            "set_labels": ({"late": "label"},),
        },
        task: {
            "start": (),
            "pause": (),
            "resume": (),
            "stats": (),
            "pids": (),
            "summary": (),
            "force_delete": (),
            "exec": ("late", process),
            "load_process": ("late",),
            "update_resources": ({"pids": {"limit": 9}},),
            "create_checkpoint": (directory,),
            "kill": (9,),
            "resize": (80, 24),
            "wait": (),
            "delete": (),
            "close_stdin": (),
            "status": (),
        },
    }
    for thing, calls in arguments.items():
        assert timed(thing) == set(calls), type(thing)
    return {
        f"{type(thing).__name__}.{name}": partial(getattr(thing, name), *args, timeout=timeout)
        for thing, calls in arguments.items()
        for name, args in calls.items()
    }
