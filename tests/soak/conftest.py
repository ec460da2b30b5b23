"""A soak as a plot of its course, where SOAK_PLOT names a file for it."""

from __future__ import annotations

import json
import os
from pathlib import Path

from rich.console import Console
from support.soak import samples


def pytest_terminal_summary() -> None:
    if samples and (path := os.environ.get("SOAK_PLOT")):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).with_suffix(".json").write_text(json.dumps(samples))
        Console(width=140).print(plot(Path(path)))


def plot(file: Path) -> str:
    """Draws what each process was made of, from its start to its end; what to say of it."""
    try:
        import matplotlib
    except ImportError:
        return "no plot: matplotlib is not installed (pip install 'pyctd[bench]')"
    matplotlib.use("Agg")
    from matplotlib import pyplot

    names = {"RSS": "resident set, MiB", **{name: name for name in ("handles", "goroutines", "descriptors", "threads")}}
    figure, axes = pyplot.subplots(len(names), figsize=(9, 11), sharex=True)
    for axis, (name, title) in zip(axes, names.items(), strict=True):
        for what, weights in samples.items():
            values = [weight[name] / (1 << 20 if name == "RSS" else 1) for weight in weights]
            axis.plot([(at + 1) / len(values) for at in range(len(values))], values, label=what, linewidth=1)
        axis.set_ylabel(title)
        axis.set_ylim(bottom=0)
    axes[-1].set_xlabel("share of what was done")
    axes[0].legend(fontsize="x-small", ncols=3)
    figure.tight_layout()
    figure.savefig(file)
    return f"the course of it all is in {file}"
