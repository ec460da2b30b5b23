"""docs/cli.md and the help against the commands: each is told of, and no option is made up."""

from __future__ import annotations

import re
from pathlib import Path

import click

from pyctd.cli._app import app

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "cli.md").read_text()


def lines() -> list[tuple[str, str]]:
    """The verb and the line of every example, on the page and in the commands' own help."""
    shell = "\n".join(re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL))
    helps = "\n".join(command.epilog or "" for command in app.commands.values())
    found: list[tuple[str, str]] = re.findall(
        r"(?:^ *|Example: |\| |<\()pyctd ([a-z]+)\b(.*)", shell + helps, re.MULTILINE
    )
    return found


def test_there_are_examples() -> None:
    assert len(lines()) > 20


def test_the_page_has_every_command() -> None:
    rows = re.findall(r"^\| (`[a-z`, ]+`) \|", PAGE.partition("## Commands")[2], re.MULTILINE)
    assert {name for row in rows for name in re.findall("`([a-z]+)`", row)} == set(app.commands)


def test_every_example_is_true() -> None:
    for verb, rest in lines():
        command = app.commands[verb]
        known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
        # What follows the container's command or root is that command's own.
        own = re.split(r"/bin/| \||>|#|\)", rest)[0]
        for word in own.split():
            if word.startswith("--"):
                assert word.partition("=")[0] in known, (verb, rest)
            elif re.fullmatch("-[a-z]+", word):
                assert {f"-{letter}" for letter in word[1:]} <= known, (verb, rest)


def test_every_command_and_option_has_help() -> None:
    shared = {"--address", "--namespace", "--state-dir", "--json", "--debug"}
    for command in app.commands.values():
        assert command.help, command.name
        for parameter in command.params:
            assert not isinstance(parameter, click.Option) or parameter.help, (command.name, parameter.name)
        assert shared <= {name for parameter in command.params for name in parameter.opts}, command.name
