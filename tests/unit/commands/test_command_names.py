"""Every command is found under the name that it calls itself, and none is loaded before it is asked for."""

from __future__ import annotations

import subprocess
import sys

import click
import pytest

from tvilling.cli import _COMMANDS, main


@pytest.mark.parametrize("name", _COMMANDS)
def test_a_command_is_found_by_its_own_name(name):
    found = main.get_command(click.Context(main), name)
    assert found is not None
    assert found.name == name
    assert found.get_short_help_str()


def test_an_unknown_command_is_none():
    assert main.get_command(click.Context(main), "nothing") is None
    assert main.get_command(click.Context(main), "") is None


def test_the_process_that_watches_over_a_host_loads_neither_frameworks_nor_cryptography():
    code = (
        "import sys, click; from tvilling.cli import main; main.get_command(click.Context(main), 'serve');"
        "import tvilling.serve, tvilling.data_folder;"
        "print(sorted({name.partition('.')[0] for name in sys.modules} &"
        " {'flask', 'cryptography', 'alembic', 'sqlalchemy', 'pyoxigraph', 'psycopg', 'httpx', 'gevent'}))"
    )
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert said.strip() == "[]"
