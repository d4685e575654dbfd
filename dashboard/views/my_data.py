"""My data: every consent with the same four facts, each ended in one step; the log; the download; the lock."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from flask import Response, jsonify, redirect, request

from consent.attention import Attention
from consent.delegation import Act
from consent.grant import GrantState, GrantTerms
from dashboard import frame
from dashboard.standpoint import Standpoint, standpoint
from dashboard.views.apps import app_cards
from dashboard.views.footprint import private_json
from dashboard.views.renew_grant import RENEWED_FOR, renew_grant
from dashboard.views.shown_to_readers import figure_titles
from dashboard.visits import answered_form, citizens_visit
from dashboard.wording import local
from pod_server import acting, activities, grants, left_out, recovery_drill, reminders
from pod_server.consent_receipts import keep_notice
from pod_server.delegation import REPRESENTATIVES
from pod_server.identifiers import Actor, PodId
from pod_server.log import ledger
from pod_server.log.errors import LogBroken
from pod_server.log.verification import verify_stored
from pod_server.parties import find_party
from pod_server.partners import REMOVED, RESEARCH, SELF, SUSPENDED
from pod_server.quota import use_of
from vocab.kinds import load_kinds
from vocab.purposes import load_purposes
from vocab.shared_figures import load_shared_figures

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from werkzeug.wrappers import Response as AnyResponse

    from dashboard.frame import Visit
    from pod_server.authentication.session import Session
    from pod_server.host import Host
    from pod_server.left_out import LeftOut
    from pod_server.log.event import LogEvent

CITIZEN = Actor("citizen")
_ACT_OF = {
    "pause": Act.PAUSE,
    "resume": Act.RESUME,
    "narrow": Act.NARROW,
    "renew": Act.RENEW,
    "withdraw": Act.WITHDRAW,
    "erase": Act.ERASE,
}
_NEARLY_FULL = 0.9
_EXPIRES_SOON = timedelta(days=30)
_SPARK_DAYS = 30
_LOG_LINES = 40
_LOG_READ = 200
_LOG_READS = 10
_RUN_LENGTH = timedelta(hours=1)
_LOOKS = {
    GrantState.ACTIVE: "good",
    GrantState.PAUSED: "info",
    GrantState.WITHDRAWN: "bad",
    GrantState.EXPIRED: "wait",
    GrantState.ERASED: "bad",
    GrantState.REFUSED: "bad",
}


@dataclass(frozen=True)
class GrantCard:
    """One consent on the page."""

    id: str
    partner: str
    state: str
    state_words: str
    look: str
    facts: list[tuple[str, str]]
    category: str
    daily: list[int]
    daily_words: str
    refused_words: str
    verbs: list[tuple[str, str]]
    partner_words: str = ""
    delivers: bool = False


@dataclass(frozen=True)
class ResearchCard:
    """Whether the citizen is counted in research releases, and under which consent."""

    grant: str
    until: str

    @property
    def active(self) -> bool:
        """Whether a consent holds now."""
        return bool(self.grant)


@dataclass(frozen=True)
class StorageCard:
    """How much room the citizen's documents take, and may take."""

    words: str
    nearly_full: bool


