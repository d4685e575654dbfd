"""The command line's root: `tvilling COMMAND …`, one group a subject, each loaded when it is asked for."""

from __future__ import annotations

import importlib

import click

_COMMANDS = {
    "demo": "show:demo_command",
    "serve": "serve:serve_command",
    "migrate": "operate:migrate",
    "citizen": "citizen:citizen",
    "operator": "operator:operator",
    "han": "han:han",
    "partner": "partner:partner",
    "source": "source:source",
    "connector": "connector:connector",
    "consent": "consent:consent",
    "pod": "pod:pod",
    "import": "operate:import_command",
    "log": "operate:log",
    "receipt": "operate:receipt",
    "research": "research:research",
    "backup": "safekeeping:backup",
    "restore": "safekeeping:restore",
    "move": "safekeeping:move",
    "doctor": "doctor:doctor",
    "breach": "breach:breach",
    "key": "key:key",
    "sign-in": "sign_in:sign_in",
    "watch": "watch:watch",
    "witness": "witness:witness",
}
"""By name: the module in tvilling/commands, and what it calls the command."""


class _Commands(click.Group):
    """The commands by name. A host's first process is one of them and stays, so it must not load all the others."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's own signature
        """Every name, for help."""
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - as above
        """One command, loaded now."""
        module, _, name = _COMMANDS.get(cmd_name, "").partition(":")
        if not module:
            return None
        found: click.Command = getattr(importlib.import_module(f"tvilling.commands.{module}"), name)
        return found


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="tvilling")
def main() -> None:
    """Tvilling: encrypted pods for a city's citizens, consent per partner, and a twin that reasons over them."""
