"""Propose: an offer to the citizen, with the facts, exactly what would be sent, and a hash that binds the two.

What a proposal rests on (its facts, the salt of its hash, the hash) is kept apart from what it proposes, and forgotten
when a partner is erased (pod_server/proposals.py); a waiting one is then given the facts that are left.

A proposal waits; silence means no. It is made once for each period of a programme. While it waits its facts are kept
true: if they change, its plan hash changes with them, so that an approval of the old plan covers nothing; if the rule
is no longer met, the offer is withdrawn.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from pod_server import figures, household, proposals
from pod_server import offers as published_offers
from twin_agent.compute import SumsKey, decode_sums
from twin_agent.infer import CountedPod, eligibility, is_open, measure
from twin_agent.local_time import local_date
from vocab.kinds import load_kinds

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from pod_server.host import Host
    from pod_server.opening import OpenPod
    from pod_server.partners import Partner
    from pod_server.proposals import Proposal
    from pod_server.storage.ports import Transaction
    from twin_agent.infer import Measure
    from vocab.programmes import Programme

WAITING, SENT, DECLINED, EXPIRED, WITHDRAWN = "waiting", "sent", "declined", "expired", "withdrawn"
_SYMBOLS = {"KiloM": "km", "KiloW-HR": "kWh", "KiloGM": "kg", "CCY_NOK": "kr", "NUM": ""}
OFFER_STANDS = timedelta(days=30)
RESTS_ON = ("facts", "salt", "plan_hash")
"""Members of a proposal's document that say something of the data it was drawn from."""
UNDO = {
    "nb": "Svaret kan ikke kalles tilbake når det er sendt. Kommunen kan aldri kreve noe tilbake på grunn av det.",
    "nn": "Svaret kan ikkje kallast tilbake når det er sendt. Kommunen kan aldri krevje noko tilbake på grunn av det.",
    "en": "The answer cannot be called back once it is sent. The municipality can never claim anything back over it.",
}


@dataclass(frozen=True)
class Standing:
    """What is offered at one time.

    Attributes:
        programmes: Each with its municipality, by name.
        fingerprint: Another one where anything in it is another.
    """

    programmes: tuple[tuple[Programme, Partner], ...]
    fingerprint: str

    @property
    def kinds(self) -> frozenset[str]:
        """The kinds of activity that are measured."""
        return frozenset(programme.kind_slug for programme, _ in self.programmes)


