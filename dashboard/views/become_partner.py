"""Pages for a company that may become a partner: what it may do, the application, and the ways in to its console."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import redirect, request

from dashboard import frame
from dashboard.consoles import console_cookie, give_console_session, take_console_session
from dashboard.frame import check_form
from dashboard.visits import visit
from pod_server import partner_notices, partner_standing
from pod_server.console_sessions import (
    NotInConsole,
    create_session,
    end_session,
    load_session,
    look_at_link,
    redeem_link,
)
from pod_server.partner_keys import fetch_key_set, read_key_set
from pod_server.partners import PartnerInvalid
from vocab.kinds import load_kinds
from vocab.purposes import load_purposes

if TYPE_CHECKING:
    from typing import Any

    from werkzeug.wrappers import Response as AnyResponse

    from dashboard.frame import Visit
    from pod_server.console_sessions import Role
    from pod_server.host import Host
    from pod_server.partner_notices import Proposed
    from pod_server.partners import Partner

HOUSE_PURPOSES = frozenset({"research-statistics"})
"""Purposes that are the house's own."""

_TEXT_FIELDS = ("name", "number", "contact", "address", "jwks", "jwks_uri", "redirect_uri", "webhook", "purpose")


def become(host: Host) -> AnyResponse:
    """What a partner may do, and how one becomes one."""
    return frame.page("partners.html.jinja", visit(host), base_url=host.base_url, request_path="/-/partners")


def choices(visit: Visit) -> dict[str, list[tuple[str, str, str]]]:
    """What a notice can be about: purposes and kinds with their titles and words in the reader's language."""
    return {
        "purposes": [
            (slug, visit.wording.of(each.titles), visit.wording.of(each.descriptions))
            for slug, each in sorted(load_purposes().items())
            if slug not in HOUSE_PURPOSES
        ],
        "kinds": [
            (slug, each.labels[visit.language].title, each.labels[visit.language].description)
            for slug, each in sorted(load_kinds().by_slug.items())
        ],
    }


def notice_of_form() -> Proposed:
    """The notice that a form tells.

    Raises:
        PartnerInvalid: it is none.
    """
    if request.form.get("purpose", "") in HOUSE_PURPOSES:
        raise PartnerInvalid("purpose: this one is the house's own")
    return partner_notices.check(
        request.form.get("purpose", "")[:200],
        request.form.getlist("kind")[:20],
        {language: request.form.get(f"notice_{language}", "") for language in partner_notices.LANGUAGES},
    )


def problem_words(visit: Visit, problem: PartnerInvalid) -> tuple[str, str]:
    """What is wrong with which field: a sentence in the reader's language, and the precise one."""
    field, _, detail = str(problem).partition(": ")
    key = f"apply.bad-{field.replace('_', '-')}"
    t = visit.words
    return (str(t(key)) if t.has(key) else str(t("apply.bad"))), detail or field


def register_page(host: Host, *, problem: PartnerInvalid | None = None, status: int = 200) -> AnyResponse:
    """The application's form; what was written stays where something is to be mended."""
    seen = visit(host)
    values = {name: request.form.get(name, "")[:70_000] for name in _TEXT_FIELDS}
    values |= {f"notice_{each}": request.form.get(f"notice_{each}", "")[:5000] for each in partner_notices.LANGUAGES}
    return frame.page(
        "partners-register.html.jinja",
        seen,
        status=status,
        problem=problem_words(seen, problem) if problem else None,
        values=values,
        chosen=set(request.form.getlist("kind")),
        languages=partner_notices.LANGUAGES,
        **choices(seen),
        request_path="/-/partners/register",
    )


def _keys_of_form(host: Host) -> tuple[dict[str, Any], str]:
    """The keys, pasted, uploaded or fetched; and the address they were fetched from."""
    upload = request.files.get("jwks_file")
    pasted, address = request.form.get("jwks", "").strip(), request.form.get("jwks_uri", "").strip()
    content = upload.stream.read(70_000) if upload else b""
    if sum(map(bool, (pasted, address, content))) != 1:
        raise PartnerInvalid("jwks: one of the three: pasted, a file, or an address")
    return (fetch_key_set(host, address), address) if address else (read_key_set(content or pasted), "")


def register_form(host: Host) -> AnyResponse:
    """Take an application, and open the applicant's console in the browser that sent it.

    Raises:
        CsrfMismatch: the form is not ours.
        ApplicationsFull: as many wait as are taken.
    """
    seen = visit(host)
    check_form(seen.form_token)
    form = request.form
    try:
        notice = notice_of_form()
        partner = _apply(host, notice)
    except PartnerInvalid as invalid:
        return register_page(host, problem=invalid, status=422)
    name = f"{form.get('name', '')} ({form.get('contact', '')})"
    answer = redirect("/-/partners/console?done=applied", code=303)
    give_console_session(
        answer, host, "partner", create_session(host, "partner", client_id=partner.client_id, name=name[:80])
    )
    return answer


def _apply(host: Host, notice: Proposed) -> Partner:
    form = request.form
    partner_standing.require_room(host)
    jwks, address = _keys_of_form(host)
    return partner_standing.apply(
        host,
        name=form.get("name", ""),
        number=form.get("number", ""),
        contact=form.get("contact", ""),
        address=form.get("address", ""),
        jwks=jwks,
        jwks_uri=address,
        redirect_uris=form.get("redirect_uri", "").split(),
        webhook=form.get("webhook", "").strip() or None,
        notices=[notice],
    )


def sign_in_page(host: Host, role: Role) -> AnyResponse:
    """How one gets a link; straight in where somebody is signed in already."""
    try:
        load_session(host, console_cookie(host, role), role)
    except NotInConsole:
        return frame.page(
            "console-sign-in.html.jinja",
            visit(host),
            role=role,
            base_url=host.base_url,
            request_path="/-/partners/sign-in" if role == "partner" else "/-/operator/sign-in",
        )
    return redirect("/-/partners/console" if role == "partner" else "/-/operator", code=303)


def enter_page(host: Host, token: str, role: Role) -> AnyResponse:
    """As whom one would sign in, and the button that does it.

    Raises:
        ConsoleLinkInvalid: the link does not hold.
    """
    name = look_at_link(host, token, role)
    return frame.page("console-enter.html.jinja", visit(host), name=name, role=role, request_path="/-/")


def enter_form(host: Host, token: str, role: Role) -> AnyResponse:
    """Use the link up.

    Raises:
        ConsoleLinkInvalid: the link does not hold.
        CsrfMismatch: the form is not ours.
    """
    check_form(visit(host).form_token)
    cookie = redeem_link(host, token, role)
    answer = redirect("/-/partners/console" if role == "partner" else "/-/operator", code=303)
    give_console_session(answer, host, role, cookie)
    return answer


def leave(host: Host, role: Role) -> AnyResponse:
    """Sign out of a console.

    Raises:
        CsrfMismatch: the form is not the session's own.
    """
    answer = redirect("/-/partners" if role == "partner" else "/-/", code=303)
    cookie = console_cookie(host, role)
    try:
        session = load_session(host, cookie, role)
    except NotInConsole:
        return answer
    session.require_csrf(request.form.get("csrf", ""))
    end_session(host, cookie)
    take_console_session(answer, host, role)
    return answer
