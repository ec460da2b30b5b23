"""What a test may leave behind, and how to tell."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import stat
import threading
import time
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pyctd
from pyctd import _native
from support.proc import parent

SETTLE = 60.0
"""Seconds that a shim, a goroutine or a socket may take to go once its test has ended."""

TOO_MANY = 500
"""Descriptors that the process of the tests has between two of them only if many tests have failed, or one badly."""


_made: weakref.WeakSet[_native.Queue] = weakref.WeakSet()
_make = _native.Queue.__init__


def _note(queue: _native.Queue, capacity: int) -> None:
    _make(queue, capacity)
    _made.add(queue)


_native.Queue.__init__ = _note  # type: ignore[method-assign, assignment]


def queues() -> int:
    """The completion queues there are, of those made since this module was loaded: some are kept for reuse, each with
    a handle and an eventfd."""
    return sum(queue.open for queue in tuple(_made))


def descriptors() -> Counter[str]:
    """Open descriptors by what they are; eventfds of completion queues left out."""
    found: Counter[str] = Counter()
    for fd in os.listdir("/proc/self/fd"):
        try:
            found[os.readlink(f"/proc/self/fd/{fd}")] += 1
        except FileNotFoundError:
            continue  # the listing's own
    found.pop(f"/proc/{os.getpid()}/fd", None)
    found["anon_inode:[eventfd]"] -= queues()
    return found


def threads() -> set[str]:
    """Python's threads, but for Go's, which Python sees as dummies."""
    return {f"{t.name}-{t.ident}" for t in threading.enumerate() if not isinstance(t, threading._DummyThread)}


def processes(word: str) -> dict[int, str]:
    """This user's processes with word in their command line, by pid; zombies have none. Other users' are not read: they
    may have any length, or be in a file whose server never answers."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and int(entry.name) != os.getpid() and _is_own(entry):
            try:
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if word in line:
                found[int(entry.name)] = line.strip()
    return found


def _is_own(process: Path) -> bool:
    """Whether all user ids of a process are this user's. Its directory is root's, too, once it has executed a program
    that changes users."""
    with contextlib.suppress(OSError):
        for line in (process / "status").read_text(errors="replace").splitlines():
            if line.startswith("Uid:"):
                return set(line.split()[1:]) == {str(os.geteuid())}
    return False


def shims(directory: Path) -> dict[int, str]:
    """The shims of daemons whose socket is below directory: root's, and in no container."""
    return {
        pid: line
        for pid, line in processes(f"-address {directory}/").items()
        if "containerd-shim" in line and trusted(pid)
    }


def trusted(pid: int) -> bool:
    """Whether a process is as privileged as this one, so that no other user and no container has made it."""
    try:
        return _is_own(Path(f"/proc/{pid}")) and all(
            os.readlink(f"/proc/{pid}/ns/{space}") == os.readlink(f"/proc/self/ns/{space}")
            for space in ("user", "pid", "mnt")
        )
    except OSError:
        return False


def mounts(directory: Path) -> set[str]:
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return {line.split()[4] for line in lines if line.split()[4].startswith(f"{directory}/")}


@dataclass
class Files:
    """What a test may leave below a directory. One walk finds it all, for there is one before and after each test.

    Attributes:
        fifos: the FIFOs.
        bundles: the containers' directories in every state directory of the tests.
        runc_states: what runc keeps of containers in every state directory of the tests.
        uuids: the files in which daemons keep their uuids.
    """

    fifos: set[str] = field(default_factory=set)
    bundles: set[str] = field(default_factory=set)
    runc_states: set[str] = field(default_factory=set)
    uuids: list[str] = field(default_factory=list)

    @classmethod
    def below(cls, directory: Path) -> Files:
        found = cls()
        places = [os.fspath(directory)]
        start = len(places[0]) + 1
        while places:
            try:
                with os.scandir(places.pop()) as listing:
                    entries = list(listing)
            except OSError:
                continue  # it is gone
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    places.append(entry.path)
                elif _is_fifo(entry):
                    found.fifos.add(entry.path)
                match entry.path[start:].split("/"):
                    case [_, "bundles", _, name] if not name.startswith("."):
                        found.bundles.add(entry.path)
                    case [_, "bundles", _, ".runc", _, _, _]:
                        found.runc_states.add(entry.path)
                    case [*_, plugin, "uuid"] if plugin.startswith("io.containerd.") and "introspection" in plugin:
                        found.uuids.append(entry.path)
        return found


