"""What a consent to read lets somebody see: figures of the twin, and activities of a kind, and nothing beside them.

The page that asks the citizen and the door that answers the partner both call these functions, so "this is what they
would see now" is what they would see. Nothing here says who delivered what, or names anything by the pod's own names:

- figures are rounded to three significant digits, which is finer than any of them is known;
- of an activity its times, its numbers and its words from closed lists are shared; free text (a meter's number, a shop,
  a ticket, a product's name) stays in the pod, since it may name a person or a place;
- what is finer than agreed is shared as sums over the agreed period;
- a figure and a sum are of whole periods that are over: the difference of two readings tells nothing finer.

GDPR Art. 5(1)(c).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from math import floor, log10
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import msgspec

from consent.grant import duration_of, shortest_interval
from pod_server import activities, rectifications
from vocab.kinds import load_kinds
from vocab.shared_figures import load_shared_figures

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from consent.grant import GrantTerms
    from pod_server.host import Host
    from pod_server.opening import OpenPod
    from vocab.kinds import Activity, Kind
    from vocab.shared_figures import SharedFigure

LOCAL = ZoneInfo("Europe/Oslo")
"""The twin counts months and days by the clock in Trondheim."""

SIGNIFICANT_DIGITS = 3
_NOT_CARBON = frozenset({"steps"})
_DOCUMENT_VERSION = 1
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class SharedValue:
    """One figure of one month or day.

    Attributes:
        figure: Which.
        period: `2026-11` or `2026-11-23`, local.
        low: The likely low end; None for what was measured.
        best: The figure, in the figure's unit.
        high: The likely high end; None for what was measured.
    """

    figure: SharedFigure
    period: str
    low: float | None
    best: float
    high: float | None


@dataclass(frozen=True)
class SharedActivity:
    """One activity, or the sum of some, as it is shared.

    Attributes:
        kind: The kind's slug.
        start: When it, or the sum's period, began.
        end: When it, or the sum's period, ended.
        quantity: How much, in the kind's unit.
        members: What else is shared of it: numbers, truth values, words from closed lists.
        name: What the pod knows it by, for a pairwise name; never shared itself.
        source: The grant that it came under, likewise.
        is_sum: True for a sum over the agreed period.
    """

    kind: str
    start: datetime
    end: datetime
    quantity: float
    members: dict[str, Any]
    name: str
    source: str
    is_sum: bool = False


class _Document(msgspec.Struct, frozen=True):
    """The parts of the twin's figures (twin_agent/figures.py says what each is) that may be shared."""

    version: int = 0
    months: dict[str, dict[str, list[float]]] = msgspec.field(default_factory=dict)
    days: dict[str, dict[str, list[float]]] = msgspec.field(default_factory=dict)


_DOCUMENT = msgspec.json.Decoder(_Document)


def rounded(value: float) -> float:
    """To three significant digits.

    >>> rounded(123.456), rounded(0.0012345), rounded(0.0)
    (123.0, 0.00123, 0.0)
    """
    if value == 0:
        return 0.0
    return round(value, SIGNIFICANT_DIGITS - 1 - floor(log10(abs(value))))


def shared_figures(
    content: bytes | None, terms: GrantTerms, at: datetime, *, only: Iterable[str] | None = None
) -> list[SharedValue]:
    """The values that the terms let their reader see, by figure and period.

    Args:
        content: The twin's document; None where nothing was counted yet.
        terms: A period counts where it lies in the agreed window.
        at: Now, city's time.
        only: Fewer figures than the terms have.
    """
    if content is None or not terms.figures:
        return []
    try:
        document = _DOCUMENT.decode(content)
    except msgspec.DecodeError:
        return []
    if document.version != _DOCUMENT_VERSION:
        return []
    wanted = terms.figures if only is None else terms.figures & frozenset(only)
    known = load_shared_figures()
    return [
        value
        for slug in sorted(wanted)
        for period, amounts in sorted((document.months if known[slug].period == "month" else document.days).items())
        if (value := _value(known[slug], period, amounts, terms, at)) is not None
    ]


def _value(
    figure: SharedFigure, period: str, amounts: dict[str, list[float]], terms: GrantTerms, at: datetime
) -> SharedValue | None:
    start, end = _span(period)
    if start < terms.history_from or start >= (terms.valid_to or terms.expires_at):
        return None
    if end > at or (terms.valid_to is not None and end > terms.valid_to):
        # Read again and again, a figure that still grows would tell of minutes; and a whole month of the time after
        # the agreed one.
        return None
    if figure.category:
        parts = [amounts[figure.category]] if figure.category in amounts else []
    else:
        parts = [each for category, each in amounts.items() if category not in _NOT_CARBON]
    if not parts:
        return None
    if figure.measure == "quantity":
        return SharedValue(figure, period, None, rounded(sum(part[3] for part in parts)), None)
    low, best, high = (rounded(sum(part[position] for part in parts)) for position in range(3))
    return SharedValue(figure, period, low, best, high)


