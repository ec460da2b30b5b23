"""The C ABI by CFFI directly: the header against the library, and the worst that a caller may pass."""

from __future__ import annotations

import os
import re
import select
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.header import HEADER, without_comments

import pyctd
from pyctd import _native
from pyctd._native import externs
from pyctd.errors import BY_KIND

OK, INVALID_ARGUMENT, NOT_FOUND, CLOSED = 0, 2, 3, 14


def header_functions() -> set[str]:
    return set(re.findall(r"^[\w ]+?[ *](pyctd_\w+)\(", without_comments(), re.MULTILINE))


def library() -> Path:
    assert pyctd.__file__
    return Path(pyctd.__file__).parent / "libpyctd.so"


def exported(path: Path) -> set[str]:
    """The global functions that an ELF file defines, from its dynamic symbol table."""
    data = path.read_bytes()
    assert data[:5] == b"\x7fELF\x02", "not a 64-bit ELF file"
    start, size, count = (
        struct.unpack_from("<Q", data, 0x28)[0],
        *struct.unpack_from("<HH", data, 0x3A),
    )
    sections = [struct.unpack_from("<IIQQQQIIQQ", data, start + i * size) for i in range(count)]
    dynsym = next(s for s in sections if s[1] == 11)
    strings = sections[dynsym[6]]
    names = set()
    for at in range(dynsym[4], dynsym[4] + dynsym[5], 24):
        name, info, _, section = struct.unpack_from("<IBBH", data, at)
        if section and info >> 4 == 1 and info & 15 == 2:
            first = strings[4] + name
            names.add(data[first : data.index(b"\0", first)].decode())
    return names


def test_header_and_library_agree() -> None:
    declared = header_functions()
    defined = {name for name in exported(library()) if name.startswith("pyctd_")}
    assert len(declared) > 35
    assert declared == defined


def test_header_and_cffi_agree() -> None:
    lib = _native.load()
    assert {name for name in header_functions() if not hasattr(lib, name)} == set()


def test_the_header_has_the_version_of_the_abi() -> None:
    lib = _native.load()
    assert lib.pyctd_abi_version() == lib.PYCTD_ABI_VERSION
    assert f"#define PYCTD_ABI_VERSION {lib.PYCTD_ABI_VERSION}\n" in HEADER.read_text()


PROGRAM_IN_CPP = """
#include "pyctd.h"
#include "pyctd.h"  // a second time does nothing
int main() {
    pyctd_callbacks callbacks = {};
    callbacks.size = sizeof callbacks;
    return pyctd_abi_version() == PYCTD_ABI_VERSION && pyctd_init(&callbacks, 3) == PYCTD_INVALID_ARGUMENT ? 0 : 1;
}
"""


@pytest.mark.skipif(shutil.which("g++") is None, reason="there is no g++")
def test_a_program_in_cpp(tmp_path: Path) -> None:
    source, program = tmp_path / "program.cpp", tmp_path / "program"
    source.write_text(PROGRAM_IN_CPP)
    package = library().parent
    flags = ["-Wall", "-Wextra", "-pedantic", "-Werror", f"-I{package}", f"-L{package}", f"-Wl,-rpath,{package}"]
    subprocess.run(["g++", *flags, "-o", program, source, "-lpyctd"], check=True, timeout=120)
    assert subprocess.run([program], check=False, timeout=60).returncode == 0


def test_error_kinds_agree_with_the_header() -> None:
    lib = _native.load()
    kinds = dict(
        re.findall(r"^    PYCTD_([A-Z_]+) = (\d+)", HEADER.read_text().partition("} pyctd_kind;")[0], re.MULTILINE)
    )
    assert {int(number) for number in kinds.values()} == {0, *BY_KIND}
    for name, number in kinds.items():
        assert getattr(lib, f"PYCTD_{name}") == int(number)
        if int(number):
            words = {"CALLBACK": "Stdio"}.get(name, name.title().replace("_", ""))
            assert BY_KIND[int(number)].__name__ == f"{words}Error"


