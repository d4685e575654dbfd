"""`tvilling partner`: applications and admission, limits, the stop; and partners added by their public keys."""

from __future__ import annotations

import getpass
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tvilling.commands.frame import Frame, command
from tvilling.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pod_server.partner_standing import By
    from pod_server.partners import Limits, Partner


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
        rows = [
            {"client_id": each.client_id, "name": each.name, "active": each.active, "state": _state(each)}
            for each in list_partners(host)
        ]
    frame.answer(rows, "\n".join(f"{row['client_id']}\t{row['state']}\t{row['name']}" for row in rows) or "none yet")


def _state(partner: Partner) -> str:
    return partner.state if partner.stopped is None or not partner.is_told else f"{partner.state}, stopped by itself"


BY = click.option("--by", default=None, help="Who decides, for the list of acts; the system's user where not given.")


def who(by: str | None) -> By:
    """Whose act a command is."""
    from pod_server.partner_standing import By  # noqa: PLC0415

    return By("operator", (by or getpass.getuser())[:80])


@partner.command("applications")
@command
def applications(frame: Frame) -> None:
    """Who has applied and waits for an answer, with what they want and tell."""
    from pod_server.partner_notices import of_partner  # noqa: PLC0415
    from pod_server.partners import APPLIED, list_partners  # noqa: PLC0415

    rows: list[dict[str, Any]] = []
    with frame.host() as host:
        waiting = [each for each in list_partners(host) if each.state == APPLIED]
        with host.storage.read() as tx:
            for each in waiting:
                notices = [
                    {"purpose": told.purpose, "version": told.version, "kinds": told.kinds, "texts": told.texts}
                    for told in of_partner(tx, each.client_id)
                ]
                rows.append({"client_id": each.client_id, "name": each.name, **each.about, "notices": notices})
    frame.answer(rows, "\n".join(f"{row['client_id']}\t{row['name']}" for row in rows) or "nobody waits")


def limit_options(function: Callable[..., None]) -> Callable[..., None]:
    """The limits that the municipality can set; what is not given has none."""
    for option in (
        click.option("--kind", "kinds", multiple=True, help="A kind that it may deliver; all where none is named."),
        click.option("--records-per-day", type=click.IntRange(min=1), default=None),
        click.option("--requests-per-minute", type=click.IntRange(min=1), default=None),
    ):
        function = option(function)
    return function


def _limits(requests_per_minute: int | None, records_per_day: int | None, kinds: tuple[str, ...]) -> Limits:
    from pod_server.partners import Limits  # noqa: PLC0415

    return Limits(requests_per_minute, records_per_day, frozenset(kinds) or None)


@partner.command("admit")
@click.argument("client_id")
@limit_options
@BY
@command
def admit(
    frame: Frame,
    *,
    client_id: str,
    requests_per_minute: int | None,
    records_per_day: int | None,
    kinds: tuple[str, ...],
    by: str | None,
) -> None:
    """Let an applicant ask citizens, with the texts that it proposed."""
    from pod_server import partner_standing  # noqa: PLC0415

    with frame.host() as host:
        limits = _limits(requests_per_minute, records_per_day, kinds)
        admitted = partner_standing.admit(host, client_id, by=who(by), limits=limits)
    frame.answer({"admitted": client_id}, f"{admitted.name} may ask citizens from now on.")


@partner.command("limit")
@click.argument("client_id")
@limit_options
@BY
@command
def limit(
    frame: Frame,
    *,
    client_id: str,
    requests_per_minute: int | None,
    records_per_day: int | None,
    kinds: tuple[str, ...],
    by: str | None,
) -> None:
    """Set what a partner may do at most, in the place of all limits before."""
    from pod_server import partner_standing  # noqa: PLC0415

    with frame.host() as host:
        limits = _limits(requests_per_minute, records_per_day, kinds)
        partner_standing.limit(host, client_id, limits, by=who(by))
    frame.answer({"limited": client_id, **limits.to_json()}, f"{client_id} has its new limits.")


@partner.command("refuse")
@click.argument("client_id")
@click.option("--reason", required=True, help="The applicant reads it.")
@BY
@command
def refuse(frame: Frame, *, client_id: str, reason: str, by: str | None) -> None:
    """Turn an application down; it may be mended and sent again."""
    from pod_server import partner_standing  # noqa: PLC0415

    with frame.host() as host:
        refused = partner_standing.refuse(host, client_id, reason, by=who(by))
    frame.answer({"refused": client_id, "reason": refused.reason}, f"{refused.name} is turned down.")


@partner.command("suspend")
@click.argument("client_id")
@click.option("--reason", required=True, help="The partner and its citizens read it.")
@BY
@command
def suspend(frame: Frame, *, client_id: str, reason: str, by: str | None) -> None:
    """Stop all that a partner does, at once; consents stand, and it may be let on again."""
    from pod_server import partner_standing  # noqa: PLC0415

    with frame.host() as host:
        stopped = partner_standing.suspend(host, client_id, reason, by=who(by))
    frame.answer({"suspended": client_id, "reason": stopped.reason}, f"{stopped.name} is stopped.")


