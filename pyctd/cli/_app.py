"""The commands together, and how the program ends."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import click

from ..errors import Error
from ._checkpoint import checkpoint, restore
from ._completion import completion
from ._control import kill, pause, resume, rm, update
from ._doctor import doctor
from ._errors import INTERRUPTED, NotUnicodeError, code_of, report
from ._events import events
from ._exec import attach, exec
from ._leaving import Left, Unread
from ._list import inspect, ps, top
from ._output import colour
from ._run import run
from ._settings import Settings, shared
from ._stats import stats
from ._streams import end_on_signals
from ._version import version

__all__ = ["main"]


class _Formatter(click.HelpFormatter):
    """click's help with colour, which click takes out again where nobody sees it."""

    def write_heading(self, heading: str) -> None:
        super().write_heading(click.style(heading, bold=True))

    def write_dl(self, rows: Iterable[tuple[str, str]], *args: Any, **options: Any) -> None:
        super().write_dl([(click.style(term, fg="cyan"), text) for term, text in rows], *args, **options)


click.Context.formatter_class = _Formatter


class _InOrder(click.Group):
    """Lists the commands in the order in which a person meets them, and remembers which is meant."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        for arg in args:
            try:
                arg.encode()
            except UnicodeEncodeError as error:  # Python keeps other bytes as lone surrogates
                if not ctx.resilient_parsing:
                    told = f"the argument {arg!r} must be Unicode: containerd takes no other text"
                    raise NotUnicodeError(told) from error
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name, command, rest = super().resolve_command(ctx, args)
        ctx.ensure_object(Settings).command = f"{ctx.command_path} {name}"
        return name, command, rest


@click.group(
    cls=_InOrder,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="'pyctd COMMAND --help' teaches by example. 'pyctd doctor' tells what this machine lacks.",
)
@click.version_option(package_name="pyctd", prog_name="pyctd", message="%(prog)s %(version)s")
@shared
def app() -> None:
    """Drive containerd with dockerd's own client."""


COMMANDS = [
    *(run, exec, attach, ps, inspect, top, stats, events, kill, pause, resume, update, checkpoint, restore, rm),
    *(version, doctor, completion),
]
for command in COMMANDS:
    app.add_command(command)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    settings = Settings()
    end_on_signals()
    try:
        args = None if argv is None else list(argv)
        result = app.main(args, prog_name="pyctd", standalone_mode=False, obj=settings, color=colour())
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except click.exceptions.NoArgsIsHelpError as told:
        click.echo(told.format_message(), color=colour())
        return 0
    except Unread as left:
        return left.exit_code
    except Left as left:
        click.echo("\r", err=True)  # the terminal is still raw
        return left.exit_code
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except BrokenPipeError:  # whoever read has gone: not worth a word
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    except (click.ClickException, Error, OSError) as error:
        report(error, settings)
        return code_of(error, settings)