def grant_card(visit: Visit, view: grants.GrantView, who: Standpoint | None = None) -> GrantCard:
    """One consent in the reader's words: who, what, why, how long, how much; with the acts that `who` may do."""
    t, w, grant = visit.words, visit.wording, view.grant
    state = grant.state_at(visit.now)
    kinds = load_kinds().by_slug
    slugs = sorted(grant.terms.kinds)
    titles = [kinds[slug].labels[visit.language].title for slug in slugs]
    fineness = {grant.terms.granularity_of(slug) for slug in slugs}
    gives = w.listing([*figure_titles(visit, grant.terms.figures), *titles, *sorted(grant.terms.documents)])
    if len(fineness) == 1:
        gives = t("grant.gives-at", kinds=gives, granularity=t(f"granularity.{fineness.pop()}").lower())
    purpose = load_purposes().get(grant.terms.purpose)
    since = local(visit.now).date() - timedelta(days=_SPARK_DAYS - 1)
    by_day = {local(use.day).date(): use.accepted for use in view.daily}
    daily = [by_day.get(since + timedelta(days=offset), 0) for offset in range(_SPARK_DAYS)]
    partner = _partner_name(visit, view)
    soon = state is GrantState.ACTIVE and grant.terms.expires_at - visit.now < _EXPIRES_SOON
    refused_after = view.refused if state in {GrantState.WITHDRAWN, GrantState.ERASED, GrantState.EXPIRED} else 0
    verbs: dict[GrantState, list[tuple[str, str]]] = {
        GrantState.ACTIVE: [
            ("pause", "pause"),
            ("narrow", "pencil"),
            ("renew", "refresh-cw"),
            ("withdraw", "ban"),
            ("erase", "trash-2"),
        ],
        GrantState.PAUSED: [
            ("resume", "play"),
            ("narrow", "pencil"),
            ("renew", "refresh-cw"),
            ("withdraw", "ban"),
            ("erase", "trash-2"),
        ],
        GrantState.EXPIRED: [("renew", "refresh-cw"), ("withdraw", "ban"), ("erase", "trash-2")],
        GrantState.WITHDRAWN: [("erase", "trash-2")],
    }
    return GrantCard(
        id=str(grant.id),
        partner=partner,
        state="soon" if soon else state.value,
        state_words=_state_words(visit, view, state),
        look="wait" if soon else _LOOKS.get(state, "plain"),
        facts=[
            (
                t("fact.gives" if "append" in grant.terms.operations else "fact.reads"),
                t("grant.nothing-now") if state in {GrantState.WITHDRAWN, GrantState.ERASED} else gives,
            ),
            (t("fact.purpose"), w.of(purpose.titles) if purpose else grant.terms.purpose),
            *(
                [
                    (t("fact.last"), w.when(view.last_delivery) if view.last_delivery else t("grant.never")),
                    (
                        t("fact.amount"),
                        t("grant.amount", recent=w.number(sum(daily)), total=w.number(view.accepted), days=_SPARK_DAYS),
                    ),
                ]
                if "append" in grant.terms.operations
                else []
            ),
            *(
                [(t("fact.delivered-by"), t("grant.delivered-by", names=through, partner=partner))]
                if (through := delivering_for(visit, grant.terms.client_id))
                else []
            ),
            *(_reading_facts(visit, view) if "read" in grant.terms.operations else []),
        ],
        category=category_of(grant.terms),
        daily=daily,
        daily_words=t("grant.daily", total=w.number(sum(daily)), most=w.number(max(daily))),
        refused_words=t("grant.refused-after", partner=partner, count=w.number(refused_after)) if refused_after else "",
        verbs=[
            (verb, sign)
            for verb, sign in verbs.get(state, [])
            if who is None or who.may(_ACT_OF[verb], grant.terms.purpose)
        ],
        partner_words=_standing_words(visit, grant.terms.client_id, partner)
        if state in {GrantState.ACTIVE, GrantState.PAUSED}
        else "",
        delivers="append" in grant.terms.operations and state not in {GrantState.ERASED, GrantState.REFUSED},
    )


def delivering_for(visit: Visit, client_id: str) -> str:
    """Who may deliver in a partner's name now, as the citizen reads it; empty where nobody may."""
    with visit.host.storage.read() as tx:
        names = acting.names_for(tx, client_id)
    return visit.wording.listing(names) if names else ""


def _standing_words(visit: Visit, client_id: str, partner: str) -> str:
    """What a citizen should know of a partner that was stopped: by whom, and the reason as it was given."""
    with visit.host.storage.read() as tx:
        known = find_party(visit.host, tx, client_id)
    if known is None or known.active:
        return ""
    if known.state == SUSPENDED:
        return visit.words("grant.partner-suspended", partner=partner, reason=known.reason)
    return visit.words("grant.partner-removed" if known.state == REMOVED else "grant.partner-stopped", partner=partner)


def category_of(terms: GrantTerms) -> str:
    """The category that a consent's colour is of: its first kind's, else its first figure's; "" for the sum of all."""
    if terms.kinds:
        return load_kinds().by_slug[min(terms.kinds)].category
    return load_shared_figures()[min(terms.figures)].category if terms.figures else ""


def _reading_facts(visit: Visit, view: grants.GrantView) -> list[tuple[str, str]]:
    t, w = visit.words, visit.wording
    most = view.grant.terms.reads_per_day
    lately = t("grant.read-amount", recent=w.number(view.reads_lately), total=w.number(view.reads), days=_SPARK_DAYS)
    return [
        (t("fact.last-read"), w.when(view.last_read) if view.last_read else t("grant.never-read")),
        (t("fact.read-amount"), lately + (" " + t("grant.read-most", count=w.number(most)) if most else "")),
    ]


