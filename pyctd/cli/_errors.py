"""How commands fail: exit codes as docker has them, and words with a way out."""

from __future__ import annotations

import json
import re
import traceback

import click

from ..errors import (
    ConflictError,
    Error,
    FailedPreconditionError,
    NotFoundError,
    PermissionDeniedError,
    UnavailableError,
)
from ._output import colour
from ._settings import Settings
from ._streams import NoTerminalError

__all__ = ["FAILED", "INTERRUPTED", "NotUnicodeError", "code_of", "report"]

FAILED, NOT_EXECUTABLE, NOT_FOUND = 125, 126, 127
"""What docker exits with when the failure is its own, or the command's before it runs."""
INTERRUPTED = 130


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
    return (settings.executes and _start_failure(str(error))) or settings.failure


def _start_failure(text: str) -> int:
    """As docker reads the runtime's words, when it could not execute a command; else 0."""
    if "exec:" not in text:
        return 0
    if any(words in text for words in ("executable file not found", "no such file or directory", "not a directory")):
        return NOT_FOUND
    if "permission denied" in text or "is a directory" in text or "exec format error" in text:
        return NOT_EXECUTABLE
    return 0


def report(error: BaseException, settings: Settings, container: str | None = None) -> None:
    """Tells of an error on stderr: in a line for people with a hint in a second, or as JSON."""
    if settings.debug:
        traceback.print_exception(error)
    message, hint = _message(error), _hint(error, settings)
    if settings.json:
        told = {"kind": type(error).__name__, "message": message, "hint": hint, "container": container}
        click.echo(json.dumps({"error": {key: value for key, value in told.items() if value}}), err=True)
        return
    click.echo(click.style("pyctd: ", fg="red", bold=True) + message, err=True, color=colour())
    if hint:
        click.echo(click.style("hint: ", fg="yellow") + hint, err=True, color=colour())


def _message(error: BaseException) -> str:
    if isinstance(error, click.ClickException):
        return error.format_message()
    text = str(error) or type(error).__name__
    if error.__cause__ is not None and isinstance(error, Error) and type(error.__cause__).__name__ == "CriuError":
        text += f": {error.__cause__}"
    return text


def _hint(error: BaseException, settings: Settings) -> str:
    if isinstance(error, click.UsageError):
        command = error.ctx.command_path if error.ctx else settings.command
        return f"'{command} --help' shows what there is"
    if isinstance(error, UnavailableError):
        return "is containerd running there? 'pyctd doctor' tells what is missing; --address names another"
    if isinstance(error, PermissionDeniedError):
        return "containerd's socket is root's: run this as root"
    if isinstance(error, NotFoundError) and str(error).startswith("there is no container"):
        return "'pyctd ps --all' lists those that there are; --namespace names another namespace"
    if isinstance(error, ConflictError) and str(error).startswith("there is a container"):
        return "'pyctd rm' removes it, or give another --name"
    if isinstance(error, NotFoundError) and "running task" in str(error):
        return "nothing runs in it: 'pyctd ps --all' shows what has become of it"
    if "fifo file:" in str(error):
        return "its output goes to that file, as --log has it: there is nothing to attach to"
    if isinstance(error, FailedPreconditionError) and re.search(r"must be stopped|running|has a task", str(error)):
        return "'pyctd kill' ends what runs in it; 'pyctd rm --force' removes it whatever it does"
    return ""
