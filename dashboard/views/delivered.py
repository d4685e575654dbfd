"""What one partner has delivered, and what the citizen says of it: not mine, or wrong; each with its own trail. No script.

Saying it is one step; the list says before what follows. Nobody is told of "not mine" unless the citizen has it told; a
"wrong" is for the partner to put right, so it hears of it at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal

from flask import redirect, request

from consent.grant import GrantState
from dashboard import frame
from dashboard.visits import answered_form, citizens_visit
from pod_server import activities, grants, outbox, rectifications
from pod_server.errors import NoSuchActivity
from pod_server.identifiers import GrantId
from twin_agent.events import event_of
from twin_agent.local_time import next_month
from vocab.kinds import load_kinds

if TYPE_CHECKING:
    from flask import Response
    from werkzeug.wrappers import Response as AnyResponse

    from dashboard.frame import Visit
    from dashboard.i18n.catalogue import Catalogue
    from pod_server.activities import StoredActivity
    from pod_server.host import Host
    from pod_server.opening import OpenPod
    from pod_server.rectifications import Rectification

ON_A_PAGE = 25
WEEK = timedelta(days=7)
CLAIMS: tuple[Literal["not-mine", "wrong"], ...] = ("not-mine", "wrong")


@dataclass(frozen=True)
class Row:
    """One activity in the reader's words.

    Attributes:
        record_id: The partner's name of it.
        category: Whose colour it bears.
        title: What it is.
        when: When it ended, and how much it was.
        said: What the citizen said of it and still says; None where it counts as it came.
        look: How that is shown.
    """

    record_id: str
    category: str
    title: str
    when: str
    said: Rectification | None
    look: str


@dataclass(frozen=True)
class TrailLine:
    """One step of a trail in words."""

    at: datetime
    words: str


def volume(visit: Visit, view: grants.GrantView) -> list[tuple[str, str]]:
    """When the last delivery came, and how much: this week and in all."""
    t, w = visit.words, visit.wording
    week = sum(use.accepted for use in view.daily if use.day > visit.now - WEEK)
    return [
        (t("fact.last"), w.when(view.last_delivery) if view.last_delivery else t("grant.never")),
        (t("fact.amount"), t("delivered.amount", week=w.number(week), total=w.number(view.accepted))),
    ]


def delivered(host: Host, grant_id: str) -> Response:
    """A consent's activities of one month, the newest first, each with its two buttons.

    Raises:
        NotSignedIn: sign in first.
        NoSuchGrant: none of the citizen's own.
    """
    visit, session, own = citizens_visit(host)
    grants.find_grant(host, session.pod_id, grant_id)
    view = next(each for each in grants.list_grants(host, session.pod_id) if each.grant.id == grant_id)
    erased = view.grant.state is GrantState.ERASED
    months = (
        set() if erased else activities.list_months(host, own, grant=GrantId(grant_id)).get(GrantId(grant_id), set())
    )
    asked = request.args.get("month", "")
    month = asked if asked in months else max(months, default="")
    found = list(_of_month(host, own, grant_id, month)) if month else []
    number = request.args.get("page", "")
    page = min(int(number), len(found) // ON_A_PAGE) if number.isascii() and number.isdigit() and len(number) < 8 else 0
    with host.storage.read() as tx:
        said = {each.record_id: each for each in rectifications.listed(tx, own, grant_id)}
        reachable = rectifications.is_reachable(tx, view.grant)
    shown = found[page * ON_A_PAGE : (page + 1) * ON_A_PAGE]
    base = f"/-/delivered/{grant_id}?month={month}"
    return frame.page(
        "delivered.html.jinja",
        visit,
        partner=view.partner_name,
        grant=grant_id,
        erased=erased,
        facts=volume(visit, view),
        months=[(each, _month_words(visit, each)) for each in sorted(months, reverse=True)],
        month=month,
        rows=[_row(visit, each, view.partner_name, said) for each in shown],
        said=[(each, _title(visit, own, host, each)) for each in said.values()],
        reachable=reachable,
        newer=f"{base}&page={page - 1}" if page else "",
        older=f"{base}&page={page + 1}" if len(found) > (page + 1) * ON_A_PAGE else "",
        request_path=base,
    )


def dispute(host: Host, grant_id: str, claim: Literal["not-mine", "wrong"]) -> AnyResponse:
    """The citizen presses one of the two buttons.

    Raises:
        NotSignedIn, CsrfMismatch: as they say.
        NoSuchGrant, NoSuchActivity: nothing of that name came.
    """
    _, _, own = answered_form(host)
    record_id = request.form.get("activity", "")[:1024]
    said = rectifications.say(host, own, grant_id, record_id, claim, tell=claim == "wrong")
    return redirect(f"/-/rectifications/{said.rectification_id}", code=303)


def rectification(host: Host, rectification_id: str) -> Response:
    """What the citizen said of one activity, what became of it, and what they may do now.

    Raises:
        NotSignedIn: sign in first.
        NoSuchActivity: the citizen said no such thing.
    """
    visit, session, own = citizens_visit(host)
    with host.storage.read() as tx:
        said = rectifications.find(tx, own, rectification_id)
        stored = activities.previous_version(tx, own, said.grant, said.record_id, _LAST)
        sent = next(
            (each for each in outbox.messages(tx, pod_id=own.pod_id, limit=200) if each.message_id == said.message_id),
            None,
        )
    view = next((each for each in grants.list_grants(host, session.pod_id) if each.grant.id == said.grant), None)
    if stored is None or view is None:
        raise NoSuchActivity
    with host.storage.read() as tx:
        reachable = rectifications.is_reachable(tx, view.grant)
    t = visit.words
    found = _row(
        visit, activities.StoredActivity(0, said.grant, stored.kind, stored.raw, stored.start), view.partner_name, {}
    )
    was_told = any(step.what == "told" for step in said.trail)
    return frame.page(
        "rectification.html.jinja",
        visit,
        partner=view.partner_name,
        said=said,
        row=found,
        now=t(f"dispute.now-{said.state}-{said.claim}", partner=view.partner_name),
        message=_message(t, said, sent.state if sent else "", view.partner_name),
        trail=[TrailLine(step.at, t(f"dispute.step-{step.what}", partner=view.partner_name)) for step in said.trail],
        may_tell=said.state == "open" and reachable and not was_told,
        request_path=f"/-/rectifications/{rectification_id}",
    )


def _message(t: Catalogue, said: Rectification, sent: str, partner: str) -> str:
    """How far an open matter has come with its partner; "" where it knows nothing of it."""
    if said.state != rectifications.OPEN or not (sent or said.right_because):
        return ""
    return t(f"dispute.message-{'right' if said.right_because else sent}", partner=partner)


def take_back(host: Host, rectification_id: str) -> AnyResponse:
    """Let it count again.

    Raises:
        NotSignedIn, CsrfMismatch, NoSuchActivity: as they say.
    """
    _, _, own = answered_form(host)
    rectifications.take_back(host, own, rectification_id)
    return redirect(f"/-/rectifications/{rectification_id}", code=303)


def tell(host: Host, rectification_id: str) -> AnyResponse:
    """Have the partner told.

    Raises:
        NotSignedIn, CsrfMismatch, NoSuchActivity: as they say.
    """
    _, _, own = answered_form(host)
    rectifications.tell_partner(host, own, rectification_id)
    return redirect(f"/-/rectifications/{rectification_id}", code=303)


_LAST = 2**62


def _of_month(host: Host, own: OpenPod, grant_id: str, month: str) -> list[StoredActivity]:
    start = datetime.fromisoformat(f"{month}-01").replace(tzinfo=UTC)
    end = datetime.fromisoformat(f"{next_month(month)}-01").replace(tzinfo=UTC)
    return list(activities.read_activities(host, own, start=start, end=end, grant=GrantId(grant_id)))[::-1]


def _month_words(visit: Visit, month: str) -> str:
    return f"{visit.wording.month_short(int(month[5:]))} {month[:4]}"


def _row(visit: Visit, stored: StoredActivity, partner: str, said: dict[str, Rectification]) -> Row:
    w = visit.wording
    activity = load_kinds().decode(stored.raw)
    event = event_of(activity, None, grant=str(stored.grant), partner=partner, household_size=1)
    known = said.get(activity.id)
    return Row(
        activity.id,
        event.category,
        w.of(event.title),
        f"{w.when(activity.end)} · {w.quantity(activity.quantity, activity.unit)}",
        known if known is not None and known.state != rectifications.TAKEN_BACK else None,
        "good" if known is not None and known.state == rectifications.CORRECTED else "wait",
    )


def _title(visit: Visit, own: OpenPod, host: Host, said: Rectification) -> str:
    with host.storage.read() as tx:
        stored = activities.previous_version(tx, own, said.grant, said.record_id, _LAST)
    if stored is None:
        return said.record_id
    return _row(visit, activities.StoredActivity(0, said.grant, stored.kind, stored.raw, stored.start), "", {}).title
