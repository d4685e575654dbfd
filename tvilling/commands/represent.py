"""`tvilling citizen represent`: who may answer for whom, as the municipality's desk records it from the papers it was shown."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from consent.delegation import ALL_BUT_ERASING, Act, Authority
from tvilling.commands.frame import Frame, command, moment
from tvilling.commands.partner import read_jwks
from tvilling.errors import SettingsError

if TYPE_CHECKING:
    from pod_server.delegation import Recorded
    from pod_server.host import Host


@click.command("represent")
@click.argument("handle")
@click.option("--by", "representative", required=True, help="The handle of who may answer for them.")
@click.option(
    "--as", "authority", type=click.Choice([str(each) for each in Authority]), required=True, help="On what it rests."
)
@click.option("--evidence", required=True, help="What was shown, in words: a case number, a signed power.")
@click.option("--born", default=None, help="A child's date of birth, such as 2016-05-17: the power ends with the age.")
@click.option("--from", "begins", default=None, help="From when on; now where it is left out.")
@click.option("--to", "ends", default=None, help="Until when; a power of attorney needs it, within five years.")
@click.option(
    "--act",
    "acts",
    multiple=True,
    type=click.Choice([str(each) for each in Act]),
    help="An act it covers; may be repeated. All but erasing, where none is named.",
)
@click.option("--purpose", "purposes", multiple=True, help="Only for this purpose; may be repeated.")
@command
def represent(
    frame: Frame,
    *,
    handle: str,
    representative: str,
    authority: str,
    evidence: str,
    born: str | None,
    begins: str | None,
    ends: str | None,
    acts: tuple[str, ...],
    purposes: tuple[str, ...],
) -> None:
    """Record that somebody may answer for a citizen. Both see it on their pages and in their logs."""
    from consent.delegation import Representation  # noqa: PLC0415
    from pod_server import delegation  # noqa: PLC0415
    from pod_server.opening import find_pod  # noqa: PLC0415
    from vocab.purposes import load_purposes  # noqa: PLC0415

    if unknown := sorted(set(purposes) - set(load_purposes())):
        raise SettingsError(f"--purpose: {unknown[0]!r} is no purpose; there are {', '.join(sorted(load_purposes()))}")
    with frame.host() as host:
        with host.storage.read() as tx:
            represented, answering = find_pod(tx, handle), find_pod(tx, representative)
        terms = Representation(
            id=delegation.new_id(),
            authority=Authority(authority),
            acts=frozenset(Act(each) for each in acts) or ALL_BUT_ERASING,
            begins=moment(begins, "--from") if begins else host.clock.now(),
            evidence=evidence,
            ends=moment(ends, "--to") if ends else None,
            born=_day(born),
            purposes=frozenset(purposes) or None,
        )
        made = delegation.record(host, represented.pod_id, answering.pod_id, terms)
        frame.answer(_said(host, made), f"{representative} may answer for {handle} as {authority}: {made.id}")


@click.command("representations")
@click.argument("handle")
@command
def representations(frame: Frame, *, handle: str) -> None:
    """Who may answer for a citizen, and for whom the citizen may."""
    from pod_server import delegation  # noqa: PLC0415
    from pod_server.opening import find_pod  # noqa: PLC0415

    with frame.host() as host:
        with host.storage.read() as tx:
            pod = find_pod(tx, handle)
            found = [*delegation.over(tx, host, pod.pod_id), *delegation.held_by(tx, host, pod.pod_id)]
        rows = [_said(host, each) for each in found]
    frame.answer(
        rows,
        "\n".join(f"{row['authority']}\t{row['as']}\t{row['by']} for {row['for']}\t{row['state']}" for row in rows)
        or "none",
    )


@click.command("synchronise")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--signature", type=click.Path(path_type=Path, exists=True, dir_okay=False), required=True)
@click.option(
    "--keys",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    required=True,
    help="The register's public keys, a JWK set that came another way.",
)
@command
def synchronise(frame: Frame, *, file: Path, signature: Path, keys: Path) -> None:
    """Take over a register of guardians that was delivered as a signed file: what is new begins, what is gone ends.

    Run it as often as the register is delivered, from a timer; the same file twice changes nothing.
    """
    from pod_server.register_file import RegisterFile, RegisterInvalid, take_over  # noqa: PLC0415

    with frame.host() as host:
        try:
            register = RegisterFile(host, file.read_bytes(), signature.read_bytes(), read_jwks(keys))
        except RegisterInvalid as error:
            raise SettingsError(f"{file}: {error} Nothing was changed.") from error
        began, ended = take_over(host, register)
    frame.answer(
        {"register": register.name, "began": began, "ended": ended, "elsewhere": register.elsewhere},
        f"{register.name}: {began} began, {ended} ended, {register.elsewhere} concern nobody here.",
    )


@click.command("end-representation")
@click.argument("handle")
@click.argument("authority")
@command
def end_representation(frame: Frame, *, handle: str, authority: str) -> None:
    """End an authority over a citizen: from now on no act under it succeeds."""
    from pod_server import delegation  # noqa: PLC0415
    from pod_server.identifiers import Actor  # noqa: PLC0415
    from pod_server.opening import find_pod  # noqa: PLC0415

    with frame.host() as host:
        with host.storage.read() as tx:
            pod = find_pod(tx, handle)
        delegation.end(host, pod.pod_id, authority, actor=Actor("operator"))
    frame.answer({"authority": authority, "done": "ended"}, f"{authority} is ended.")


def _day(text: str | None) -> date | None:
    try:
        return date.fromisoformat(text) if text is not None else None
    except ValueError as error:
        raise SettingsError(f"--born: {text!r} is no date such as 2016-05-17") from error


def _said(host: Host, recorded: Recorded) -> dict[str, Any]:
    from pod_server import delegation  # noqa: PLC0415

    terms = recorded.terms
    with host.storage.read() as tx:
        represented, answering = (delegation.handle_of(tx, each) for each in (recorded.pod_id, recorded.representative))
    stands = recorded.standing and terms.stands_at(host.clock.now(), host.age_rules)
    return {
        "authority": recorded.id,
        "for": represented,
        "by": answering,
        "as": str(terms.authority),
        "acts": sorted(terms.acts),
        "purposes": sorted(terms.purposes) if terms.purposes is not None else None,
        "from": terms.begins.isoformat(),
        "to": terms.ends.isoformat() if terms.ends else None,
        "evidence": terms.evidence,
        "source": recorded.source,
        "state": "standing" if stands else "ended" if not recorded.standing else "not standing",
    }
