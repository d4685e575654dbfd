"""The question to the citizen, and the answer: the one interface between the authorization server and the pages."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from consent.delegation import Act
from consent.errors import EventOutOfOrder
from consent.grant import GrantTerms, narrowed
from pod_server import consent_receipts, delegation, grants, partners, sandbox
from pod_server.authentication.session import hashed
from pod_server.authorization.errors import GrantRefused
from pod_server.authorization.grant_rows import terms_from_json
from pod_server.authorization_server.app_reads import app_asking, party_in
from pod_server.authorization_server.connections import app_of_pod, party_of
from pod_server.authorization_server.errors import InteractionGone
from pod_server.authorization_server.pushed_requests import parameters_of
from pod_server.authorization_server.request_objects import signed_answer
from pod_server.clock import microseconds, moment
from pod_server.identifiers import Actor, PodId
from pod_server.log.event import LogEvent
from pod_server.log.ledger import append as append_to_log
from pod_server.parties import actor_of, app_as_party
from pod_server.vault.vault import unlock_with_custodian

if TYPE_CHECKING:
    from pod_server.authorization_server.apps import App
    from pod_server.host import Host
    from pod_server.storage.ports import Transaction
    from pod_server.vault.vault import Vault

CODE_LIFETIME = timedelta(seconds=60)
_SAID_NO = {"error": "access_denied", "error_description": "the citizen said no"}


@dataclass(frozen=True)
class Interaction:
    """A question to the citizen.

    Attributes:
        id: Names it in the address of its page; unguessable.
        client: Who asks; an app by its address, until the citizen's answer gives it a name in the one pod.
        terms: What is asked for; nothing is preselected by it.
        expires: When it will be too late to answer, real time.
        instead_of: The standing consent whose place these terms would take, or "".
        app: The app that asks; None where a partner does.
        answers_to: Where the answer may be sent.
    """

    id: str
    client: partners.Partner
    terms: GrantTerms
    expires: datetime
    instead_of: str = ""
    app: App | None = None
    answers_to: tuple[str, ...] = ()


@dataclass(frozen=True)
class Answer:
    """The citizen's answer: no, or yes to these kinds, at this granularity, until then.

    Attributes:
        refused: True for no; the rest is then ignored.
        kinds: The kinds that were chosen.
        figures: The figures that were chosen.
        documents: The documents that were chosen.
        granularity: Coarser than asked for, or None for as asked.
        history_from: Later than asked for, or None for as asked.
        expires_at: Earlier than asked for, or None for as asked.
        notice_version: Which text the citizen was shown, and in which language: `1 nb`.
        notice: The text itself, word for word; its SHA-256 goes into the consent and into the receipt.
    """

    refused: bool
    kinds: frozenset[str] = frozenset()
    figures: frozenset[str] = frozenset()
    documents: frozenset[str] = frozenset()
    granularity: str | Mapping[str, str] | None = None
    history_from: datetime | None = None
    expires_at: datetime | None = None
    notice_version: str = ""
    notice: str = ""


def load_interaction(host: Host, interaction_id: str) -> Interaction:
    """The question that a page is to put.

    Raises:
        InteractionGone: answered, run out, or never asked.
        LookupsBusy: too many other hosts are being waited for.
    """
    with host.storage.read() as tx:
        row = tx.one(
            "SELECT client_id, parameters, expires_at, request_hash FROM pushed_request "
            "WHERE interaction_id = ? AND answered_at IS NULL",
            (interaction_id,),
        )
        partner = partners.find_partner(tx, row[0]) if row else None
    if row is None or row[2] <= microseconds(host.clock.protocol_now()):
        raise InteractionGone
    parameters = parameters_of(host, row[3], row[1])
    app = app_asking(host, parameters) if "app" in parameters else None
    if app is not None:
        partner = app_as_party(app.client_id, app.client_id, app.name)
    if partner is None or not partner.active:
        raise InteractionGone
    return Interaction(
        interaction_id,
        partner,
        terms_from_json(parameters["terms"]),
        moment(row[2]),
        str(parameters.get("instead_of") or ""),
        app,
        partner.redirect_uris if app is None else (str(parameters["redirect_uri"]),),
    )


def answer_interaction(
    host: Host, interaction_id: str, pod_id: PodId, answer: Answer, actor: Actor, *, vault: Vault | None = None
) -> str:
    """Write the citizen's answer down; where to send the browser next (with 303).

    Args:
        host: This host.
        interaction_id: Which question.
        pod_id: Whose pod: the signed-in citizen's.
        answer: What the citizen chose.
        actor: `citizen`, or their representative.
        vault: The session's vault; None opens it by the custodian slot.

    Raises:
        InteractionGone: answered before, run out, or never asked.
        NotRepresented, TooYoung: who answers may not; the question stands.
        TermsInvalid: the answer would give more than was asked for; the question stands.
        PodLocked: no vault, and the pod is locked; the question stands.
    """
    interaction = load_interaction(host, interaction_id)
    terms = interaction.terms
    with host.storage.read() as tx:
        # Asked again in the writing transaction; asked here so that a question is not used up by an answer that is none.
        act = Act.REFUSE if answer.refused else Act.RENEW if interaction.instead_of else Act.GIVE
        delegation.require(host, tx, pod_id, actor, act, purpose=terms.purpose)
    if not answer.refused:
        terms = narrowed(
            terms,
            kinds=answer.kinds,
            figures=answer.figures,
            documents=answer.documents,
            granularity=answer.granularity,
            history_from=answer.history_from,
            expires_at=answer.expires_at,
        )
        vault = vault or unlock_with_custodian(host.host_key, host.key_store, pod_id)
    if answer.notice:
        notice_hash = consent_receipts.keep_notice(host, answer.notice_version, answer.notice)
        terms = replace(terms, notice_version=answer.notice_version, notice_hash=notice_hash)
    now = host.clock.protocol_now()
    with host.storage.write() as tx:
        parameters, dpop_jkt = _claim(host, tx, interaction_id, now)
    if interaction.app is not None:
        terms = replace(terms, client_id=party_of(host, pod_id, interaction.app))
    if answer.refused:
        grants.refuse(host, pod_id, terms, actor=actor)
        return _redirect(host, parameters, _SAID_NO, client_id=interaction.client.client_id)
    if parameters.get("instead_of"):
        try:
            grant = grants.give_anew(host, pod_id, str(parameters["instead_of"]), terms, actor=actor)
        except (GrantRefused, EventOutOfOrder):
            # Another citizen than the grant's has signed in, or it ended meanwhile: the partner learns of neither.
            return _redirect(host, parameters, _SAID_NO, client_id=interaction.client.client_id)
    else:
        grant = grants.give(host, pod_id, terms, actor=actor, vault=vault)
    code = secrets.token_urlsafe(32)
    with host.storage.write() as tx:
        tx.execute("DELETE FROM authorization_code WHERE expires_at <= ?", (microseconds(now - CODE_LIFETIME),))
        tx.execute(
            "INSERT INTO authorization_code (code_hash, client_id, pod_id, grant_id, redirect_uri, code_challenge, "
            "dpop_jkt, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                hashed(code),
                grant.terms.client_id,
                pod_id,
                grant.id,
                redirect_as_kept(host, pod_id, str(parameters["redirect_uri"]), of_app=interaction.app is not None),
                parameters["code_challenge"],
                dpop_jkt,
                microseconds(now + CODE_LIFETIME),
            ),
        )
    return _redirect(host, parameters, {"code": code}, client_id=interaction.client.client_id)


def redirect_as_kept(host: Host, pod_id: PodId, address: str, *, of_app: bool) -> str:
    """A code's redirect address beside it: an app's as a keyed hash, since the address names the app."""
    return app_of_pod(host, pod_id, address) if of_app else address


def turn_away(host: Host, interaction_id: str, pod_id: PodId) -> str | None:
    """Answer no in the citizen's place where the citizen said no to this partner and purpose lately.

    The partner gets the answer it got before, and nothing by which to tell that nobody was asked. The citizen's log
    tells of the attempt; no new refusal is written, so that a partner that keeps asking prolongs nothing.

    Args:
        host: This host.
        interaction_id: Which question.
        pod_id: Whose pod: the signed-in citizen's.

    Returns:
        Where to send the browser (with 303), or None where the question may be put.

    Raises:
        InteractionGone: answered before, run out, or never asked.
        NotAdmitted: the partner may not ask this citizen; nothing of what it asked is shown.
    """
    interaction = load_interaction(host, interaction_id)
    client = interaction.client
    if interaction.app is not None:
        client = party_in(host, pod_id, interaction.app) or client
    with host.storage.read() as tx:
        sandbox.require_may_consent(tx, client, pod_id)
    if not grants.refused_lately(host, pod_id, client.client_id, interaction.terms.purpose):
        return None
    with host.storage.write() as tx:
        parameters, _ = _claim(host, tx, interaction_id, host.clock.protocol_now())
        append_to_log(
            tx,
            pod_id,
            LogEvent(
                at=host.clock.now(),
                actor=actor_of(client),
                action="consent-requested",
                purpose=interaction.terms.purpose,
                grant="",
                outcome="refused-lately",
                count=1,
                detail={"partner": client.name},
            ),
            random=secrets.token_bytes,
        )
    return _redirect(host, parameters, _SAID_NO, client_id=client.client_id)


def turn_away_from_anothers(host: Host, interaction_id: str) -> str:
    """Answer no where a partner wants to change a consent that is not the signed-in citizen's.

    Its terms are shown to nobody else, and the partner gets the answer that it gets to a refusal.

    Returns:
        Where to send the browser (with 303).

    Raises:
        InteractionGone: answered before, run out, or never asked.
    """
    client_id = load_interaction(host, interaction_id).client.client_id
    with host.storage.write() as tx:
        parameters, _ = _claim(host, tx, interaction_id, host.clock.protocol_now())
    return _redirect(host, parameters, _SAID_NO, client_id=client_id)


def _claim(host: Host, tx: Transaction, interaction_id: str, now: datetime) -> tuple[dict[str, Any], str]:
    """Take the question, so that it is answered once: the request's parameters and the key it is bound to.

    Raises:
        InteractionGone: it was answered, or never asked.
    """
    row = tx.one(
        "SELECT parameters, dpop_jkt, request_hash FROM pushed_request WHERE interaction_id = ?", (interaction_id,)
    )
    claimed = tx.execute(
        "UPDATE pushed_request SET answered_at = ? WHERE interaction_id = ? AND answered_at IS NULL",
        (microseconds(now), interaction_id),
    )
    if row is None or not claimed:
        raise InteractionGone
    return parameters_of(host, row[2], row[0]), row[1]


def _redirect(host: Host, parameters: Mapping[str, Any], answer: Mapping[str, str], *, client_id: str) -> str:
    """The registered address with the answer, the partner's state and our name (RFC 9207), or all of it signed."""
    parts = urlsplit(str(parameters["redirect_uri"]))
    query = parse_qsl(parts.query, keep_blank_values=True)
    state = {} if parameters["state"] is None else {"state": str(parameters["state"])}
    if parameters.get("response_mode", "query") == "query":
        query += [*answer.items(), *state.items(), ("iss", host.base_url)]
    else:
        query.append(("response", signed_answer(host, client_id, {**answer, **state})))
    return urlunsplit((parts.scheme, parts.netloc, parts.path, urlencode(query), ""))
