"""A page's frame: language, theme, the navigation, the content policy; every page of the house is rendered here."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from flask import Response, request
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from dashboard import wording
from dashboard.assets_manifest import load_assets
from dashboard.i18n.catalogue import Catalogue, catalogue
from pod_server.authentication.errors import CsrfMismatch

if TYPE_CHECKING:
    from datetime import datetime

    from werkzeug.wrappers import Response as AnyResponse

    from dashboard.wording import Language
    from pod_server.authentication.session import Session
    from pod_server.host import Host
    from pod_server.household import Household

LANGUAGE_COOKIE = "tvilling_language"
THEME_COOKIE = "tvilling_theme"
FORM_COOKIE = "tvilling_form"
THEMES = ("auto", "light", "dark")
_YEAR_SECONDS = 31_536_000


@dataclass(frozen=True)
class Words:
    """The wording functions, bound to one language and to now."""

    language: Language
    now: datetime

    def number(self, value: float, decimals: int | None = None) -> str:
        """See wording.number."""
        return wording.number(value, self.language, decimals=decimals)

    def mass(self, kilograms: float) -> str:
        """See wording.mass."""
        return wording.mass(kilograms, self.language)

    def figure(self, kilograms: float) -> tuple[str, str]:
        """See wording.mass_figure."""
        return wording.mass_figure(kilograms, self.language)

    def duration(self, iso: str) -> str:
        """See wording.duration."""
        return wording.duration(iso, self.language)

    def possessive(self, name: str) -> str:
        """See wording.possessive."""
        return wording.possessive(name, self.language)

    def kilograms(self, kilograms: float) -> str:
        """See wording.kilogram_figure."""
        return wording.kilogram_figure(kilograms, self.language)

    def storage_size(self, size_bytes: int) -> str:
        """Room on a disk, in words."""
        return wording.storage_size(size_bytes, self.language)

    def interval(self, low: float, high: float) -> str:
        """See wording.mass_interval."""
        return wording.mass_interval(low, high, self.language)

    def quantity(self, value: float, unit: str) -> str:
        """See wording.quantity."""
        return wording.quantity(value, unit, self.language)

    def time(self, at: datetime) -> str:
        """See wording.clock_time."""
        return wording.clock_time(at, self.language)

    def date(self, at: datetime, *, year: bool = True) -> str:
        """See wording.date."""
        return wording.date(at, self.language, year=year)

    def when(self, at: datetime) -> str:
        """See wording.when."""
        return wording.when(at, self.now, self.language)

    def weekday_and_date(self, at: datetime) -> str:
        """See wording.weekday_and_date."""
        return wording.weekday_and_date(at, self.language)

    def month(self, year: int, month: int) -> str:
        """See wording.month."""
        return wording.month(year, month, self.language)

    def month_name(self, month: int) -> str:
        """The month inside a sentence."""
        return wording.month(2000, month, self.language, with_year=False)

    def month_short(self, month: int) -> str:
        """See wording.month_short."""
        return wording.month_short(month, self.language)

    def listing(self, words: list[str]) -> str:
        """See wording.listing."""
        return wording.listing(words, self.language)

    def initials(self, name: str) -> str:
        """See wording.initials."""
        return wording.initials(name)

    def of(self, texts: dict[str, str]) -> str:
        """The reader's language of a text that comes in several; bokmål where theirs is missing."""
        return texts.get(self.language) or texts.get("nb") or next(iter(texts.values()), "")


@dataclass(frozen=True)
class Visit:
    """One look at one page.

    Attributes:
        host: This host.
        language: The reader's language: their choice, else the browser's, else bokmål.
        theme: `auto`, `light` or `dark`.
        now: The city's time.
        session: The signed-in citizen's session, or None.
        household: Who the citizen is, read with the session; None for strangers.
        form_token: What every form on the page carries.
        waiting: How many proposals and reminders wait for an answer.
        demo_speed: How fast the city's time runs, where this is the demo; None elsewhere.
        acting_for: The handle of the citizen for whom a representative acts on this page, or "".
        acting_home: That citizen's consent centre, or "".
        desk: Whose console the page belongs to (dashboard/consoles.py); empty on the citizens' pages.
        sandbox: Whether the signed-in citizen is a partner's sandbox citizen.
    """

    host: Host
    language: Language
    theme: str
    now: datetime
    session: Session | None
    household: Household | None
    form_token: str
    waiting: int = 0
    demo_speed: float | None = None
    acting_for: str = ""
    acting_home: str = ""
    desk: str = ""
    sandbox: bool = False
    redirect_origins: tuple[str, ...] = field(default_factory=tuple)

    @property
    def words(self) -> Catalogue:
        """The catalogue of the reader's language."""
        return catalogue(self.language)

    @property
    def wording(self) -> Words:
        """The wording functions for the reader."""
        return Words(self.language, self.now)


