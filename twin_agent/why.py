"""Why a number is what it is: quantity × factor ÷ household = result, with the factor's source and the reason for its spread.

Nothing is stored for this but the event or the sums themselves; the rest is looked up in the vocabulary, so that an
explanation can never say something else than the sum did.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING

from pod_server import figures as stored_figures
from pod_server import household
from pod_server.identifiers import GrantId
from twin_agent import once
from twin_agent.compute import (
    ELECTRICITY,
    PAYMENT,
    RECEIPT_LINE,
    TRIP,
    SumsKey,
    decode_sums,
    share,
)
from twin_agent.events import factor_of, read_event
from twin_agent.figures import count
from twin_agent.left_out import Asked, Standing
from twin_agent.local_time import day_of_hour, first_day, hour_of, month_before, next_month, start_of
from twin_agent.observe import partner_names
from twin_agent.once import NotCounted
from vocab.counting_rules import load_counting_rules
from vocab.errors import NoFactor
from vocab.factors import load_factors
from vocab.kinds import load_kinds

if TYPE_CHECKING:
    from pod_server.host import Host
    from pod_server.opening import OpenPod
    from twin_agent.compute import MonthSums
    from twin_agent.events import TwinEvent
    from vocab.factors import Factor

Words = dict[str, str]
Kilograms = tuple[float, float, float]

UNIT_NAMES = {"KiloW-HR": "kWh", "KiloGM": "kg", "KiloM": "km"}

_UNKNOWN: Words = {
    "nb": "Vi har ingen utslippsfaktor for dette, så fotavtrykket er ukjent. Det er ikke det samme som null.",
    "nn": "Vi har ingen utsleppsfaktor for dette, så fotavtrykket er ukjent. Det er ikkje det same som null.",
    "en": "We have no emission factor for this, so its footprint is unknown. That is not the same as zero.",
}
_QUANTITY_NOTES: dict[str, Words] = {
    "electricity-reading": {
        "nb": "Fra strømmåleren, levert av {partner}.",
        "en": "From the electricity meter, delivered by {partner}.",
    },
    "grocery-line": {
        "nb": "Fra kvitteringen hos {partner}: «{text}».",
        "en": "From the receipt at {partner}: “{text}”.",
    },
    "transit-trip": {"nb": "Reisens lengde, levert av {partner}.", "en": "The trip's length, delivered by {partner}."},
    "driving-day": {
        "nb": "Dagens kjøring, samlet, levert av {partner}.",
        "nn": "Køyringa den dagen, samla, levert av {partner}.",
        "en": "The day's driving in sum, delivered by {partner}.",
    },
    "payment": {"nb": "Fra kontoen, levert av {partner}.", "en": "From the account, delivered by {partner}."},
    "waste-collection": {
        "nb": "Veid ved henting, levert av {partner}.",
        "en": "Weighed at collection, delivered by {partner}.",
    },
}
_DELIVERED: Words = {"nb": "Levert av {partner}.", "en": "Delivered by {partner}."}


@dataclass(frozen=True)
class Source:
    """Where a factor comes from, as its publisher and reader have it."""

    short: str
    citation: str
    url: str
    licence: str
    place: str
    origin: str
    period_start: date
    period_end: date
    review_date: date
    directness: str


@dataclass(frozen=True)
class Why:
    """The answer to "why?" of one event.

    Attributes:
        kg: Low, mean and high of the citizen's share; None where the footprint is unknown.
        quantity: As delivered, in `unit` (QUDT); undivided.
        quantity_note: Where the quantity is from.
        quantity_quality: measured, estimated or inferred.
        factor: Low, mean and high kilograms of CO2 equivalent a unit.
        divided_by: Among how many it was divided when it was counted.
        household_size: Persons of the household now.
        arithmetic: The sum on one line.
        counted: False where the figures count another record for the same event, or where no factor is known.
        rule: The counting rule that leaves it out (`vocab.counting_rules`); "" where none does.
        also_told_by: Who else tells of the same event and is not counted, with the rule's title.
        unusual: The quantity is beyond what is likely (vocab/plausibility.py), though not impossible.
    """

    seq: int
    title: Words
    category: str
    kind: str
    discriminator: str
    partner: str
    grant: str
    record_id: str
    start: datetime
    end: datetime
    kg: Kilograms | None
    quantity: float
    unit: str
    quantity_note: Words
    quantity_quality: str
    factor: Kilograms | None
    factor_iri: str
    factor_unit: str
    factor_label: Words
    divided_by: int
    household_size: int
    spread_reason: Words
    bound_labels: dict[str, Words]
    source: Source | None
    rule_version: int | None
    arithmetic: Words
    amount_nok: float | None
    store: str | None
    count: int
    counted: bool
    not_counted_reason: Words | None
    rule: str = ""
    also_told_by: tuple[tuple[str, Words], ...] = ()
    unusual: bool = False


@dataclass(frozen=True)
class WhyLine:
    """One part of a month's figure: everything of one kind and discriminator.

    Attributes:
        label: What it is.
        quantity: The citizen's share, in `unit`.
        kg: The citizen's share.
        records: How many records it sums; an hour counts as one.
        factor: The factor at the month's middle.
    """

    label: Words
    kind: str
    discriminator: str
    quantity: float
    unit: str
    kg: Kilograms
    records: int
    divided_by: int
    factor: Kilograms | None
    source: Source | None
    spread_reason: Words


def explain(host: Host, open_pod: OpenPod, seq: int) -> Why | None:
    """Why an event's number is what it is, or None where the event has left the ring of the last ones.

    Args:
        host: The host.
        open_pod: Open under the owner's Permit.
        seq: The event's number.
    """
    with host.storage.read() as tx:
        found = stored_figures.events_after(tx, open_pod, seq - 1, 1)
        if not found or found[0].seq != seq:
            return None
        event = read_event(found[0].content)
        size = household.load(tx, open_pod).household_size
    counted, reason, rule, also = _is_counted(host, open_pod, event)
    factor = factor_of(event)
    return Why(
        seq=seq,
        title=event.title,
        category=event.category,
        kind=event.kind,
        discriminator=event.discriminator,
        partner=event.partner,
        grant=event.grant,
        record_id=event.record_id,
        start=datetime.fromisoformat(event.start),
        end=datetime.fromisoformat(event.end),
        kg=event.kg,
        quantity=event.quantity,
        unit=event.unit,
        quantity_note=_quantity_note(event),
        quantity_quality=event.quality,
        factor=None if factor is None else (factor.low, factor.mean, factor.high),
        factor_iri=event.factor or "",
        factor_unit=f"kg CO2e/{UNIT_NAMES.get(event.unit, event.unit)}",
        factor_label={} if factor is None else factor.label,
        divided_by=event.divided_by,
        household_size=size,
        spread_reason={} if factor is None else factor.spread_reason,
        bound_labels={} if factor is None else factor.bound_labels,
        source=None if factor is None else source_of(factor),
        rule_version=None if factor is None else factor.rule_version,
        arithmetic=_arithmetic(event, factor),
        amount_nok=event.amount_nok,
        store=event.store,
        count=event.count,
        counted=counted,
        not_counted_reason=reason,
        rule=rule,
        also_told_by=also,
        unusual=event.unusual,
    )


def explain_month(host: Host, open_pod: OpenPod, month: str, category: str) -> tuple[WhyLine, ...]:
    """The parts of one category's figure of one local month, the largest first; they add up to the figure.

    Args:
        host: The host.
        open_pod: Open under the owner's Permit.
        month: `YYYY-MM`.
        category: A slug of the vocabulary.
    """
    with host.storage.read() as tx:
        size = household.load(tx, open_pod).household_size
    counted = count(_sums_around(host, open_pod, month), month)
    kinds = load_kinds().by_slug
    lines = []
    for name, amounts in counted.of_month().items():
        slug, _, discriminator = name.partition("|")
        kind = kinds[slug]
        if kind.category != category:
            continue
        parts = share(slug, size)
        try:
            factor: Factor | None = load_factors().find(slug, discriminator, start_of(first_day(month).replace(day=15)))
        except NoFactor:
            factor = None
        lines.append(
            WhyLine(
                label=factor.label if factor else {language: each.title for language, each in kind.labels.items()},
                kind=slug,
                discriminator=discriminator,
                quantity=amounts[3] / parts,
                unit=kind.unit,
                kg=(amounts[0] / parts, amounts[1] / parts, amounts[2] / parts),
                records=int(amounts[4]),
                divided_by=parts,
                factor=None if factor is None else (factor.low, factor.mean, factor.high),
                source=None if factor is None else source_of(factor),
                spread_reason={} if factor is None else factor.spread_reason,
            )
        )
    return tuple(sorted(lines, key=lambda line: -line.kg[1]))


def source_of(factor: Factor) -> Source:
    """A factor's source."""
    return Source(
        short=factor.source,
        citation=factor.citation,
        url=factor.url,
        licence=factor.licence,
        place=factor.place,
        origin=factor.origin,
        period_start=factor.period_start,
        period_end=factor.period_end,
        review_date=factor.review_date,
        directness=factor.directness,
    )


