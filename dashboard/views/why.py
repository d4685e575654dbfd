"""Why is this number what it is: the answer, the spread drawn, then a sum as one would write it on paper."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, is_dataclass, replace
from datetime import date, datetime
from typing import TYPE_CHECKING

from flask import jsonify, request

from dashboard import frame, wording
from dashboard.figures import Interval
from dashboard.views.footprint import private_json
from dashboard.visits import citizens_visit
from pod_server import rectifications
from pod_server.authorization import grant_rows
from pod_server.http_problems import NoSuchPage
from twin_agent.why import explain

if TYPE_CHECKING:
    from flask import Response

    from dashboard.frame import Visit
    from pod_server.host import Host
    from pod_server.opening import OpenPod
    from twin_agent.why import Source, Why

_LAST_EVENT = 2**63 - 1
"""What the storage can count to; an address may name any number."""

_SIGNS = {"KiloW-HR": "kWh", "KiloGM": "kg", "KiloM": "km", "CCY_NOK": "kr"}


@dataclass(frozen=True)
class SumLine:
    """One line of the sum."""

    operator: str
    name: str
    amount: str
    note: str = ""
    tag: str = ""
    tag_good: bool = False
    is_result: bool = False


@dataclass(frozen=True)
class Bound:
    """What one end of the interval stands for."""

    figure: str
    words: str


@dataclass(frozen=True)
class Tick:
    """One mark of the scale."""

    value: float
    text: str


@dataclass(frozen=True)
class SourceWords:
    """A factor's source."""

    citation: str
    lines: list[str]
    url: str


@dataclass(frozen=True)
class WhyModel:
    """Everything on the page."""

    seq: int
    category: str
    title: dict[str, str]
    where_from: str
    mass: Interval
    big_number: str
    big_unit: str
    unit_text: str
    low_text: str
    high_text: str
    spread_reason: str
    bounds: list[Bound]
    scale: float
    ticks: list[Tick]
    lines: list[SumLine]
    sources: list[SourceWords]
    rule: str
    unexplained: str
    also_told: list[str]
    unusual: bool
    grant: str = ""
    record_id: str = ""
    partner: str = ""
    disputed_by: str = ""
    may_dispute: bool = False
    reachable: bool = False


def round_scale(high: float) -> tuple[float, float]:
    """A round end of the scale just over `high`, and the step between its marks."""
    if high <= 0:
        return 1.0, 0.5
    step = 10 ** math.floor(math.log10(high))
    for factor in (0.2, 0.25, 0.5, 1.0, 2.0):
        if high / (step * factor) <= 5:
            step *= factor
            break
    return math.ceil(high / step - 1e-9) * step, step


