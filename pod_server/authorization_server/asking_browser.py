"""A question belongs to the browser that opened it first, so that nobody is led to answer somebody else's.

Whoever begins at a partner as themselves, looks at the question, and then sends its address to a victim, would otherwise
get the victim's yes on their own account there. An address that was never opened can still be sent: against that the page
names who asks, and the partner ties the answer to its own session (FAPI 2.0, section 5.6.5). The browser keeps a random
word; this host keeps its hash beside the question.
"""

from __future__ import annotations

import hmac
import secrets
from datetime import timedelta
from typing import TYPE_CHECKING

from pod_server.authentication.session import hashed
from pod_server.authorization_server.errors import QuestionElsewhere
from pod_server.clock import microseconds

if TYPE_CHECKING:
    from werkzeug.wrappers import Request, Response

    from pod_server.host import Host

KEPT_FOR = timedelta(hours=1)
"""Longer than any question waits (half an hour)."""

_COOKIE = "tvilling-browser"
_SHORTEST, _LONGEST = 40, 60


def cookie_name(host: Host) -> str:
    """The cookie's name; with TLS one that no neighbouring host can set for ours."""
    return _COOKIE if host.allow_insecure else f"__Host-{_COOKIE}"


def open_question(host: Host, request: Request, question_id: str) -> str:
    """This browser opens a question's page; if it is the first to, the question is its own from now on.

    Returns:
        The browser's word, for `keep_word` to set on the answer.

    Raises:
        QuestionElsewhere: another browser was first.
    """
    word = _word_of(host, request) or secrets.token_urlsafe(32)
    with host.storage.read() as tx:
        known = tx.one("SELECT browser_hash FROM question_browser WHERE question_id = ?", (question_id,))
    if known is None:
        now = host.clock.protocol_now()
        with host.storage.write() as tx:
            tx.execute("DELETE FROM question_browser WHERE opened_at <= ?", (microseconds(now - KEPT_FOR),))
            tx.execute(
                "INSERT INTO question_browser (question_id, browser_hash, opened_at) VALUES (?, ?, ?) "
                "ON CONFLICT (question_id) DO NOTHING",
                (question_id, hashed(word), microseconds(now)),
            )
            known = tx.one("SELECT browser_hash FROM question_browser WHERE question_id = ?", (question_id,))
    if known is None or not hmac.compare_digest(str(known[0]), hashed(word)):
        raise QuestionElsewhere
    return word


def keep_word(host: Host, answer: Response, word: str) -> None:
    """Let the browser keep its word for as long as a question may wait."""
    answer.set_cookie(
        cookie_name(host),
        word,
        max_age=int(KEPT_FOR.total_seconds()),
        secure=not host.allow_insecure,
        httponly=True,
        samesite="Lax",
        path="/",
    )


def require_same_browser(host: Host, request: Request, question_id: str) -> None:
    """Hold the answering browser against the one that opened the question.

    Raises:
        QuestionElsewhere: it is another one.
    """
    with host.storage.read() as tx:
        row = tx.one("SELECT browser_hash FROM question_browser WHERE question_id = ?", (question_id,))
    word = _word_of(host, request)
    if row is not None and (word is None or not hmac.compare_digest(str(row[0]), hashed(word))):
        raise QuestionElsewhere


def _word_of(host: Host, request: Request) -> str | None:
    word = request.cookies.get(cookie_name(host), "")
    return word if _SHORTEST <= len(word) <= _LONGEST else None