def _sums_around(host: Host, open_pod: OpenPod, month: str) -> dict[SumsKey, MonthSums]:
    """The partial sums of a month and of the two before it, whose long readings may reach in."""
    with host.storage.read() as tx:
        partials = stored_figures.load_partials(tx, open_pod, from_month=month_before(month_before(month)))
    return {SumsKey(each.grant, each.month): decode_sums(each.content) for each in partials if each.month <= month}


def _standing(
    host: Host, open_pod: OpenPod, event: TwinEvent
) -> tuple[NotCounted | None, tuple[tuple[NotCounted, str], ...]]:
    """Why an event's record is not counted, or None; and who tells of the same and is not counted, each with its rule."""
    if not event.record_id:
        return None, ()
    start, end = datetime.fromisoformat(event.start), datetime.fromisoformat(event.end)
    month = day_of_hour(hour_of(start))[:7]
    standing = Standing(_sums_around(host, open_pod, month if event.kind == ELECTRICITY else next_month(month)))
    left_out = standing.of(
        Asked(event.kind, event.grant, event.record_id, start, end, event.quality, event.device, event.receipt)
    )
    if event.kind not in {RECEIPT_LINE, TRIP, PAYMENT}:
        return left_out, ()
    verdicts, later = standing.verdicts(month), standing.verdicts(next_month(month))
    refs = {event.record_id, event.receipt, event.ticket} - {""}
    others = tuple(
        (verdict, grant)
        for each in (verdicts.receipts, verdicts.trips, verdicts.payments, later.payments)
        for (grant, _), verdict in sorted(each.items())
        if verdict.grant == event.grant and verdict.by in refs
    )
    return left_out, others


