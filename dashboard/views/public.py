"""Pages for everybody: welcome, sign-in, choices, the problem pages, the accessibility statement."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flask import Response, redirect, request
from markupsafe import Markup, escape

from dashboard import frame, unlocking
from dashboard.devices import device_of
from dashboard.frame import LANGUAGE_COOKIE, THEME_COOKIE, THEMES, check_form
from dashboard.prose import markdown
from dashboard.scene import SceneState
from dashboard.visits import give_session, session_cookie, strangers_visit, visit
from dashboard.wording import LANGUAGES
from pod_server import problems
from pod_server.authentication.accounts import redeem_sign_in_link, sign_in
from pod_server.authentication.errors import TooManyAttempts
from pod_server.authentication.session import cookie_settings, end_session, load_session
from pod_server.http_problems import NoSuchPage
from pod_server.sign_in.providers import list_providers
from pod_server.vault.errors import SignInBusy, WrongPassphrase

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from werkzeug.wrappers import Response as AnyResponse

    from dashboard.frame import Visit
    from pod_server.host import Host

PROBLEM_PAGES = Path(__file__).parents[2] / "docs" / "problems"
_SLUG = re.compile(r"[a-z][a-z0-9-]{0,60}\Z")
_OWN_PATH = re.compile(r"/-/[A-Za-z0-9/_.?=&~-]*\Z")
_WELCOME_SCENE = SceneState(0, 0, 0, 0, 1, 0, None, mist=False)


def own_path(text: str, otherwise: str = "/-/home") -> str:
    """A path of our own pages to go on to; anything else could lead a reader to a stranger's page."""
    if not _OWN_PATH.match(text) or "//" in text:
        return otherwise
    # A browser resolves dots: `/-/../mallory/page` is a stranger's document in a pod.
    return otherwise if {".", ".."} & set(text.partition("?")[0].split("/")) else text


def welcome(host: Host) -> AnyResponse:
    """What this is, for somebody who has not signed in."""
    seen = visit(host)
    if seen.session is not None:
        return redirect("/-/home", code=303)
    return frame.page("welcome.html.jinja", seen, state=_WELCOME_SCENE, request_path="/-/")


def passkey_messages(seen: Visit) -> dict[str, str]:
    """What the script of passkeys says when something is refused, by the problem's slug."""
    return {
        slug: seen.words.plain(f"reason.{slug}")
        for slug in (
            "passkey-invalid",
            "passkey-opens-not",
            "passkey-none",
            "passkey-without-secret",
            "too-many-passkeys",
            "sign-in-too-old",
            "form-out-of-date",
        )
    }


def sign_in_page(host: Host, *, problem: str = "", handle: str = "", status: int = 200) -> Response:
    """The form."""
    wanted = own_path(request.values.get("next", ""))
    seen = visit(host)
    return frame.page(
        "sign-in.html.jinja",
        seen,
        status=status,
        problem=problem,
        handle=handle,
        next=wanted,
        messages=passkey_messages(seen),
        providers=list_providers(host),
        request_path="/-/sign-in",
    )


def _device() -> str:
    return device_of(request.headers.get("User-Agent", ""))


def _signed_in(host: Host, cookie: str, address: str) -> AnyResponse:
    session = load_session(host, cookie)
    if session is not None and "custodian" not in host.key_store.slot_kinds(session.pod_id):
        unlocking.begin(host, session.vault())
    answer = redirect(address, code=303)
    give_session(answer, host, cookie)
    return answer


def sign_in_form(host: Host) -> AnyResponse:
    """Sign in with a passphrase.

    Raises:
        CsrfMismatch: the form is not ours.
    """
    seen = visit(host)
    check_form(seen.form_token)
    handle = request.form.get("handle", "")[:64]
    t = seen.words
    try:
        cookie = sign_in(host, handle, request.form.get("passphrase", ""), device=_device())
    except WrongPassphrase:
        return sign_in_page(host, problem=t("sign-in.wrong"), handle=handle, status=403)
    except TooManyAttempts as many:
        answer = sign_in_page(host, problem=t("sign-in.wait", seconds=many.retry_after), handle=handle, status=429)
        answer.headers["Retry-After"] = str(many.retry_after)
        return answer
    except SignInBusy:
        return sign_in_page(host, problem=t("sign-in.busy"), handle=handle, status=503)
    return _signed_in(host, cookie, own_path(request.form.get("next", "")))


def sign_in_link(host: Host, token: str) -> AnyResponse:
    """Sign in by a one-use link made on this machine.

    Raises:
        SignInLinkInvalid, PodLocked: as they say.
    """
    cookie = redeem_sign_in_link(host, token, request.remote_addr, device=_device())
    return _signed_in(host, cookie, own_path(request.args.get("next", "")))


