"""Home: the picture, the month so far, power now, the latest events, one suggestion."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dashboard import frame
from dashboard.events import Event, gathered, latest_events
from dashboard.figures import CATEGORIES, Figures, Interval, MonthFigures, PowerNow, moment_of, read_figures
from dashboard.scene import UNKNOWN, SceneState, scene_state
from dashboard.views.proposal_words import ProposalWords, waiting_proposals
from dashboard.visits import citizens_visit
from dashboard.wording import local
from pod_server import figures as stored_figures
from pod_server.grants import list_grants
from pod_server.partners import HOUSE_CLIENTS

if TYPE_CHECKING:
    from datetime import datetime

    from flask import Response

    from dashboard.frame import Visit
    from pod_server.host import Host
    from pod_server.opening import OpenPod

_FEED_LENGTH = 6
_EVENTS_READ = (60, 300)
"""First so many; where one meter filled them, all that the ring keeps."""


@dataclass(frozen=True)
class PowerCard:
    """Power now and the hour behind it."""

    now: PowerNow
    readings: list[tuple[datetime, float]]
    event_seq: int | None

    @property
    def peak_watt(self) -> float:
        """The highest of the readings shown."""
        return max((watt for _, watt in self.readings), default=self.now.power_watt)


@dataclass(frozen=True)
class Tile:
    """One category in a few words."""

    category: str
    words: str
    address: str


@dataclass(frozen=True)
class SceneLine:
    """One layer of the picture in words."""

    text: str
    address: str
    about: str


@dataclass(frozen=True)
class HomeModel:
    """Everything on the home page."""

    first_name: str
    month: MonthFigures
    month_scale: float
    today: Interval | None
    power: PowerCard | None
    scene: SceneState
    scene_words: list[SceneLine]
    tiles: list[Tile]
    events: list[Event]
    proposal: ProposalWords | None
    partners_headline: str
    partners_words: str
    spoken: str


def load_figures(host: Host, own: OpenPod) -> tuple[Figures, list[tuple[datetime, float]]]:
    """The combined figures, and the last readings of power where the twin keeps them."""
    with host.storage.read() as tx:
        content = stored_figures.load_figures(tx, own)
    document = json.loads(content) if content else None
    readings = [(moment_of(at), float(watt)) for at, watt in (document or {}).get("power", [])][-60:]
    return read_figures(document), readings


def newest_events(host: Host, own: OpenPod) -> tuple[list[Event], list[Event]]:
    """All events that were read, and the few of them to list."""
    recent: list[Event] = []
    events: list[Event] = []
    for limit in _EVENTS_READ:
        recent = latest_events(host, own, limit)
        events = gathered(recent, _FEED_LENGTH)
        if len(events) == _FEED_LENGTH or len(recent) < limit:
            break
    return recent, events


def home_model(host: Host, visit: Visit, own: OpenPod) -> HomeModel:
    """Read what the home page shows."""
    figures, readings = load_figures(host, own)
    today = local(visit.now)
    month = figures.month(f"{today.year:04d}-{today.month:02d}", visit.now)
    state = scene_state(month)
    recent, events = newest_events(host, own)
    total = month.total
    scale = max(total.high if total else 0.0, month.target_to_date or 0.0) * 1.08
    power = None
    if figures.now is not None:
        latest = next((each.seq for each in recent if each.category == "electricity" and each.has_why), None)
        power = PowerCard(figures.now, readings, latest)
    waiting = waiting_proposals(host, visit, own)
    headline, words = _partners(host, visit, own)
    t = visit.words
    name = visit.household.name if visit.household else ""
    spoken = ""
    if events and events[0].mass is not None:
        newest = events[0]
        assert newest.mass is not None
        spoken = t.plain("live.spoken", title=visit.wording.of(newest.title), mass=visit.wording.mass(newest.mass.best))
    return HomeModel(
        first_name=name.split()[0] if name else "",
        month=month,
        month_scale=scale or 1.0,
        today=figures.day(visit.now),
        power=power,
        scene=state,
        scene_words=scene_in_words(visit, month, state),
        tiles=[_tile(visit, month, state, category) for category in (*CATEGORIES, "steps")],
        events=events,
        proposal=waiting[0] if waiting else None,
        partners_headline=headline,
        partners_words=words,
        spoken=spoken,
    )


def _tile(visit: Visit, month: MonthFigures, state: SceneState, category: str) -> Tile:
    t = visit.words
    address = "/-/footprint"
    if category == "steps":
        if month.steps is None:
            return Tile(category, t("tile.unknown"), "/-/my-data")
        return Tile(category, t("tile.steps", count=visit.wording.number(month.steps)), address)
    figure = month.categories.get(category)
    if figure is None:
        return Tile(category, t("tile.unknown"), "/-/my-data")
    band = getattr(state, category)
    if band == UNKNOWN:
        return Tile(category, visit.wording.mass(figure.interval.best), address)
    return Tile(category, t(f"tile.band-{band}"), address)


def scene_in_words(visit: Visit, month: MonthFigures, state: SceneState) -> list[SceneLine]:
    """The picture as text: a line a layer, each with the way to its explanation."""
    t = visit.words
    lines = [SceneLine(t(f"scene.total-{state.total}"), "/-/footprint", t("nav.footprint"))]
    for category in CATEGORIES:
        band = getattr(state, category)
        figure = month.categories.get(category)
        amount = visit.wording.mass(figure.interval.best) if figure else ""
        text = t(f"scene.{category}-{band}")
        if amount:
            text = t("scene.with-amount", text=text, amount=amount)
        lines.append(SceneLine(text, "/-/footprint" if figure else "/-/my-data", t(f"category.{category}")))
    if month.steps_share is None:
        lines.append(SceneLine(t("scene.steps-unknown"), "", ""))
    else:
        lines.append(SceneLine(t("scene.steps", count=visit.wording.number(month.steps or 0)), "", ""))
    if state.mist:
        lines.append(SceneLine(t("scene.mist"), "", ""))
    return lines


def _partners(host: Host, visit: Visit, own: OpenPod) -> tuple[str, str]:
    now = host.clock.now()
    names = sorted(
        {
            view.partner_name
            for view in list_grants(host, own.pod_id)
            if view.grant.state_at(now) == "active" and view.grant.terms.client_id not in HOUSE_CLIENTS
        }
    )
    t = visit.words
    if not names:
        return t("partners.none"), t("partners.none-words")
    key = "partners.one" if len(names) == 1 else "partners.count"
    return t(key, count=len(names)), t("partners.words", names=visit.wording.listing(names))


def home(host: Host) -> Response:
    """The home page."""
    visit, _, own = citizens_visit(host)
    return frame.page("home.html.jinja", visit, model=home_model(host, visit, own), request_path="/-/home")


def home_parts(host: Host) -> Response:
    """The moving parts of the home page, for its script."""
    visit, _, own = citizens_visit(host)
    return frame.page("home-parts.html.jinja", visit, model=home_model(host, visit, own))
