"""Who is looking at a page of a console: the partner's people, or the operator's; never a citizen's session."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from flask import request

from dashboard.visits import visit
from pod_server.console_sessions import ConsoleSession, cookie_settings, load_session
from pod_server.partner_standing import find

if TYPE_CHECKING:
    from werkzeug.wrappers import Response

    from dashboard.frame import Visit
    from pod_server.console_sessions import Role
    from pod_server.host import Host
    from pod_server.partners import Partner


@dataclass(frozen=True)
class Desk:
    """One look at one page of a console.

    Attributes:
        visit: The look, as every page has it; its forms (language, theme) are the browser's.
        own: The same for the console's own forms, which carry the console's token.
        session: Who is signed in.
        partner: Whose console, or None on the operator's pages.
    """

    visit: Visit
    own: Visit
    session: ConsoleSession
    partner: Partner | None = None

    @property
    def partners(self) -> Partner:
        """The partner whose console it is."""
        assert self.partner is not None
        return self.partner


def console_cookie(host: Host, role: Role) -> str | None:
    """The console's cookie that came with the request."""
    return request.cookies.get(cookie_settings(host, role).key)


def desk(host: Host, role: Role) -> Desk:
    """A look at a page of a console.

    Raises:
        NotInConsole: nobody is signed in to it.
    """
    session = load_session(host, console_cookie(host, role), role)
    partner = find(host, session.client_id) if role == "partner" else None
    seen = replace(visit(host), desk=partner.name if partner is not None else session.name)
    return Desk(seen, replace(seen, form_token=session.csrf_token), session, partner)


def answered_desk(host: Host, role: Role, *, fresh: bool = False) -> Desk:
    """A filled-in form of a console.

    Raises:
        NotInConsole: nobody is signed in to it.
        CsrfMismatch: the form was not made for this session.
        SignInTooOld: `fresh` was asked for, and the session is older.
    """
    seen = desk(host, role)
    seen.session.require_csrf(request.form.get("csrf", ""))
    if fresh:
        seen.session.require_fresh(host.clock.protocol_now())
    return seen


def give_console_session(answer: Response, host: Host, role: Role, cookie: str) -> None:
    """Set a console's cookie on an answer that nobody keeps."""
    settings = cookie_settings(host, role)
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


def take_console_session(answer: Response, host: Host, role: Role) -> None:
    """Have the browser forget a console's cookie."""
    settings = cookie_settings(host, role)
    answer.delete_cookie(
        settings.key, path=settings.path, secure=settings.secure, httponly=True, samesite=settings.samesite
    )
