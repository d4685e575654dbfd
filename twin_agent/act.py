"""Act: what leaves the pod, on the citizen's own yes to exactly that, once.

Approving is one transaction: the yes is written down bound to the plan's hash, used up, the claim is put into the
outbox, the log tells of both, and the proposal is settled. Either all of it happens or none of it. The claim says
which programme, which version of its rule, which period, and yes; no weight, no address, no name.
"""

from __future__ import annotations

import secrets
from datetime import timedelta
from typing import TYPE_CHECKING

from pod_server import feed, figures, household, offers, outbox, proposals, signing_keys
from pod_server.authorization import mandates
from pod_server.errors import PermitExceeded
from pod_server.identifiers import Actor, ClientId
from pod_server.log import ledger
from pod_server.log.event import LogEvent
from pod_server.signatures import pairwise_subject
from pod_server.signatures.sd_jwt import issue
from twin_agent.compute import SumsKey, decode_sums
from twin_agent.errors import NobodyToSendTo, NoSuchProposal, PlanChanged, ProposalExpired, ProposalSettled
from twin_agent.infer import CountedPod
from twin_agent.mandate import SEND_CLAIM, use_approval
from twin_agent.propose import (
    DECLINED,
    EXPIRED,
    OFFER_STANDS,
    SENT,
    WAITING,
    Offer,
    offer,
    read_body,
    save,
)
from vocab.terms import TVILLING

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from pod_server.host import Host
    from pod_server.opening import OpenPod
    from pod_server.proposals import Proposal
    from pod_server.storage.ports import Transaction

CLAIM_TYPE = f"{TVILLING}Eligibility"
CLAIM_VALID = timedelta(days=90)
_APPROVAL_VALID = timedelta(minutes=1)
_TWIN = Actor("twin")


_ATTEMPTS = 8
"""How often an approval looks again when deliveries come in between; each look takes milliseconds."""


class _MovedMeanwhile(Exception):
    """The twin, or another page, was at it between reading and writing; nothing was written."""


def approve(
    host: Host,
    open_pod: OpenPod,
    proposal_id: str,
    plan_hash: str,
    *,
    random: Callable[[int], bytes] = secrets.token_bytes,
) -> str:
    """The citizen's yes: send the claim.

    Args:
        host: The host.
        open_pod: Open under the owner's Permit; nobody else can say yes.
        proposal_id: Which proposal.
        plan_hash: What the citizen saw.
        random: Draws the credential's salts.

    Returns:
        The outgoing message's id.

    Raises:
        PermitExceeded: this is not the owner.
        NoSuchProposal: there is none of this id.
        ProposalSettled: it was answered before.
        ProposalExpired: the time to answer has run out.
        PlanChanged: the facts, or the letter, are not those that were shown.
        NobodyToSendTo: no admitted partner runs the programme.
    """
    _owner_only(open_pod)
    for _ in range(_ATTEMPTS):
        try:
            message_id = _approve_once(host, open_pod, proposal_id, plan_hash, random)
        except _MovedMeanwhile:
            # A delivery was taken in between reading and writing. What the citizen saw decides, not that: look again.
            continue
        host.signal.notify({open_pod.pod_id})
        return message_id
    raise PlanChanged


def _approve_once(
    host: Host, open_pod: OpenPod, proposal_id: str, plan_hash: str, random: Callable[[int], bytes]
) -> str:
    at = host.clock.now()
    with host.storage.read() as tx:
        cursor, _ = feed.position(tx, open_pod.pod_id)
        shown = _waiting(tx, open_pod, proposal_id, at)
        size = household.load(tx, open_pod).household_size
        sums = {
            SumsKey(partial.grant, partial.month): decode_sums(partial.content)
            for partial in figures.load_partials(tx, open_pod)
        }
    body = read_body(shown)
    salt = body.get("salt")
    with host.storage.read() as tx:
        published = offers.latest(tx, body["programme"])
        operator = None if published is None else offers.operator_of(tx, published.programme)
    if published is None or operator is None:
        raise NobodyToSendTo
    now = offer(published.programme, operator, CountedPod(sums, size), at) if published.state == "standing" else None
    # Without a salt: what was shown has been forgotten with a partner, and the twin has not looked again.
    if now is None or salt is None:
        raise PlanChanged
    if not secrets.compare_digest(now.plan_hash(proposal_id, salt).encode(), plan_hash.encode()):
        raise PlanChanged
    credential = _credential(host, open_pod, now, proposal_id, random)
    with host.storage.write() as tx:
        stored = _waiting(tx, open_pod, proposal_id, at)
        if feed.position(tx, open_pod.pod_id)[0] != cursor or stored.version != shown.version:
            raise _MovedMeanwhile
        mandates.give_single_mandate(
            tx,
            open_pod.pod_id,
            mandate_id=proposal_id,
            act=SEND_CLAIM,
            about=plan_hash,
            at=at,
            expires_at=at + _APPROVAL_VALID,
        )
        _log(
            tx,
            open_pod,
            now,
            at=at,
            actor=open_pod.permit.actor,
            action="approve-proposal",
            proposal_id=proposal_id,
        )
        message_id = _send(host, tx, open_pod, now, plan_hash, proposal_id=proposal_id, credential=credential, at=at)
        save(
            tx,
            open_pod,
            stored,
            now.body(proposal_id, salt=salt, state=SENT, created=stored.created) | {"message": message_id},
            at,
        )
    return message_id