def why_model(visit: Visit, why: Why) -> WhyModel:
    """An explanation in the reader's words."""
    t, w, language = visit.words, visit.wording, visit.language
    mass = Interval(*why.kg) if why.kg else Interval(0.0, 0.0, 0.0)
    grams = mass.high < 0.2495
    factor = 1000.0 if grams else 1.0
    top = mass.high * factor
    grams_decimals = 0 if top >= 9.95 else 1 if top >= 0.995 else 2
    decimals = grams_decimals if grams else wording.interval_decimals(mass.low, mass.high)

    def figure(kilograms: float) -> str:
        return wording.number(kilograms * factor, language, decimals=decimals)

    scale, step = round_scale(mass.high * factor)
    marks = round(scale / step)
    ticks = [
        Tick(step * n / factor, wording.number(step * n, language) + (" g" if grams else " kg") * (n == marks))
        for n in range(marks + 1)
    ]
    sign = _SIGNS.get(why.unit, why.unit)
    start = why.start
    details = [why.partner, w.when(why.end)]
    if why.store:
        details.insert(1, why.store)
    if why.amount_nok:
        details.append(t("why.kroner", amount=wording.number(why.amount_nok, language, decimals=2)))
    lines = [
        SumLine(
            "",
            t("why.quantity"),
            w.quantity(why.quantity, why.unit),
            w.of(why.quantity_note) if why.quantity_note else w.when(start),
            t(f"quality.{why.quantity_quality}"),
            why.quantity_quality == "measured",
        )
    ]
    if why.factor is not None:
        lines.append(
            SumLine(
                "×",
                t("why.per-unit", unit=sign),
                t(
                    "why.factor-amount",
                    kilograms=wording.number(why.factor[1], language, decimals=3 if why.factor[1] < 1 else 1),
                ),
                w.of(why.factor_label),
                t("quality.estimated") if why.factor[2] > why.factor[0] else t("quality.measured"),
                why.factor[2] <= why.factor[0],
            )
        )
        if why.divided_by > 1:
            lines.append(
                SumLine(
                    "÷",
                    t("why.shared"),
                    t("why.shared-by", count=why.divided_by),
                    t("why.household", count=why.household_size),
                )
            )
        else:
            note = t("why.household-not", count=why.household_size) if why.household_size > 1 else ""
            lines.append(SumLine("÷", t("why.shared"), t("why.only-you"), note))
        lines.append(SumLine("=", t("why.result"), f"{w.mass(mass.best)} CO₂e", is_result=True))
    bounds = [
        Bound(figure(end), w.of(why.bound_labels[name]))
        for name, end in (("low", mass.low), ("mean", mass.best), ("high", mass.high))
        if why.bound_labels.get(name)
    ]
    unexplained = "" if why.counted or why.not_counted_reason is None else w.of(why.not_counted_reason)
    return WhyModel(
        seq=why.seq,
        category=why.category,
        title=dict(why.title),
        where_from=" · ".join(str(part) for part in details if part),
        mass=mass,
        big_number=figure(mass.best),
        big_unit=t("unit.g-co2e") if grams else t("unit.kg-co2e"),
        unit_text="g" if grams else "kg",
        low_text=figure(mass.low),
        high_text=figure(mass.high),
        spread_reason=w.of(why.spread_reason) if why.spread_reason else "",
        bounds=bounds,
        scale=scale / factor,
        ticks=ticks,
        lines=lines,
        sources=[_source(visit, why.source)] if why.source is not None else [],
        rule=str(why.rule_version) if why.factor is not None else "",
        unexplained=unexplained,
        also_told=[t("why.also-told", partner=name, rule=w.of(title)) for name, title in why.also_told_by],
        unusual=why.unusual,
    )


def _source(visit: Visit, source: Source) -> SourceWords:
    t = visit.words
    lines = [
        t(
            "why.source-period",
            place=source.place,
            start=_day(visit, source.period_start),
            end=_day(visit, source.period_end),
        ),
        t("why.source-review", date=_day(visit, source.review_date), licence=source.licence),
    ]
    if source.origin and source.origin != source.place:
        lines.insert(0, t("why.source-foreign", origin=source.origin))
    lines.append(t(f"directness.{source.directness}"))
    return SourceWords(source.citation, lines, source.url)


def _day(visit: Visit, day: date) -> str:
    return visit.wording.date(datetime(day.year, day.month, day.day, 12, tzinfo=wording.TRONDHEIM))


def _explained(host: Host, seq: int) -> tuple[Visit, OpenPod, Why]:
    visit, _, own = citizens_visit(host)
    why = explain(host, own, seq) if seq <= _LAST_EVENT else None
    if why is None:
        raise NoSuchPage("This event is no longer kept, or cannot be explained by a single activity.")
    return visit, own, why


def why_page(host: Host, seq: int) -> Response:
    """The explanation, as a page or as a sheet over the page it was asked from.

    Raises:
        NoSuchPage: the event has left the ring.
    """
    visit, own, why = _explained(host, seq)
    template = "why-sheet.html.jinja" if request.args.get("sheet") else "why.html.jinja"
    return frame.page(
        template, visit, why=_disputable(host, own, why, why_model(visit, why)), request_path=f"/-/why/{seq}"
    )


def _disputable(host: Host, own: OpenPod, why: Why, model: WhyModel) -> WhyModel:
    """With what the citizen may say, or has said, of the one record that this is of."""
    if not why.record_id:
        return model
    with host.storage.read() as tx:
        grant = grant_rows.grant_in_pod(tx, host.host_key, own.pod_id, why.grant)
        if grant is None:
            return model
        said = [each for each in rectifications.listed(tx, own, why.grant) if each.record_id == why.record_id]
        reachable = rectifications.is_reachable(tx, grant)
    return replace(
        model,
        grant=why.grant,
        record_id=why.record_id,
        partner=why.partner,
        disputed_by=next((each.rectification_id for each in said if each.state == rectifications.OPEN), ""),
        may_dispute=True,
        reachable=reachable,
    )


def why_json(host: Host, seq: int) -> Response:
    """The same sum as data.

    Raises:
        NoSuchPage: the event has left the ring.
    """
    _, _, why = _explained(host, seq)
    assert is_dataclass(why)
    return private_json(jsonify(asdict(why)))
