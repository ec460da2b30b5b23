"""A container's cgroup by the kernel's own files, on cgroup v1, v2 and machines with both."""

from __future__ import annotations

from pathlib import Path

#: Shell that mounts cgroup v2 at /sys/fs/cgroup, for a mount namespace of its own. A new mount without the options that
#: the machine's has, such as nsdelegate, would take them off that one, too.
MOUNT_V2 = """{
    mount --bind "$(findmnt --noheadings --first-only --types cgroup2 --output TARGET)" /sys/fs/cgroup ||
    mount -t cgroup2 none /sys/fs/cgroup
}"""


class Cgroup:
    """The cgroup of a process: a directory in each hierarchy of v1, and one in v2's.

    Attributes:
        directories: the one for each v1 controller, and under "" the one in v2's hierarchy, as far as they are mounted.
        own: those of them that are not the root of their hierarchy.
    """

    def __init__(self, pid: int) -> None:
        mounts = _mounts()
        self.directories: dict[str, Path] = {}
        self.own: set[Path] = set()
        for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
            _, names, path = line.split(":", 2)
            for name in names.split(","):
                if name in mounts:
                    root, target = mounts[name]
                    below = path.removeprefix(root) if root != "/" else path
                    self.directories[name] = target / below.lstrip("/")
                    if path != "/":
                        self.own.add(self.directories[name])

    @property
    def v2(self) -> bool:
        """Whether cgroup v2 has the controllers: there is none of v1's."""
        return "memory" not in self.directories

    def controllers(self) -> set[str]:
        """The controllers that v2 has for this cgroup."""
        return set(self.text("", "cgroup.controllers").split())

    def leave(self, pid: int) -> None:
        """Moves a process into the root of each hierarchy, and removes these cgroups."""
        for directory in self.own:
            root = next(parent for parent in directory.parents if not (parent.parent / "cgroup.procs").exists())
            (root / "cgroup.procs").write_text(str(pid))
            directory.rmdir()

    def freeze(self) -> None:
        """Stops its processes, without containerd's knowledge."""
        if "freezer" in self.directories:
            self.file("freezer", "freezer.state").write_text("FROZEN")
        else:
            self.file("", "cgroup.freeze").write_text("1")

    def file(self, controller: str, name: str) -> Path:
        """A file of a controller: of v1's where that has the controller, else of v2's."""
        return self.directories.get(controller, self.directories.get("", Path("/nowhere"))) / name

    def text(self, controller: str, name: str) -> str:
        return self.file(controller, name).read_text().strip()

    def table(self, controller: str, name: str) -> dict[str, int]:
        """A file of lines of a name and a number, such as memory.stat."""
        return {key: int(value) for key, value in map(str.split, self.text(controller, name).splitlines())}


def _mounts() -> dict[str, tuple[str, Path]]:
    """For each v1 controller, and "" for v2, what of its hierarchy is mounted, and where."""
    found: dict[str, tuple[str, Path]] = {}
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        own, _, rest = line.partition(" - ")
        kind, _, options = rest.split(" ", 2)
        root, target = own.split()[3:5]
        if kind == "cgroup2":
            found.setdefault("", (root, Path(target)))
        elif kind == "cgroup":
            for name in options.split(","):
                found.setdefault(name, (root, Path(target)))
    return found
