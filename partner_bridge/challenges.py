"""The story of a challenge: joined under a name and a consent of its own, told of in quarters, left in one step.

    join    a consent for this challenge alone (one figure of the twin's, its days, its end), a random name, and the name is
            told; nothing else is
    tell    the grant decides; the figure's whole days are summed under its Permit and become 0, 25, 50, 75 or 100 per cent
            of the goal; the log is written; the consent's state is read once more; name and per cent go out
    leave   the consent is withdrawn first, so that nothing more is told whatever the service answers; then the name is
            told to be forgotten. Where the service does not answer, that can be said again

Each is a citizen's press of a button; what goes out stands beside it. Names are drawn anew for each challenge and each joining,
so that a service cannot see that it meets somebody twice.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import msgspec

from consent.grant import GrantState, GrantTerms
from partner_bridge.channels import calculation
from partner_bridge.connectors import team_challenges
from partner_bridge.connectors.team_challenges import MEASURES, STEP_PERCENT, Challenge
from partner_bridge.errors import BridgeError, NotAsShown, NothingToCalculate, SourceInvalid
from partner_bridge.shared import LOCAL, shared_figures
from pod_server import figures, grants, participations, partners
from pod_server.authorization import grant_rows
from pod_server.authorization.enforcement import recheck_grant, recheck_reading, record_read, require_grant
from pod_server.authorization.errors import refusal_error
from pod_server.identifiers import Actor, GrantId
from pod_server.log.event import LogEvent
from pod_server.log.ledger import append as append_to_log
from pod_server.opening import open_pod

if TYPE_CHECKING:
    from partner_bridge.connectors.calculator import Question
    from partner_bridge.sources import Source
    from pod_server.authorization.permit import Permit
    from pod_server.host import Host
    from pod_server.opening import OpenPod
    from pod_server.storage.ports import Transaction

PURPOSE = "team-challenge"
AFTERWARDS = timedelta(days=7)
"""How long the last days may still be told of."""

TOLD_A_DAY = 4
CITIZEN = Actor("citizen")


class Joined(msgspec.Struct, frozen=True):
    """What a citizen keeps of a challenge (docs/vault-format.md); times ISO 8601."""

    service: str
    challenge: str
    title: str
    measure: str
    goal: float
    starts: date
    ends: date
    participant: str
    joined: str
    told: str = ""


_JOINED = msgspec.json.Decoder(Joined)


@dataclass(frozen=True)
class Participation:
    """A challenge that one takes part in.

    Attributes:
        grant: Its consent.
        joined: What is kept.
        is_active: False where the consent has ended and the service could not be told yet.
        percent: What would be told now, in whole quarters.
    """

    grant: GrantId
    joined: Joined
    is_active: bool
    percent: int


def offered(host: Host, service: Source) -> list[Challenge]:
    """The service's challenges that are not over, as it told within the last five minutes; asked for as this host.

    Raises:
        SourceUnreachable, SourceBusy, UnusablePayload: it did not answer as it should.
        LookupsBusy: too many other hosts are being waited for.
    """

    def look() -> list[Challenge]:
        calculation.require_patience(host, service)
        body = calculation.ask(host, service, calculation.token_of(host, service), team_challenges.LIST)
        return team_challenges.read_challenges(body)

    now = host.clock.protocol_now()
    every = host.lookups.find("challenges", service.slug, now, look, BridgeError)
    today = host.clock.now().astimezone(LOCAL).date()
    return [each for each in every if each.ends >= today]


def taking_part(host: Host, own: OpenPod) -> list[Participation]:
    """Where the citizen takes part, or left and could not say so yet."""
    at = host.clock.now()
    with host.storage.read() as tx:
        kept = participations.listed(tx, own)
        content = figures.load_figures(tx, own)
        held = {each.id: each for each in grant_rows.grants_in_pod(tx, host.host_key, own.pod_id)}
    found = []
    for each in kept:
        joined = _JOINED.decode(each.content)
        grant = held.get(each.grant)
        active = grant is not None and grant.state_at(at) is GrantState.ACTIVE
        percent = 0 if grant is None else _percent(joined, content, grant.terms, at)
        found.append(Participation(each.grant, joined, active, percent))
    return found


def join(host: Host, own: OpenPod, service: Source, challenge_id: str, *, notice: tuple[str, str]) -> GrantId:
    """Consent to one challenge and tell the service a name for it.

    Raises:
        SourceInvalid: no such challenge now, or the citizen takes part already.
        SourceUnreachable, SourceBusy, UnusablePayload: the service did not take the name; nothing stands.
    """
    challenge = next((each for each in offered(host, service) if each.id == challenge_id), None)
    if challenge is None:
        raise SourceInvalid("there is no such challenge now")
    if any(
        (each.joined.service, each.joined.challenge) == (service.slug, challenge_id) for each in taking_part(host, own)
    ):
        raise SourceInvalid("you take part in this challenge, or have not been able to leave it yet")
    calculation.require_patience(host, service)
    now = host.clock.now()
    ends = _midnight(challenge.ends + timedelta(days=1))
    terms = GrantTerms(
        client_id=service.client_id,
        purpose=PURPOSE,
        kinds=frozenset(),
        operations=frozenset({"read"}),
        granularity="P1D",
        history_from=_midnight(challenge.starts),
        valid_to=ends,
        expires_at=ends + AFTERWARDS,
        retention="P1M",
        notice_version=notice[0],
        notice_hash=notice[1],
        figures=frozenset({MEASURES[challenge.measure]}),
        reads_per_day=TOLD_A_DAY,
    )
    grant = GrantId(grants.give(host, own.pod_id, terms, actor=CITIZEN, vault=own.vault).id)
    joined = Joined(
        service.slug,
        challenge.id,
        challenge.title,
        challenge.measure,
        challenge.goal,
        challenge.starts,
        challenge.ends,
        secrets.token_hex(16),
        now.astimezone(UTC).isoformat(timespec="seconds"),
    )
    with host.storage.write() as tx:
        # Durable before it is told: a name that was told and forgotten could not be taken back.
        participations.save(tx, own, grant, msgspec.json.encode(joined))
        _log(tx, own, service, grant, "join-challenge", now)
    try:
        _say(
            host,
            service,
            _permit(host, own, service, grant, now),
            team_challenges.join(challenge.id, joined.participant),
        )
    except BridgeError:
        # It may have taken the name all the same: the row stays until the service has heard that it is to be forgotten.
        grants.withdraw(host, own.pod_id, grant, actor=CITIZEN)
        raise
    return grant


def tell(host: Host, own: OpenPod, grant: str, shown: int) -> None:
    """Tell the service how far one is, in whole quarters, exactly as shown.

    Raises:
        GrantRefused: the consent was paused, withdrawn, has ended or was used too often today.
        NotAsShown: one is elsewhere by now; nothing was sent.
        NothingToCalculate: no such participation, or nothing to tell yet; nothing was sent.
        SourceBusy, SourceUnreachable, UnusablePayload: the service did not take it.
    """
    at = host.clock.now()
    each, service = _find(host, own, grant)
    permit = _permit(host, own, service, each.grant, at)
    opened = open_pod(host, permit, vault=own.vault)
    assert permit.terms is not None
    with host.storage.read() as tx:
        content = figures.load_figures(tx, opened)
    percent = _percent(each.joined, content, permit.terms, at)
    if percent != shown:
        raise NotAsShown("you are elsewhere by now")
    calculation.require_patience(host, service)
    with host.storage.write() as tx:
        refused = recheck_reading(tx, permit, at)
        if refused is None:
            record_read(tx, permit, at)
            _log(tx, own, service, each.grant, "tell-challenge", at)
    if refused is not None:
        raise refusal_error(refused)
    _say(host, service, permit, team_challenges.progress(each.joined.challenge, each.joined.participant, percent))
    told = at.astimezone(UTC).isoformat(timespec="seconds")
    with host.storage.write() as tx:
        if recheck_grant(tx, permit, at) is None:
            participations.save(
                tx, own, each.grant, msgspec.json.encode(msgspec.structs.replace(each.joined, told=told))
            )


def leave(host: Host, own: OpenPod, grant: str) -> None:
    """Take part no more: the consent ends first, then the service is told to forget the name.

    Raises:
        NothingToCalculate: no such participation.
        SourceBusy, SourceUnreachable, UnusablePayload: it could not be told; the consent has ended all the same, and the
            name is kept so that it can be told again.
    """
    each, service = _find(host, own, grant)
    if each.is_active:
        grants.withdraw(host, own.pod_id, each.grant, actor=CITIZEN)
    calculation.require_patience(host, service)
    token = calculation.token_of(host, service)
    with host.storage.write() as tx:
        _log(tx, own, service, each.grant, "leave-challenge", host.clock.now())
    calculation.ask(host, service, token, team_challenges.leave(each.joined.challenge, each.joined.participant))
    with host.storage.write() as tx:
        participations.forget(tx, own, each.grant)


def _find(host: Host, own: OpenPod, grant: str) -> tuple[Participation, Source]:
    from partner_bridge.calculating import find_service  # noqa: PLC0415 - the two stories stand side by side

    each = next((each for each in taking_part(host, own) if each.grant == grant), None)
    if each is None:
        raise NothingToCalculate("you take part in no such challenge")
    return each, find_service(host, each.joined.service)


def _permit(host: Host, own: OpenPod, service: Source, grant: str, at: datetime) -> Permit:
    with host.storage.read() as tx:
        party = partners.find_partner(tx, service.client_id)
    if party is None or not party.active:
        raise SourceInvalid("the service is no party of consents any more")
    return require_grant(host, party, grant, (), "read", at, pod_id=own.pod_id)


def _say(host: Host, service: Source, permit: Permit, question: Question) -> None:
    """The token, the consent's state once more, and the words."""
    token = calculation.token_of(host, service)
    with host.storage.write() as tx:
        refused = recheck_grant(tx, permit, host.clock.now())
    if refused is not None:
        raise refusal_error(refused)
    calculation.ask(host, service, token, question)


def _percent(joined: Joined, content: bytes | None, terms: GrantTerms, at: datetime) -> int:
    """How much of the goal the whole days of the challenge make, in whole quarters, never more than all."""
    done = sum(each.best for each in shared_figures(content, terms, at))
    quarters = int(done / joined.goal * 100) // STEP_PERCENT
    return min(quarters * STEP_PERCENT, 100)


def _log(  # noqa: PLR0917 - called in three places
    tx: Transaction, own: OpenPod, service: Source, grant: GrantId, action: str, at: datetime
) -> None:
    actor = Actor("partner", service.client_id, service.name)
    append_to_log(tx, own.pod_id, LogEvent(at, actor, action, purpose=PURPOSE, grant=grant), random=secrets.token_bytes)


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=LOCAL).astimezone(UTC)