def _state_words(visit: Visit, view: grants.GrantView, state: GrantState) -> str:
    t, w, grant = visit.words, visit.wording, view.grant
    if state in {GrantState.ACTIVE, GrantState.EXPIRED}:
        return t(f"grant.{state.value}-words", date=w.date(grant.terms.expires_at))
    changed = next((event.at for event in reversed(view.events)), None)
    return t(f"grant.{state.value}-words", date=w.when(changed)) if changed else t(f"state.{state.value}")


@dataclass(frozen=True)
class ReminderCard:
    """A consent that asks to be looked at."""

    grant: str
    partner: str
    words: str
    verbs: list[tuple[str, str]]


_REMINDER_VERBS = {
    Attention.ENDS_SOON: [("renew", "refresh-cw"), ("keep", "check")],
    Attention.UNUSED: [("withdraw", "ban"), ("keep", "check")],
    Attention.CONFIRM: [("confirm", "check"), ("withdraw", "ban")],
}


def reminder_cards(host: Host, visit: Visit, views: list[grants.GrantView]) -> list[ReminderCard]:
    """What the citizen was told of consents that end soon or lie unused, and has not answered."""
    if not views:
        return []
    t, w = visit.words, visit.wording
    by_id = {view.grant.id: view for view in views}
    with host.storage.read() as tx:
        told = reminders.waiting(tx, PodId(views[0].grant.pod_id), host.clock.now())
    return [
        ReminderCard(
            str(each.grant),
            _partner_name(visit, by_id[each.grant]),
            t(
                f"reminder.{each.about}" if by_id[each.grant].last_delivery else f"reminder.{each.about}-never",
                partner=_partner_name(visit, by_id[each.grant]),
                date=w.date(each.since),
            ),
            _REMINDER_VERBS[each.about],
        )
        for each in told
        if each.grant in by_id
    ]


def _storage(host: Host, visit: Visit, session: Session) -> StorageCard:
    with host.storage.read() as tx:
        use = use_of(tx, session.pod_id, host.quota_bytes)
    taken, w = use.used_bytes + use.reserved_bytes, visit.wording
    return StorageCard(
        visit.words("storage.words", used=w.storage_size(taken), allowed=w.storage_size(use.allowed_bytes)),
        nearly_full=taken > _NEARLY_FULL * use.allowed_bytes,
    )


def my_data(host: Host) -> Response:
    """The consent centre."""
    visit, session, _ = citizens_visit(host)
    t = visit.words
    views = grants.list_grants(host, session.pod_id)
    shown = [view for view in views if view.grant.terms.client_id != RESEARCH.client_id]
    research = next(
        (
            view.grant
            for view in views
            if view.grant.terms.client_id == RESEARCH.client_id and view.grant.state_at(visit.now) is GrantState.ACTIVE
        ),
        None,
    )
    order = [
        GrantState.ACTIVE,
        GrantState.PAUSED,
        GrantState.EXPIRED,
        GrantState.WITHDRAWN,
        GrantState.ERASED,
        GrantState.REFUSED,
    ]
    shown.sort(
        key=lambda view: order.index(view.grant.state_at(visit.now)) if view.grant.state_at(visit.now) in order else 9
    )
    states = [view.grant.state_at(visit.now) for view in shown]
    parts = [
        t(f"summary.{state.value}", count=states.count(state))
        for state in (GrantState.ACTIVE, GrantState.PAUSED, GrantState.WITHDRAWN)
        if states.count(state)
    ]
    done = request.args.get("done", "")
    return frame.page(
        "my-data.html.jinja",
        visit,
        grants=[grant_card(visit, view) for view in shown],
        summary=" · ".join(parts),
        drill_waits=not recovery_drill.was_tried(host, session.pod_id),
        reminders=reminder_cards(host, visit, shown),
        research=ResearchCard(
            str(research.id) if research else "", visit.wording.date(research.terms.expires_at) if research else ""
        ),
        apps=app_cards(host, visit, session),
        storage=_storage(host, visit, session),
        done=t(f"done.{done}") if t.has(f"done.{done}") else "",
        request_path="/-/my-data",
    )