class Abi:
    """Operations with a queue of its own."""

    def __init__(self) -> None:
        self.lib = _native.load()
        self.ffi = _native.state.ffi
        fd = self.ffi.new("int32_t *")
        self.queue = self.lib.pyctd_queue_new(fd)
        self.fd = fd[0]

    def done(self, op: int) -> tuple[int, bytes]:
        """The kind and data of the outcome of op, the only one under way."""
        assert op > 0, f"not started: {op}"
        assert select.select([self.fd], [], [], 30)[0]
        out = self.ffi.new("pyctd_completion *")
        assert self.lib.pyctd_queue_drain(self.queue, out, 1) == 1
        assert out.op == op
        data = self.ffi.buffer(out.data, out.len)[:] if out.data else b""
        self.lib.pyctd_free(out.data)
        return out.kind, data


@pytest.fixture
def abi() -> Iterator[Abi]:
    abi = Abi()
    yield abi
    assert abi.lib.pyctd_release(abi.queue) == OK
    assert abi.lib.pyctd_release(abi.queue) == CLOSED


#: Every operation, with arguments that are wrong or empty in each place after the handle.
OPERATIONS: dict[str, tuple[Any, ...]] = {
    "client_version": (),
    "client_load_container": (None, 0),
    "client_containers": (None, 0),
    "client_new_container": (0, None, 0, None, 0, None, 0, None, 0, None, 0),
    "container_new_task": (None, 0, 0, 0, 0),
    "container_task": (0,),
    "container_delete": (),
    "container_info": (),
    "container_set_labels": (None, 0),
    "process_kill": (9,),
    "process_resize": (80, 24),
    "process_delete": (),
    "process_wait": (),
    "process_close_stdin": (),
    "process_status": (),
    "task_start": (),
    "task_pause": (),
    "task_resume": (),
    "task_stats": (),
    "task_pids": (),
    "task_summary": (),
    "task_force_delete": (),
    "task_load_process": (None, 0),
    "task_exec": (None, 0, None, 0, 0, 0),
    "task_update_resources": (None, 0),
    "task_create_checkpoint": (None, 0, 0),
    "stdio_open": (0,),
    "stdio_close_stream": (0,),
    "stdio_cancel": (),
    "stdio_close": (),
    "engine_stop": (),
    "engine_discard": (1, 1),
}


def call(abi: Abi, name: str, handle: int) -> int:
    null = [abi.ffi.NULL if a is None else a for a in OPERATIONS[name]]
    result: int = getattr(abi.lib, f"pyctd_{name}")(abi.queue, -1, handle, *null)
    return result


def test_every_operation_is_in_the_list() -> None:
    queued = set(re.findall(r"pyctd_(\w+)\(pyctd_handle queue, int64_t", without_comments()))
    assert queued == {*OPERATIONS, "client_new", "engine_start"}


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("handle", [0, 1, 1 << 32, (1 << 63) - 1, (1 << 64) - 1])
def test_forged_handles(abi: Abi, name: str, handle: int) -> None:
    kind, text = abi.done(call(abi, name, handle))
    # 1 << 32 may be a live handle, of a type that is wrong for every operation
    assert kind in (CLOSED, INVALID_ARGUMENT)
    assert text


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_handle_of_the_wrong_type(abi: Abi, name: str) -> None:
    kind, text = abi.done(call(abi, name, abi.queue))
    assert kind == INVALID_ARGUMENT
    assert b"wrong type" in text or b"must be" in text


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_stale_handle(abi: Abi, name: str) -> None:
    stale = Abi().queue
    assert abi.lib.pyctd_release(stale) == OK
    kind, _ = abi.done(call(abi, name, stale))
    assert kind in (CLOSED, INVALID_ARGUMENT)
    assert abi.lib.pyctd_release(stale) == CLOSED


def test_a_reused_slot_does_not_answer_to_the_old_number(abi: Abi) -> None:
    fd = abi.ffi.new("int32_t *")
    first = abi.lib.pyctd_queue_new(fd)
    assert abi.lib.pyctd_release(first) == OK
    second = abi.lib.pyctd_queue_new(fd)
    try:
        assert second != first
        assert abi.lib.pyctd_queue_drain(first, abi.ffi.new("pyctd_completion *"), 1) == -CLOSED
        assert abi.lib.pyctd_release(first) == CLOSED
    finally:
        assert abi.lib.pyctd_release(second) == OK


