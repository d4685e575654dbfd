"""Deliveries that a partner sealed itself: what the host can check when they come, and what it remembers of them.

    1. whose delivery it is          the partner's token, and its signature over everything but the content
    2. its own grant decides         state, expiry, operation; kinds, window and granularity only when it is opened
    3. that it is sealed to the      the citizen's present inbox key of this grant (epoch)
    4. that it comes once            sequence and idempotency key; the same delivery again is answered as before
    5. how much                      the day's quota by the count that the partner signed, and the backlog
    6. one transaction               grant state read again, the log's leaf, the delivery in its inbox

The answer is `pending`. What became of each record is told when the citizen opens the pod (merging.py).
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from consent.decision import Refused
from consent.reasons import Reason
from partner_bridge.errors import InboxKeyOutdated, NoSuchSealedDelivery, SealedDeliveryInvalid, SequenceUsed
from partner_bridge.sealing import DELIVERY_TYPE, RECORDS_AT_MOST
from pod_server import inboxes, partner_limits
from pod_server.activities import SegmentRow
from pod_server.authorization.enforcement import recheck_grant, record_use, require_grant
from pod_server.authorization.errors import refusal_error
from pod_server.authorization_server import jose
from pod_server.clock import microseconds
from pod_server.errors import BacklogFull
from pod_server.identifiers import GrantId
from pod_server.log import ledger
from pod_server.log.event import LogEvent
from pod_server.opening import custodian_vault
from pod_server.partner_key_sets import with_keys_for
from pod_server.partners import find_partner
from pod_server.signatures import SignatureInvalid, base64url
from pod_server.vault.inbox import OVERHEAD_BYTES

if TYPE_CHECKING:
    from datetime import datetime

    from pod_server.authorization.permit import Permit
    from pod_server.authorization_server.tokens import AuthenticatedPartner
    from pod_server.host import Host
    from pod_server.identifiers import PodId
    from pod_server.inboxes import Inbox
    from pod_server.storage.ports import Transaction

SEALED_BYTES_AT_MOST = 4 * 1024 * 1024
_KEY_CHARACTERS = 200


class _Body(msgspec.Struct, forbid_unknown_fields=True):
    sealed: str
    signature: str


class _Signed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the partner's signature covers."""

    grant: str
    epoch: int
    sequence: int
    idempotency_key: str
    records: int
    sha256: str


@dataclass(frozen=True)
class SealedDelivery:
    """A sealed delivery as it stands.

    Attributes:
        state: `pending`, `merged`, or `unreadable` (it did not open, or was no delivery).
        declared: How many records the partner said it holds.
        accepted, duplicates, refused: What became of them, once merged.
    """

    grant: GrantId
    sequence: int
    state: str
    declared: int
    accepted: int
    duplicates: int
    refused: int

    def to_json(self) -> dict[str, Any]:
        """As the partner is answered."""
        answer: dict[str, Any] = {"status": self.state, "grant": self.grant, "sequence": self.sequence}
        if self.state == "merged":
            answer |= {"accepted": self.accepted, "duplicate": self.duplicates, "refused": self.refused}
        return answer


def inbox_for(host: Host, partner: AuthenticatedPartner, grant: str) -> dict[str, Any]:
    """The statement about a consent's inbox, and how far the partner's own count is.

    Raises:
        GrantRefused: not the partner's, or it does not hold.
        PodLocked: the pod was locked before there were inboxes; it gets them when its citizen opens it.
    """
    permit = require_grant(host, partner, grant, (), "append", host.clock.now())
    assert permit.grant is not None
    inbox = _inbox(host, permit.pod_id, permit.grant)
    with host.storage.read() as tx:
        last = _last_sequence(tx, permit.pod_id, permit.grant)
    return {"grant": inbox.grant, "epoch": inbox.epoch, "statement": inbox.statement, "last_sequence": last}


def _inbox(host: Host, pod_id: PodId, grant: GrantId) -> Inbox:
    with host.storage.read() as tx:
        found = inboxes.find_inbox(tx, pod_id, grant)
    if found is not None:
        return found
    vault = custodian_vault(host, pod_id)  # an open pod: its inboxes are made when somebody asks
    with host.storage.write() as tx:
        return inboxes.keep_present_inbox(tx, vault, grant)