def change_grant(host: Host, grant_id: str, verb: str, authority: str = "") -> AnyResponse:
    """One step with one consent; erasing asks once more, since it cannot be undone.

    Raises:
        NoSuchGrant: none of the citizen's own.
        EventOutOfOrder: the consent is not in a state where this can happen.
        NotRepresented, TooYoung: who acts may not do this.
    """
    who = standpoint(host, authority, form=True)
    visit, pod_id, actor = who.visit, who.pod_id, who.actor
    purpose = grants.find_grant(host, pod_id, grant_id).terms.purpose
    if verb == "withdraw":
        grants.withdraw(host, pod_id, grant_id, actor=actor)
    elif verb == "pause":
        grants.pause(host, pod_id, grant_id, actor=actor)
    elif verb == "resume":
        grants.resume(host, pod_id, grant_id, actor=actor)
    elif verb == "keep":
        reminders.keep(host, pod_id, grant_id, actor=actor)
    elif verb == "confirm":
        grants.confirm(host, pod_id, grant_id, actor=actor)
    elif verb == "renew":
        return renew_grant(host, who, grant_id)
    elif request.form.get("sure") == "yes":
        grants.erase(host, pod_id, grant_id, actor=actor)
    else:
        view = next((each for each in grants.list_grants(host, pod_id) if each.grant.id == grant_id), None)
        return frame.page(
            "erase.html.jinja",
            visit,
            grant=grant_id,
            partner=view.partner_name if view else "",
            count=visit.wording.number(view.accepted if view else 0),
            only_reads=bool(view and view.grant.terms.operations == {"read"}),
            base=who.base,
            home=who.home,
            request_path=who.home,
        )
    if verb in _ACT_OF:
        who.note(_ACT_OF[verb], purpose, grant_id)
    return redirect(f"{who.home}?done={verb}", code=303)


def give_to_research(host: Host) -> AnyResponse:
    """Let the month's sums be counted in releases, for a year."""
    visit, session, _ = answered_form(host)
    kinds = frozenset(load_kinds().by_slug)
    notice = "\n".join(str(visit.words(f"research.{part}")) for part in ("title", "words", "give"))
    terms = GrantTerms(
        client_id=RESEARCH.client_id,
        purpose="research-statistics",
        kinds=kinds,
        operations=frozenset({"read"}),
        granularity="P1M",
        history_from=visit.now - timedelta(days=366),
        expires_at=visit.now + RENEWED_FOR,
        notice_version=f"research-1 {visit.language}",
        notice_hash=keep_notice(host, f"research-1 {visit.language}", notice),
    )
    grants.give(host, session.pod_id, terms, actor=CITIZEN, vault=session.vault())
    return redirect("/-/my-data?done=research", code=303)


@dataclass(frozen=True)
class LogLine:
    """What happened, as a sentence."""

    at: datetime
    words: str
    reason: str
    outcome: str
    look: str
    category: str
    sign: str
    times: str


@dataclass(frozen=True)
class LogDay:
    """A day's lines."""

    name: str
    lines: list[LogLine]


_SIGNS = {
    "partner": "receipt",
    "twin": "twin",
    "citizen": "house",
    "operator": "cog",
    "operator-assisted": "cog",
    "research": "users",
}
_WELL = frozenset({"done", "accepted", "pending"})
_SHOWN_AS = {
    "host": "operation",
    "operator-assisted": "operation",
    "guardian": "representative",
    "attorney": "representative",
    "operator": "operation",
    "citizen": "you",
    "app": "you",
    "script": "you",
}


@dataclass
class _Run:
    """Like events of one hour, told in one sentence."""

    index: int
    event: LogEvent
    first_at: datetime
    count: int
    times: int = 1


def _run_key(event: LogEvent) -> tuple[object, ...]:
    # What went out to be reckoned with is told by its groups: other groups are another line.
    return (event.actor, event.action, event.outcome, event.grant, event.purpose, event.detail.get("groups"))


def _actor_shown(event: LogEvent) -> str:
    return _SHOWN_AS.get(event.actor.kind, event.actor.kind)


@dataclass(frozen=True)
class _GrantFacts:
    """What the log says of a consent: whose it is, since when, and what it is about."""

    partner: str
    since: datetime
    category: str


def _grant_facts(visit: Visit, views: list[grants.GrantView]) -> dict[str, _GrantFacts]:
    return {
        str(view.grant.id): _GrantFacts(_partner_name(visit, view), view.events[0].at, category_of(view.grant.terms))
        for view in views
        if view.events
    }


