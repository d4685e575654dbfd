"""`tvilling sign-in …`: the providers that citizens may sign in with beside the passphrase (ID-porten, or any other)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from tvilling.commands.frame import Frame, command, read_secret

if TYPE_CHECKING:
    from pod_server.host import Host
    from pod_server.sign_in.providers import Provider


@click.group("sign-in")
def sign_in() -> None:
    """Providers that citizens may sign in with."""


def _told(host: Host, provider: Provider) -> dict[str, Any]:
    """A provider in words, and what it must be told of this host; nothing of it is secret."""
    told: dict[str, Any] = {
        "provider": provider.slug,
        "name": provider.name,
        "issuer": provider.issuer,
        "client_id": provider.client_id,
        "subject_claim": provider.subject_claim,
        "levels": list(provider.levels),
        "redirect_uri": provider.redirect_uri(host),
        "post_logout_redirect_uri": f"{host.base_url}/-/",
        "frontchannel_logout_uri": f"{host.base_url}/-/sign-in/signed-out-there",
        "backchannel_logout_uri": f"{host.base_url}/-/sign-in/with/{provider.slug}/signed-out-there",
        "token_endpoint_auth_method": "private_key_jwt" if provider.key is not None else "client_secret_basic",
    }
    if provider.key is not None:
        told["jwks"] = {"keys": [provider.key.public_jwk]}
    return told


@sign_in.command("add")
@click.argument("slug")
@click.option("--name", required=True, help="What people call it.")
@click.option("--issuer", required=True, help="Its issuer, letter by letter.")
@click.option("--client-id", required=True, help="What this host is called there.")
@click.option("--subject-claim", default="sub", help="The claim that names a person; pid for ID-porten.")
@click.option("--level", "levels", multiple=True, help="An acr value that is good enough; the wanted one first.")
@click.option("--scope", "scopes", multiple=True, help="A scope beside openid; profile for ID-porten.")
@click.option("--algorithm", type=click.Choice(["RS256", "ES256"]), default="RS256", help="Of this host's own key.")
@click.option("--client-secret-file", default=None, help="A client secret, where it takes no signed assertions.")
@command
def add(
    frame: Frame,
    *,
    slug: str,
    name: str,
    issuer: str,
    client_id: str,
    subject_claim: str,
    levels: tuple[str, ...],
    scopes: tuple[str, ...],
    algorithm: Any,
    client_secret_file: str | None,
) -> None:
    """Add a provider, or describe it anew; prints what to register there."""
    from pod_server.sign_in.providers import add_provider  # noqa: PLC0415

    secret = read_secret(client_secret_file) or ""
    with frame.host() as host:
        provider = add_provider(
            host,
            slug,
            name=name,
            issuer=issuer,
            client_id=client_id,
            subject_claim=subject_claim,
            levels=levels,
            scopes=scopes,
            algorithm=algorithm,
            secret=secret,
        )
        frame.answer(_told(host, provider))


@sign_in.command("list")
@command
def list_them(frame: Frame) -> None:
    """The providers, and what each must be told of this host."""
    from pod_server.sign_in.providers import list_providers  # noqa: PLC0415

    with frame.host() as host:
        frame.answer([_told(host, each) for each in list_providers(host)])


@sign_in.command("remove")
@click.argument("slug")
@command
def remove(frame: Frame, *, slug: str) -> None:
    """Take a provider and every link to it away."""
    from pod_server.sign_in.providers import remove_provider  # noqa: PLC0415

    with frame.host() as host:
        links = remove_provider(host, slug)
    frame.answer({"provider": slug, "links_ended": links}, f"Removed {slug}; {links} links ended.")
