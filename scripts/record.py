"""Records the README's picture of a terminal; run ``python scripts/record.py docs/terminal.svg`` as root.

It runs each command of the session in a pseudo-terminal, on its own containerd, and draws what the terminal showed.
"""

from __future__ import annotations

import os
import pty
import shutil
import subprocess
import sys
import tempfile
from html import escape
from itertools import groupby
from pathlib import Path

from rich.console import Console
from rich.style import Style
from rich.text import Text

import pyctd

WIDTH = 88
SESSION = (
    "pyctd run --rm --rootfs rootfs /bin/echo hello",
    "pyctd run -d --name web --hostname web -m 64m --rootfs rootfs /bin/sleep 600",
    "pyctd exec web /bin/sh -c 'echo hello from $(hostname); exit 3'; echo $?",
    "pyctd ps",
    "pyctd stats --no-stream",
    "pyctd rm --force web",
)
APPLETS = ("sh", "echo", "sleep", "hostname")
COLOURS = ("#5c6370", "#e06c75", "#98c379", "#e5c07b", "#61afef", "#c678dd", "#56b6c2", "#d7dae0")  # by ANSI number
FONT, LINE, ADVANCE, MARGIN = 14, 20, 8.43, 16


def rootfs(directory: Path) -> None:
    """Makes a root file system of busybox."""
    for name in ("bin", "dev", "proc", "sys", "tmp"):
        (directory / name).mkdir(parents=True)
    shutil.copy("/bin/busybox", directory / "bin")
    for applet in APPLETS:
        (directory / "bin" / applet).symlink_to("busybox")


def run(command: str, directory: Path, environment: dict[str, str]) -> str:
    """Runs a command line in a pseudo-terminal. Returns its output."""
    ours, theirs = pty.openpty()
    with open(ours, "rb", buffering=0) as output:
        process = subprocess.Popen(
            ["/bin/sh", "-c", command], cwd=directory, env=environment, stdin=theirs, stdout=theirs, stderr=theirs
        )
        os.close(theirs)
        written = b""
        try:
            while block := output.read(65536):
                written += block
        except OSError:  # EIO: the last process has closed the terminal
            pass
        process.wait()
    return written.decode().replace("\r\n", "\n")


def css(style: Style | None) -> str:
    """The SVG attributes for a style."""
    if style is None:
        return ""
    number = style.color.number if style.color else None
    attributes = "" if number is None else f' fill="{COLOURS[number % 8]}"'
    attributes += ' font-weight="bold"' if style.bold else ""
    return attributes + (' opacity="0.6"' if style.dim else "")


def draw(text: str) -> str:
    """The SVG of a terminal's contents."""
    console = Console(width=WIDTH, color_system="standard")
    lines = text.rstrip().split("\n")
    rows = []
    for number, line in enumerate(lines):
        segments = Text.from_ansi(line).render(console)
        spans = ""
        for look, stretch in groupby(segments, lambda segment: css(segment.style)):
            part = escape("".join(segment.text for segment in stretch), quote=False).replace(" ", "\N{NO-BREAK SPACE}")
            spans += f"<tspan{look}>{part}</tspan>" if look else part
        rows.append(f'<text x="{MARGIN}" y="{MARGIN + LINE * number + FONT}">{spans}</text>')
    width, height = round(WIDTH * ADVANCE + 2 * MARGIN), len(lines) * LINE + 2 * MARGIN
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        'aria-label="A recorded session of the pyctd command line">\n'
        f'<rect width="{width}" height="{height}" rx="8" fill="#1e222a"/>\n'
        f'<g font-family="ui-monospace, Menlo, Consolas, monospace" font-size="{FONT}" fill="#d7dae0" '
        'xml:space="preserve">\n' + "\n".join(rows) + "\n</g>\n</svg>\n"
    )


def main(target: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="pyctd-record-") as place, pyctd.Engine() as engine:
        rootfs(Path(place) / "rootfs")
        environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "CONTAINERD_ADDRESS": str(engine.address),
            "PYCTD_STATE_DIR": str(engine.bundles("moby")),
            "COLUMNS": str(WIDTH),
            "TERM": "xterm-256color",
        }
        environment.pop("NO_COLOR", None)
        shown = "".join(f"\x1b[32m$\x1b[0m {line}\n{run(line, Path(place), environment)}" for line in SESSION)
    target.write_text(draw(shown))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
