"""A partner's console: how it stands, keys, purposes and texts, deliveries, messages, limits, the sandbox, the switch.

Everything is read by the partner's own identifier, which the session holds; no address names a partner, so there is
none to change into another's. Nothing here tells of a citizen: deliveries are counts and positions, messages kinds.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from flask import Response, redirect, request

from dashboard import frame
from dashboard.consoles import answered_desk, console_cookie, desk
from dashboard.devices import device_of
from dashboard.views.become_partner import choices, notice_of_form, problem_words
from dashboard.views.public import own_path
from dashboard.visits import give_session
from partner_bridge.errors import NoSuchReceipt
from partner_bridge.receipts import read_receipt
from pod_server import (
    console_sessions,
    outbox,
    partner_deliveries,
    partner_key_sets,
    partner_keys,
    partner_limits,
    partner_notices,
    partner_standing,
    sandbox,
)
from pod_server.authentication.session import create_session
from pod_server.clock import microseconds
from pod_server.identifiers import Actor
from pod_server.log.event import LogEvent
from pod_server.log.ledger import append as append_to_log
from pod_server.partners import PartnerInvalid
from pod_server.vault.vault import unlock_with_custodian
from vocab.kinds import load_kinds
from vocab.purposes import load_purposes

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from werkzeug.wrappers import Response as AnyResponse

    from dashboard.consoles import Desk
    from dashboard.frame import Visit
    from pod_server.host import Host
    from pod_server.outbox import OutboxMessage
    from pod_server.partner_notices import Notice
    from pod_server.partner_standing import Act

HERE = "/-/partners/console"
MOST_TESTS_AN_HOUR = 10
LOOKS = {"applied": "wait", "active": "good", "suspended": "bad", "refused": "bad"}
_MESSAGE_LOOKS = {"waiting": "wait", "delivered": "good", "given-up": "bad"}
_NOTICE_LOOKS = {"proposed": "wait", "current": "good", "replaced": "plain", "refused": "bad"}


def _page(seen: Desk, place: str, **values: Any) -> Response:
    done = request.args.get("done", "")
    t = seen.visit.words
    return frame.page(
        f"console-{place}.html.jinja",
        seen.visit,
        own=seen.own,
        partner=seen.partner,
        place=place,
        look=LOOKS.get(seen.partners.state, "plain"),
        done=t(f"console.done-{done}") if t.has(f"console.done-{done}") else "",
        request_path=f"{HERE}/{place}" if place != "status" else HERE,
        **({"problem": None} | values),
    )


def act_lines(visit: Visit, acts: list[Act]) -> list[tuple[str, str, str]]:
    """What was done, by whom and when, and the reason where one was given."""
    t, w = visit.words, visit.wording
    return [
        (
            str(t(f"act.{each.act}", who=each.by.name) if t.has(f"act.{each.act}") else f"{each.by.name}: {each.act}"),
            w.when(each.at),
            str(each.detail.get("reason", "")),
        )
        for each in acts
    ]


def status(host: Host) -> Response:
    """How the partner stands, what is used of its limits, what was done, and its own switch.

    Raises:
        NotInConsole: nobody is signed in.
    """
    seen = desk(host, "partner")
    partner = seen.partners
    return _page(
        seen,
        "status",
        totals=partner_deliveries.totals(host, partner.client_id),
        used=partner_limits.used(host, partner.client_id),
        kind_titles=kind_titles(seen.visit, partner.limits.kinds or ()),
        acts=act_lines(seen.visit, partner_standing.acts(host, partner.client_id, limit=12)),
        base_url=host.base_url,
    )


def kind_titles(visit: Visit, slugs: Any) -> list[str]:
    """What people call kinds."""
    known = load_kinds().by_slug
    return [known[slug].labels[visit.language].title for slug in sorted(slugs) if slug in known]


def switch(host: Host, *, stop: bool) -> AnyResponse:
    """The partner's own switch.

    Raises:
        NotInConsole, CsrfMismatch: as they say.
    """
    seen = answered_desk(host, "partner")
    change = partner_standing.stop if stop else partner_standing.restart
    change(host, seen.session.client_id, by=seen.session.by)
    return redirect(f"{HERE}?done={'stopped' if stop else 'restarted'}", code=303)


def apply_again(host: Host) -> AnyResponse:
    """Send a refused application again.

    Raises:
        NotInConsole, CsrfMismatch, StandingChanged: as they say.
    """
    seen = answered_desk(host, "partner")
    partner_standing.apply_again(host, seen.session.client_id, by=seen.session.by)
    return redirect(f"{HERE}?done=applied", code=303)


def keys(host: Host, *, problem: PartnerInvalid | None = None) -> Response:
    """Keys, addresses, and who else is signed in.

    Raises:
        NotInConsole: nobody is signed in.
    """
    seen = desk(host, "partner")
    return _page(
        seen,
        "keys",
        keys=partner_keys.list_keys(seen.partners),
        fetching=_fetching_words(host, seen),
        problem=problem_words(seen.visit, problem) if problem else None,
        base_url=host.base_url,
        status=422 if problem else 200,
    )


def _fetching_words(host: Host, seen: Desk) -> dict[str, str] | None:
    """How the address of the partner's keys stands; None where the keys are changed on the page itself."""
    address = seen.partners.about.get("jwks_uri", "")
    if not address:
        return None
    t, w = seen.visit.words, seen.visit.wording
    known = partner_key_sets.read_fetching(host, seen.partners)
    if known is None:
        return {"address": address, "state": str(t("console.keys-first")), "failure": ""}
    state = t("console.keys-fetched", at=w.when(known.fetched)) if known.fetched else t("console.keys-first")
    failure = ""
    if known.failure:
        is_over = known.kept_until <= host.clock.protocol_now()
        key = "console.keys-over" if is_over else "console.keys-failing"
        failure = str(t(key, at=w.when(known.tried), until=w.when(known.kept_until)))
    return {"address": address, "state": str(state), "failure": failure, "detail": known.failure}


