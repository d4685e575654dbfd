"""Apps: may this one act for me, and how far; which ones do I let in; shall I be signed out here too.

Yes and no weigh the same, nothing is preselected, and what the app says of itself is called that. Plain forms, no script.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from flask import redirect, request

from dashboard import frame
from dashboard.visits import answered_form, citizens_visit, session_cookie, visit
from pod_server.authentication.session import cookie_settings, end_session
from pod_server.authorization_server.app_questions import answer_app_question, load_app_question
from pod_server.authorization_server.apps import is_document_address, redirect_origin
from pod_server.authorization_server.asking_browser import keep_word, open_question, require_same_browser
from pod_server.authorization_server.connections import MODES, disconnect, list_connections
from pod_server.authorization_server.sign_out import load_sign_out

if TYPE_CHECKING:
    from flask import Response
    from werkzeug.wrappers import Response as AnyResponse

    from dashboard.frame import Visit
    from pod_server.authentication.session import Session
    from pod_server.authorization_server.apps import App
    from pod_server.host import Host


@dataclass(frozen=True)
class AppCard:
    """One app on the page My data."""

    id: str
    name: str
    modes_title: str
    modes_words: str
    since: str


def app_cards(host: Host, seen: Visit, session: Session) -> list[AppCard]:
    """Every app that the citizen lets in."""
    t = seen.words
    return [
        AppCard(
            id=each.id,
            name=each.name,
            modes_title=t(f"app.modes-{each.answer}"),
            modes_words=t(f"app.modes-{each.answer}-words"),
            since=t("app.since", date=seen.wording.date(each.given_at)),
        )
        for each in list_connections(host, session.pod_id)
    ]


def where_from(app: App, redirect_uri: str) -> str:
    """The place an app's answer goes to, in the fewest letters that tell it from another."""
    parts = urlsplit(redirect_uri)
    if is_document_address(app.client_id):
        return urlsplit(app.client_id).netloc
    return parts.netloc or f"{parts.scheme}:"


def app_question(host: Host, question_id: str, *, problem: str = "") -> Response:
    """The page that asks.

    Raises:
        NotSignedIn: sign in first; the question waits.
        InteractionGone: answered, run out, or never asked.
        QuestionElsewhere: another browser opened it first.
    """
    seen, _, _ = citizens_visit(host)
    question = load_app_question(host, question_id)
    word = open_question(host, request, question_id)
    t = seen.words
    shown = frame.page(
        "app-question.html.jinja",
        # Browsers hold a form's redirect against `form-action` too, so this one address is let in here alone.
        replace(seen, redirect_origins=(redirect_origin(question.redirect_uri),)),
        status=422 if problem else 200,
        problem=problem,
        action=f"/-/apps/questions/{question.id}",
        app=question.app.name,
        place=where_from(question.app, question.redirect_uri),
        goes_to=urlsplit(question.redirect_uri).netloc or question.redirect_uri.partition(":")[0],
        stays=question.stays,
        options=[(each, t(f"app.modes-{each}"), t(f"app.modes-{each}-words")) for each in MODES],
        request_path=f"/-/apps/questions/{question.id}",
    )
    keep_word(host, shown, word)
    return shown


def answer_question(host: Host, question_id: str) -> AnyResponse:
    """Take the citizen's answer down and send the browser back to the app.

    Raises:
        NotSignedIn, CsrfMismatch, InteractionGone: as they say.
    """
    seen, session, _ = answered_form(host)
    require_same_browser(host, request, question_id)
    answer, modes = request.form.get("answer", ""), request.form.get("modes", "")
    if answer == "deny":
        return redirect(answer_app_question(host, question_id, session, None), code=303)
    if answer != "allow":
        return app_question(host, question_id, problem=seen.words("app.no-answer"))
    if modes not in MODES:
        return app_question(host, question_id, problem=seen.words("app.no-modes"))
    return redirect(answer_app_question(host, question_id, session, modes), code=303)


def end_app(host: Host, connection_id: str) -> AnyResponse:
    """Let an app in no longer; its tokens are refused from now on.

    Raises:
        NotSignedIn, CsrfMismatch: as they say.
    """
    _, session, _ = answered_form(host)
    ended = disconnect(host, session.pod_id, connection_id)
    page = "/-/security" if request.form.get("back") == "security" else "/-/my-data"
    return redirect(f"{page}?done=end-app#apps" if ended else f"{page}#apps", code=303)


def sign_out_question(host: Host, question_id: str) -> Response:
    """An app's citizen wants to leave: shall they be signed out here too?

    Raises:
        InteractionGone: run out, or never asked.
    """
    seen = visit(host)
    question = load_sign_out(host, question_id)
    origins = (redirect_origin(question.redirect_uri),) if question.redirect_uri else ()
    return frame.page(
        "app-sign-out.html.jinja",
        replace(seen, redirect_origins=origins),
        action=f"/-/apps/sign-out/{question.id}",
        app=question.name,
        request_path=f"/-/apps/sign-out/{question.id}",
    )


def answer_sign_out(host: Host, question_id: str) -> AnyResponse:
    """Sign out or stay, and go where the app asked.

    Raises:
        CsrfMismatch, InteractionGone: as they say.
    """
    seen = visit(host)
    frame.check_form(seen.form_token)
    question = load_sign_out(host, question_id)
    answer = redirect(question.address or "/-/", code=303)
    if seen.session is not None and request.form.get("answer") == "sign-out":
        end_session(host, session_cookie(host))
        settings = cookie_settings(host)
        answer.delete_cookie(
            settings.key, path=settings.path, secure=settings.secure, httponly=True, samesite=settings.samesite
        )
    return answer
