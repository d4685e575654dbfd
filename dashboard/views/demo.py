"""The demo: a citizen's page and a partner's pane side by side, moved by four buttons."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flask import redirect, request

from consent.grant import GrantState
from dashboard import frame
from dashboard.demo_settings import DemoSettings
from dashboard.errors import NotTheDemo, SimulatorUnreachable
from dashboard.events import Event
from dashboard.figures import moment_of
from dashboard.views.home import HomeModel, home_model
from dashboard.visits import answered_form, citizens_visit, demo_settings
from pod_server import grants
from pod_server.identifiers import Actor

if TYPE_CHECKING:
    from datetime import datetime

    from flask import Response
    from werkzeug.wrappers import Response as AnyResponse

    from dashboard.frame import Visit
    from pod_server.host import Host
    from pod_server.opening import OpenPod

_TIMEOUT_SECONDS = 12.0
_PARTNER_OF = {"kettle": "oss", "beef": "rema1000", "bus": "atb"}
_SIGNS = {"kettle": "kettle", "beef": "utensils", "bus": "bus", "withdraw": "ban", "ask": "mail"}
_CONSENT_SIGNS = {
    "given": "check",
    "resumed": "play",
    "renewed": "check",
    "narrowed": "check",
    "paused": "pause",
    "erased": "trash-2",
}
PANES = ("rema1000", "oss", "atb", "tronderenergi", "trv")
"""The simulated partners whose pane can be shown."""


@dataclass(frozen=True)
class Button:
    """One of the four buttons."""

    action: str
    sign: str
    title: str
    words: str
    pressed: bool = False


@dataclass(frozen=True)
class CitizenLine:
    """One line on the citizen's side: an event of the twin, or something the citizen did."""

    at: datetime
    key: str
    event: Event | None
    words: str
    sign: str = ""


@dataclass(frozen=True)
class Refusal:
    """The latest delivery, if it was refused."""

    title: str
    status: int
    milliseconds: int | None
    words: str
    problem: str


@dataclass(frozen=True)
class Exchange:
    """One exchange as the partner knows it."""

    title: str
    words: str
    tag: str
    look: str


@dataclass(frozen=True)
class DemoModel:
    """Everything on the page."""

    home: HomeModel
    today_scale: float
    lines: list[CitizenLine]
    buttons: list[Button]
    partner: str
    refusal: Refusal | None
    exchanges: list[Exchange]
    partner_knows: str
    speed: float
    pane: str