def _lasting_change(host: Host, change: Callable[[Desk], object], done: str) -> AnyResponse:
    """Something that outlives the session: only in a young one, and every other session of the partner's ends."""
    seen = answered_desk(host, "partner", fresh=True)
    try:
        change(seen)
    except PartnerInvalid as invalid:
        return keys(host, problem=invalid)
    console_sessions.end_others(host, seen.session.client_id, but=console_cookie(host, "partner") or "")
    return redirect(f"{HERE}/keys?done={done}", code=303)


def add_key(host: Host) -> AnyResponse:
    """Add the next key.

    Raises:
        NotInConsole, CsrfMismatch, SignInTooOld: as they say.
    """

    def change(seen: Desk) -> None:
        partner_keys.add_key(host, seen.session.client_id, request.form.get("jwks", ""), by=seen.session.by)

    return _lasting_change(host, change, "key-added")


def retire_key(host: Host) -> AnyResponse:
    """Take the old key away.

    Raises:
        NotInConsole, CsrfMismatch, SignInTooOld: as they say.
    """

    def change(seen: Desk) -> None:
        thumbprint = request.form.get("thumbprint", "")
        partner_keys.retire_key(host, seen.session.client_id, thumbprint, by=seen.session.by)

    return _lasting_change(host, change, "key-retired")


def change_addresses(host: Host) -> AnyResponse:
    """Change where browsers come back and messages go.

    Raises:
        NotInConsole, CsrfMismatch, SignInTooOld: as they say.
    """

    def change(seen: Desk) -> None:
        partner_keys.change_addresses(
            host,
            seen.session.client_id,
            redirect_uris=request.form.get("redirect_uri", "").split(),
            webhook=request.form.get("webhook", "").strip() or None,
            by=seen.session.by,
        )

    return _lasting_change(host, change, "addresses")


def notice_card(visit: Visit, notice: Notice) -> dict[str, Any]:
    """One version of a notice in the reader's words."""
    t, w = visit.words, visit.wording
    purpose = load_purposes().get(notice.purpose)
    return {
        "purpose": notice.purpose,
        "title": w.of(purpose.titles) if purpose else notice.purpose,
        "version": notice.version,
        "state": t(f"console.notice-{notice.state}"),
        "look": _NOTICE_LOOKS[notice.state],
        "waits": notice.state == "proposed",
        "kinds": w.listing(kind_titles(visit, notice.kinds)),
        "texts": [(language, notice.texts[language]) for language in partner_notices.LANGUAGES],
        "hash": notice.hash,
        "made": w.when(notice.made),
        "reason": notice.reason,
    }