def _partner_name(visit: Visit, view: grants.GrantView) -> str:
    """The house's own clients have names in the reader's language."""
    if view.grant.terms.client_id == SELF.client_id:
        return visit.words("partner.self")
    if view.grant.terms.client_id == RESEARCH.client_id:
        return visit.words("partner.research")
    return view.partner_name


def log_line(visit: Visit, run: _Run, known: dict[str, _GrantFacts]) -> LogLine:
    """Like events in words: who did what, why, and how it went."""
    t, w = visit.words, visit.wording
    event, actor = run.event, run.event.actor
    who = actor.name or (t(f"actor.{actor.kind}") if t.has(f"actor.{actor.kind}") else actor.kind)
    if actor.through:
        who = t("who.through", who=who, through=actor.through)
    refused = event.outcome not in _WELL
    key = f"action.{event.action}" + ("-refused" if refused and t.has(f"action.{event.action}-refused") else "")
    if event.outcome == "pending":
        key += "-pending"
    if run.count == 1 and t.has(f"{key}-one"):
        key += "-one"
    facts = known.get(str(event.grant))
    partner = facts.partner if facts else str(event.detail.get("partner") or t("actor.partner").lower())
    words = t("action.other", who=who, action=event.action)
    if t.has(key):
        groups = [
            t(f"group.{each}").lower() for each in str(event.detail.get("groups", "")).split() if t.has(f"group.{each}")
        ]
        words = t(key, who=who, count=w.number(run.count), partner=partner, groups=w.listing(groups))
    reason = ""
    if refused:
        reason = t(f"reason.{event.outcome}") if t.has(f"reason.{event.outcome}") else event.outcome
    elif event.purpose:
        purpose = load_purposes().get(event.purpose)
        reason = w.of(purpose.titles) if purpose else event.purpose
        if facts is not None:
            reason = t("log.reason-consent", purpose=reason, date=w.date(facts.since))
    if actor.kind in REPRESENTATIVES:
        reason = t(f"log.under-{actor.kind}", authority=actor.id, reason=reason)
    outcome_key = "log.refused" if refused else key.replace("action.", "outcome.").removesuffix("-one")
    return LogLine(
        at=event.at,
        words=words,
        reason=reason,
        outcome=t(outcome_key) if t.has(outcome_key) else t("outcome.other"),
        look="bad" if refused else "good" if event.action == "append" else "",
        category=facts.category if facts and actor.kind == "partner" and not refused else "",
        sign="ban" if refused else _SIGNS.get(actor.kind, "receipt"),
        times=t("log.times", times=w.number(run.times), since=w.time(run.first_at)) if run.times > 1 else "",
    )


@dataclass(frozen=True)
class Choice:
    """What of the log is shown.

    Attributes:
        show: `all`, `refused`, or who acted.
        grants: Only what concerns these consents; None for everything.
        partner: The partner whose consents they are, or "".
        first: Not before this day, local; None for the beginning.
        last: Not after this day; None for today.
    """

    show: str = "all"
    grants: frozenset[str] | None = None
    partner: str = ""
    first: date | None = None
    last: date | None = None

    def covers(self, event: LogEvent) -> bool:
        """Whether an event is shown."""
        refused = event.outcome not in _WELL
        if self.show not in {"all", _actor_shown(event)} and not (self.show == "refused" and refused):
            return False
        if self.grants is not None and event.grant not in self.grants and event.actor.id != self.partner:
            return False
        day = local(event.at).date()
        return (self.first is None or day >= self.first) and (self.last is None or day <= self.last)

    def address(self) -> str:
        """The choice without `show`, as the rest of an address."""
        chosen = {"partner": self.partner, "from": self.first or "", "to": self.last or ""}
        rest = urlencode({name: str(value) for name, value in chosen.items() if value})
        return f"&{rest}" if rest else ""


def _choice(views: list[grants.GrantView]) -> Choice:
    """What the address asks for; what is no date and no partner of the citizen's is passed over."""
    partner = request.args.get("partner", "")
    of_partner = frozenset(view.grant.id for view in views if view.grant.terms.client_id == partner)

    def day(name: str) -> date | None:
        try:
            return date.fromisoformat(request.args.get(name, ""))
        except ValueError:
            return None

    return Choice(
        show=request.args.get("show", "all"),
        grants=of_partner or None,
        partner=partner if of_partner else "",
        first=day("from"),
        last=day("to"),
    )