def _control(demo: DemoSettings, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """Ask the simulators for something.

    Raises:
        SimulatorUnreachable: no answer, or one that makes no sense.
    """
    import httpx  # noqa: PLC0415 - a demo's buttons alone need it

    try:
        answer = httpx.request(
            method,
            f"{demo.control_url}{path}",
            json=body,
            headers={"Authorization": f"Bearer {demo.control_token}"},
            timeout=_TIMEOUT_SECONDS,
        )
        answer.raise_for_status()
        found = answer.json()
    except (httpx.HTTPError, ValueError) as failure:
        raise SimulatorUnreachable("The simulated partners did not answer; press again in a moment.") from failure
    return found if isinstance(found, dict) else {"items": found}


def _settings() -> DemoSettings:
    demo = demo_settings()
    if demo is None:
        raise NotTheDemo("This host is not a demo; there are no simulated partners to move.")
    return demo


def _pane_asked() -> str:
    asked = request.args.get("partner", "")
    return asked if asked in PANES else PANES[0]


def _grant_view(views: list[grants.GrantView], pane: dict[str, Any]) -> grants.GrantView | None:
    """The newest consent to the pane's partner, found by the name or the grant the simulator knows."""
    by_id = {str(view.grant.id): view for view in views}
    known = by_id.get(str(pane.get("grant", "")))
    name = known.partner_name if known else str(pane.get("name", ""))
    return next((view for view in views if view.partner_name == name), known)


def demo_model(host: Host, visit: Visit, own: OpenPod, slug: str) -> DemoModel:
    """Both sides of the page: the citizen's from the pod, the partner's from what its simulator has seen."""
    demo = _settings()
    t, w = visit.words, visit.wording
    home = home_model(host, visit, own)
    pane = _control(demo, "GET", f"/control/pane/{slug}?handle={own.pod.handle}")
    partner = str(pane.get("name") or slug)
    views = grants.list_grants(host, own.pod_id)
    own_grants = {str(each.grant.id) for each in views}
    view = _grant_view(views, pane)
    lines = [CitizenLine(event.at, str(event.seq), event, "") for event in home.events]
    withdrawn_at = None
    if view is not None:
        for number, event in enumerate(view.events):
            key = f"consent.{event.kind.value}"
            if t.has(key) and (visit.now - event.at).days < 1:
                words = t(key, partner=view.partner_name)
                sign = _CONSENT_SIGNS.get(event.kind.value, "ban")
                lines.append(CitizenLine(event.at, f"{view.grant.id}-{number}", None, words, sign))
            if event.kind.value == "withdrawn":
                withdrawn_at = event.at
    lines.sort(key=lambda line: line.at, reverse=True)
    active = view is not None and view.grant.state_at(visit.now) is GrantState.ACTIVE
    exchanges = [_exchange(visit, *run) for run in _runs(_merged(pane, own_grants))]
    if view is not None:
        tag = "demo.in-force" if active else "demo.ended"
        given = view.events[0].at if view.events else visit.now
        exchanges.append(
            Exchange(
                t("demo.consent-given"),
                t("demo.consent-line", date=w.date(given), grant=str(view.grant.id)[:10] + "…"),
                t(tag),
                "good" if active else "",
            )
        )
    today = home.today
    return DemoModel(
        home=home,
        today_scale=(today.high * 1.1 if today else 1.0) or 1.0,
        lines=lines[:6],
        buttons=_buttons(visit, active=active, partner=partner, withdrawn_at=withdrawn_at),
        partner=partner,
        refusal=_refusal(visit, pane, withdrawn_at),
        exchanges=exchanges[:7],
        partner_knows=t("demo.knows", partner=partner, subject=str(view.subject)[:14] + "…" if view else "–"),
        speed=demo.speed,
        pane=slug,
    )


def _buttons(visit: Visit, *, active: bool, partner: str, withdrawn_at: datetime | None) -> list[Button]:
    t, w = visit.words, visit.wording
    buttons = [Button(f"{name}", _SIGNS[name], t(f"demo.{name}"), t(f"demo.{name}-words")) for name in _PARTNER_OF]
    if active:
        buttons.append(
            Button("withdraw", _SIGNS["withdraw"], t("demo.withdraw"), t("demo.withdraw-words", partner=partner))
        )
    else:
        words = t("demo.withdrawn-at", time=w.time(withdrawn_at)) if withdrawn_at else t("demo.ask-words")
        buttons.append(Button("ask", _SIGNS["ask"], t("demo.ask"), words, pressed=withdrawn_at is not None))
    return buttons


def _merged(pane: dict[str, Any], own_grants: set[str]) -> list[dict[str, Any]]:
    """Deliveries, notices and claims about this citizen, newest first; the partner has others, who are not shown."""
    found = [
        *({"sort": "delivery", **each} for each in pane.get("deliveries", [])),
        *({"sort": "notice", **each} for each in pane.get("notices", []) if str(each.get("grant")) in own_grants),
        *({"sort": "claim", **each} for each in pane.get("claims", [])),
    ]
    return sorted(found, key=lambda each: str(each.get("at", "")), reverse=True)


def _runs(found: list[dict[str, Any]]) -> list[tuple[dict[str, Any], int, int]]:
    """Like exchanges in a row as one: the newest, how many they were, and how many records were taken in."""
    runs: list[tuple[dict[str, Any], int, int]] = []
    for each in found:
        records = int(each.get("accepted") or 0)
        if runs and all(runs[-1][0].get(name) == each.get(name) for name in ("sort", "what", "kind", "http_status")):
            newest, times, before = runs[-1]
            runs[-1] = (newest, times + 1, before + records)
        else:
            runs.append((each, 1, records))
    return runs


def _what(visit: Visit, each: dict[str, Any]) -> str:
    """What was delivered, in words; the simulators name it by a slug."""
    slug = str(each.get("what", ""))
    return visit.words(f"what.{slug}") if visit.words.has(f"what.{slug}") else slug


def _exchange(visit: Visit, each: dict[str, Any], times: int, records: int) -> Exchange:
    t, w = visit.words, visit.wording
    when = w.when(moment_of(str(each["at"]))) if each.get("at") else ""
    if each["sort"] == "notice":
        kind = str(each.get("kind", ""))
        key = f"notice.{kind}"
        return Exchange(t(key) if t.has(key) else kind, t("demo.notice-line", when=when), t("demo.received"), "")
    if each["sort"] == "claim":
        return Exchange(t("demo.claim"), when, t("demo.verified"), "good")
    refused = int(each.get("refused") or 0)
    stored = records
    milliseconds = each.get("ms")
    answer = t("demo.answer-line", when=when, ms=w.number(float(milliseconds), 0)) if milliseconds is not None else when
    title = _what(visit, each)
    if times > 1:
        title = t("demo.times", what=title, times=w.number(times), records=w.number(records))
    if refused and not stored:
        return Exchange(title, answer, t("demo.refused"), "bad")
    if not stored and each.get("duplicates"):
        return Exchange(title, answer, t("demo.duplicate"), "")
    return Exchange(title, answer, t("demo.stored") if stored else t("demo.no-answer"), "good" if stored else "")


def _refusal(visit: Visit, pane: dict[str, Any], withdrawn_at: datetime | None) -> Refusal | None:
    """The latest delivery where it was refused: in words first, then as the problem that the partner got."""
    t, w = visit.words, visit.wording
    deliveries = pane.get("deliveries", [])
    latest = deliveries[0] if deliveries else None
    if not latest or not latest.get("problem"):
        return None
    problem: dict[str, Any] = latest["problem"]
    slug = str(problem.get("type", "")).rsplit("/", 1)[-1]
    title = t(f"reason.{slug}") if t.has(f"reason.{slug}") else str(problem.get("title", ""))
    at = moment_of(str(latest["at"]))
    words = t("demo.refusal-words", when=w.when(at), partner=str(pane.get("name", "")), what=_what(visit, latest))
    if withdrawn_at is not None and slug == "consent-withdrawn":
        words = words + " " + t("demo.refusal-withdrawn", time=w.time(withdrawn_at))
    milliseconds = latest.get("ms")
    return Refusal(
        title=t("demo.refusal-title", reason=title),
        status=int(problem.get("status") or latest.get("http_status") or 403),
        milliseconds=round(float(milliseconds)) if milliseconds is not None else None,
        words=words,
        problem=json.dumps(problem, ensure_ascii=False, indent=2),
    )


def demo(host: Host) -> Response:
    """The page.

    Raises:
        NotTheDemo: this host has no simulated partners.
        SimulatorUnreachable: they do not answer.
    """
    _settings()
    visit, _, own = citizens_visit(host)
    slug = _pane_asked()
    return frame.page(
        "demo.html.jinja",
        visit,
        model=demo_model(host, visit, own, slug),
        problem="",
        request_path=f"/-/demo?partner={slug}",
    )


def demo_parts(host: Host) -> Response:
    """The moving parts, for the page's script."""
    visit, _, own = citizens_visit(host)
    return frame.page("demo-parts.html.jinja", visit, model=demo_model(host, visit, own, _pane_asked()))


def press(host: Host, action: str) -> AnyResponse:
    """One of the buttons.

    Raises:
        NotTheDemo, SimulatorUnreachable: as they say.
    """
    demo_config = _settings()
    _, session, own = answered_form(host)
    handle = str(own.pod.handle)
    slug = _pane_asked()
    if action in _PARTNER_OF:
        slug = _PARTNER_OF[action]
        _control(demo_config, "POST", f"/control/{action}", {"handle": handle})
    elif action == "withdraw":
        pane = _control(demo_config, "GET", f"/control/pane/{slug}?handle={handle}")
        view = _grant_view(grants.list_grants(host, own.pod_id), pane)
        if view is not None:
            grants.withdraw(host, session.pod_id, str(view.grant.id), actor=Actor("citizen"))
        # the partner does not wait for our notice: it delivers once more, with a token that is still fresh
        _control(demo_config, "POST", "/control/attempt", {"partner": slug, "handle": handle})
    else:
        asked = _control(demo_config, "POST", "/control/ask", {"partner": slug, "handle": handle})
        return redirect(str(asked["authorize_url"]), code=303)
    return redirect(f"/-/demo?partner={slug}", code=303)