def _is_fifo(entry: os.DirEntry[str]) -> bool:
    if entry.is_file(follow_symlinks=False) or entry.is_symlink():  # which the listing has told already
        return False
    with contextlib.suppress(FileNotFoundError):
        return stat.S_ISFIFO(entry.stat(follow_symlinks=False).st_mode)
    return False


def fifos(directory: Path) -> set[str]:
    """The FIFOs below directory."""
    return Files.below(directory).fifos


def bundles_of(client: pyctd.Client) -> list[str]:
    """The containers' directories of one client."""
    return sorted(path.name for path in Path(client.state_dir).glob("[!.]*"))


def cgroup_trees(directory: Path) -> Iterator[Path]:
    """The cgroups of the daemons whose root directory is below directory, a tree in each hierarchy."""
    return _trees(Files.below(directory).uuids)


def _trees(files: list[str]) -> Iterator[Path]:
    uuids = []
    for file in files:
        with contextlib.suppress(FileNotFoundError):  # a daemon that is gone
            uuids.append(Path(file).read_text().strip())
    mounted = "/sys/fs/cgroup"
    for hierarchy in (mounted, *_directories(mounted)) if uuids else ():
        for uuid in uuids:
            tree = Path(hierarchy, "pyctd", uuid)
            if tree.is_dir():
                yield tree


def _directories(directory: Path | str) -> list[str]:
    """Those in a directory, as the listing tells without a look at each file; none where it is gone."""
    with contextlib.suppress(FileNotFoundError), os.scandir(directory) as entries:
        return [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
    return []


def _cgroups(uuids: list[str]) -> set[str]:
    """The cgroups of containers of the tests' daemons. Namespaces have cgroups until their daemon ends: hundreds in the
    end, most of which have nothing below them, which the kernel tells by their links."""
    found: set[str] = set()
    for tree in _trees(uuids):
        for namespace in _directories(tree):
            with contextlib.suppress(FileNotFoundError):
                if os.stat(namespace).st_nlink > 2:
                    found.update(_directories(namespace))
    return found


def remove_cgroups(directory: Path) -> bool:
    """Removes what the tests' daemons have left of cgroups, as far as nothing runs there. Tells whether that is all."""
    for tree in cgroup_trees(directory):
        for cgroup in (*tree.glob("*/*/"), *tree.glob("*/"), tree):
            with contextlib.suppress(OSError):
                cgroup.rmdir()
    return not any(tree.exists() for tree in cgroup_trees(directory))


@dataclass
class Snapshot:
    """What exists at one moment."""

    counts: dict[str, int]
    descriptors: Counter[str]
    names: dict[str, set[str]]

    @classmethod
    def take(cls, directory: Path) -> Snapshot:
        gc.collect()
        counts = _native.counts()._asdict()
        counts["handles"] -= queues()
        files = Files.below(directory)
        return cls(
            counts,
            descriptors(),
            {
                "Python threads": threads(),
                "shims": {f"{pid}: {line}" for pid, line in shims(directory).items()},
                "mounts": mounts(directory),
                "FIFOs": files.fifos,
                "bundles": files.bundles,
                "runc's states": files.runc_states,
                "cgroups": _cgroups(files.uuids),
            },
        )

    def beyond(self, before: Snapshot) -> list[str]:
        """What this one has and the earlier one had not, in words."""
        found = [
            f"{value - before.counts[name]} {name} (of {value})"
            for name, value in self.counts.items()
            if value > before.counts[name]
        ]
        if more := {name: n for name, n in (self.descriptors - before.descriptors).items() if n > 0}:
            found.append(f"descriptors: {more}")
        found += [f"{what}: {sorted(new)}" for what, names in self.names.items() if (new := names - before.names[what])]
        return found


def settle(before: Snapshot, directory: Path, seconds: float) -> list[str]:
    """Waits until nothing is left beyond ``before``; what is left at last."""
    until = time.monotonic() + seconds
    while (left := Snapshot.take(directory).beyond(before)) and time.monotonic() < until:
        time.sleep(0.05)
    return left


def kill_shims(directory: Path) -> None:
    """Ends shims that a failed test left, and what runs under them."""
    for shim in shims(directory):
        with contextlib.suppress(OSError):
            children = Path(f"/proc/{shim}/task/{shim}/children").read_text().split()
            for child in map(int, children):
                _kill(child, lambda pid, shim=shim: parent(pid) == shim)  # type: ignore[misc]
            _kill(shim, lambda pid: pid in shims(directory))


def _kill(pid: int, wanted: Callable[[int], bool]) -> None:
    """Kills the process that has the number now, if it is wanted; none that gets the number later."""
    descriptor = os.pidfd_open(pid)
    try:
        if wanted(pid):
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
    finally:
        os.close(descriptor)
