"""gevent and eventlet: refused where they would hang, and served where they leave threads alone."""

from __future__ import annotations

import pytest
from support.programs import Programs

RUN = """
    with connect() as client:
        out = pyctd.stdio.capture()
        container = client.new_container("green", spec("/bin/echo", "hello"))
        task = container.start(attach_stdio=out)
        print(task.wait(timeout=20).exit_code, out.stdout)
        task.delete(), container.delete()
"""
PATCHES = {
    "gevent": "import gevent.monkey; gevent.monkey.patch_all({})",
    "eventlet": "import warnings; warnings.simplefilter('ignore'); import eventlet; eventlet.monkey_patch({})",
}
green = pytest.mark.parametrize("library", PATCHES)


def program(library: str, arguments: str, rest: str) -> str:
    """Patched first of all, as both libraries want it."""
    return f"    {PATCHES[library].format(arguments)}\n{rest}"


@green
@pytest.mark.parametrize("arguments", ["", "select=False", "thread=False"])
def test_patched_threads_or_polls_are_refused_at_the_first_call(
    programs: Programs, library: str, arguments: str
) -> None:
    told = """
    try:
        connect()
    except pyctd.FailedPreconditionError as error:
        print(error)
"""
    if library == "eventlet" and arguments:
        arguments = {"select=False": "thread=True", "thread=False": "select=True"}[arguments]
    assert programs.check(program(library, arguments, told)) == (
        f"{library} has patched thread or select, and pyctd needs the system's threads: leave them unpatched"
        " (thread=False, select=False), or use pyctd in a process of its own\n"
    )


@green
def test_a_container_runs_where_threads_and_polls_are_not_patched(programs: Programs, library: str) -> None:
    assert programs.check(program(library, "thread=False, select=False", RUN)) == "0 b'hello\\n'\n"


@green
def test_the_libraries_alone_do_no_harm(programs: Programs, library: str) -> None:
    assert programs.check(f"    import warnings; warnings.simplefilter('ignore'); import {library}\n{RUN}") == (
        "0 b'hello\\n'\n"
    )