def sign_out(host: Host, elsewhere: Callable[[Host, Visit, str | None], Response | None]) -> AnyResponse:
    """End the session.

    Args:
        host: This host.
        elsewhere: Gives the page that leads on to where the session was begun, if it was begun elsewhere.

    Raises:
        CsrfMismatch: the form is not the session's own.
    """
    seen = visit(host)
    answer: AnyResponse = redirect("/-/", code=303)
    if seen.session is None:
        # Another site's form comes without the cookie: it must not have it deleted either.
        return answer
    check_form(seen.form_token)
    cookie = session_cookie(host)
    stranger = strangers_visit(host)
    answer = elsewhere(host, stranger, cookie) or answer
    end_session(host, cookie)
    settings = cookie_settings(host)
    answer.delete_cookie(
        settings.key, path=settings.path, secure=settings.secure, httponly=True, samesite=settings.samesite
    )
    return answer


def choose(host: Host) -> AnyResponse:
    """Keep a choice of language or theme."""
    seen = visit(host)
    check_form(seen.form_token)
    answer = redirect(own_path(request.form.get("back", ""), "/-/"), code=303)
    language, theme = request.form.get("language"), request.form.get("theme")
    if language in LANGUAGES:
        frame.keep(answer, host, LANGUAGE_COOKIE, str(language))
    if theme in THEMES:
        frame.keep(answer, host, THEME_COOKIE, str(theme))
    return answer


def problem_page(host: Host, slug: str) -> Response:
    """What one problem type means and how to mend it.

    Raises:
        NoSuchPage: there is no such problem type.
    """
    seen = visit(host)
    file = PROBLEM_PAGES / f"{slug}.md"
    if not _SLUG.match(slug) or (not file.is_file() and slug not in problems.TYPES):
        raise NoSuchPage("There is no such problem type.")
    declared = problems.TYPES.get(slug)
    body = (
        markdown(file.read_text("utf-8"))
        if file.is_file()
        else Markup("<h1>{}</h1>").format(declared.title if declared else slug)
    )
    if declared is not None:
        body += Markup('<p class="soft small">{} <code>{}</code> · HTTP {}</p>').format(
            seen.words("problem.type"), f"{host.base_url}/problems/{slug}", declared.status
        )
    heading = declared.title if declared else slug
    return frame.page(
        "prose.html.jinja",
        seen,
        heading=heading,
        body=body,
        back=("/problems/", seen.words("problem.all")),
        request_path="/-/",
    )


def problem_list(host: Host) -> Response:
    """Every problem type."""
    seen = visit(host)
    slugs = sorted({*problems.TYPES, *(file.stem for file in PROBLEM_PAGES.glob("*.md"))})
    items = Markup("").join(
        Markup('<li><a href="/problems/{}">{}</a> <span class="soft">{}</span></li>').format(
            slug, problems.TYPES[slug].title if slug in problems.TYPES else slug, slug
        )
        for slug in slugs
    )
    t = seen.words
    body = Markup("<h1>{}</h1><p>{}</p><ul>{}</ul>").format(t("problem.heading"), t("problem.words"), items)
    return frame.page(
        "prose.html.jinja", seen, heading=t.plain("problem.heading"), body=body, back=None, request_path="/-/"
    )


def accessibility(host: Host) -> Response:
    """The accessibility statement that the law asks of the public sector."""
    seen = visit(host)
    t = seen.words
    paragraphs = Markup("").join(Markup("<p>{}</p>").format(t(f"accessibility.{n}")) for n in range(1, 5))
    body = Markup("<h1>{}</h1>{}").format(t("accessibility.title"), paragraphs)
    return frame.page(
        "prose.html.jinja",
        seen,
        heading=t.plain("accessibility.title"),
        body=body,
        back=None,
        request_path="/-/accessibility",
    )


def error_page(host: Host, details: Mapping[str, Any]) -> Response:
    """A problem as a page for people; the same type, title and detail as its JSON."""
    try:
        seen = visit(host)
    except Exception:  # noqa: BLE001 - whatever stopped the page may stop its frame too; the problem is told all the same
        seen = strangers_visit(host)
    t = seen.words
    slug = str(details["type"]).rsplit("/", 1)[-1]
    title = t(f"reason.{slug}") if t.has(f"reason.{slug}") else escape(details["title"])
    body = Markup('<h1>{}</h1><p>{}</p><p><a href="/problems/{}">{}</a></p>').format(
        title, str(details.get("detail", "")), slug, t("problem.read")
    )
    heading = str(details["title"])
    return frame.page(
        "prose.html.jinja",
        seen,
        status=int(details["status"]),
        heading=heading,
        body=body,
        back=None,
        request_path="/-/",
    )
