"""`tvilling serve`: running a host. Loads little: the process stays, and only watches over the others."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from tvilling.commands.frame import DEFAULT_LISTEN, DEFAULT_LIVE_LISTEN, SIZE, Frame, command
from tvilling.settings import Listen, Settings

if TYPE_CHECKING:
    from tvilling.serve import Role


@click.command("serve")
@click.option("--listen", default=DEFAULT_LISTEN, help="HOST:PORT of the pages, pods and doors.")
@click.option("--live-listen", default=DEFAULT_LIVE_LISTEN, help="HOST:PORT of the live streams.")
@click.option("--live-url", default=None, help="Where browsers reach the live streams, where a proxy stands before.")
@click.option("--role", type=click.Choice(["all", "web", "live", "agent"]), default="all", help="Which processes.")
@click.option("--workers", type=click.IntRange(1, 64), default=2, help="Worker processes of the web role.")
@click.option(
    "--agents",
    type=click.IntRange(1, 64),
    default=1,
    help="Processes that take in what was delivered; the first of them also sends, asks sources and keeps house.",
    show_default=True,
)
@click.option("--host-key", type=click.Path(dir_okay=False), default=None, help="The host key's file.")
@click.option(
    "--epoch-keys",
    type=click.Path(file_okay=False),
    default=None,
    help="The folder of the epoch keys, held apart from the data and its backups.",
)
@click.option(
    "--witness",
    "witnesses",
    multiple=True,
    help="Who watches over the logs: 'https://ADDRESS KEY', as tvilling witness key prints it; may be repeated.",
)
@click.option("--allow-outbound", multiple=True, help="A loopback origin that the host may call; may be repeated.")
@click.option(
    "--pod-quota",
    "quota_bytes",
    type=SIZE,
    default="10GiB",
    help="What the documents of a pod may take.",
    show_default=True,
)
@click.option(
    "--largest-binary",
    "largest_binary_bytes",
    type=SIZE,
    default="8GiB",
    help="The largest single document that is not RDF.",
    show_default=True,
)
@click.option(
    "--rotate-signing-after",
    "signing_key_days",
    type=click.IntRange(0, 3650),
    default=90,
    metavar="DAYS",
    help="Change the signing keys after so many days; 0: only by `tvilling key rotate-signing`.",
)
@click.option(
    "--age-of-consent",
    "ages",
    multiple=True,
    metavar="[PURPOSE=]YEARS",
    help="From which age on citizens answer for themselves, 13 unless told; for one purpose another. May be repeated.",
)
@click.option(
    "--connector-package",
    "connector_packages",
    multiple=True,
    metavar="PACKAGE",
    help="An installed package whose connectors are loaded; nothing of others is. May be repeated.",
)
@command
def serve_command(
    frame: Frame,
    *,
    listen: str,
    live_listen: str,
    live_url: str | None,
    role: str,
    workers: int,
    agents: int,
    host_key: str | None,
    epoch_keys: str | None,
    witnesses: tuple[str, ...],
    allow_outbound: tuple[str, ...],
    signing_key_days: int,
    quota_bytes: int,
    largest_binary_bytes: int,
    ages: tuple[str, ...],
    connector_packages: tuple[str, ...],
) -> None:
    """Run the host until Ctrl-C."""
    from tvilling.data_folder import migrate_data_folder  # noqa: PLC0415 - `--help` stays quick
    from tvilling.serve import ROLES, serve  # noqa: PLC0415

    here, live = Listen.parse(listen), Listen.parse(live_listen)
    settings = Settings(
        data_folder=str(frame.data),
        base_url=(frame.base_url or here.origin).rstrip("/"),
        live_url=(live_url or live.origin).rstrip("/"),
        listen=here,
        live_listen=live,
        host_key_file=str(Path(host_key).absolute()) if host_key else None,
        witnesses=witnesses,
        epoch_keys_folder=str(Path(epoch_keys).absolute()) if epoch_keys else None,
        allow_outbound=allow_outbound,
        workers=workers,
        agents=agents,
        signing_key_days=signing_key_days,
        quota_bytes=quota_bytes,
        largest_binary_bytes=largest_binary_bytes,
        ages=ages,
        connector_packages=connector_packages,
        **frame.databases(),
    )
    migrate_data_folder(settings)
    roles: tuple[Role, ...] = ROLES if role == "all" else (role,)  # type: ignore[assignment]
    serve(
        settings, roles, on_ready=lambda: frame.answer({"base_url": settings.base_url}, f"Open {settings.base_url}/-/")
    )
