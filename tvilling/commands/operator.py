"""`tvilling operator`: the way in to the operator's pages, and what was done there and by command."""

from __future__ import annotations

import click

from tvilling.commands.frame import Frame, command


@click.group()
def operator() -> None:
    """The people who run this host."""


@operator.command("link")
@click.option("--name", required=True, help="Who will use it; what they do is written down under this name.")
@command
def link(frame: Frame, *, name: str) -> None:
    """A link that signs in to the operator's pages: good once, for five minutes."""
    from pod_server.console_sessions import create_link  # noqa: PLC0415
    from pod_server.organisations import tidy_name  # noqa: PLC0415

    with frame.host() as host:
        address = host.base_url + create_link(host, "operator", name=tidy_name(name))
    frame.answer({"link": address}, address)


@operator.command("acts")
@click.option("--partner", "client_id", default=None, help="Those about one partner.")
@command
def acts(frame: Frame, *, client_id: str | None) -> None:
    """What was done about partners, and by whom; the latest hundred."""
    from pod_server.partner_standing import acts as latest  # noqa: PLC0415

    with frame.host() as host:
        rows = [
            {
                "at": each.at.isoformat(),
                "by": each.by.name,
                "role": each.by.role,
                "act": each.act,
                "partner": each.client_id,
                "detail": each.detail,
            }
            for each in latest(host, client_id, limit=100)
        ]
    frame.answer(
        list(rows),
        "\n".join(f"{row['at']}\t{row['by']}\t{row['act']}\t{row['partner']}" for row in rows) or "none yet",
    )
