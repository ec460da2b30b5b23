"""How commands fail: exit codes as docker has them, and words with a way out."""

from __future__ import annotations

import json
import traceback

import click

from ..errors import (
    CriuError,
    DeadlineExceededError,
    Error,
    FailedPreconditionError,
    PermissionDeniedError,
    UnavailableError,
)
from ._output import colour, printable
from ._settings import NOTHING_RUNS, Settings
from ._streams import NoTerminalError

__all__ = ["FAILED", "FILTERS", "INTERRUPTED", "NotUnicodeError", "code_of", "report"]

FAILED = 125
"""What docker exits with when the failure is its own."""
_OF_REASON = {"command-not-executable": 126, "command-not-found": 127}
"""What it exits with when the command can't run."""
INTERRUPTED = 130
_LINES = "\n\t"
FILTERS = (
    "filters are containerd's, such as id==web, image~=alpine or labels.role==db;"
    " without --all 'pyctd ps' lists what runs, and --json has the status of each"
)


class NotUnicodeError(click.ClickException):
    """An argument is no text that containerd takes."""

    exit_code = FAILED


def code_of(error: BaseException, settings: Settings) -> int:
    """What to exit with."""
    if isinstance(error, (NoTerminalError, NotUnicodeError)):
        return error.exit_code
    wrong = isinstance(error, (click.NoSuchOption, click.BadOptionUsage))
    if wrong or isinstance(getattr(error, "param", None), click.Option):
        return FAILED  # docker's, for the options of whatever command; not so for its arguments
    reason = error.reason if settings.executes and isinstance(error, Error) else None
    return _OF_REASON.get(reason or "", settings.failure)


def report(error: BaseException, settings: Settings, container: str | None = None) -> None:
    """Tells of an error on stderr: in a line for people with a hint in a second, or as JSON."""
    if settings.debug:
        click.echo(printable("".join(traceback.format_exception(error)), _LINES), err=True)
    message, hint = _message(error), _hint(error, settings)
    if isinstance(error, Error):
        container = container or error.container_id
    if settings.json:
        told = {"kind": type(error).__name__, "message": message, "hint": hint, "container": container}
        if isinstance(error, Error):
            told |= {"process": error.process_id, "call": error.call, "reason": error.reason}
        click.echo(json.dumps({"error": {key: value for key, value in told.items() if value}}), err=True)
        return
    if container and repr(container) not in message:
        message = f"{container}: {message}"
    click.echo(click.style("pyctd: ", fg="red", bold=True) + printable(message, _LINES), err=True, color=colour())
    if hint:
        click.echo(click.style("hint: ", fg="yellow") + hint, err=True, color=colour())


def _message(error: BaseException) -> str:
    if isinstance(error, click.ClickException):
        return error.format_message()
    text = str(error) or type(error).__name__
    if isinstance(error.__cause__, CriuError):
        text += f": {error.__cause__}"
    if isinstance(error, DeadlineExceededError) and error.timeout is not None:
        text += f" ({error.call}, {error.timeout:g} s)"
    return text


def _hint(error: BaseException, settings: Settings) -> str:
    if isinstance(error, click.UsageError):
        command = error.ctx.command_path if error.ctx else settings.command
        return f"'{command} --help' shows what there is"
    if not isinstance(error, Error):
        return ""
    if error.hint is not None:
        return error.hint
    if isinstance(error, UnavailableError):
        return "is containerd running there? 'pyctd doctor' tells what is missing; --address names another"
    if isinstance(error, PermissionDeniedError):
        return "containerd's socket is root's: run this as root"
    if error.call == "Client.containers":
        return FILTERS
    if error.reason == "paused":
        return "'pyctd resume' lets it go on"
    if error.reason == "stopped":
        return NOTHING_RUNS
    if isinstance(error, FailedPreconditionError) and error.reason in ("created", "running"):
        return "'pyctd kill' ends what runs in it; 'pyctd rm --force' removes it whatever it does"
    return ""