def chosen_language() -> Language:
    """The reader's language: a cookie, else what the browser prefers, else bokmål."""
    preferred = request.accept_languages.best_match(["nb", "no", "nn", "en"])
    for wish in (request.cookies.get(LANGUAGE_COOKIE), preferred):
        for language in wording.LANGUAGES:
            if wish == language:
                return language
    return "nb"


def chosen_theme() -> str:
    """The reader's theme; `auto` follows the device."""
    theme = request.cookies.get(THEME_COOKIE, "auto")
    return theme if theme in THEMES else "auto"


def form_cookie(host: Host) -> str:
    """The name of a stranger's form cookie: with TLS one that no neighbouring host can set for ours."""
    return FORM_COOKIE if host.allow_insecure else f"__Host-{FORM_COOKIE}"


def stranger_token(host: Host) -> str:
    """The form token of somebody who has not signed in: a cookie of their own, made anew where there is none."""
    token = request.cookies.get(form_cookie(host), "")
    return token if 20 <= len(token) <= 64 else secrets.token_urlsafe(24)


def check_form(expected: str) -> None:
    """Hold a form's token, or the header that scripts send, against the one its page carried.

    Raises:
        CsrfMismatch: they differ.
    """
    # The header first: whoever sends it may send a body that is no form, and is not read for one.
    given = request.headers.get("X-CSRF-Token") or request.form.get("csrf", "")
    if not expected or not secrets.compare_digest(given.encode(), expected.encode()):
        raise CsrfMismatch


_SOURCE = re.compile(r"(https?://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)(:[0-9]{1,5})?|[A-Za-z][A-Za-z0-9+.-]*:)\Z")
"""What may stand in a policy's list of sources; anything else could end the list and begin a directive."""


def content_policy(host: Host, redirect_origins: tuple[str, ...] = ()) -> str:
    """The pages' content security policy; `redirect_origins` are where an answered form may send the browser on."""
    live = urlsplit(host.live_url)
    form_action = " ".join(("'self'", *(each for each in redirect_origins if _SOURCE.match(each))))
    return (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
        f"connect-src 'self' {live.scheme}://{live.netloc}; form-action {form_action}; "
        "frame-ancestors 'none'; base-uri 'none'"
    )


def source_of(address: str) -> str:
    """The origin of an address as a policy names it; `'none'` where it is no origin that may stand there."""
    parts = urlsplit(address)
    origin = f"{parts.scheme}://{parts.netloc}"
    return origin if _SOURCE.match(origin) else "'none'"


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    assets = load_assets()
    environment.globals["asset"] = assets.address
    environment.globals["icon"] = assets.icon
    return environment


def fragment(template: str, visit: Visit, **values: Any) -> str:
    """Render a template to text."""
    return (
        _environment()
        .get_template(template)
        .render(visit=visit, t=visit.words, w=visit.wording, live_url=visit.host.live_url, **values)
    )


def page(template: str, visit: Visit, *, status: int = 200, **values: Any) -> Response:
    """Render a whole page with its headers; a page about a person is never kept by anyone."""
    response = Response(fragment(template, visit, **values), status=status, content_type="text/html; charset=utf-8")
    response.headers["Content-Security-Policy"] = content_policy(visit.host, visit.redirect_origins)
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "same-origin"
    response.headers["Cross-Origin-Opener-Policy"] = "same-origin"
    response.headers["Permissions-Policy"] = "camera=(), microphone=(), geolocation=()"
    response.headers["Vary"] = "Cookie, Accept-Language"
    if visit.session is None and request.cookies.get(form_cookie(visit.host)) != visit.form_token:
        keep(response, visit.host, form_cookie(visit.host), visit.form_token, hidden=True)
    return response


def keep(response: AnyResponse, host: Host, name: str, value: str, *, hidden: bool = False) -> None:
    """Set one of the pages' small cookies (a choice, or a stranger's form token)."""
    response.set_cookie(
        name,
        value,
        max_age=None if hidden else _YEAR_SECONDS,
        httponly=True,
        samesite="Lax",
        secure=not host.allow_insecure,
        path="/",
    )
