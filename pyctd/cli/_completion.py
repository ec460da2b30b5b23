"""``pyctd completion``: what a shell needs to complete commands, options and the ids of containers."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from ._settings import shared

__all__ = ["completion"]


@click.command(
    epilog="""\b
Examples:
  source <(pyctd completion bash)       # in ~/.bashrc; bash 4.4 or later
  source <(pyctd completion zsh)        # in ~/.zshrc, after compinit
  pyctd completion fish > ~/.config/fish/completions/pyctd.fish"""
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@shared
def completion(shell: str) -> None:
    """Print a shell's completion script."""
    made = get_completion_class(shell)
    assert made is not None
    root = click.get_current_context().find_root()
    click.echo(made(root.command, {}, "pyctd", "_PYCTD_COMPLETE").source())
