"""What a partner signs in for besides tokens: its sandbox citizen's answer to a question, and a link to its console.

Both take the same client assertion as the token endpoint (RFC 7523), so that a newcomer's first program, or a shell with
curl, needs nothing new.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pod_server import sandbox
from pod_server.authorization_server.client_authentication import authenticate_partner, form_of
from pod_server.authorization_server.errors import AuthorizationRequestInvalid, InteractionGone, OAuthError
from pod_server.authorization_server.interactions import Answer, answer_interaction, load_interaction
from pod_server.authorization_server.pushed_requests import begin_interaction
from pod_server.console_sessions import LINK_LIFETIME, create_link
from pod_server.identifiers import Actor
from pod_server.organisations import tidy_name
from pod_server.partners import PartnerInvalid

if TYPE_CHECKING:
    from flask import Request

    from pod_server.host import Host

CITIZEN = Actor("citizen", "", "sandbox")


def answer_in_sandbox(host: Host, request: Request) -> dict[str, Any]:
    """Have the partner's sandbox citizen answer a request that it has pushed; the answer's JSON members.

    The parameters are `request_uri`, `answer` (`give` or `refuse`), and `kinds` where the citizen is to choose some of
    what was asked. `location` is where the citizen's browser would now be sent.

    Raises:
        OAuthError: the client, or a parameter, is not as it must be.
    """
    form = form_of(request)
    partner = authenticate_partner(host, request, form)
    wanted = form.get("answer", "give")
    if wanted not in {"give", "refuse"}:
        raise OAuthError("invalid_request", "answer is to be give or refuse")
    pod_id = sandbox.pod_of(host, partner.client_id)
    try:
        named = {"request_uri": [form.get("request_uri", "")], "client_id": [str(partner.client_id)]}
        interaction_id = begin_interaction(host, named)
        terms = load_interaction(host, interaction_id).terms
        chosen = frozenset(form.get("kinds", "").split()) or terms.kinds
        if not chosen <= terms.kinds:
            raise OAuthError("invalid_request", f"kinds are among those asked for: {', '.join(sorted(terms.kinds))}")
        answer = Answer(refused=True) if wanted == "refuse" else Answer(refused=False, kinds=chosen)
        location = answer_interaction(host, interaction_id, pod_id, answer, CITIZEN)
    except (AuthorizationRequestInvalid, InteractionGone) as error:
        raise OAuthError("invalid_request", str(error)) from error
    return {"location": location}


def link_to_console(host: Host, request: Request) -> dict[str, Any]:
    """A one-use link to the partner's own console; also for one that is stopped or turned away, which reads there why.

    The parameter `name` says who will use it, for the list of acts; the partner's name stands where it is missing.

    Raises:
        OAuthError: the client is not as it must be.
        PartnerInvalid: a name that is none.
    """
    form = form_of(request)
    partner = authenticate_partner(host, request, form, stopped_too=True)
    try:
        who = f"{tidy_name(form['name'])} · {partner.name}" if "name" in form else partner.name
    except ValueError as error:
        raise PartnerInvalid(str(error)) from error
    path = create_link(host, "partner", client_id=partner.client_id, name=who[:80])
    return {"link": f"{host.base_url}{path}", "expires_in": int(LINK_LIFETIME.total_seconds())}
