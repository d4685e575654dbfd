"""The operator's pages: who applies, who is admitted, and what the municipality decides about each; with who did it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Response, redirect, request

from dashboard import frame
from dashboard.consoles import answered_desk, desk
from dashboard.views.become_partner import problem_words
from dashboard.views.console import LOOKS, act_lines, kind_titles, notice_card
from pod_server import partner_deliveries, partner_keys, partner_limits, partner_notices, partner_standing, sandbox
from pod_server.organisations import tidy_text
from pod_server.partners import REMOVED, Limits, PartnerInvalid, list_partners
from vocab.kinds import load_kinds

if TYPE_CHECKING:
    from werkzeug.wrappers import Response as AnyResponse

    from dashboard.consoles import Desk
    from pod_server.host import Host

HERE = "/-/operator"
_ORDER = ("applied", "suspended", "active", "refused")


def overview(host: Host) -> Response:
    """Every partner, those who wait first, and the latest acts.

    Raises:
        NotInConsole: nobody is signed in.
    """
    seen = desk(host, "operator")
    partners = [each for each in list_partners(host) if each.state != REMOVED]
    partners.sort(key=lambda each: (_ORDER.index(each.state), each.name))
    with host.storage.read() as tx:
        waiting = {
            each.client_id
            for each in partners
            if any(told.state == "proposed" for told in partner_notices.of_partner(tx, each.client_id))
        }
    names = {each.client_id: each.name for each in list_partners(host)}
    latest = partner_standing.acts(host, limit=30)
    lines = act_lines(seen.visit, latest)
    return frame.page(
        "operator.html.jinja",
        seen.visit,
        own=seen.own,
        partners=partners,
        looks=LOOKS,
        waiting=waiting,
        acts=[(names.get(act.client_id, ""), *line) for act, line in zip(latest, lines, strict=True)],
        request_path=HERE,
    )


def partner_page(host: Host, client_id: str, *, problem: PartnerInvalid | None = None) -> Response:
    """One partner: what it says of itself, its texts, keys, limits and numbers, and what can be decided.

    Raises:
        NotInConsole: nobody is signed in.
        NoSuchPartner: there is none.
    """
    seen = desk(host, "operator")
    partner = partner_standing.find(host, client_id)
    with host.storage.read() as tx:
        notices = partner_notices.of_partner(tx, client_id)
    done = request.args.get("done", "")
    t = seen.visit.words
    return frame.page(
        "operator-partner.html.jinja",
        seen.visit,
        status=422 if problem else 200,
        own=seen.own,
        partner=partner,
        look=LOOKS.get(partner.state, "plain"),
        notices=[notice_card(seen.visit, each) for each in notices],
        keys=partner_keys.list_keys(partner),
        totals=partner_deliveries.totals(host, client_id),
        used=partner_limits.used(host, client_id),
        all_kinds=[(slug, kind_titles(seen.visit, [slug])[0]) for slug in sorted(load_kinds().by_slug)],
        acts=act_lines(seen.visit, partner_standing.acts(host, client_id, limit=30)),
        problem=problem_words(seen.visit, problem) if problem else None,
        done=t(f"operator.done-{done}") if t.has(f"operator.done-{done}") else "",
        request_path=HERE,
    )


def _number(name: str) -> int | None:
    text = request.form.get(name, "").strip()
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 10):
        raise PartnerInvalid(f"{name}: a whole number from 1 on, or none")
    return int(text)


def _limits() -> Limits:
    kinds = frozenset(request.form.getlist("kind"))
    return Limits(_number("requests_per_minute"), _number("records_per_day"), kinds or None)


def _decide(host: Host, seen: Desk, client_id: str, act: str) -> None:
    by, reason = seen.session.by, request.form.get("reason", "")
    if act == "admit":
        partner_standing.admit(host, client_id, by=by, limits=_limits())
    elif act == "refuse":
        partner_standing.refuse(host, client_id, reason, by=by)
    elif act == "limit":
        partner_standing.limit(host, client_id, _limits(), by=by)
    elif act == "suspend":
        partner_standing.suspend(host, client_id, reason, by=by)
    elif act == "resume":
        partner_standing.resume(host, client_id, by=by)
    else:
        _decide_notice(host, seen, client_id, refuse=act == "refuse-notice")


def _decide_notice(host: Host, seen: Desk, client_id: str, *, refuse: bool) -> None:
    purpose, version = request.form.get("purpose", ""), _number("version") or 0
    reason = ""
    if refuse:
        try:
            reason = tidy_text(request.form.get("reason", ""), "reason", least=3, most=500)
        except ValueError as error:
            raise PartnerInvalid(str(error)) from error
    partner_standing.find(host, client_id)
    with host.storage.write() as tx:
        partner_notices.decide(host, tx, client_id, purpose, version, reason=reason)
        act = "refuse-notice" if refuse else "admit-notice"
        detail = {"reason": reason} if reason else {}
        partner_standing.note(host, tx, client_id, seen.session.by, act, purpose=purpose, version=version, **detail)


def decide(host: Host, client_id: str, act: str) -> AnyResponse:
    """Carry a decision out.

    Raises:
        NotInConsole, CsrfMismatch, NoSuchPartner, StandingChanged: as they say.
    """
    seen = answered_desk(host, "operator")
    if act == "remove":
        if request.form.get("sure") != "yes":
            return partner_page(host, client_id, problem=PartnerInvalid("sure: tick it, since it cannot be undone"))
        partner_standing.remove(host, client_id, by=seen.session.by)
        sandbox.begin_anew(host, client_id)
        return redirect(HERE, code=303)
    try:
        _decide(host, seen, client_id, act)
    except PartnerInvalid as invalid:
        return partner_page(host, client_id, problem=invalid)
    return redirect(f"{HERE}/partners/{client_id}?done={act}", code=303)


ACTS = ("admit", "refuse", "limit", "suspend", "resume", "remove", "admit-notice", "refuse-notice")