def _is_counted(
    host: Host, open_pod: OpenPod, event: TwinEvent
) -> tuple[bool, Words | None, str, tuple[tuple[str, Words], ...]]:
    """Whether the figures count an event's record, why not and by which rule, and who else tells of it."""
    left_out, others = _standing(host, open_pod, event)
    rules = load_counting_rules()
    with host.storage.read() as tx:
        grants = {GrantId(grant) for _, grant in others} | ({GrantId(left_out.grant)} if left_out else set())
        names = partner_names(host, tx, open_pod.pod_id, grants)
    also = tuple(dict.fromkeys((names.get(grant, "–"), verdict.rule) for verdict, grant in others))
    told = tuple((name, rules[rule].titles) for name, rule in also)
    if left_out is not None:
        rule = rules[left_out.rule]
        partner = names.get(left_out.grant, "–")
        if left_out.rule == once.WALK_ONCE and left_out.by and left_out.by != partner:
            partner = f"{partner} ({left_out.by})"
        return False, {lang: text.format(partner=partner) for lang, text in rule.reasons.items()}, rule.slug, told
    if event.factor is None and event.record_id:
        return False, _UNKNOWN, "", told
    return True, None, "", told


def _quantity_note(event: TwinEvent) -> Words:
    template = _QUANTITY_NOTES.get(event.kind, _DELIVERED) if event.record_id else _DELIVERED
    return {
        language: text.format(partner=event.partner or "–", text=event.text or "")
        for language, text in template.items()
    }


def _arithmetic(event: TwinEvent, factor: Factor | None) -> Words:
    """The sum on one line, as one would write it on paper."""
    if factor is None or event.kg is None:
        return {}
    unit = UNIT_NAMES.get(event.unit, event.unit)

    def line(point: str) -> str:
        def text(value: float) -> str:
            return f"{value:.4g}".replace(".", point)

        share_text = f" ÷ {event.divided_by}" if event.divided_by > 1 else ""
        assert event.kg is not None
        return f"{text(event.quantity)} {unit} × {text(factor.mean)} kg CO₂e/{unit}{share_text} = {text(event.kg[1])} kg CO₂e"

    return {"nb": line(","), "en": line(".")}
