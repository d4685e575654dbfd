"""The story of a calculation: a service is shown sums that say nothing of whom, and what it answers is kept beside the twin's.

    1. the grant decides: whose, state, operation, kind (a Permit of the authority `grant`); the citizen gave it on the page
       that shows what would leave, item by item;
    2. what leaves is taken out under that Permit and made coarse (`minimised`): whole hundreds of kroner for each group of
       goods in a month that is over; no name, time, place, account or identifier, and the very bytes the citizen was shown;
    3. one transaction: the grant's state and the day's readings are read again, and the log gets its leaf with the groups
       that go out, before a byte of them does;
    4. a token for this host is asked for (it says nothing of a citizen), the grant's state is read once more, and the
       request goes out, by the house's one way out, to the operator's address and no other;
    5. the answer is held against what was asked: form, unit, bounds, one figure a sum (connectors/calculator.py);
    6. one transaction: the grant's state again, and that nothing it was drawn from was erased meanwhile; the answer is kept
       (pod_server/calculations.py), and the log says so.

Only a citizen's press of a button begins it: nothing here runs by itself. After a withdrawal steps 3, 4 and 6 refuse.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

import msgspec

from consent.grant import GrantState, GrantTerms
from partner_bridge.channels import calculation
from partner_bridge.connectors import find_calculator
from partner_bridge.connectors.calculator import Line, Question
from partner_bridge.errors import (
    NotAsShown,
    NothingToCalculate,
    SourceInvalid,
)
from partner_bridge.shared import LOCAL
from partner_bridge.sources import list_sources
from pod_server import activities, calculations, grants, key_epochs, partners, rectifications
from pod_server.authorization import grant_rows
from pod_server.authorization.enforcement import recheck_grant, recheck_reading, record_read, require_grant
from pod_server.authorization.errors import refusal_error
from pod_server.identifiers import Actor, GrantId
from pod_server.log.event import LogEvent
from pod_server.log.ledger import append as append_to_log
from pod_server.opening import open_pod
from vocab.kinds import load_kinds

if TYPE_CHECKING:
    from collections.abc import Mapping

    from consent.grant import Grant
    from partner_bridge.connectors.calculator import Answer, Calculator
    from partner_bridge.sources import Source
    from pod_server.authorization.permit import Permit
    from pod_server.host import Host
    from pod_server.opening import OpenPod
    from pod_server.vault.vault import Vault

STEP_KRONER = 100
"""Sums are shown in whole steps: what a month's group came to within half a step stays unknown."""

MOST_KRONER = 1_000_000
"""A greater sum would tell whose it is by its size alone, and is not sent."""

MONTHS_BACK = 12
VALID_FOR = timedelta(days=365)
READS_PER_DAY = 24
_NOBODY = "https://pod.invalid/"


@dataclass(frozen=True)
class Preview:
    """What one month would show a service.

    Attributes:
        month: `2026-10`, local.
        lines: What leaves, in order of group.
        body: The very bytes.
        used: Group → the activities that its sum is made of, relative to the pod's root.
        kept_back: How many activities of the month stay: of groups that are not sent, or too small a sum.
        figures_epoch: Under which figures key their grants stood when they were read.
    """

    month: str
    lines: tuple[Line, ...]
    body: bytes
    used: Mapping[str, tuple[str, ...]] = field(repr=False)
    kept_back: int = 0
    figures_epoch: int = 0

    @property
    def digest(self) -> str:
        """What the page carries, so that nothing but what it showed is sent."""
        return hashlib.sha256(self.month.encode() + b"\n" + self.body).hexdigest()


class KeptSum(msgspec.Struct, frozen=True):
    """One sum as it was sent, in kroner."""

    spendClass: str  # noqa: N815 - the context's word
    category: str
    amount: float


class KeptLine(msgspec.Struct, frozen=True):
    """One figure as it is kept; in kg CO2e, with the ends where the service told them."""

    estimateOf: KeptSum  # noqa: N815 - the context's word
    best: float
    low: float | None = None
    high: float | None = None


class _Named(msgspec.Struct, frozen=True):
    name: str
    version: str = ""


class Kept(msgspec.Struct, frozen=True):
    """An answer as it is kept, as far as the pages read it (vocab/calculation.jsonld has the rest)."""

    month: str
    made: str
    attributedTo: _Named  # noqa: N815 - the context's word
    lines: list[KeptLine]