def purposes(host: Host, *, problem: PartnerInvalid | None = None) -> Response:
    """Purposes and texts, version by version, and the form for the next one.

    Raises:
        NotInConsole: nobody is signed in.
    """
    seen = desk(host, "partner")
    with host.storage.read() as tx:
        notices = partner_notices.of_partner(tx, seen.session.client_id)
    return _page(
        seen,
        "purposes",
        notices=[notice_card(seen.visit, each) for each in notices],
        problem=problem_words(seen.visit, problem) if problem else None,
        values={f"notice_{each}": request.form.get(f"notice_{each}", "") for each in partner_notices.LANGUAGES},
        chosen=set(request.form.getlist("kind")),
        chosen_purpose=request.form.get("purpose", ""),
        languages=partner_notices.LANGUAGES,
        choices=choices(seen.visit),
        status=422 if problem else 200,
    )


def propose_notice(host: Host) -> AnyResponse:
    """Propose the next version of a purpose's text.

    Raises:
        NotInConsole, CsrfMismatch: as they say.
    """
    seen = answered_desk(host, "partner")
    try:
        proposed = notice_of_form()
        with host.storage.write() as tx:
            version = partner_notices.propose(host, tx, seen.session.client_id, proposed)
            partner_standing.note(
                host,
                tx,
                seen.session.client_id,
                seen.session.by,
                "propose-notice",
                purpose=proposed.purpose,
                version=version,
            )
    except PartnerInvalid as invalid:
        return purposes(host, problem=invalid)
    return redirect(f"{HERE}/purposes?done=proposed", code=303)


def deliveries(host: Host) -> Response:
    """The latest deliveries: counts, and what was refused.

    Raises:
        NotInConsole: nobody is signed in.
    """
    seen = desk(host, "partner")
    return _page(
        seen,
        "deliveries",
        deliveries=partner_deliveries.latest(host, seen.session.client_id),
        kept_days=partner_deliveries.KEPT_FOR.days,
    )


def delivery(host: Host, receipt_id: str) -> Response:
    """One delivery with its refused items, and its receipt.

    Raises:
        NotInConsole: nobody is signed in.
        NoSuchReceipt: none of this partner's.
    """
    seen = desk(host, "partner")
    found = partner_deliveries.find(host, seen.session.client_id, receipt_id)
    if found is None:
        raise NoSuchReceipt("There is no such delivery of yours, or it is older than thirty days.")
    return _page(seen, "delivery", delivery=found, listed=partner_deliveries.MOST_PROBLEMS)


def receipt(host: Host, receipt_id: str) -> Response:
    """A delivery's signed receipt, as a file.

    Raises:
        NotInConsole: nobody is signed in.
        NoSuchReceipt: none of this partner's.
    """
    seen = desk(host, "partner")
    answer = Response(read_receipt(host, seen.session.client_id, receipt_id), content_type="application/jose")
    answer.headers["Content-Disposition"] = 'attachment; filename="receipt.jws"'
    answer.headers["Cache-Control"] = "no-store"
    answer.headers["X-Content-Type-Options"] = "nosniff"
    return answer


def _message_line(visit: Visit, message: OutboxMessage) -> dict[str, Any]:
    """One message: what it tells of, how far it has come, and when it is tried again."""
    t, w = visit.words, visit.wording
    words = f"notice.{message.kind}"
    state = message.state
    if state == "delivered" and message.delivered is not None:
        told = t("message.delivered", when=w.when(message.delivered), answer=message.last_answer)
    elif state == "given-up":
        told = t("message.given-up", tries=message.attempts, answer=message.last_answer)
    elif message.attempts:
        told = t(
            "message.again",
            tries=message.attempts,
            answer=message.last_answer or "–",
            when=w.time(message.next_attempt),
        )
    else:
        told = t("message.waits")
    return {
        "sequence": message.sequence,
        "kind": message.kind,
        "title": t(words) if t.has(words) else message.kind,
        "created": w.when(message.created),
        "state": t(f"message.state-{state}"),
        "look": _MESSAGE_LOOKS.get(state, "plain"),
        "told": told,
        "unanswered": state != "delivered" and message.attempts > 0,
    }


