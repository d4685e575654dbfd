"""Signing in with another provider (ID-porten): sent there, back with an answer, linked and unlinked. No script.

The browser goes there by a link, never by a form: a form's policy would have to name where the provider sends it on to.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from flask import Response, jsonify, redirect, request

from dashboard import frame
from dashboard.devices import device_of
from dashboard.views.public import own_path, sign_in_page
from dashboard.visits import answered_form, give_session, visit
from pod_server.authentication.errors import NotSignedIn
from pod_server.sign_in import answers, links, requests, sign_outs
from pod_server.sign_in.errors import (
    AnswerInvalid,
    LinkedElsewhere,
    NotLinked,
    PodStaysLocked,
    ProviderUnreachable,
    SignInError,
    SignInRefusedThere,
)
from pod_server.sign_in.providers import find_provider, list_providers

if TYPE_CHECKING:
    from werkzeug.wrappers import Response as AnyResponse

    from dashboard.frame import Visit
    from pod_server.authentication.session import Session
    from pod_server.host import Host

COOKIE = "tvilling-provider"


@dataclass(frozen=True)
class ProviderCard:
    """One provider on the page of ways to sign in."""

    slug: str
    name: str
    words: str
    is_linked: bool


def provider_cards(host: Host, seen: Visit, session: Session) -> list[ProviderCard]:
    """Every provider, and whether the citizen is linked to it."""
    t, w = seen.words, seen.wording
    linked = {each.slug: each for each in links.list_links(host, session)}
    cards = []
    for each in list_providers(host):
        found = linked.get(each.slug)
        words = t("provider.not-linked") if found is None else t("provider.since", date=w.date(found.made_at))
        if found is not None and found.last_used_at is not None:
            words += " " + t("passkey.used", date=w.date(found.last_used_at))
        cards.append(ProviderCard(each.slug, each.name, words, found is not None))
    return cards


def go(host: Host, slug: str) -> AnyResponse:
    """Send a browser to a provider, to sign in.

    Raises:
        ProviderInvalid, ProviderUnreachable, LookupsBusy: as they say.
    """
    seen = visit(host)
    following = own_path(request.args.get("next", ""))
    begun = requests.begin(host, slug, following=following, language=seen.language)
    answer = redirect(begun.address, code=303)
    answer.headers["Referrer-Policy"] = "no-referrer"
    return _asked(answer, host, begun.cookie)


def link(host: Host, slug: str) -> Response:
    """Begin to link the signed-in citizen to a provider: the page from which they go there.

    Raises:
        NotSignedIn, CsrfMismatch, SignInTooOld: as they say.
        ProviderInvalid, ProviderUnreachable, LookupsBusy: as they say.
    """
    seen, session, _ = answered_form(host)
    session.require_fresh(host.clock.protocol_now())
    provider = find_provider(host, slug)
    begun = requests.begin(host, slug, purpose="link", session=session.id, language=seen.language)
    t = seen.words
    answer = frame.page(
        "go-there.html.jinja",
        seen,
        heading=t("provider.link-title", provider=provider.name),
        words=t("provider.link-words", provider=provider.name),
        address=begun.address,
        button=t("provider.go", provider=provider.name),
        request_path="/-/security",
    )
    _asked(answer, host, begun.cookie)
    return answer


def unlink(host: Host, slug: str) -> AnyResponse:
    """End a link.

    Raises:
        NotSignedIn, CsrfMismatch: as they say.
    """
    _, session, _ = answered_form(host)
    links.unlink(host, session, slug)
    return redirect("/-/security?done=unlinked#providers", code=303)


def back(host: Host, slug: str) -> AnyResponse:
    """The browser comes back from a provider.

    Raises:
        ProviderInvalid, LookupsBusy: as they say.
        NotSignedIn: a link was asked for, and the session has ended meanwhile.
        SignInTooOld: it has become too old meanwhile.
    """
    seen = visit(host)
    answer: AnyResponse
    try:
        known = answers.receive(host, slug, request.args.to_dict(flat=False), request.cookies.get(_cookie(host)))
        if known.asked.purpose == "link":
            if seen.session is None:
                raise NotSignedIn
            links.link(host, seen.session, known)
            answer = redirect("/-/security?done=linked#providers", code=303)
        else:
            cookie = links.sign_in(host, known, device=device_of(request.headers.get("User-Agent", "")))
            answer = redirect(own_path(known.asked.following), code=303)
            give_session(answer, host, cookie)
    except (
        AnswerInvalid, LinkedElsewhere, NotLinked, PodStaysLocked, ProviderUnreachable, SignInRefusedThere,
    ) as refused:  # fmt: skip
        answer = _told(host, seen, refused)
    answer.delete_cookie(_cookie(host), path="/", secure=not host.allow_insecure, httponly=True, samesite="Lax")
    return answer


def _told(host: Host, seen: Visit, refused: SignInError) -> AnyResponse:
    """The sign-in page, with what stood in the way and what would help."""
    t = seen.words
    key = {
        AnswerInvalid: "provider.answer",
        LinkedElsewhere: "provider.linked-elsewhere",
        NotLinked: "provider.no-link",
        PodStaysLocked: "provider.pod-locked",
        ProviderUnreachable: "provider.unreachable",
        SignInRefusedThere: "provider.broken-off",
    }[type(refused)]
    provider = getattr(refused, "provider", "")
    return sign_in_page(host, problem=t(key, provider=provider) if provider else t(key), status=403)


def signed_out_there(host: Host, seen: Visit, cookie: str | None) -> Response | None:
    """After signing out here: the page that leads on to signing out there; None where no provider began the session.

    Must be asked before the session ends, since the session's own key opens what names it there.
    """
    found = sign_outs.address_to_sign_out(host, cookie)
    if found is None:
        return None
    name, address = found
    t = seen.words
    return frame.page(
        "go-there.html.jinja",
        seen,
        heading=t("provider.signed-out-title"),
        words=t("provider.signed-out-words", provider=name),
        address=address,
        button=t("provider.sign-out-there", provider=name),
        request_path="/-/",
    )


def front_channel(host: Host) -> Response:
    """A provider signs somebody out in a frame of its own page; the answer is empty, and may be framed by it alone."""
    issuer, sid = request.args.get("iss", ""), request.args.get("sid", "")
    known = {provider.issuer for provider in list_providers(host)}
    answer = Response("", content_type="text/plain; charset=utf-8")
    answer.headers["Cache-Control"] = "no-store"
    if issuer in known:
        sign_outs.end_by_name(host, issuer, sid)
        answer.headers["Content-Security-Policy"] = f"default-src 'none'; frame-ancestors {frame.source_of(issuer)}"
    return answer


def back_channel(host: Host, slug: str) -> Response:
    """A provider signs somebody out by itself; the token is its proof.

    Raises:
        AnswerInvalid, ProviderInvalid, ProviderUnreachable, LookupsBusy: as they say.
    """
    sign_outs.end_by_token(host, slug, request.form.get("logout_token", ""))
    answer = jsonify({})
    answer.headers["Cache-Control"] = "no-store"
    return answer


def _cookie(host: Host) -> str:
    return COOKIE if host.allow_insecure else f"__Host-{COOKIE}"


def _asked(answer: AnyResponse, host: Host, cookie: str) -> AnyResponse:
    answer.set_cookie(
        _cookie(host),
        cookie,
        max_age=int(requests.LIFETIME.total_seconds()),
        secure=not host.allow_insecure,
        httponly=True,
        samesite="Lax",
        path="/",
    )
    answer.headers["Cache-Control"] = "no-store"
    return answer
