"""`tvilling partner`: admit partners by their public keys."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from tvilling.commands.frame import Frame, command
from tvilling.errors import SettingsError


@click.group()
def partner() -> None:
    """Partners, who may ask citizens for consent."""


def read_jwks(path: Path) -> dict[str, Any]:
    """A JWK set, or one key, from a file.

    Raises:
        SettingsError: the file is neither.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise SettingsError(f"{path} is no JSON file with a key set") from error
    if isinstance(value, dict) and "kty" in value:
        value = {"keys": [value]}
    if not isinstance(value, dict) or not isinstance(value.get("keys"), list):
        raise SettingsError(f'{path} holds no key set: {{"keys": [...]}} with public keys is expected')
    return value


@partner.command("add")
@click.option("--name", required=True, help="What citizens see.")
@click.option("--jwks", required=True, type=click.Path(path_type=Path, dir_okay=False), help="Its public keys.")
@click.option("--redirect-uri", "redirect_uris", multiple=True, help="Where its citizens' browsers are sent back.")
@click.option("--webhook", default=None, help="Where it hears of withdrawals and claims.")
@click.option("--contact", default=None, help="Where citizens reach its data protection officer.")
@click.option("--address", default=None, help="Its postal address, for citizens' receipts.")
@click.option("--dpop-nonces", is_flag=True, help="Its proofs must carry this host's nonces (RFC 9449, section 8).")
@click.option("--role", type=click.Choice(["municipality"]), default=None, help="Whose programmes it runs, if any.")
@command
def add(
    frame: Frame,
    *,
    name: str,
    jwks: Path,
    redirect_uris: tuple[str, ...],
    webhook: str | None,
    contact: str | None,
    address: str | None,
    dpop_nonces: bool,
    role: str | None,
) -> None:
    """Admit a partner."""
    from pod_server.partners import add_partner  # noqa: PLC0415

    keys = read_jwks(jwks)
    with frame.host() as host:
        made = add_partner(
            host,
            name=name,
            jwks=keys,
            redirect_uris=redirect_uris,
            webhook=webhook,
            about={
                key: value
                for key, value in (
                    ("contact", contact),
                    ("address", address),
                    ("role", role),
                    ("dpop_nonces", "required" if dpop_nonces else ""),
                )
                if value
            },
        )
        frame.answer(
            {
                "client_id": made.client_id,
                "token_endpoint": f"{host.base_url}/-/oauth/token",
                "delivery_endpoint": f"{host.base_url}/bridge/activities",
            }
        )


@partner.command("list")
@command
def list_all(frame: Frame) -> None:
    """All partners of this host."""
    from pod_server.partners import list_partners  # noqa: PLC0415

    with frame.host() as host:
        rows = [{"client_id": each.client_id, "name": each.name, "active": each.active} for each in list_partners(host)]
    frame.answer(rows, "\n".join(f"{row['client_id']}\t{row['name']}" for row in rows) or "none yet")


@partner.command("rotate")
@click.argument("client_id")
@click.option("--jwks", required=True, type=click.Path(path_type=Path, dir_okay=False), help="Its new public keys.")
@command
def rotate(frame: Frame, *, client_id: str, jwks: Path) -> None:
    """Replace a partner's keys; what was signed with the old ones is refused from now on."""
    from pod_server.identifiers import ClientId  # noqa: PLC0415
    from pod_server.partners import rotate_keys  # noqa: PLC0415

    keys = read_jwks(jwks)
    with frame.host() as host:
        rotate_keys(host, ClientId(client_id), keys)
    frame.answer({"rotated": client_id}, f"{client_id} has new keys.")


@partner.command("remove")
@click.argument("client_id")
@command
def remove(frame: Frame, *, client_id: str) -> None:
    """Shut a partner out: nothing it holds opens anything from now on."""
    from pod_server.identifiers import ClientId  # noqa: PLC0415
    from pod_server.partners import remove_partner  # noqa: PLC0415

    with frame.host() as host:
        remove_partner(host, ClientId(client_id))
    frame.answer({"removed": client_id}, f"{client_id} is shut out.")