_KEPT = msgspec.json.Decoder(Kept)


# What the pages ask


def services(host: Host) -> list[Source]:
    """The calculation services that the operator added."""
    return [each for each in list_sources(host) if each.channel == "calculation"]


def find_service(host: Host, slug: str) -> Source:
    """One of them.

    Raises:
        SourceInvalid: there is none of this name.
    """
    for each in services(host):
        if each.slug == slug:
            return each
    raise SourceInvalid("there is no calculation service of this name here")


def standing(host: Host, own: OpenPod, service: Source) -> Grant | None:
    """The citizen's consent to a service that holds now, or is paused; None where there is none."""
    at = host.clock.now()
    with host.storage.read() as tx:
        held = grant_rows.grants_in_pod(tx, host.host_key, own.pod_id, client_id=service.client_id)
    # A service may be a party of another consent too: its challenges are one of their own.
    held = [each for each in held if each.terms.purpose == service.purpose]
    return next((each for each in held if each.state_at(at) in {GrantState.ACTIVE, GrantState.PAUSED}), None)


def agree(host: Host, vault: Vault, service: Source, *, notice: tuple[str, str]) -> Grant:
    """Write down the citizen's consent: to read the month's sums of the service's kinds, for this purpose.

    Raises:
        NoSuchPartner: the service is no party of consents any more.
    """
    now = host.clock.now()
    terms = GrantTerms(
        client_id=service.client_id,
        purpose=service.purpose,
        kinds=find_calculator(service.connector).kinds,
        operations=frozenset({"read"}),
        granularity="P1M",
        history_from=now - timedelta(days=31 * (MONTHS_BACK + 1)),
        expires_at=now + VALID_FOR,
        retention="P1D",
        notice_version=notice[0],
        notice_hash=notice[1],
        reads_per_day=READS_PER_DAY,
    )
    return grants.give(host, vault.pod_id, terms, actor=Actor("citizen"), vault=vault)


def months(host: Host) -> list[str]:
    """The months that can be calculated, the newest first: those that are over, so that no sum grows day by day."""
    now = host.clock.now().astimezone(LOCAL)
    number = now.year * 12 + now.month - 1
    return [f"{(number - back) // 12:04d}-{(number - back) % 12 + 1:02d}" for back in range(1, MONTHS_BACK + 1)]


def preview(host: Host, own: OpenPod, service: Source, month: str) -> Preview:
    """What a month would show the service, for the citizen to see.

    Args:
        host: This host.
        own: Open under the owner's Permit.
        service: Which.
        month: One of `months`.

    Raises:
        SourceInvalid: no such month.
    """
    return minimised(host, own, find_calculator(service.connector), month)


def kept(host: Host, own: OpenPod) -> list[tuple[calculations.Calculation, Kept]]:
    """Every answer in the pod, the newest first."""
    with host.storage.read() as tx:
        found = calculations.listed(tx, own)
    return [(each, _KEPT.decode(each.content)) for each in found]


def is_answered(host: Host, own: OpenPod, service: Source, asked: Preview) -> bool:
    """Whether the service answered these very sums already."""
    calculator = find_calculator(service.connector)
    earlier = (content for _, content in kept(host, own) if _is_of(content, calculator, asked.month))
    return any(_sums(content) == {line.spend_class: line.amount for line in asked.lines} for content in earlier)


# Step 2


def minimised(host: Host, opened: OpenPod, calculator: Calculator, month: str) -> Preview:
    """A month's sums, coarse and nameless, and which activities they are made of.

    Args:
        host: This host.
        opened: Under the owner's Permit for a preview, under the grant's for sending; both see the same.
        calculator: Whose words, and which groups it is shown.
        month: `2026-10`, local.

    Raises:
        SourceInvalid: no such month.
        PermitExceeded: the Permit covers neither.
    """
    if month not in months(host):
        raise SourceInvalid("only the last twelve months that are over can be calculated")
    start, end = _span(month)
    with host.storage.read() as tx:
        counts = rectifications.counting(tx, opened)
        figures_epoch = key_epochs.figures_scope(tx, opened.pod_id).epoch
    sums: dict[str, float] = {}
    used: dict[str, list[str]] = {}
    back = 0
    kinds = load_kinds()
    shared = opened.permit.authority == "grant"
    for slug in sorted(calculator.kinds):
        kind = kinds.by_slug[slug]
        for stored in activities.read_activities(host, opened, kind=slug, start=start, end=end, shared=shared):
            activity = kinds.decode(stored.raw)
            group = kind.discriminator(activity)
            # What the citizen said is not theirs, or wrong, is kept and not used (GDPR Art. 18).
            if group not in calculator.categories or not counts(stored.grant, activity.id, stored.raw):
                back += 1
                continue
            sums[group] = sums.get(group, 0.0) + activity.quantity
            used.setdefault(group, []).append(_name(stored.grant, activity.start, activity.id))
    lines: list[Line] = []
    for group in sorted(sums):
        amount = round(sums[group] / STEP_KRONER) * STEP_KRONER
        if not 0 < amount <= MOST_KRONER:
            back += len(used.pop(group))
            continue
        lines.append(Line(str(len(lines) + 1), group, calculator.categories[group], amount))
    body = calculator.question(lines).body
    return Preview(month, tuple(lines), body, {name: tuple(ids) for name, ids in used.items()}, back, figures_epoch)