def _span(period: str) -> tuple[datetime, datetime]:
    """From when until when a local month or day lasts."""
    year, month, day = (int(part) for part in (*period.split("-"), "1")[:3])
    start = datetime(year, month, day, tzinfo=LOCAL)
    following = (
        (start + timedelta(days=1))
        if len(period) > len("2026-11")
        else start.replace(year=year + month // 12, month=month % 12 + 1)
    )
    return start.astimezone(UTC), following.astimezone(UTC)


@cache
def shareable_members(slug: str) -> tuple[tuple[str, str], ...]:
    """The members of a kind that may be shared, as (name in JSON, attribute): numbers, truth values, closed lists."""
    kind, kept = load_kinds().by_slug[slug], []
    for member in kind.members:
        if member.name in {"start", "end", "quantity", "unit", "correction"}:
            continue
        closed = bool(member.allowed) or member.name == kind.discriminator_member
        if closed or member.datatype.endswith(("#double", "#boolean")):
            kept.append((member.name, member.attribute))
    return tuple(kept)


def shared_activities(
    host: Host,
    own: OpenPod,
    terms: GrantTerms,
    at: datetime,
    *,
    kinds: Iterable[str] | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
) -> Iterator[SharedActivity]:
    """The activities that the terms let their reader see, kind by kind in order of time.

    Args:
        host: This host.
        own: The pod, open under the grant's Permit, or under the owner's for a preview.
        terms: Kinds, granularity and window.
        at: Now, city's time.
        kinds: Fewer kinds than the terms have.
        start: Not before; the window's beginning where it is earlier.
        end: Not from then on; the window's end where it is later.
    """
    first = max(terms.history_from, start or terms.history_from)
    ends = terms.valid_to or terms.expires_at
    last = min(ends, end or ends, at)
    if last <= first:
        return
    shared = own.permit.authority == "grant"
    with host.storage.read() as tx:
        counts = rectifications.counting(tx, own)
    for slug in sorted(terms.kinds if kinds is None else terms.kinds & frozenset(kinds)):
        kind, granularity = load_kinds().by_slug[slug], terms.granularity_of(slug)
        least = shortest_interval(granularity)
        # A sum belongs to the answer in which its period begins, and needs the records of all of it.
        until = last if not least else max(last, period_of(last - timedelta(microseconds=1), granularity)[1])
        sums: dict[tuple[datetime, str, str], _Sum] = {}
        for stored in activities.read_activities(host, own, kind=slug, start=first, end=until, shared=shared):
            activity = load_kinds().decode(stored.raw)
            # What the citizen said is not theirs, or wrong, is kept and not used (GDPR Art. 18).
            if activity.end > min(at, ends) or not counts(stored.grant, activity.id, stored.raw):
                continue
            if activity.end - activity.start >= least:
                if activity.start < last:
                    yield _shared(kind, activity, stored.grant)
                continue
            since, over = period_of(activity.start, granularity)
            if first <= since < last and over <= min(at, ends):
                key = (since, str(stored.grant), kind.discriminator(activity))
                sums.setdefault(key, _Sum(over)).add(activity.quantity)
        for (since, source, discriminator), total in sorted(sums.items()):
            member = kind.discriminator_member
            yield SharedActivity(
                slug,
                since,
                total.until,
                rounded(total.quantity),
                {member: discriminator} if member and discriminator else {},
                f"sum {granularity} {slug} {discriminator} {since.isoformat()} {source}",
                source,
                is_sum=True,
            )


@dataclass
class _Sum:
    until: datetime
    quantity: float = field(default=0.0)

    def add(self, quantity: float) -> None:
        self.quantity += quantity


def _shared(kind: Kind, activity: Activity, source: str) -> SharedActivity:
    members = {
        name: value
        for name, attribute in shareable_members(kind.slug)
        if (value := getattr(activity, attribute)) is not None and value is not False
    }
    return SharedActivity(
        kind.slug,
        activity.start,
        activity.end,
        activity.quantity,
        members,
        f"record {source} {activity.id}",
        str(source),
    )


def period_of(at: datetime, granularity: str) -> tuple[datetime, datetime]:
    """The period of a granularity in which a time lies: local days, months and years, else equal parts of UTC.

    >>> [each.isoformat() for each in period_of(datetime(2026, 11, 23, 12, 20, tzinfo=UTC), "PT1H")]
    ['2026-11-23T12:00:00+00:00', '2026-11-23T13:00:00+00:00']
    """
    local = at.astimezone(LOCAL)
    if granularity == "P1D":
        return _span(local.date().isoformat())
    if granularity == "P1M":
        return _span(f"{local.year:04d}-{local.month:02d}")
    if granularity == "P1Y":
        return _span(f"{local.year:04d}-01")[0], _span(f"{local.year:04d}-12")[1]
    length = duration_of(granularity)
    since = _EPOCH + (at - _EPOCH) // length * length
    return since, since + length