def test_listening_to_what_is_no_client(abi: Abi) -> None:
    assert abi.lib.pyctd_client_listen(abi.queue, 1) == INVALID_ARGUMENT
    assert abi.lib.pyctd_client_listen(0, 1) == abi.lib.pyctd_client_listen(2**64 - 1, 0) == CLOSED


@pytest.mark.parametrize("name", ["client_version", "engine_stop", "task_exec"])
def test_a_queue_that_is_none(abi: Abi, name: str) -> None:
    null = [abi.ffi.NULL if a is None else a for a in OPERATIONS[name]]
    function = getattr(abi.lib, f"pyctd_{name}")
    assert function(0, -1, abi.queue, *null) == -CLOSED
    assert function(2**64 - 1, -1, abi.queue, *null) == -CLOSED


def test_null_pointers(abi: Abi) -> None:
    null = abi.ffi.NULL
    assert abi.lib.pyctd_queue_new(null) == 0
    assert abi.lib.pyctd_queue_drain(abi.queue, null, 4) == -INVALID_ARGUMENT
    assert abi.lib.pyctd_queue_drain(0, abi.ffi.new("pyctd_completion *"), 1) == -CLOSED
    assert abi.lib.pyctd_event_ack(0, null, 0) == NOT_FOUND
    assert abi.lib.pyctd_event_ack(2**64 - 1, b"x", 1) == NOT_FOUND
    assert abi.lib.pyctd_init(null, 0) != OK
    for op in (0, -1, 2**62):
        assert abi.lib.pyctd_cancel(op) == NOT_FOUND
    abi.lib.pyctd_free(null)
    abi.lib.pyctd_get_counts(null)


def test_init_a_second_time(abi: Abi) -> None:
    callbacks = externs.structure(abi.ffi, abi.lib)
    assert BY_KIND[abi.lib.pyctd_init(callbacks, 0)] is pyctd.AlreadyExistsError


INITIALISERS = """
import ctypes, sys, threading, time
lib = ctypes.CDLL(sys.argv[1])
nothing = ctypes.CFUNCTYPE(None)(lambda: None)
callbacks = (ctypes.c_void_p * 5)(40, *[ctypes.cast(nothing, ctypes.c_void_p).value] * 4)
together, answers = threading.Barrier(8), []
def initialise():
    together.wait()
    answers.append(lib.pyctd_init(callbacks, 0))
threads = [threading.Thread(target=initialise) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
counts = (ctypes.c_uint64 * 4)()
end = time.monotonic() + 1
while time.monotonic() < end:  # what Go's runtime starts once ends
    lib.pyctd_get_counts(counts)
    if counts[3] <= 2: break
    time.sleep(0.01)
print(sorted(answers), counts[3])
"""


def test_init_from_several_threads_at_once() -> None:
    """One makes what there is one of: the carrier of log records, and whose log it is."""
    for _ in range(20):
        done = subprocess.run(
            [sys.executable, "-S", "-c", INITIALISERS, library()], capture_output=True, text=True, check=True
        )
        assert done.stdout == f"{[0, *[4] * 7]} 2\n"


def test_the_size_of_the_callbacks(abi: Abi) -> None:
    """A caller with fewer members is refused, and what a newer one has beyond them is ignored."""
    callbacks = externs.structure(abi.ffi, abi.lib)
    whole = callbacks.size
    assert whole == abi.ffi.sizeof("pyctd_callbacks")
    for size in (0, 1, abi.ffi.sizeof("size_t"), whole - 1):
        callbacks.size = size
        assert abi.lib.pyctd_init(callbacks, 0) == INVALID_ARGUMENT
    for size in (whole, whole + 8, 2**64 - 1):
        callbacks.size = size
        assert BY_KIND[abi.lib.pyctd_init(callbacks, 0)] is pyctd.AlreadyExistsError
    callbacks.size, callbacks.on_io = whole, abi.ffi.NULL
    assert abi.lib.pyctd_init(callbacks, 0) == INVALID_ARGUMENT


def new_client(abi: Abi, address: bytes, namespace: bytes = b"moby") -> tuple[int, bytes]:
    return abi.done(
        abi.lib.pyctd_client_new(abi.queue, 5 * 10**9, address, len(address), namespace, len(namespace), b"/run", 4, 1)
    )


