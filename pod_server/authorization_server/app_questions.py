"""An app sends the citizen's browser here; the citizen is asked; the browser goes back with a code (Solid-OIDC, section 6).

Apps are not asked to push their requests: what the browser carries is held against what the app has registered, and
nothing is sent to an address that is not among them (RFC 6749, section 4.1.2.1).
"""

from __future__ import annotations

import json
import re
import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from pod_server import signing_keys
from pod_server.authentication.session import hashed
from pod_server.authorization.sealed_for_host import seal, unseal
from pod_server.authorization_server.app_reads import asks_to_read, begin_read_question
from pod_server.authorization_server.app_tokens import CODE_LABEL
from pod_server.authorization_server.apps import REGISTERED, AppInvalid, is_document_address
from pod_server.authorization_server.client_documents import find_app
from pod_server.authorization_server.connections import MODES, app_of_pod, connect, find_connection_of
from pod_server.authorization_server.errors import AuthorizationRequestInvalid, InteractionGone, OAuthError
from pod_server.clock import microseconds
from pod_server.identifiers import Actor
from pod_server.log.event import LogEvent
from pod_server.log.ledger import append as append_to_log

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pod_server.authentication.session import Session
    from pod_server.authorization_server.apps import App
    from pod_server.host import Host

TIME_TO_DECIDE = timedelta(minutes=30)
CODE_LIFETIME = timedelta(seconds=60)
_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}\Z")
_LONGEST = 500
_LABEL = "app-question"


@dataclass(frozen=True)
class AppQuestion:
    """May this app act for the citizen?

    Attributes:
        id: Names it in the address of its page; unguessable.
        app: Who asks, as it describes itself.
        redirect_uri: Where the answer goes.
        stays: True where it asks to stay signed in (`offline_access`).
    """

    id: str
    app: App
    redirect_uri: str
    stays: bool


def comes_from_app(parameters: Mapping[str, list[str]]) -> bool:
    """Whether an authorization request names an app as its client, so that it need not have been pushed."""
    return any(value.startswith(REGISTERED) or is_document_address(value) for value in parameters.get("client_id", []))


def begin_app_question(host: Host, parameters: Mapping[str, list[str]], session: Session | None) -> str:
    """An app's browser has arrived: where to send it next (303): to the page that asks, or straight back.

    Args:
        host: This host.
        parameters: The request's parameters, each with all its values.
        session: The citizen's own session where there is one; it answers `prompt=none`.

    Raises:
        AuthorizationRequestInvalid: the app, or where to send the answer, is not known; nothing is redirected.
        LookupsBusy: too many other hosts are being waited for.
    """
    single = {name: values[0] for name, values in parameters.items() if len(values) == 1}
    app, redirect_uri = _app_of(host, single)
    try:
        request = _code_request(single, redirect_uri, came_twice=len(single) != len(parameters))
        if asks_to_read(single):
            return begin_read_question(host, app, single, request)
        asked = request | _sign_in_request(single)
        if asked.pop("silent"):
            return _answer_in_silence(host, session, app, asked)
    except OAuthError as error:
        state = single.get("state") if len(single.get("state", "")) <= _LONGEST else None
        return back_to(host, redirect_uri, state, {"error": error.error, "error_description": str(error)})
    question_id = secrets.token_urlsafe(24)
    store_question(host, question_id, "sign-in", app.client_id, asked)
    return f"{host.base_url}/-/apps/questions/{question_id}"


def store_question(host: Host, question_id: str, kind: str, client_id: str, document: Mapping[str, Any]) -> None:
    """Keep a question until it is answered, or half an hour."""
    now = host.clock.protocol_now()
    with host.storage.write() as tx:
        tx.execute("DELETE FROM app_question WHERE expires_at <= ?", (microseconds(now),))
        tx.execute(
            "INSERT INTO app_question (question_id, kind, sealed, expires_at) VALUES (?, ?, ?, ?)",
            (
                question_id,
                kind,
                seal(host.host_key, _LABEL, (question_id, kind), json.dumps([client_id, document]).encode()),
                microseconds(now + TIME_TO_DECIDE),
            ),
        )


