"""An app asks to sign its citizen out here (OpenID Connect RP-Initiated Logout 1.0): the citizen is asked, then sent back."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from pod_server import signing_keys
from pod_server.authorization_server.app_questions import read_question, store_question
from pod_server.authorization_server.app_tokens import ID_TOKEN_TYPE
from pod_server.authorization_server.apps import AppInvalid
from pod_server.authorization_server.client_documents import find_app
from pod_server.authorization_server.errors import AuthorizationRequestInvalid
from pod_server.signatures import SignatureInvalid

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pod_server.host import Host

_LONGEST = 500


@dataclass(frozen=True)
class SignOutQuestion:
    """Shall the citizen be signed out here too?

    Attributes:
        id: Names it in the address of its page.
        name: What the app calls itself, or empty.
        address: Where to go afterwards, with the app's state; empty to stay.
        redirect_uri: The registered address, for the page's content policy; empty to stay.
    """

    id: str
    name: str
    address: str
    redirect_uri: str


def begin_sign_out(host: Host, parameters: Mapping[str, list[str]]) -> str:
    """The browser has arrived with an app's wish: the address of the page that asks.

    Raises:
        AuthorizationRequestInvalid: the ID token is not ours, or the address to go to is not the app's.
        LookupsBusy: too many other hosts are being waited for.
    """
    single = {name: values[0] for name, values in parameters.items() if len(values) == 1}
    if len(single) != len(parameters) or len(single.get("state", "")) > _LONGEST:
        raise AuthorizationRequestInvalid("A parameter came twice, or state is longer than 500 characters.")
    client_id = single.get("client_id", "")
    if "id_token_hint" in single:
        named = _client_of(host, single["id_token_hint"])
        if client_id not in {"", named}:
            raise AuthorizationRequestInvalid("The ID token was made for another app.")
        client_id = named
    address = single.get("post_logout_redirect_uri", "")
    name = ""
    try:
        app = find_app(host, client_id)
    except AppInvalid as error:
        raise AuthorizationRequestInvalid(f"The app is not known: {error}.") from error
    if app is not None:
        name = app.name
    if address and (app is None or address not in app.sign_out_uris):
        raise AuthorizationRequestInvalid("The app wants the browser sent to an address that it has not registered.")
    question_id = secrets.token_urlsafe(24)
    document = {"name": name, "address": address, "state": single.get("state") if address else None}
    store_question(host, question_id, "sign-out", client_id[:_LONGEST], document)
    return f"{host.base_url}/-/apps/sign-out/{question_id}"


def load_sign_out(host: Host, question_id: str) -> SignOutQuestion:
    """The question that a page is to put.

    Raises:
        InteractionGone: run out, or never asked.
    """
    _, document = read_question(host, question_id, "sign-out")
    address, state = str(document["address"]), document["state"]
    return SignOutQuestion(question_id, str(document["name"]), _with_state(address, state), address)


def _with_state(address: str, state: str | None) -> str:
    if not address or state is None:
        return address
    return f"{address}{'&' if '?' in address else '?'}{urlencode({'state': state})}"


def _client_of(host: Host, hint: str) -> str:
    """The app an ID token of ours was made for; one that has run out will do (RP-Initiated Logout, section 2)."""
    try:
        claims: dict[str, Any] = signing_keys.verify(
            host, hint, typ=ID_TOKEN_TYPE, algorithms=signing_keys.ID_TOKEN_ALGORITHMS
        ).payload
    except SignatureInvalid as error:
        raise AuthorizationRequestInvalid("The ID token is not one of this host's.") from error
    if claims.get("iss") != host.base_url or not isinstance(claims.get("azp"), str):
        raise AuthorizationRequestInvalid("The ID token is not one of this host's.")
    return str(claims["azp"])