@partner.command("resume")
@click.argument("client_id")
@BY
@command
def resume(frame: Frame, *, client_id: str, by: str | None) -> None:
    """Let a suspended partner on again."""
    from pod_server import partner_standing  # noqa: PLC0415

    with frame.host() as host:
        let_on = partner_standing.resume(host, client_id, by=who(by))
    frame.answer({"resumed": client_id}, f"{let_on.name} is let on again.")


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
@BY
@command
def remove(frame: Frame, *, client_id: str, by: str | None) -> None:
    """Shut a partner out: nothing it holds opens anything from now on."""
    from pod_server import partner_standing, sandbox  # noqa: PLC0415

    with frame.host() as host:
        partner_standing.remove(host, client_id, by=who(by))
        sandbox.begin_anew(host, client_id)
    frame.answer({"removed": client_id}, f"{client_id} is shut out.")


@partner.command("statement")
@click.argument("client_id")
@click.option("--days", type=click.IntRange(1, 90), default=30, help="For how long it holds.")
@command
def statement(frame: Frame, *, client_id: str, days: int) -> None:
    """Say, signed, that this host admitted a partner: it registers with that at hosts which take our admissions."""
    from pod_server.authorization_server.software_statements import issue  # noqa: PLC0415

    with frame.host() as host:
        signed = issue(host, client_id, days=days)
        frame.answer({"software_statement": signed, "issuer": host.base_url, "days": days}, signed)


@partner.command("trust")
@click.argument("issuer")
@click.option("--end", is_flag=True, help="Take its admissions no more; the partners that came by one are suspended.")
@BY
@command
def trust(frame: Frame, *, issuer: str, end: bool, by: str | None) -> None:
    """Take another host's admissions of partners for this host's own."""
    from pod_server.authorization_server import software_statements  # noqa: PLC0415

    with frame.host() as host:
        if end:
            suspended = software_statements.end_trust(host, issuer, by=who(by))
            frame.answer({"issuer": issuer, "suspended": suspended}, f"{issuer}: no more; {suspended} suspended.")
            return
        software_statements.trust(host, issuer, by=who(by))
        frame.answer({"issuer": issuer}, f"{issuer}: its admissions are taken.")


@partner.command("trusted")
@command
def list_trusted(frame: Frame) -> None:
    """Whose admissions this host takes."""
    from pod_server.authorization_server.software_statements import trusted  # noqa: PLC0415

    with frame.host() as host, host.storage.read() as tx:
        rows = trusted(tx)
    frame.answer(rows, "\n".join(rows) or "nobody's")


@partner.command("let-act")
@click.argument("actor")
@click.option("--for", "principal", required=True, help="The partner in whose name it may deliver.")
@BY
@command
def let_act(frame: Frame, *, actor: str, principal: str, by: str | None) -> None:
    """Let an integrator deliver in another partner's name; consents stay that partner's."""
    from pod_server import acting  # noqa: PLC0415

    with frame.host() as host:
        held = acting.authorise(host, principal, actor, by=who(by))
    frame.answer(
        {"actor": held.actor, "principal": held.principal, "since": held.since.isoformat()},
        f"{actor} may deliver for {principal}.",
    )


@partner.command("end-acting")
@click.argument("actor")
@click.option("--for", "principal", required=True, help="The partner in whose name it delivered.")
@BY
@command
def end_acting(frame: Frame, *, actor: str, principal: str, by: str | None) -> None:
    """End an integrator's leave at once, in the middle of a batch too."""
    from pod_server import acting  # noqa: PLC0415

    with frame.host() as host:
        ended = acting.end(host, principal, actor, by=who(by))
    frame.answer({"ended": ended}, "Ended." if ended else "There was no such leave.")


@partner.command("batch")
@click.argument("place", type=click.Path(path_type=Path, exists=True))
@click.option("--every", default=1.0, show_default=True, help="Seconds between two looks at a folder.")
@command
def batch(frame: Frame, *, place: Path, every: float) -> None:
    """Take in a signed batch file; of a folder, each that is put into it until Ctrl-C."""
    from dataclasses import asdict  # noqa: PLC0415

    from partner_bridge.batch_files import take_in_batch  # noqa: PLC0415
    from partner_bridge.channels.watched_folder import watch_batches  # noqa: PLC0415
    from tvilling.serve import stop_on_signals  # noqa: PLC0415

    with frame.host() as host:
        if place.is_dir():
            taken = watch_batches(host, place, stop_on_signals(), every)
            frame.answer({"taken": [asdict(each) for each in taken]}, f"{len(taken)} files were taken in.")
            return
        report = take_in_batch(host, place)
    frame.answer(
        asdict(report),
        f"{report.accepted} accepted, {report.duplicates} already there, {report.refused} refused of {report.items} items.",
    )