def _read_runs(
    host: Host, session: Session, choice: Choice, before: int | None
) -> tuple[list[_Run], int | None, bool, int]:
    """A page of the log: its runs, from where the next page goes on, whether the log holds, and its size."""
    runs: list[_Run] = []
    recent: dict[tuple[object, ...], _Run] = {}
    older: int | None = None
    with host.storage.read() as tx:
        try:
            size = verify_stored(tx, session.pod_id).size
            # a filter reads on until a page is full, but never without end
            for _ in range(_LOG_READS):
                found = ledger.read_events(tx, session.vault(), session.pod_id, before=before, limit=_LOG_READ)
                for each in found:
                    before = each.index
                    event = each.event
                    if not choice.covers(event):
                        continue
                    run = recent.get(_run_key(event))
                    same_day = run is not None and local(run.event.at).date() == local(event.at).date()
                    if run is not None and same_day and run.event.at - event.at < _RUN_LENGTH:
                        run.count += event.count
                        run.times += 1
                        run.first_at = event.at
                        continue
                    if len(runs) == _LOG_LINES:
                        return runs, each.index + 1, True, size
                    run = _Run(each.index, event, event.at, event.count)
                    recent[_run_key(event)] = run
                    runs.append(run)
                older = before if len(found) == _LOG_READ else None
                if older is None:
                    break
        except LogBroken:
            return runs, None, False, 0
    return runs, older, True, size


def log(host: Host) -> Response:
    """Who has been here: verified first, then sentences, the newest day first."""
    visit, session, _ = citizens_visit(host)
    views = grants.list_grants(host, session.pod_id)
    choice = _choice(views)
    before_text = request.args.get("before", "")
    before = int(before_text) if before_text.isascii() and before_text.isdigit() and len(before_text) < 16 else None
    known = _grant_facts(visit, views)
    runs, older, verified, size = _read_runs(host, session, choice, before)
    with host.storage.read() as tx:
        witnesses = ledger.cosignatures(tx, host, session.pod_id)
    days: list[LogDay] = []
    for run in runs:
        name = _day_name(visit, run.event.at)
        if not days or days[-1].name != name:
            days.append(LogDay(name, []))
        days[-1].lines.append(log_line(visit, run, known))
    return frame.page(
        "log.html.jinja",
        visit,
        verified=verified,
        size=size,
        days=days,
        show=choice.show,
        narrowed=choice.address(),
        partners=sorted({(view.grant.terms.client_id, view.partner_name) for view in views}, key=lambda one: one[1]),
        partner=choice.partner,
        first=choice.first or "",
        last=choice.last or "",
        witnesses=witnesses,
        older=older,
        request_path="/-/log",
    )


def _day_name(visit: Visit, at: datetime) -> str:
    t, w = visit.words, visit.wording
    apart = (local(visit.now).date() - local(at).date()).days
    if apart in {0, 1}:
        return t("day.today" if apart == 0 else "day.yesterday", date=w.date(at, year=False))
    return w.date(at)


def log_json(host: Host) -> Response:
    """The log with its proofs, to keep and to verify offline."""
    _, session, _ = citizens_visit(host)
    with host.storage.read() as tx:
        document = ledger.export(tx, host, session.vault(), session.pod_id)
    return private_json(jsonify(document))


def download_activities(host: Host) -> Response:
    """Every accepted activity, the latest version of each, one JSON-LD record a line.

    Of those that the figures leave out the line says why, in one more member, `leftOut`, which no context knows: to a
    reader of JSON-LD the record is what its partner delivered.
    """
    _, _, own = citizens_visit(host)

    def lines() -> Iterator[bytes]:
        records = list(activities.read_activities(host, own))
        counting = left_out.counting_of(host, own, records)
        for stored in records:
            why = counting.left_out.get((stored.grant, left_out.record_id(stored.raw)))
            yield (stored.raw if why is None else _with_reason(stored.raw, why)) + b"\n"

    answer = Response(lines(), content_type="application/x-ndjson")
    answer.headers["Content-Disposition"] = "attachment; filename=tvilling-activities.ndjson"
    return private_json(answer)


def _with_reason(raw: bytes, why: LeftOut) -> bytes:
    """A record's line with the reason why it does not count."""
    reason = {"notCountedBecause": why.reason}
    if why.instead is not None:
        reason |= {"countedUnder": why.instead.grant, "countedAs": why.instead.by}
    if why.rectification is not None:
        reason |= {"rectification": why.rectification.rectification_id}
    return json.dumps(json.loads(raw) | {"leftOut": reason}, ensure_ascii=False).encode()