def take_in(host: Host, partner: AuthenticatedPartner, body: bytes) -> SealedDelivery:
    """Let a sealed delivery wait for its pod, or recognise one that came before.

    Raises:
        SealedDeliveryInvalid: form, size, signature or count.
        PartnerLimited: more records than the municipality lets the partner deliver in a day.
        GrantRefused: the consent does not let this partner deliver, or the day's quota is used up.
        InboxKeyOutdated: sealed to a key that is not in force.
        SequenceUsed: another delivery had this sequence or key, or a greater sequence.
        BacklogFull: too much waits for this pod.
        StorageFull: nothing was kept.
    """
    signed, sealed, signature = _read(host, partner, body)
    partner_limits.count_delivered(host, partner.client_id, signed.records)
    at = host.clock.now()
    # 2. its own grant decides
    permit = require_grant(host, partner, signed.grant, (), "append", at, count=signed.records)
    assert permit.grant is not None
    pod_id, grant = permit.pod_id, permit.grant
    if partner.kinds is not None and permit.kinds is not None and permit.kinds.isdisjoint(partner.kinds):
        # None of what the consent covers may be handled now; single records are held to it when they are opened (merging.py).
        _refuse(host, permit, signed.records, str(Reason.KIND_BARRED))
        raise refusal_error(Refused((Reason.KIND_BARRED,)))
    _inbox(host, pod_id, grant)
    content_hash = hashlib.sha256(sealed).digest()
    with host.storage.write() as tx:
        at = host.clock.now()
        # 4. that it comes once
        seen = _seen(tx, pod_id, grant, signed, content_hash)
        if seen is not None:
            return seen
        _decide_again(tx, permit, at, signed.records)
        # 3. that it is sealed to the present key
        inbox = inboxes.find_inbox(tx, pod_id, grant)
        if inbox is None or inbox.epoch != signed.epoch:
            raise InboxKeyOutdated
        # 5. how much
        full = inboxes.is_full(tx, inbox, len(sealed), signed.records)
        if not full:
            _keep(tx, permit, inbox, signed, sealed, signature, at)
    if full:
        _refuse(host, permit, signed.records)
        raise BacklogFull
    host.signal.notify([pod_id])
    return SealedDelivery(grant, signed.sequence, "pending", signed.records, 0, 0, 0)


def _read(host: Host, partner: AuthenticatedPartner, body: bytes) -> tuple[_Signed, bytes, str]:
    """1. whose delivery it is."""
    try:
        parts = msgspec.json.decode(body, type=_Body)
        sealed = base64url.read(parts.sealed)
        unverified = jose.read(parts.signature)
    except (msgspec.DecodeError, SignatureInvalid, jose.JoseInvalid, RecursionError) as error:
        raise SealedDeliveryInvalid(f"The body is no sealed delivery: {error}.") from error
    if unverified.header.get("typ") != DELIVERY_TYPE:
        raise SealedDeliveryInvalid(f"The signature's typ is to be {DELIVERY_TYPE}.")
    with host.storage.read() as tx:
        known = find_partner(tx, partner.client_id)
    kid = unverified.header.get("kid")
    known = with_keys_for(host, known, kid) if known else None
    keys = [key for key in known.jwks["keys"] if key.get("kid") == kid] if known else []
    if len(keys) != 1:
        raise SealedDeliveryInvalid("The signature names no key (kid) that is registered for you.")
    try:
        signed = msgspec.convert(jose.verify(unverified, keys[0]), _Signed)
    except (jose.JoseInvalid, msgspec.ValidationError) as error:
        raise SealedDeliveryInvalid(
            f"The signature does not hold, or does not cover what it should: {error}."
        ) from error
    problem = _problem_of(signed, sealed)
    if problem:
        raise SealedDeliveryInvalid(problem)
    return signed, sealed, parts.signature


def _problem_of(signed: _Signed, sealed: bytes) -> str:
    if base64url.write(hashlib.sha256(sealed).digest()) != signed.sha256:
        return "The signature is over other sealed bytes (sha256)."
    if not OVERHEAD_BYTES < len(sealed) <= SEALED_BYTES_AT_MOST:
        return f"The sealed bytes are {OVERHEAD_BYTES + 1} to {SEALED_BYTES_AT_MOST}."
    if not 1 <= signed.records <= RECORDS_AT_MOST:
        return f"A delivery holds 1 to {RECORDS_AT_MOST} records."
    if not 1 <= signed.sequence < 2**53 or not 1 <= signed.epoch < 2**32:
        return "Sequences and epochs count from 1."
    if not 1 <= len(signed.idempotency_key) <= _KEY_CHARACTERS or "\x00" in signed.idempotency_key:
        return f"An idempotency key has 1 to {_KEY_CHARACTERS} characters."
    return ""