def messages(host: Host, *, problem: str = "") -> Response:
    """The messages to the partner, each with its tries; an answer that never came is shown as that.

    Raises:
        NotInConsole: nobody is signed in.
    """
    seen = desk(host, "partner")
    with host.storage.read() as tx:
        latest = outbox.messages(tx, client_id=seen.partners.client_id)
    lines = [_message_line(seen.visit, each) for each in latest]
    return _page(
        seen,
        "messages",
        messages=lines,
        unanswered=sum(line["unanswered"] for line in lines),
        problem=problem,
        base_url=host.base_url,
    )


def send_test(host: Host) -> AnyResponse:
    """Put a test message into the outbox; one at a time.

    Raises:
        NotInConsole, CsrfMismatch: as they say.
    """
    seen = answered_desk(host, "partner")
    partner = seen.partners
    if partner.webhook is None:
        return messages(host, problem=seen.visit.words("message.no-webhook"))
    with host.storage.write() as tx:
        if any(
            each.kind == "test" and each.state == "waiting" for each in outbox.messages(tx, client_id=partner.client_id)
        ):
            return redirect(f"{HERE}/messages?done=test-waits", code=303)
        now = host.clock.protocol_now()
        lately = [act for act in partner_standing.acts_in(tx, partner.client_id) if act.act == "test-message"]
        if sum(act.at > now - timedelta(hours=1) for act in lately) >= MOST_TESTS_AN_HOUR:
            # Anybody may apply and name any address: nobody is to be flooded through this host.
            return redirect(f"{HERE}/messages?done=test-later", code=303)
        outbox.enqueue(
            host,
            tx,
            pod_id=None,
            client_id=partner.client_id,
            kind="test",
            body={"at": now.isoformat()},
            idempotency_key=f"test {microseconds(now)}",
        )
        partner_standing.note(host, tx, partner.client_id, seen.session.by, "test-message")
    return redirect(f"{HERE}/messages?done=test", code=303)


def sandbox_page(host: Host) -> Response:
    """The sandbox citizen: what it is, how its yes is got, by program and by hand.

    Raises:
        NotInConsole: nobody is signed in.
    """
    seen = desk(host, "partner")
    pod_id = seen.partners.sandbox
    return _page(
        seen,
        "sandbox",
        handle=sandbox.handle_of(host, pod_id) if pod_id is not None else "",
        base_url=host.base_url,
    )


def open_sandbox(host: Host) -> AnyResponse:
    """Sign this browser in as the sandbox citizen, so that the partner's people see what citizens see.

    Raises:
        NotInConsole, CsrfMismatch: as they say.
        PodLocked: the sandbox citizen has locked its pod; begin anew.
    """
    seen = answered_desk(host, "partner")
    pod_id = sandbox.pod_of(host, seen.session.client_id)
    vault = unlock_with_custodian(host.host_key, host.key_store, pod_id)
    device = device_of(request.headers.get("User-Agent", ""))
    with host.storage.write() as tx:
        event = LogEvent(at=host.clock.now(), actor=Actor("citizen"), action="unlock", detail={"means": "link"})
        append_to_log(tx, pod_id, event)
    answer = redirect(own_path(request.form.get("next", ""), "/-/my-data"), code=303)
    give_session(answer, host, create_session(host, pod_id, vault, means="link", device=device))
    return answer


def reset_sandbox(host: Host) -> AnyResponse:
    """Remove the sandbox citizen and all that it holds.

    Raises:
        NotInConsole, CsrfMismatch: as they say.
    """
    seen = answered_desk(host, "partner")
    sandbox.begin_anew(host, seen.session.client_id)
    return redirect(f"{HERE}/sandbox?done=sandbox", code=303)
