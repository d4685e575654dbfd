"""Sources that this host asks for a citizen: connecting one, seeing how it goes, asking it now, disconnecting it. No script.

The browser goes to a source by a link, never by a form: a form's policy would have to name where the source sends it on to.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from flask import redirect, request

from dashboard import frame
from dashboard.views.delivered import volume
from dashboard.visits import answered_form, citizens_visit
from partner_bridge import pulling
from partner_bridge.channels import oauth_pull, static_token_pull
from partner_bridge.connectors import find_connector
from partner_bridge.errors import AnswerNotOurs, SignInAgain, SourceBusy, SourceInvalid, SourceUnreachable
from partner_bridge.sources import find_source, list_sources
from pod_server import grants
from pod_server.consent_receipts import keep_notice
from vocab.kinds import load_kinds
from vocab.purposes import load_purposes

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta

    from flask import Response
    from werkzeug.wrappers import Response as AnyResponse

    from dashboard.frame import Visit
    from partner_bridge.sources import Source
    from pod_server.host import Host
    from pod_server.pulls import Pull

COOKIE = "tvilling-source"
NOTICE = "source-1"


@dataclass(frozen=True)
class SourceCard:
    """One source on the page."""

    slug: str
    name: str
    channel: str
    facts: list[tuple[str, str]]
    grant: str
    look: str
    state: str
    problem: str


def sources(host: Host, *, problem: str = "", status: int = 200) -> Response:
    """Every source, connected or not."""
    seen, session, _ = citizens_visit(host)
    held = pulling.connections(host, session.pod_id)
    views = {view.grant.id: view for view in grants.list_grants(host, session.pod_id)}
    cards = [
        _card(host, seen, each, held.get(each.slug), views)
        for each in list_sources(host)
        if each.channel != "calculation"
    ]
    done = request.args.get("done", "")
    told = seen.words(f"source.done-{done}") if done in {"connected", "asked", "disconnected"} else ""
    answer = frame.page(
        "sources.html.jinja", seen, sources=cards, done=told, problem=problem, request_path="/-/sources"
    )
    answer.status_code = status
    return answer


def connect(host: Host, slug: str) -> AnyResponse:
    """Begin to connect: to the page from which the citizen goes to the source, or with the token they pasted at once.

    Raises:
        NotSignedIn, CsrfMismatch: as they say.
        SourceInvalid: there is no such source, or that is no token.
        SourceUnreachable, LookupsBusy: as they say.
    """
    seen, session, _ = answered_form(host)
    source = find_source(host, slug)
    if source.channel == "calculation":
        raise SourceInvalid("this one is asked for calculations, on a page of its own, and brings nothing in")
    if source.channel == "token":
        try:
            tokens = static_token_pull.read_token(request.form.get("token", ""))
        except SourceInvalid:
            return sources(host, problem=seen.words("source.no-token", source=source.name), status=400)
        pulling.connect(host, session.vault(), source, tokens, notice=_notice(host, seen, source))
        return redirect("/-/sources?done=connected", code=303)
    try:
        begun = oauth_pull.begin(host, source, session.id)
    except SourceUnreachable:
        return sources(host, problem=seen.words("source.problem-unreachable", source=source.name), status=502)
    t = seen.words
    answer = frame.page(
        "go-there.html.jinja",
        seen,
        heading=t("source.go-title", source=source.name),
        words=t("source.go-words", source=source.name),
        address=begun.address,
        button=t("source.go", source=source.name),
        request_path="/-/sources",
    )
    answer.set_cookie(
        _cookie(host),
        begun.cookie,
        max_age=int(oauth_pull.LIFETIME.total_seconds()),
        secure=not host.allow_insecure,
        httponly=True,
        samesite="Lax",
        path="/",
    )
    answer.headers["Cache-Control"] = "no-store"
    return answer


def back(host: Host, slug: str) -> AnyResponse:
    """The browser comes back from a source: the consent is written down, and the first pull is due at once.

    Raises:
        NotSignedIn: nobody is signed in here any more.
        SourceInvalid: there is no such source.
        LookupsBusy: too many other hosts are being waited for.
    """
    seen, session, _ = citizens_visit(host)
    source = find_source(host, slug)
    answer: AnyResponse
    try:
        tokens = oauth_pull.receive(
            host,
            source,
            request.args.to_dict(flat=False),
            cookie=request.cookies.get(_cookie(host)),
            session=session.id,
        )
        pulling.connect(host, session.vault(), source, tokens, notice=_notice(host, seen, source))
        answer = redirect("/-/sources?done=connected", code=303)
    except AnswerNotOurs:
        answer = sources(host, problem=seen.words("source.not-ours", source=source.name), status=403)
    except SignInAgain:
        answer = sources(host, problem=seen.words("source.broken-off", source=source.name), status=403)
    except (SourceUnreachable, SourceBusy):
        answer = sources(host, problem=seen.words("source.problem-unreachable", source=source.name), status=502)
    answer.delete_cookie(_cookie(host), path="/", secure=not host.allow_insecure, httponly=True, samesite="Lax")
    return answer


def pull_now(host: Host, slug: str) -> AnyResponse:
    """Ask a source at the next occasion; a locked pod's is asked here, with the key that its citizen brought.

    Raises:
        NotSignedIn, CsrfMismatch: as they say.
        SourceInvalid: there is no such connection.
    """
    seen, session, own = answered_form(host)
    held = _held(host, session.pod_id, slug)
    pulling.pull_now(host, session.pod_id, held.grant, host.clock.protocol_now())
    if own.pod.state == "locked":
        pulling.pull_guarded(host, session.pod_id, held.grant, own.vault)
    del seen
    return redirect("/-/sources?done=asked", code=303)


def disconnect(host: Host, slug: str) -> AnyResponse:
    """Withdraw the consent; the tokens go with it, and the source is told.

    Raises:
        NotSignedIn, CsrfMismatch: as they say.
        SourceInvalid: there is no such connection.
    """
    _, session, own = answered_form(host)
    pulling.disconnect(host, own.vault, _held(host, session.pod_id, slug).grant)
    return redirect("/-/sources?done=disconnected", code=303)


def _held(host: Host, pod_id: int, slug: str) -> Pull:
    held = pulling.connections(host, pod_id).get(slug)  # type: ignore[arg-type]
    if held is None:
        raise SourceInvalid("you are not connected to this source")
    return held


def _card(
    host: Host, seen: Visit, source: Source, held: Pull | None, views: Mapping[str, grants.GrantView]
) -> SourceCard:
    t, w = seen.words, seen.wording
    brings = find_connector(source.connector, host.connector_packages).kinds
    kinds = [load_kinds().by_slug[slug].labels[seen.language] for slug in sorted(brings)]
    purpose = load_purposes().get(source.purpose)
    facts = [
        (t("fact.gives"), w.listing([kind.title for kind in kinds])),
        (t("source.means"), " ".join(kind.description for kind in kinds)),
        (t("fact.purpose"), w.of(purpose.titles) if purpose else source.purpose),
    ]
    if held is None:
        facts.append((t("source.how-long"), t("source.how-long-words")))
        return SourceCard(source.slug, source.name, source.channel, facts, "", "plain", "off", "")
    last = (
        t("source.last-words", when=w.when(held.last_at), count=w.number(held.last_accepted))
        if held.last_at
        else t("grant.never")
    )
    ahead: timedelta = max(held.next_at, held.not_before) - seen.host.clock.protocol_now()
    following = seen.now + ahead * (seen.demo_speed or 1.0)
    waits = held.last_problem in {"sign-in-again", "locked", "paused"}
    facts += [
        (t("source.last"), last),
        (t("source.next"), t("source.next-you") if waits else w.when(max(following, seen.now))),
    ]
    if held.grant in views:
        facts += volume(seen, views[held.grant])
    problem = t(f"source.problem-{held.last_problem}", source=source.name) if held.last_problem else ""
    look, state = ("wait", "trouble") if held.last_problem else ("good", "on")
    return SourceCard(source.slug, source.name, source.channel, facts, str(held.grant), look, state, problem)


def _notice(host: Host, seen: Visit, source: Source) -> tuple[str, str]:
    """The text that the citizen was shown, as it is kept."""
    card = _card(host, seen, source, None, {})
    text = "\n".join([source.name, *(f"{name}: {words}" for name, words in card.facts)])
    version = f"{NOTICE} {seen.language}"
    return version, keep_notice(host, version, text)


def _cookie(host: Host) -> str:
    return COOKIE if host.allow_insecure else f"__Host-{COOKIE}"
