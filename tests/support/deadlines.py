"""Every call that takes a timeout, on either face, with one that is past."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

import pyctd


def late_calls(
    client: Any, container: Any, task: Any, spec: dict[str, Any], directory: Any
) -> dict[str, Callable[[], Any]]:
    """The calls by their classes and names; none may be missing."""
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
        methods = dict(inspect.getmembers(thing, inspect.ismethod))
        timed = {name for name, m in methods.items() if "timeout" in inspect.signature(m).parameters and name[0] != "_"}
        assert timed == set(calls), type(thing)
    return {
        f"{type(thing).__name__}.{name}": partial(getattr(thing, name), *args, timeout=0)
        for thing, calls in arguments.items()
        for name, args in calls.items()
    }