def read_question(host: Host, question_id: str, kind: str) -> tuple[str, dict[str, Any]]:
    """The client and the document of a question that waits.

    Raises:
        InteractionGone: answered, run out, or never asked.
    """
    with host.storage.read() as tx:
        row = tx.one(
            "SELECT sealed, expires_at FROM app_question WHERE question_id = ? AND kind = ? AND answered_at IS NULL",
            (question_id, kind),
        )
    if row is None or row[1] <= microseconds(host.clock.protocol_now()):
        raise InteractionGone
    client_id, document = json.loads(unseal(host.host_key, _LABEL, (question_id, kind), row[0]))
    return str(client_id), document


def load_app_question(host: Host, question_id: str) -> AppQuestion:
    """The question that a page is to put.

    Raises:
        InteractionGone: answered, run out, never asked, or the app is known no longer.
        LookupsBusy: too many other hosts are being waited for.
    """
    client_id, asked = read_question(host, question_id, "sign-in")
    try:
        app = find_app(host, client_id)
    except AppInvalid as error:
        raise InteractionGone from error
    if app is None or not app.takes_redirect(asked["redirect_uri"]):
        raise InteractionGone
    return AppQuestion(question_id, app, asked["redirect_uri"], "offline_access" in asked["scope"])


def answer_app_question(host: Host, question_id: str, session: Session, answer: str | None) -> str:
    """Write the citizen's answer down; where to send the browser next (with 303).

    Args:
        host: This host.
        question_id: Which question.
        session: The signed-in citizen's.
        answer: One of connections.MODES, or None for no.

    Raises:
        InteractionGone: answered before, run out, or never asked.
    """
    question = load_app_question(host, question_id)
    _, asked = read_question(host, question_id, "sign-in")
    if answer is not None and answer not in MODES:
        raise ValueError(answer)
    error = _too_old(session, asked, host) if answer is not None else None
    with host.storage.write() as tx:
        claimed = tx.execute(
            "UPDATE app_question SET answered_at = ? WHERE question_id = ? AND answered_at IS NULL",
            (microseconds(host.clock.protocol_now()), question_id),
        )
        if not claimed:
            raise InteractionGone
        if answer is not None and error is None:
            connection_id = connect(host, tx, session.pod_id, question.app, answer)
        elif error is None:
            event = LogEvent(
                at=host.clock.now(),
                actor=Actor("citizen"),
                action="refuse-app",
                detail={"client": question.app.client_id, "name": question.app.name},
            )
            append_to_log(tx, session.pod_id, event, random=secrets.token_bytes)
    if error is not None:
        return back_to(host, question.redirect_uri, asked["state"], {"error": error})
    if answer is None:
        return back_to(host, question.redirect_uri, asked["state"], {"error": "access_denied"})
    return _with_code(host, session, question.app, connection_id, asked)


def back_to(host: Host, address: str, state: str | None, answer: Mapping[str, str]) -> str:
    """An app's address with the answer, the app's state and our name (RFC 9207) added."""
    parts = urlsplit(address)
    query = [*parse_qsl(parts.query, keep_blank_values=True), *answer.items()]
    if state is not None:
        query.append(("state", state))
    query.append(("iss", host.base_url))
    return urlunsplit((parts.scheme, parts.netloc, parts.path, urlencode(query), ""))


def _app_of(host: Host, single: Mapping[str, str]) -> tuple[App, str]:
    try:
        app = find_app(host, single.get("client_id", ""))
    except AppInvalid as error:
        raise AuthorizationRequestInvalid(f"The app cannot be let in: {error}.") from error
    if app is None:
        raise AuthorizationRequestInvalid("No app has this identifier. It may register anew; nothing was changed.")
    redirect_uri = single.get("redirect_uri", "")
    if not app.takes_redirect(redirect_uri):
        raise AuthorizationRequestInvalid("The app wants the answer sent to an address that it has not registered.")
    return app, redirect_uri