def decline(host: Host, open_pod: OpenPod, proposal_id: str) -> None:
    """The citizen's no: nothing is sent, and the same offer is not made again for this period.

    Raises:
        PermitExceeded: this is not the owner.
        NoSuchProposal: there is none of this id.
        ProposalSettled: it was answered before.
        ProposalExpired: the time to answer has run out, which meant no already.
    """
    _owner_only(open_pod)
    at = host.clock.now()
    with host.storage.write() as tx:
        stored = _waiting(tx, open_pod, proposal_id, at)
        save(tx, open_pod, stored, read_body(stored) | {"state": DECLINED}, at)
        event = LogEvent(at, open_pod.permit.actor, "decline-proposal", detail={"proposal": proposal_id})
        ledger.append(tx, open_pod.pod_id, event)
    host.signal.notify({open_pod.pod_id})


def _owner_only(open_pod: OpenPod) -> None:
    if open_pod.permit.authority != "owner":
        raise PermitExceeded


def _waiting(tx: Transaction, open_pod: OpenPod, proposal_id: str, at: datetime) -> Proposal:
    stored = proposals.load(tx, open_pod, proposal_id)
    if stored is None:
        raise NoSuchProposal
    if stored.state == EXPIRED or (stored.state == WAITING and at >= stored.created + OFFER_STANDS):
        raise ProposalExpired
    if stored.state != WAITING:
        raise ProposalSettled
    return stored


def _credential(host: Host, open_pod: OpenPod, now: Offer, proposal_id: str, random: Callable[[int], bytes]) -> str:
    """The claim, signed for its one reader: programme, version, period, yes."""
    client_id = ClientId(now.letter["client_id"])
    issued_at = host.clock.protocol_now()
    return issue(
        signing_keys.current(host),
        credential_type=CLAIM_TYPE,
        issuer=host.base_url,
        issued_at=issued_at,
        expires_at=issued_at + CLAIM_VALID,
        disclosable={
            "programme": now.letter["programme"],
            "version": now.letter["rule_version"],
            "period": now.letter["period"],
            "answer": now.letter["answer"],
        },
        random=random,
        always_open={
            "aud": client_id,
            "jti": f"claim-{proposal_id}",
            "sub": pairwise_subject(host.host_key, client_id, open_pod.pod_id),
        },
    )


def _send(
    host: Host,
    tx: Transaction,
    open_pod: OpenPod,
    now: Offer,
    plan_hash: str,
    *,
    proposal_id: str,
    credential: str,
    at: datetime,
) -> str:
    """Put the claim into the outbox, using up the citizen's yes."""
    use_approval(tx, open_pod.pod_id, plan_hash, at)
    client_id = ClientId(now.letter["client_id"])
    message_id = outbox.enqueue(
        host,
        tx,
        pod_id=open_pod.pod_id,
        client_id=client_id,
        kind="claim",
        body={
            "credential": credential,
            "programme": now.letter["programme"],
            "period": now.letter["period"],
            "subject": pairwise_subject(host.host_key, client_id, open_pod.pod_id),
        },
        idempotency_key=f"claim-{proposal_id}",
    )
    _log(tx, open_pod, now, at=at, actor=_TWIN, action="send-claim", proposal_id=proposal_id)
    return message_id


def _log(
    tx: Transaction, open_pod: OpenPod, now: Offer, *, at: datetime, actor: Actor, action: str, proposal_id: str
) -> None:
    detail: dict[str, str | int] = {
        "proposal": proposal_id,
        "programme": now.programme.slug,
        "version": now.programme.rule_version,
        "to": now.letter["client_id"],
    }
    ledger.append(tx, open_pod.pod_id, LogEvent(at, actor, action, detail=detail))
