"""A root file system of busybox alone."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path


def make_rootfs(directory: Path) -> Path:
    """Fills directory with a static busybox under all its names, and the directories that a spec mounts on."""
    for name in ("bin", "dev", "etc", "proc", "root", "sys", "tmp", "var"):
        (directory / name).mkdir(parents=True, exist_ok=True)
    busybox = shutil.which("busybox") or "/bin/busybox"
    shutil.copy2(busybox, directory / "bin" / "busybox")
    names = subprocess.run([busybox, "--list"], check=True, capture_output=True, text=True).stdout.split()
    for name in names:
        if name != "busybox":
            os.symlink("busybox", directory / "bin" / name)
    (directory / "etc" / "passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (directory / "bin" / "notexecutable").write_text("this is text\n")
    (directory / "bin" / "notexecutable").chmod(0o644)
    return directory