def _code_request(single: Mapping[str, str], redirect_uri: str, *, came_twice: bool) -> dict[str, Any]:
    """What every app's request for a code has, whatever the code is for."""
    if came_twice:
        raise OAuthError("invalid_request", "a parameter came twice")
    if "request" in single or "request_uri" in single:
        raise OAuthError("request_not_supported", "request objects are not taken from apps")
    if single.get("response_type") != "code":
        raise OAuthError("unsupported_response_type", "response_type is to be code")
    if single.get("response_mode", "query") != "query":
        raise OAuthError("invalid_request", "response_mode is to be query")
    if single.get("code_challenge_method") != "S256" or not _CHALLENGE.match(single.get("code_challenge", "")):
        raise OAuthError("invalid_request", "a code_challenge with code_challenge_method S256 is needed (RFC 7636)")
    thumbprint = single.get("dpop_jkt", "")
    if thumbprint and not _CHALLENGE.match(thumbprint):
        raise OAuthError("invalid_request", "dpop_jkt is not a thumbprint")
    for name in ("state", "nonce"):
        if len(single.get(name, "")) > _LONGEST:
            raise OAuthError("invalid_request", f"{name} is longer than {_LONGEST} characters")
    return {
        "redirect_uri": redirect_uri,
        "state": single.get("state"),
        "code_challenge": single["code_challenge"],
        "dpop_jkt": thumbprint,
    }


def _sign_in_request(single: Mapping[str, str]) -> dict[str, Any]:
    """What a request to sign somebody in has beside."""
    prompts = set(single.get("prompt", "").split())
    if prompts - {"consent"} and prompts != {"none"}:
        error = "account_selection_required" if "select_account" in prompts else "login_required"
        raise OAuthError(error, "prompt may be none or consent here")
    scopes = set(single.get("scope", "").split())
    if "openid" not in scopes:
        raise OAuthError("invalid_scope", "scope is to name openid")
    oldest = single.get("max_age")
    if oldest is not None and not re.fullmatch(r"[0-9]{1,9}", oldest):
        raise OAuthError("invalid_request", "max_age is to be a number of seconds")
    return {
        "nonce": single.get("nonce"),
        "scope": sorted(scopes & {"openid", "webid", "offline_access"}),
        "max_age": None if oldest is None else int(oldest),
        "silent": prompts == {"none"},
    }


def _too_old(session: Session, asked: Mapping[str, Any], host: Host) -> str | None:
    """`login_required` where the app wants a younger session than this one."""
    if asked["max_age"] is None:
        return None
    age = host.clock.protocol_now() - session.created
    return "login_required" if age > timedelta(seconds=asked["max_age"]) else None


def _answer_in_silence(host: Host, session: Session | None, app: App, asked: dict[str, Any]) -> str:
    """`prompt=none`: a code for an app that is in already, without any page; otherwise what is missing."""
    if session is None or _too_old(session, asked, host) is not None:
        raise OAuthError("login_required", "nobody is signed in here, or not lately enough")
    connection = find_connection_of(host, session.pod_id, app.client_id)
    if connection is None or not connection.is_let_in:
        raise OAuthError("consent_required", "the citizen has not let this app in")
    # Staying signed in is asked for on the page alone (OpenID Connect Core, section 11).
    asked["scope"] = [scope for scope in asked["scope"] if scope != "offline_access"]
    return _with_code(host, session, app, connection.id, asked)


def _with_code(host: Host, session: Session, app: App, connection_id: str, asked: Mapping[str, Any]) -> str:
    code = secrets.token_urlsafe(32)
    now = host.clock.protocol_now()
    document = {
        **asked,
        "auth_time": int(session.created.timestamp()),
        "id_token_algorithm": app.id_token_algorithm,
    }
    signing_keys.provide(host, app.id_token_algorithm)
    with host.storage.write() as tx:
        tx.execute("DELETE FROM app_code WHERE expires_at <= ?", (microseconds(now - CODE_LIFETIME),))
        tx.execute(
            "INSERT INTO app_code (pod_id, code_hash, connection_id, app, sealed, expires_at) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            (
                session.pod_id,
                hashed(code),
                connection_id,
                app_of_pod(host, session.pod_id, app.client_id),
                seal(host.host_key, CODE_LABEL, (hashed(code),), json.dumps(document).encode()),
                microseconds(now + CODE_LIFETIME),
            ),
        )
    return back_to(host, asked["redirect_uri"], asked["state"], {"code": code})
