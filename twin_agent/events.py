"""What the citizen's page is told: one event for each activity of a small delivery, one summary for a large one.

A reader in the fuse box delivers every minute. Its readings move the figures each time, but become an event at most
once in five minutes, or when the power jumps, so that the list stays one a person can read.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from twin_agent.compute import ELECTRICITY, share
from vocab.factors import load_factors
from vocab.kinds import load_kinds
from vocab.words import load_categories

if TYPE_CHECKING:
    from twin_agent.figures import Figures
    from vocab.factors import Factor
    from vocab.kinds import Activity

RECORDS_TOLD_ONE_BY_ONE = 20
SHORT_READING_SECONDS = 15 * 60
POWER_READING_SECONDS = 5 * 60
_QUIET_SECONDS = 5 * 60
_JUMP_WATTS = 500.0

SUMMARY = "summary"

Title = dict[str, str]

_MODES: dict[str, Title] = {
    "bus": {"nb": "Busstur", "nn": "Busstur", "en": "Bus trip"},
    "tram": {"nb": "Trikketur", "nn": "Trikketur", "en": "Tram trip"},
    "train": {"nb": "Togtur", "nn": "Togtur", "en": "Train trip"},
    "boat": {"nb": "Båttur", "nn": "Båttur", "en": "Boat trip"},
    "bicycle": {"nb": "Sykkeltur", "nn": "Sykkeltur", "en": "Bicycle trip"},
}
_DRIVEN: Title = {"nb": "Kjøring", "nn": "Køyring", "en": "Driving"}
_FRACTIONS: dict[str, Title] = {
    "residual": {"nb": "Restavfall", "nn": "Restavfall", "en": "Residual waste"},
    "food": {"nb": "Matavfall", "nn": "Matavfall", "en": "Food waste"},
    "paper": {"nb": "Papir", "nn": "Papir", "en": "Paper"},
    "plastic": {"nb": "Plastemballasje", "nn": "Plastemballasje", "en": "Plastic packaging"},
    "glass-metal": {"nb": "Glass og metall", "nn": "Glas og metall", "en": "Glass and metal"},
}
_HARD_SPACE = "\u00a0"


class TwinEvent(msgspec.Struct, omit_defaults=False):
    """One event as it is stored; `seq` is given when it is written."""

    at: str
    category: str
    kind: str
    title: Title
    partner: str
    grant: str
    record_id: str
    quantity: float
    unit: str
    kg: tuple[float, float, float] | None
    inferred: bool
    quality: str
    discriminator: str
    start: str
    end: str
    factor: str | None
    divided_by: int
    text: str | None = None
    amount_nok: float | None = None
    store: str | None = None
    count: int = 1
    correction: bool = False
    receipt: str = ""
    ticket: str = ""
    device: str = ""
    unusual: bool = False


_decode = msgspec.json.Decoder(TwinEvent).decode


def write_event(event: TwinEvent) -> bytes:
    """An event as it is stored."""
    return msgspec.json.encode(event)


def read_event(content: bytes) -> TwinEvent:
    """The inverse of `write_event`."""
    return _decode(content)


def is_worth_telling(figures: Figures, grant: str, activity: Activity) -> bool:
    """Whether an activity becomes an event; remembers the short electricity readings that did."""
    if activity.kind != ELECTRICITY:
        return True
    seconds = (activity.end - activity.start).total_seconds()
    if not 0 < seconds < SHORT_READING_SECONDS:
        return True
    watts = power_watts(activity)
    last = figures.twin.last_power_event.get(grant)
    if last is not None:
        since = activity.end.timestamp() - _timestamp(last[0])
        if 0 <= since < _QUIET_SECONDS and abs(watts - last[1]) < _JUMP_WATTS:
            return False
    figures.twin.last_power_event[grant] = (_instant(activity.end), watts)
    return True


def power_watts(activity: Activity) -> float:
    """The mean power of an electricity reading; 0 for one without length."""
    hours = (activity.end - activity.start).total_seconds() / 3600
    return activity.quantity / hours * 1000 if hours > 0 else 0.0


def event_of(activity: Activity, factor: Factor | None, *, grant: str, partner: str, household_size: int) -> TwinEvent:
    """The event of one activity, with the citizen's own share of its footprint."""
    kind = load_kinds().by_slug[activity.kind]
    parts = share(activity.kind, household_size)
    discriminator = kind.discriminator(activity)
    quality = getattr(activity, "quality", None) or "measured"
    return TwinEvent(
        at=_instant(activity.end),
        category=kind.category,
        kind=kind.slug,
        title=_title(activity, discriminator),
        partner=partner,
        grant=grant,
        record_id=activity.id,
        quantity=activity.quantity,
        unit=activity.unit,
        kg=None if factor is None else _share_of(activity.quantity, factor, parts),
        inferred=activity.inferred or quality == "estimated",
        quality="inferred" if activity.inferred else quality,
        discriminator=discriminator,
        start=_instant(activity.start),
        end=_instant(activity.end),
        factor=None if factor is None else factor.iri,
        divided_by=parts,
        text=getattr(activity, "name", None),
        amount_nok=getattr(activity, "amount_nok", None),
        store=getattr(activity, "store", None),
        correction=activity.correction,
        receipt=getattr(activity, "receipt", None) or "",
        ticket=getattr(activity, "ticket", None) or "",
        device=activity.source or "",
        unusual=kind.unusual(activity) is not None,
    )


