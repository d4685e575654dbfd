"""`tvilling research`: publish a release, see the budget, invite a researcher."""

from __future__ import annotations

import dataclasses
from typing import Any

import click

from tvilling.commands.frame import Frame, command, moment


@click.group()
def research() -> None:
    """Anonymised releases for research."""


@research.command("release")
@click.option("--period", required=True, help="The month, YYYY-MM.")
@command
def release(frame: Frame, *, period: str) -> None:
    """Publish a month's differentially private figures, once."""
    from research_views.release import release as publish  # noqa: PLC0415

    with frame.host() as host:
        made = publish(host, period)
    frame.answer(dataclasses.asdict(made))


@research.command("budget")
@command
def budget(frame: Frame) -> None:
    """What has been spent of the privacy budget."""
    from research_views.budget import budget as account  # noqa: PLC0415

    with frame.host() as host:
        spent: Any = account(host)
    frame.answer(dataclasses.asdict(spent))


@research.command("invite")
@click.argument("name")
@click.option("--purpose", required=True, help="The named purpose of the research.")
@click.option("--expires", required=True, help="When the invitation ends.")
@command
def invite(frame: Frame, *, name: str, purpose: str, expires: str) -> None:
    """A token for one researcher; it is shown once."""
    from research_views.invitations import invite as make_invitation  # noqa: PLC0415

    with frame.host() as host:
        made = make_invitation(host, name, purpose=purpose, expires=moment(expires, "--expires"))
        frame.answer({**dataclasses.asdict(made), "endpoint": f"{host.base_url}/research/sparql"})