@pytest.mark.parametrize(
    "address",
    [b"", b"\xff\xfe", b"/nowhere/\xff\xfe", b"a" * (64 << 20), b"/with\0nul"],
    ids=["empty", "bad UTF-8", "bad UTF-8 path", "64 MiB", "NUL"],
)
def test_strange_addresses(abi: Abi, address: bytes) -> None:
    kind, text = new_client(abi, address)
    assert kind != OK
    assert text
    text.decode()  # whatever went in, what comes back is UTF-8


@pytest.mark.parametrize(
    "namespace", [b"", b"\xff", b"../..", b"x" * (64 << 20)], ids=["empty", "bad UTF-8", "dots", "64 MiB"]
)
def test_strange_namespaces(abi: Abi, namespace: bytes) -> None:
    kind, text = new_client(abi, b"/nowhere", namespace)
    assert kind == INVALID_ARGUMENT
    text.decode()


def test_a_length_without_a_pointer(abi: Abi) -> None:
    op = abi.lib.pyctd_client_new(abi.queue, 10**9, abi.ffi.NULL, 1 << 40, abi.ffi.NULL, 9, abi.ffi.NULL, 0, 0)
    assert abi.done(op)[0] == INVALID_ARGUMENT


def test_a_length_that_no_string_can_have(abi: Abi) -> None:
    op = abi.lib.pyctd_client_new(abi.queue, 10**9, b"/nowhere", 8, b"moby", (1 << 31) + 5, b"/run", 4, 0)
    assert abi.done(op)[0] == INVALID_ARGUMENT


def test_a_capacity_without_bound(abi: Abi) -> None:
    op = abi.lib.pyctd_client_new(abi.queue, 0, b"/nowhere", 8, b"moby", 4, b"/run", 4, 0)
    assert select.select([abi.fd], [], [], 30)[0]
    out = abi.ffi.new("pyctd_completion *")
    assert abi.lib.pyctd_queue_drain(abi.queue, out, 2**64 - 1) == 1
    assert out.op == op
    abi.lib.pyctd_free(out.data)


UNINITIALISED = """
import ctypes, sys
lib = ctypes.CDLL(sys.argv[1])
none = ctypes.c_uint64(0)
lib.pyctd_client_version.restype = lib.pyctd_queue_drain.restype = ctypes.c_int64
print(lib.pyctd_client_version(none, ctypes.c_int64(-1), none))
print(lib.pyctd_queue_drain(none, ctypes.byref(ctypes.create_string_buffer(256)), ctypes.c_size_t(1)))
print(lib.pyctd_queue_new(ctypes.byref(ctypes.c_int32())))
print(lib.pyctd_release(none), lib.pyctd_let_go(none), lib.pyctd_client_listen(none, 1), lib.pyctd_cancel(none))
print(lib.pyctd_undone(none), lib.pyctd_shutdown(none))
"""


def test_calls_before_the_initialisation() -> None:
    done = subprocess.run(
        [sys.executable, "-S", "-c", UNINITIALISED, library()], capture_output=True, text=True, check=True
    )
    refused = next(number for number, error in BY_KIND.items() if error is pyctd.FailedPreconditionError)
    everywhere_closed = f"{CLOSED} {CLOSED} {CLOSED} {NOT_FOUND}"
    assert done.stdout.splitlines() == [f"{-refused}", f"{-CLOSED}", "0", everywhere_closed, "0 0"]


def test_a_deadline_that_is_past(abi: Abi) -> None:
    op = abi.lib.pyctd_client_new(abi.queue, 0, b"/nowhere", 8, b"moby", 4, b"/run", 4, 0)
    kind, text = abi.done(op)
    assert BY_KIND[kind] is pyctd.DeadlineExceededError
    assert text == b"context deadline exceeded"


def test_releasing_a_queue_with_an_operation_on_it() -> None:
    abi = Abi()
    listener = f"/tmp/pyctd-test-{os.getpid()}.sock"
    op = abi.lib.pyctd_client_new(abi.queue, 10**9, listener.encode(), len(listener), b"moby", 4, b"/run", 4, 0)
    assert op > 0
    assert abi.lib.pyctd_release(abi.queue) == OK
