"""Signing in: passkeys, where the citizen is signed in now, and which apps and scripts act for them; each ended on one page.

Passkeys need a script, since only a script can ask the browser for one; everything else here is a plain form.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flask import jsonify, redirect, request

from dashboard import frame
from dashboard.devices import device_of
from dashboard.frame import check_form
from dashboard.views.apps import app_cards
from dashboard.views.providers import provider_cards
from dashboard.views.public import own_path, passkey_messages
from dashboard.visits import answered_form, citizens_visit, give_session, visit
from pod_server.authentication.session import FRESH, end_all_sessions, end_session_of, list_sessions
from pod_server.authorization_server.scripts import list_scripts, revoke_credentials
from pod_server.http_problems import BadRequest
from pod_server.sign_in import passkeys

if TYPE_CHECKING:
    from datetime import datetime

    from flask import Response
    from werkzeug.wrappers import Response as AnyResponse

    from dashboard.frame import Visit
    from pod_server.authentication.session import Session
    from pod_server.host import Host

_DONE = frozenset(
    {
        "passkey",
        "passkey-open",
        "renamed",
        "removed",
        "ended",
        "ended-others",
        "end-app",
        "end-script",
        "linked",
        "unlinked",
    }
)


@dataclass(frozen=True)
class PasskeyCard:
    """One passkey on the page."""

    id: str
    name: str
    words: str
    opens_locked: bool


@dataclass(frozen=True)
class SessionCard:
    """One session on the page."""

    id: str
    device: str
    words: str
    is_this: bool


def security(host: Host) -> Response:
    """The page.

    Raises:
        NotSignedIn: sign in first.
    """
    seen, session, own = citizens_visit(host)
    t, done = seen.words, request.args.get("done", "")
    return frame.page(
        "security.html.jinja",
        seen,
        done=t(f"security.done-{done}") if done in _DONE else "",
        is_fresh=_is_fresh(host, session),
        pod_state="open" if "custodian" in host.key_store.slot_kinds(own.pod_id) else "locked",
        passkeys=_passkey_cards(host, seen, session),
        sessions=_session_cards(host, seen, session),
        providers=provider_cards(host, seen, session),
        apps=app_cards(host, seen, session),
        scripts=[
            (each.client_id, t("security.script-since", date=seen.wording.date(each.made_at)))
            for each in list_scripts(host, session.pod_id)
        ],
        messages=passkey_messages(seen),
        request_path="/-/security",
    )


def _is_fresh(host: Host, session: Session) -> bool:
    return host.clock.protocol_now() - session.created <= FRESH


def _passkey_cards(host: Host, seen: Visit, session: Session) -> list[PasskeyCard]:
    t, w = seen.words, seen.wording
    cards = []
    for each in passkeys.list_passkeys(host, session):
        words = [t("passkey.made", date=w.date(each.made_at))]
        if each.last_used_at is not None:
            words.append(t("passkey.used", date=w.date(each.last_used_at)))
        words.append(t("passkey.synced" if each.is_synced else "passkey.on-one-device"))
        words.append(t("passkey.opens-locked" if each.opens_locked else "passkey.opens-open"))
        cards.append(PasskeyCard(each.id, each.name, " ".join(map(str, words)), each.opens_locked))
    return cards


def _session_cards(host: Host, seen: Visit, session: Session) -> list[SessionCard]:
    t, w = seen.words, seen.wording

    def moment(at: datetime) -> str:
        return f"{w.date(at)} {w.time(at)}"

    return [
        SessionCard(
            each.id,
            each.device or t.plain("session.unknown-device"),
            t(
                "session.words",
                means=t.plain(f"session.means-{each.means}"),
                since=moment(each.created),
                used=moment(each.last_used),
            ),
            each.is_this,
        )
        for each in list_sessions(host, session)
    ]


def end_one_session(host: Host, session_id: str) -> AnyResponse:
    """Sign the citizen out somewhere.

    Raises:
        NotSignedIn, CsrfMismatch: as they say.
    """
    _, session, _ = answered_form(host)
    end_session_of(host, session, session_id)
    return redirect("/-/" if session_id == session.id else "/-/security?done=ended#sessions", code=303)


def end_other_sessions(host: Host) -> AnyResponse:
    """Sign the citizen out everywhere else.

    Raises:
        NotSignedIn, CsrfMismatch: as they say.
    """
    _, session, _ = answered_form(host)
    end_all_sessions(host, session.pod_id, but=session.id)
    return redirect("/-/security?done=ended-others#sessions", code=303)


def end_script(host: Host, client_id: str) -> AnyResponse:
    """End a script's credentials; its tokens are refused from now on.

    Raises:
        NotSignedIn, CsrfMismatch: as they say.
    """
    _, _, own = answered_form(host)
    revoke_credentials(host, own.permit, client_id)
    return redirect("/-/security?done=end-script#scripts", code=303)


def rename_passkey(host: Host, passkey_id: str) -> AnyResponse:
    """Call a passkey something else.

    Raises:
        NotSignedIn, CsrfMismatch: as they say.
    """
    _, session, _ = answered_form(host)
    passkeys.rename(host, session, passkey_id, request.form.get("name", ""))
    return redirect("/-/security?done=renamed#passkeys", code=303)


def remove_passkey(host: Host, passkey_id: str) -> AnyResponse:
    """Take a passkey away.

    Raises:
        NotSignedIn, CsrfMismatch: as they say.
    """
    _, session, _ = answered_form(host)
    passkeys.remove(host, session, passkey_id)
    return redirect("/-/security?done=removed#passkeys", code=303)


def registration_options(host: Host) -> Response:
    """What the page's script is to ask the browser for a new passkey.

    Raises:
        NotSignedIn, CsrfMismatch, SignInTooOld, TooManyPasskeys: as they say.
    """
    _, session, _ = answered_form(host)
    return _json(passkeys.registration_options(host, session))


def add_passkey(host: Host) -> Response:
    """Take the browser's new passkey in.

    Raises:
        NotSignedIn, CsrfMismatch, SignInTooOld, TooManyPasskeys, PasskeyInvalid: as they say.
    """
    _, session, _ = answered_form(host)
    sent = _sent()
    made = passkeys.register(host, session, sent["answer"], str(sent.get("name", "")))
    return _json({"id": made.id, "next": "/-/security?done=passkey#passkeys"})


def opening_options(host: Host, passkey_id: str) -> Response:
    """What the page's script is to ask so that a passkey comes to open the locked pod.

    Raises:
        NotSignedIn, CsrfMismatch, PasskeyInvalid: as they say.
    """
    _, session, _ = answered_form(host)
    return _json(passkeys.opening_options(host, session.csrf_token, passkey_id))


def let_passkey_open(host: Host) -> Response:
    """Let a passkey open the pod also while it is locked.

    Raises:
        NotSignedIn, CsrfMismatch, SignInTooOld, PasskeyInvalid: as they say.
    """
    _, session, _ = answered_form(host)
    passkeys.let_open(host, session, _sent()["answer"])
    return _json({"next": "/-/security?done=passkey-open#passkeys"})


def sign_in_options(host: Host) -> Response:
    """What the sign-in page's script is to ask the browser for; with `passkey`, for that one and its secret.

    Raises:
        CsrfMismatch, PasskeyInvalid: as they say.
    """
    seen = visit(host)
    check_form(seen.form_token)
    passkey_id = request.form.get("passkey", "")
    if passkey_id:
        return _json(passkeys.opening_options(host, seen.form_token, passkey_id))
    return _json(passkeys.sign_in_options(host, seen.form_token))


def sign_in_with_passkey(host: Host) -> Response:
    """Sign a citizen in by passkey.

    Raises:
        CsrfMismatch, PasskeyInvalid, PasskeyOpensNot: as they say.
    """
    seen = visit(host)
    check_form(seen.form_token)
    sent = _sent()
    device = device_of(request.headers.get("User-Agent", ""))
    cookie = passkeys.sign_in(host, sent["answer"], seen.form_token, device=device)
    answer = _json({"next": own_path(str(sent.get("next", "")))})
    give_session(answer, host, cookie)
    return answer


def _sent() -> dict[str, Any]:
    """A script's JSON object with the browser's `answer`.

    Raises:
        BadRequest: it is none, or too long.
    """
    body = request.get_data(cache=False) if (request.content_length or 0) <= passkeys.LARGEST_ANSWER_BYTES else b""
    try:
        sent = json.loads(body)
    except (ValueError, RecursionError):
        sent = None
    if not isinstance(sent, dict) or not isinstance(sent.get("answer"), dict):
        raise BadRequest("The body is to be a JSON object with the browser's answer, of at most 32 KiB.")
    return sent


def _json(members: dict[str, Any]) -> Response:
    answer = jsonify(members)
    answer.headers["Cache-Control"] = "no-store"
    return answer
