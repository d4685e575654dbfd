"""Who is looking at a page: the session behind the cookie, the household it opens, what waits for an answer."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from flask import request

from dashboard import unlocking
from dashboard.demo_settings import DemoSettings
from dashboard.frame import Visit, check_form, chosen_language, chosen_theme, stranger_token
from pod_server import household, proposals, reminders
from pod_server.authentication.errors import NotSignedIn
from pod_server.authentication.session import cookie_settings, load_session
from pod_server.authorization.enforcement import require_owner
from pod_server.opening import OpenPod, open_pod
from pod_server.sandbox import is_sandbox

if TYPE_CHECKING:
    from werkzeug.wrappers import Response

    from pod_server.authentication.session import Session
    from pod_server.host import Host


def session_cookie(host: Host) -> str | None:
    """The session cookie that came with the request."""
    return request.cookies.get(cookie_settings(host).key)


def demo_settings() -> DemoSettings | None:
    """The demo's settings, where this is the demo."""
    from flask import current_app  # noqa: PLC0415 - only inside a request

    found = current_app.config.get("DEMO")
    return found if isinstance(found, DemoSettings) else None


def own_pod(host: Host, session: Session) -> OpenPod:
    """The signed-in citizen's own pod, opened under the owner's Permit."""
    return open_pod(host, require_owner(session), vault=session.vault())


def strangers_visit(host: Host, session: Session | None = None) -> Visit:
    """A look at a page with nothing read from the storage: what a problem's page needs when the storage is the one."""
    demo = demo_settings()
    return Visit(
        host=host,
        language=chosen_language(),
        theme=chosen_theme(),
        now=host.clock.now(),
        session=session,
        household=None,
        form_token=session.csrf_token if session is not None else stranger_token(host),
        demo_speed=demo.speed if demo is not None else None,
    )


def visit(host: Host) -> Visit:
    """A look at a page that strangers may see too."""
    session = load_session(host, session_cookie(host))
    seen = strangers_visit(host, session)
    if session is None:
        return seen
    own = own_pod(host, session)
    with host.storage.read() as tx:
        citizen = household.load(tx, own)
        waiting = sum(1 for each in proposals.list_proposals(tx, own) if each.state == "waiting")
        waiting += len(reminders.waiting(tx, session.pod_id, host.clock.now()))
    return replace(seen, household=citizen, waiting=waiting, sandbox=is_sandbox(own.pod.handle))


def citizens_visit(host: Host) -> tuple[Visit, Session, OpenPod]:
    """A look at a page of one's own.

    Raises:
        NotSignedIn: there is no session, or it has ended.
    """
    seen = visit(host)
    if seen.session is None:
        raise NotSignedIn
    own = own_pod(host, seen.session)
    if own.pod.state == "locked":
        # Open as long as its citizen is here: what came in meanwhile is merged, and the twin takes it in.
        unlocking.begin_if_something_waits(host, own.vault)
    return seen, seen.session, own


def answered_form(host: Host) -> tuple[Visit, Session, OpenPod]:
    """A citizen's filled-in form.

    Raises:
        NotSignedIn: there is no session, or it has ended.
        CsrfMismatch: the form was not made for this session.
    """
    seen, session, own = citizens_visit(host)
    check_form(session.csrf_token)
    return seen, session, own


def give_session(answer: Response, host: Host, cookie: str) -> None:
    """Set the session cookie on an answer that nobody keeps."""
    settings = cookie_settings(host)
    answer.set_cookie(
        settings.key,
        cookie,
        max_age=settings.max_age,
        secure=settings.secure,
        httponly=settings.httponly,
        samesite=settings.samesite,
        path=settings.path,
    )
    answer.headers["Cache-Control"] = "no-store"