def _name(grant: str, start: datetime, record_id: str) -> str:
    """An activity's name as its document in the pod has it, relative to the root."""
    document = f"{_NOBODY}activities/{grant}/{start.astimezone(UTC):%Y-%m}"
    return urljoin(document, record_id).removeprefix(_NOBODY)


def _span(month: str) -> tuple[datetime, datetime]:
    year, number = int(month[:4]), int(month[5:])
    start = datetime(year, number, 1, tzinfo=LOCAL)
    following = start.replace(year=year + number // 12, month=number % 12 + 1)
    return start.astimezone(UTC), following.astimezone(UTC)


# The story


def calculate(host: Host, own: OpenPod, service: Source, month: str, shown: str) -> Kept:
    """Carry out steps 1 to 6 for one month, at the citizen's press of a button.

    Args:
        host: This host.
        own: Open under the owner's Permit.
        service: Which.
        month: One of `months`.
        shown: The digest of the preview that the citizen was shown.

    Returns:
        What is kept now.

    Raises:
        GrantRefused: there is no consent, or it was paused, withdrawn or used too often today.
        NotAsShown: the month's sums are not what was shown; nothing was sent.
        NothingToCalculate: there is no sum, or the same sums were answered already; nothing was sent.
        SourceBusy: the service asks for patience; until then nothing is sent.
        SourceUnreachable: it did not answer as it should.
        UnusablePayload: what it answered is none; nothing of it is kept.
    """
    began = host.clock.now()
    calculator = find_calculator(service.connector)

    # 1. the grant decides
    permit = _permit(host, own, service, began)

    # 2. taken out, made coarse, and held against what was shown
    asked = minimised(host, open_pod(host, permit, vault=own.vault), calculator, month)
    if asked.digest != shown:
        raise NotAsShown("the sums have changed since they were shown")
    if not asked.lines:
        raise NothingToCalculate("there is no sum of this month to send")
    if is_answered(host, own, service, asked):
        raise NothingToCalculate("these very sums were answered already")
    calculation.require_patience(host, service)

    # 3. logged before it leaves
    _log_sending(host, permit, asked, began)

    # 4. the token, the state once more, and the request
    token = calculation.token_of(host, service)
    _require_standing(host, permit)
    answer = calculation.ask(host, service, token, Question(calculator.question(asked.lines).path, asked.body))

    # 5. held against what was asked
    answered = calculator.read_answer(answer, asked.lines)

    # 6. kept, if the consent still stands
    return _keep(host, own, permit, service, asked, answered, began)


def _permit(host: Host, own: OpenPod, service: Source, at: datetime) -> Permit:
    party = _party(host, service)
    held = standing(host, own, service)
    return require_grant(
        host,
        party,
        "" if held is None else held.id,
        find_calculator(service.connector).kinds,
        "read",
        at,
        pod_id=own.pod_id,
    )


def _party(host: Host, service: Source) -> partners.Partner:
    with host.storage.read() as tx:
        party = partners.find_partner(tx, service.client_id)
    if party is None or not party.active:
        raise SourceInvalid("the service is no party of consents any more")
    return party


def _is_of(content: Kept, calculator: Calculator, month: str) -> bool:
    return content.month == month and content.attributedTo.name == calculator.title


def _sums(content: Kept) -> dict[str, int]:
    return {line.estimateOf.spendClass: int(line.estimateOf.amount) for line in content.lines}


def _log_sending(host: Host, permit: Permit, asked: Preview, at: datetime) -> None:
    with host.storage.write() as tx:
        refused = recheck_reading(tx, permit, at)
        if refused is None:
            record_read(tx, permit, at)
            detail = {"groups": " ".join(line.spend_class for line in asked.lines)[:200], "month": asked.month}
            event = LogEvent(
                at,
                permit.actor,
                "send-for-calculation",
                purpose=permit.purpose,
                grant=permit.grant or "",
                count=len(asked.lines),
                detail=detail,
            )
            append_to_log(tx, permit.pod_id, event, random=secrets.token_bytes)
    if refused is not None:
        raise refusal_error(refused)


def _require_standing(host: Host, permit: Permit) -> None:
    """The last look before bytes leave: a withdrawal while the token was fetched ends it here."""
    with host.storage.write() as tx:
        refused = recheck_grant(tx, permit, host.clock.now())
    if refused is not None:
        raise refusal_error(refused)


def _keep(  # noqa: PLR0917 - called in one place
    host: Host,
    own: OpenPod,
    permit: Permit,
    service: Source,
    asked: Preview,
    answered: Answer,
    began: datetime,
) -> Kept:
    at = host.clock.now()
    name = calculations.new_id()
    grant = GrantId(permit.grant or "")
    title = find_calculator(service.connector).title
    content = msgspec.json.encode(_document(name, title, service, asked, answered, grant, began, at))
    with host.storage.write() as tx:
        refused = recheck_grant(tx, permit, at)
        if refused is None:
            if key_epochs.figures_scope(tx, own.pod_id).epoch != asked.figures_epoch:
                # What it was drawn from was erased, or the pod got new keys, while the service thought.
                raise NotAsShown("what the sums were made of has changed meanwhile; the answer was thrown away")
            calculator = find_calculator(service.connector)
            earlier = [
                each.calculation_id
                for each in calculations.listed(tx, own)
                if _is_of(_KEPT.decode(each.content), calculator, asked.month)
            ]
            calculations.keep(tx, own, name, grant, content, at, instead_of=earlier)
            event = LogEvent(
                at,
                permit.actor,
                "keep-calculation",
                purpose=permit.purpose,
                grant=grant,
                count=len(answered.estimates),
                detail={"calculation": name, "month": asked.month},
            )
            append_to_log(tx, own.pod_id, event, random=secrets.token_bytes)
    if refused is not None:
        raise refusal_error(refused)
    return _KEPT.decode(content)


def _document(  # noqa: PLR0917 - called in one place
    name: str, title: str, service: Source, asked: Preview, answered: Answer, grant: str, began: datetime, at: datetime
) -> dict[str, Any]:
    """The answer as linked data: who reckoned, with what, from which activities, when, and how sure (PROV-O)."""
    here = f"calculations/{name}"
    lines = []
    for line, estimate in zip(asked.lines, answered.estimates, strict=True):
        made: dict[str, Any] = {
            "id": f"{here}#estimate-{line.number}",
            "type": ["tv:PartnerEstimate", "prov:Entity"],
            "best": estimate.best,
            "inUnit": "units:KiloGM",
            "by": f"{here}#run",
            "estimateOf": {
                "id": f"{here}#sum-{line.number}",
                "type": ["tv:SentSum", "prov:Entity"],
                "spendClass": line.spend_class,
                "category": line.category,
                "amount": float(line.amount),
                "inUnit": "units:CCY_NOK",
                "derivedFrom": list(asked.used[line.spend_class]),
            },
        }
        if estimate.low is not None and estimate.high is not None:
            made |= {"low": estimate.low, "high": estimate.high}
        lines.append(made)
    agent = {"id": f"{here}#service", "type": ["prov:SoftwareAgent"], "name": title, "endpoint": service.api}
    return {
        "id": here,
        "type": ["tv:PartnerCalculation", "prov:Entity"],
        "month": asked.month,
        "made": _instant(at),
        "underGrant": grant,
        "attributedTo": agent | ({"version": answered.version} if answered.version else {}),
        "by": {
            "id": f"{here}#run",
            "type": ["prov:Activity"],
            "began": _instant(began),
            "ended": _instant(at),
            "service": agent["id"],
            "used": [f"{here}#sum-{line.number}" for line in asked.lines],
        },
        "lines": lines,
    }


def _instant(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