def summary_of(
    told: list[tuple[Activity, Factor | None]], *, grant: str, partner: str, household_size: int
) -> TwinEvent:
    """One event for many activities of one delivery: how many, from when to when, and their sum.

    The sum is of what was delivered; where another source tells of the same hours, the figures count them once.
    """
    kinds = load_kinds().by_slug
    slugs = {activity.kind for activity, _ in told}
    slug = max(sorted(slugs), key=lambda each: sum(activity.kind == each for activity, _ in told))
    kind = kinds[slug]
    kilograms = [0.0, 0.0, 0.0]
    known = False
    for activity, factor in told:
        if factor is not None:
            known = True
            parts = share(activity.kind, household_size)
            for position, amount in enumerate(_share_of(activity.quantity, factor, parts)):
                kilograms[position] += amount
    first = min(activity.start for activity, _ in told)
    last = max(activity.end for activity, _ in told)
    names = load_categories()[kind.category].labels
    return TwinEvent(
        at=_instant(last),
        category=kind.category,
        kind=SUMMARY,
        title={
            "nb": f"{names['nb']}: {len(told)} registreringer",
            "nn": f"{names.get('nn', names['nb'])}: {len(told)} registreringar",
            "en": f"{names['en']}: {len(told)} records",
        },
        partner=partner,
        grant=grant,
        record_id="",
        quantity=sum(activity.quantity for activity, _ in told) if len(slugs) == 1 else 0.0,
        unit=kind.unit if len(slugs) == 1 else "",
        kg=(kilograms[0], kilograms[1], kilograms[2]) if known else None,
        inferred=any(activity.inferred for activity, _ in told),
        quality="measured",
        discriminator="",
        start=_instant(first),
        end=_instant(last),
        factor=None,
        divided_by=share(slug, household_size),
        count=len(told),
    )


def _share_of(quantity: float, factor: Factor, parts: int) -> tuple[float, float, float]:
    return (quantity * factor.low / parts, quantity * factor.mean / parts, quantity * factor.high / parts)


def _title(activity: Activity, discriminator: str) -> Title:
    """What it was, in a few words. A name from a receipt is shown as it came; nothing ever acts on it."""
    if activity.kind == ELECTRICITY:
        if (activity.end - activity.start).total_seconds() < SHORT_READING_SECONDS:
            watts = power_watts(activity)
            return {"nb": f"Strøm nå: {_nb(watts / 1000)}{_HARD_SPACE}kW", "nn": f"Straum no: {_nb(watts / 1000)}{_HARD_SPACE}kW", "en": f"Power now: {watts / 1000:.2f}{_HARD_SPACE}kW"}  # fmt: skip
        quantity = activity.quantity
        return {"nb": f"Strøm: {_nb(quantity)}{_HARD_SPACE}kWh", "nn": f"Straum: {_nb(quantity)}{_HARD_SPACE}kWh", "en": f"Electricity: {quantity:.2f}{_HARD_SPACE}kWh"}  # fmt: skip
    name = getattr(activity, "name", None)
    if name:
        return {"nb": name, "nn": name, "en": name}
    if activity.kind == "transit-trip":
        title, unit, digits = _MODES[discriminator], "km", 1
    elif activity.kind == "driving-day" and not activity.distance_missing:
        title, unit, digits = _DRIVEN, "km", 1
    elif activity.kind == "waste-collection":
        title, unit, digits = _FRACTIONS[discriminator], "kg", 1
    else:
        label = load_kinds().by_slug[activity.kind].labels
        return {language: each.title for language, each in label.items()}
    norwegian, english = _nb(activity.quantity, digits), f"{activity.quantity:.{digits}f}"
    amount = {"nb": norwegian, "nn": norwegian, "en": english}
    return {language: f"{words}, {amount[language]}{_HARD_SPACE}{unit}" for language, words in title.items()}


def _nb(value: float, digits: int = 2) -> str:
    return f"{value:.{digits}f}".replace(".", ",")


def _instant(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


def _timestamp(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def factor_of(event: TwinEvent) -> Factor | None:
    """The factor that an event was counted with, or None."""
    return load_factors().by_iri.get(event.factor) if event.factor else None
