"""Builds CFFI's out-of-line module ``pyctd._ffi`` from the marked part of ``pyctd.h``. CFFI runs this file by path."""

from __future__ import annotations

import re
from pathlib import Path

from cffi import FFI

HEADER = Path(__file__).resolve().parents[1] / "gosrc" / "pyctd.h"

#: The Python functions that Go calls, with the types of pyctd_callbacks' members.
CALLBACKS = """
extern "Python" int32_t pyctd_py_on_event(const pyctd_event *event, const char *strings, size_t strings_len);
extern "Python" int32_t pyctd_py_on_stdio(uint64_t cookie, const pyctd_stdio *io);
extern "Python" void pyctd_py_on_io(uint64_t cookie, int32_t call);
extern "Python" void pyctd_py_on_log(int32_t level, const char *text, size_t text_len,
                                     const char *fields, size_t fields_len);
"""

#: A handle's finalizer. It is in C, because a Ctrl-C during a Python finalizer is lost. It works only in the process
#: that loaded the library, until the library is shut down.
RELEASE = """
void pyctd_py_own(int32_t own);
void pyctd_py_release(void *handle);
"""
RELEASE_SOURCE = """
#include <unistd.h>
#include "pyctd.h"

static pid_t owner;

static void pyctd_py_own(int32_t own) { owner = own ? getpid() : 0; }

static void pyctd_py_release(void *handle)
{
    if (owner == getpid())
        pyctd_let_go((pyctd_handle)(uintptr_t)handle);
}
"""


def declarations() -> str:
    """The part of pyctd.h that is marked for CFFI."""
    marked = re.search(r"/\* CFFI: begin \*/(.*)/\* CFFI: end \*/", HEADER.read_text(), re.DOTALL)
    if marked is None:
        raise SystemExit(f"{HEADER} has lost its CFFI marks")
    return marked.group(1)


ffibuilder = FFI()
ffibuilder.cdef(declarations() + CALLBACKS + RELEASE)
ffibuilder.set_source(
    "pyctd._ffi",
    RELEASE_SOURCE,
    include_dirs=["gosrc"],
    libraries=["pyctd"],
    extra_link_args=["-Wl,-rpath,$ORIGIN"],
    py_limited_api=True,
)