@dataclass(frozen=True)
class Offer:
    """What the twin would propose now: the facts, and the letter that would leave the pod."""

    programme: Programme
    facts: dict[str, Any]
    letter: dict[str, Any]

    def plan_hash(self, proposal_id: str, salt: str) -> str:
        """What an approval is bound to: this proposal, this letter, these facts.

        The salt keeps whoever sees the hash, beside the citizen's yes, from finding the weights by trying them.
        """
        plan = {"proposal": proposal_id, "salt": salt, "letter": self.letter, "facts": self.facts}
        canonical = json.dumps(plan, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(canonical.encode()).hexdigest()

    def body(self, proposal_id: str, *, salt: str, state: str, created: datetime) -> dict[str, Any]:
        """The proposal as it is stored and shown."""
        return {
            "id": proposal_id,
            "programme": self.programme.slug,
            "state": state,
            "created": created.isoformat(),
            "expires": (created + OFFER_STANDS).isoformat(),
            "facts": self.facts,
            "letter": self.letter,
            "salt": salt,
            "plan_hash": self.plan_hash(proposal_id, salt),
            "undo": UNDO,
        }


def offer(programme: Programme, operator: Partner, pod: CountedPod, at: datetime) -> Offer | None:
    """What the twin would propose of one programme, or None where its rule is not met.

    Args:
        programme: The programme.
        operator: To whom the answer would go.
        pod: What counts in the pod.
        at: Now, the city's time.
    """
    if not is_open(programme, at) or pod.household_size < programme.household_from:
        return None
    measured = measure(programme, pod, local_date(at))
    met = eligibility(programme, measured)
    if met is None:
        return None
    facts = {
        # Grams, so that the order of a floating-point sum cannot make another plan of the same facts.
        "before": round(met.before, 3),
        "after": round(met.after, 3),
        "limit": round(met.limit, 3),
        "unit": unit_of(programme),
        "change": round(met.change, 4),
        "threshold": programme.threshold,
        "coverage_days": [measured.coverage_after, measured.coverage_before],
        "household_size": pod.household_size,
        "period": measured.period,
        "baseline_period": measured.baseline_period,
    }
    letter = {
        "to": operator.name,
        "client_id": operator.client_id,
        "programme": programme.slug,
        "rule_version": programme.rule_version,
        "period": measured.period,
        "answer": "yes",
    }
    return Offer(programme, facts, letter)


def unit_of(programme: Programme) -> str:
    """In what a programme's measure is told: the kind's unit, or kilograms of CO2 equivalents."""
    return (
        "kg"
        if programme.measure == "footprint-per-person"
        else _SYMBOLS[load_kinds().by_slug[programme.kind_slug].unit]
    )


def standing_programmes(host: Host, at: datetime) -> Standing:
    """What municipalities offer now, each with the partner to whom the answer would go."""
    with host.storage.read() as tx:
        found = published_offers.standing(tx, at)
        return Standing(
            tuple(
                (each.programme, partner)
                for each in found
                if (partner := published_offers.operator_of(tx, each.programme))
            ),
            published_offers.fingerprint(found),
        )


def offers(standing: Standing, pod: CountedPod, at: datetime) -> dict[str, Offer | None]:
    """What the twin would propose now, by programme."""
    return {programme.slug: offer(programme, partner, pod, at) for programme, partner in standing.programmes}


@dataclass(frozen=True)
class Judgement:
    """How one offer looks from inside one pod, for its citizen's eyes.

    Attributes:
        programme: What is offered.
        partner: By whom.
        measured: The figures of the periods.
        offer: What would be proposed; None where the rule is not met.
        limit: What the measure must not exceed; None where there is nothing to hold it against yet.
        why: `fits`, `not-open`, `small-household`, `few-days` or `too-much`.
    """

    programme: Programme
    partner: Partner
    measured: Measure
    offer: Offer | None
    limit: float | None
    why: str


def judge(standing: Standing, pod: CountedPod, at: datetime) -> list[Judgement]:
    """Every standing offer with its verdict and the figures that decided; nothing of it leaves the pod."""
    return [_judged(programme, partner, pod, at) for programme, partner in standing.programmes]


def _judged(programme: Programme, partner: Partner, pod: CountedPod, at: datetime) -> Judgement:
    measured = measure(programme, pod, local_date(at))
    found = offer(programme, partner, pod, at)
    enough, limit = programme.minimum_coverage_days, programme.at_most
    days = [measured.coverage_after]
    if programme.threshold is not None:
        days.append(measured.coverage_before)
        limit = measured.before * (1 - programme.threshold) or None
    if found is not None:
        why = "fits"
    elif not is_open(programme, at):
        why = "not-open"
    elif pod.household_size < programme.household_from:
        why = "small-household"
    else:
        why = "few-days" if min(days) < enough else "too-much"
    return Judgement(programme, partner, measured, found, limit, why)


def look_now(host: Host, open_pod: OpenPod) -> list[Judgement]:
    """Judge what is offered now, for the citizen who asks.

    Args:
        host: The host.
        open_pod: Open under the owner's Permit.
    """
    at = host.clock.now()
    with host.storage.read() as tx:
        size = household.load(tx, open_pod).household_size
        sums = {
            SumsKey(each.grant, each.month): decode_sums(each.content) for each in figures.load_partials(tx, open_pod)
        }
    return judge(standing_programmes(host, at), CountedPod(sums, size), at)


def propose_now(host: Host, open_pod: OpenPod) -> None:
    """Make the proposals of what fits now, without waiting for the next delivery; at the citizen's own wish.

    Args:
        host: The host.
        open_pod: Open under the owner's Permit.
    """
    found = {each.programme.slug: each.offer for each in look_now(host, open_pod)}
    with host.storage.write() as tx:
        keep_true(tx, open_pod, found, host.clock.now())
    host.signal.notify({open_pod.pod_id})


def keep_true(tx: Transaction, open_pod: OpenPod, found: Mapping[str, Offer | None], at: datetime) -> int:
    """Bring the pod's waiting proposals in line with what holds now, and make the new ones; returns how many changed."""
    changed = 0
    settled: set[tuple[str, str]] = set()
    for stored in proposals.list_proposals(tx, open_pod):
        body = read_body(stored)
        slug = body["programme"]
        if stored.state != WAITING:
            # What was withdrawn was never answered: where it is offered, or met, again, it is proposed again.
            if stored.state != WITHDRAWN:
                settled.add((slug, body["letter"]["period"]))
            if not stored.lies_apart:
                save(tx, open_pod, stored, body, at)
                changed += 1
            continue
        now = found.get(slug)
        state = WAITING
        if at >= stored.created + OFFER_STANDS:
            state = EXPIRED
        elif now is None or now.letter["period"] != body["letter"]["period"]:
            state = WITHDRAWN
        renewed = body | {"state": state}
        if state == WAITING and now is not None:
            settled.add((slug, body["letter"]["period"]))
            renewed = now.body(
                stored.proposal_id, salt=body.get("salt") or new_salt(), state=WAITING, created=stored.created
            )
        if renewed != body or not stored.lies_apart:
            save(tx, open_pod, stored, renewed, at)
            changed += 1
        if state == EXPIRED:
            settled.add((slug, body["letter"]["period"]))
    for slug, now in found.items():
        if now is not None and (slug, now.letter["period"]) not in settled:
            proposal_id = f"p-{secrets.token_hex(12)}"
            body = now.body(proposal_id, salt=new_salt(), state=WAITING, created=at)
            proposed, rests_on = _apart(body)
            proposals.save(tx, open_pod, proposal_id, proposed, figures=rests_on, state=WAITING, at=at)
            changed += 1
    return changed


def read_body(stored: Proposal) -> dict[str, Any]:
    """A stored proposal's document: without `facts`, `salt` and `plan_hash` where those were forgotten."""
    body: dict[str, Any] = json.loads(stored.body)
    return body if stored.figures is None else body | json.loads(stored.figures)


def new_salt() -> str:
    """128 random bits."""
    return secrets.token_hex(16)


def _apart(body: Mapping[str, Any]) -> tuple[bytes, bytes | None]:
    """What is proposed, and what it rests on."""
    rests_on = {name: body[name] for name in RESTS_ON if name in body}
    proposed = {name: value for name, value in body.items() if name not in RESTS_ON}
    return json.dumps(proposed).encode(), json.dumps(rests_on).encode() if rests_on else None


def save(tx: Transaction, open_pod: OpenPod, stored: Proposal, body: Mapping[str, Any], at: datetime) -> None:
    """Write a proposal that was read at a version.

    Raises:
        VersionMoved: somebody else decided meanwhile.
    """
    proposed, rests_on = _apart(body)
    proposals.save(
        tx,
        open_pod,
        stored.proposal_id,
        proposed,
        figures=rests_on,
        state=body["state"],
        at=at,
        if_version=stored.version,
    )
