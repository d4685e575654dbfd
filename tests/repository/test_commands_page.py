"""docs/commands.md lists every command, with the words that its own help says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tvilling.cli import main

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = Path(__file__).parents[2] / "docs" / "commands.md"
ROW = re.compile(r"^\| `tvilling ([a-z -]+?)(?: [A-Z\[].*?)?` \| (.+) \|$", re.MULTILINE)


def leaves(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from leaves(found, (*path, name))
    else:
        yield " ".join(path), command


def row_of(path: str, command: click.Command) -> str:
    context = click.Context(command)
    arguments = [each.make_metavar(context) for each in command.params if isinstance(each, click.Argument)]
    said = (command.help or "").split("\n\n")[0].replace("\n", " ").replace("|", "\\|")
    return f"| `{' '.join(['tvilling', path, *arguments])}` | {' '.join(said.split())} |"


def test_every_command_stands_there_as_its_help_says_it():
    text = PAGE.read_text("utf-8")
    missing = [row for path, command in leaves(main) if (row := row_of(path, command)) not in text]
    assert not missing, "docs/commands.md lacks or words otherwise:\n" + "\n".join(missing)


def test_nothing_stands_there_that_is_no_command():
    listed = {path for path, _ in ROW.findall(PAGE.read_text("utf-8"))}
    assert listed == {path for path, _ in leaves(main)}


def test_every_command_says_what_it_does():
    assert [path for path, command in leaves(main) if not (command.help or "").strip()] == []