def _seen(
    tx: Transaction, pod_id: PodId, grant: GrantId, signed: _Signed, content_hash: bytes
) -> SealedDelivery | None:
    rows = tx.all(
        "SELECT sequence, idempotency_key, content_hash, state, declared, accepted, duplicates, refused "
        "FROM sealed_delivery WHERE pod_id = ? AND grant_id = ? AND (sequence = ? OR idempotency_key = ?)",
        (pod_id, grant, signed.sequence, signed.idempotency_key),
    )
    for sequence, key, known_hash, *rest in rows:
        if (sequence, key, bytes(known_hash)) == (signed.sequence, signed.idempotency_key, content_hash):
            return SealedDelivery(grant, sequence, *rest)
    if rows:
        raise SequenceUsed("Another sealed delivery under this consent had this sequence or this idempotency key.")
    last = _last_sequence(tx, pod_id, grant)
    if signed.sequence < last:
        raise SequenceUsed(f"A delivery with sequence {last} came before; sequences only grow.")
    return None


def _last_sequence(tx: Transaction, pod_id: PodId, grant: GrantId) -> int:
    row = tx.one("SELECT MAX(sequence) FROM sealed_delivery WHERE pod_id = ? AND grant_id = ?", (pod_id, grant))
    return int(row[0]) if row is not None and row[0] is not None else 0


def _decide_again(tx: Transaction, permit: Permit, at: datetime, records: int) -> None:
    refused = recheck_grant(tx, permit, at, adding=records)
    if refused is not None:
        raise refusal_error(refused)


def _keep(  # noqa: PLR0917 - called in one place
    tx: Transaction, permit: Permit, inbox: Inbox, signed: _Signed, sealed: bytes, signature: str, at: datetime
) -> None:
    """6. the log's leaf, the delivery in its inbox, the memory of it."""
    digest = hashlib.sha256(sealed).digest()
    leaf = ledger.append(
        tx,
        permit.pod_id,
        LogEvent(
            at=at,
            actor=permit.actor,
            action="deliver-sealed",
            purpose=permit.purpose,
            grant=inbox.grant,
            outcome="pending",
            count=signed.records,
            detail={"sequence": signed.sequence, "sha256": digest.hex()},
        ),
        random=secrets.token_bytes,
    )
    row = SegmentRow(
        pod_id=permit.pod_id,
        grant=inbox.grant,
        epoch=inbox.epoch,
        ordinal=signed.sequence,
        received=microseconds(at),
        first_day=0,
        last_day=0,
        records=signed.records,
        corrections=0,
        log_index=leaf,
        marks=b"",
        sealed=sealed,
    )
    inboxes.put(tx, inbox, row, "partner")
    tx.execute(
        "INSERT INTO sealed_delivery (pod_id, grant_id, sequence, idempotency_key, content_hash, signature, received, "
        "declared, state, accepted, duplicates, refused) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'pending', 0, 0, 0)",
        (
            permit.pod_id,
            inbox.grant,
            signed.sequence,
            signed.idempotency_key,
            digest,
            signature,
            microseconds(at),
            signed.records,
        ),
    )
    record_use(tx, permit, at, accepted=signed.records)


def _refuse(host: Host, permit: Permit, records: int, outcome: str = "backlog-full") -> None:
    at = host.clock.now()
    assert permit.grant is not None
    with host.storage.write() as tx:
        record_use(tx, permit, at, accepted=0, refused=records)
        event = LogEvent(
            at=at,
            actor=permit.actor,
            action="deliver-sealed",
            purpose=permit.purpose,
            grant=permit.grant,
            outcome=outcome,
            count=records,
        )
        ledger.append(tx, permit.pod_id, event, random=secrets.token_bytes)


def find_sealed_delivery(host: Host, partner: AuthenticatedPartner, grant: str, sequence: int) -> SealedDelivery:
    """What became of a sealed delivery, to the partner who made it; also after the consent ended.

    Raises:
        NoSuchSealedDelivery: the partner has made none with this sequence under this consent.
    """
    with host.storage.read() as tx:
        route = tx.one(
            "SELECT consent.pod_id FROM grant_route JOIN consent ON consent.pod_id = grant_route.pod_id "
            "AND consent.grant_id = grant_route.grant_id WHERE grant_route.grant_id = ? AND consent.client_id = ?",
            (grant[:64], partner.client_id),
        )
        row = None
        if route is not None and partner.grant in {None, grant} and 0 < sequence < 2**53:
            row = tx.one(
                "SELECT state, declared, accepted, duplicates, refused FROM sealed_delivery "
                "WHERE pod_id = ? AND grant_id = ? AND sequence = ?",
                (route[0], grant, sequence),
            )
    if row is None:
        raise NoSuchSealedDelivery("You have made no such delivery under this consent.")
    return SealedDelivery(GrantId(grant), sequence, *row)
