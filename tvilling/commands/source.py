"""`tvilling source`: which sources are asked for citizens' data, and how."""

from __future__ import annotations

from datetime import timedelta

import click

from tvilling.commands.frame import Frame, command, read_secret
from tvilling.errors import SettingsError


@click.group()
def source() -> None:
    """Sources that this host asks for citizens who connect them."""


@source.command("add")
@click.argument("slug")
@click.option("--name", required=True, help="What citizens see.")
@click.option("--connector", required=True, help="Whose format it speaks.")
@click.option("--api", required=True, help="Where its data is asked for.")
@click.option("--purpose", default="personal-footprint", show_default=True, help="Of the consents it is asked under.")
@click.option("--channel", type=click.Choice(["oauth", "token", "calculation"]), default="oauth", show_default=True)
@click.option("--every", type=float, default=360.0, show_default=True, help="Minutes between two pulls.")
@click.option("--issuer", default="", help="Its authorization server's identifier.")
@click.option("--authorization-endpoint", default="", help="Where it publishes no metadata.")
@click.option("--token-endpoint", default="", help="Where it publishes no metadata.")
@click.option("--revocation-endpoint", default="", help="Where it publishes no metadata.")
@click.option("--client-id", default="", help="What this host is called there.")
@click.option("--secret-file", default=None, help="The client secret: a file, or - for standard input.")
@click.option("--secret-in-body", is_flag=True, help="It wants the secret in the form, not in a header.")
@click.option(
    "--sign-in-with-key", is_flag=True, help="Show who this host is by its own key, at /-/oauth/jwks: no secret."
)
@click.option("--scope", "scopes", multiple=True, help="What is asked for there.")
@click.option("--parameter", "parameters", multiple=True, metavar="NAME=VALUE", help="For its authorization endpoint.")
@click.option("--webhook", type=click.Choice(["signed", "ping"]), default=None, help="How it calls, where it does.")
@click.option("--webhook-secret-file", default=None, help="What its calls are signed with: a file, or -.")
@click.option(
    "--partner", default="", metavar="CLIENT_ID", help="A partner that is here already and is the same party."
)
@click.option("--contact", default=None, help="Where citizens reach its data protection officer.")
@command
def add(
    frame: Frame,
    *,
    slug: str,
    name: str,
    connector: str,
    api: str,
    purpose: str,
    channel: str,
    every: float,
    issuer: str,
    authorization_endpoint: str,
    token_endpoint: str,
    revocation_endpoint: str,
    client_id: str,
    secret_file: str | None,
    secret_in_body: bool,
    sign_in_with_key: bool,
    scopes: tuple[str, ...],
    parameters: tuple[str, ...],
    webhook: str | None,
    webhook_secret_file: str | None,
    partner: str,
    contact: str | None,
) -> None:
    """Add a source, or describe it anew; citizens' connections stay."""
    from partner_bridge.connectors import find_connector  # noqa: PLC0415 - `--help` stays quick
    from partner_bridge.connectors.normalising import Pullable  # noqa: PLC0415
    from partner_bridge.sources import Source, add_source  # noqa: PLC0415
    from pod_server.identifiers import ClientId  # noqa: PLC0415
    from vocab.purposes import load_purposes  # noqa: PLC0415

    if purpose not in load_purposes():
        raise SettingsError(f"--purpose: the purposes are {', '.join(sorted(load_purposes()))}")
    calculates = channel == "calculation"
    if not calculates and not isinstance(find_connector(connector, frame.settings().connector_packages), Pullable):
        raise SettingsError(f"--connector: {connector} reads what is sent to it; its source cannot be asked")
    pairs = [each.partition("=") for each in parameters]
    if not all(separator for _, separator, _ in pairs):
        raise SettingsError("--parameter: NAME=VALUE is expected")
    with frame.host() as host:
        made = add_source(
            host,
            Source(
                slug=slug,
                name=name,
                channel="calculation" if calculates else "token" if channel == "token" else "oauth",
                connector=connector,
                purpose=purpose,
                client_id=ClientId(partner),
                api=api,
                every=timedelta(minutes=every),
                issuer=issuer,
                authorization_endpoint=authorization_endpoint,
                token_endpoint=token_endpoint,
                revocation_endpoint=revocation_endpoint,
                oauth_client=client_id,
                scopes=scopes,
                parameters={name: value for name, _, value in pairs},
                secret_in_body=secret_in_body,
                signs_in_with_key=sign_in_with_key,
                secret=read_secret(secret_file) or "",
                webhook="signed" if webhook == "signed" else "ping" if webhook else "",
                webhook_secret=read_secret(webhook_secret_file) or "",
            ),
            about={"contact": contact} if contact else None,
        )
        frame.answer(
            {
                "slug": made.slug,
                "client_id": made.client_id,
                "redirect_uri": made.redirect_uri(host),
                "webhook": f"{host.base_url}/bridge/webhooks/{made.slug}" if made.webhook else None,
            },
            f"{made.name} can be asked for calculations, on the page Second opinions."
            if calculates
            else f"{made.name} can be connected. Register this redirect address there: {made.redirect_uri(host)}",
        )


@source.command("list")
@command
def list_all(frame: Frame) -> None:
    """Every source, how many citizens are connected, and how many of them need a look."""
    from partner_bridge.sources import list_sources  # noqa: PLC0415

    with frame.host() as host:
        rows = []
        for each in list_sources(host):
            with host.storage.read() as tx:
                found = tx.all("SELECT last_problem FROM pull WHERE slug = ?", (each.slug,))
            rows.append(
                {
                    "slug": each.slug,
                    "name": each.name,
                    "channel": each.channel,
                    "connected": len(found),
                    "in_trouble": sum(1 for (problem,) in found if problem),
                }
            )
    words = "\n".join(f"{row['slug']}\t{row['name']}\t{row['connected']} connected" for row in rows)
    frame.answer(rows, words or "none yet")


@source.command("remove")
@click.argument("slug")
@command
def remove(frame: Frame, *, slug: str) -> None:
    """Ask a source no more; citizens' tokens for it go, what came in stays."""
    from partner_bridge.sources import remove_source  # noqa: PLC0415

    with frame.host() as host:
        remove_source(host, slug)
    frame.answer({"removed": slug}, f"{slug} is asked no more.")


@source.command("pull")
@command
def pull(frame: Frame) -> None:
    """Ask everything that is due now, once, where no agent runs."""
    from partner_bridge.pulling import pull_due  # noqa: PLC0415

    with frame.host() as host:
        done = pull_due(host)
    answer = {
        "pulls": len(done),
        "accepted": sum(each.accepted for each in done),
        "in_trouble": sum(bool(each.problem) for each in done),
    }
    frame.answer(answer, f"{answer['pulls']} pulls brought {answer['accepted']} new records.")
