"""Messages that leave the house: put down in the transaction of what they tell of, sent by the bridge afterwards.

A consent withdrawn and its notice, a claim approved and its sending, stand or fall together. What is sent, and in
which form, is partner_bridge/outbox.py's affair.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from pod_server.authorization.sealed_for_host import seal, unseal
from pod_server.clock import microseconds, moment
from pod_server.identifiers import ClientId, PodId

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from pod_server.host import Host
    from pod_server.storage.ports import Row, Transaction
    from pod_server.vault.host_key import HostKey

NO_POD = PodId(0)
_NEVER = 2**62
_LABEL = "outbox-body"
_REPLY = "outbox-reply"

_COLUMNS = (
    "pod_id, message_id, client_id, sequence, kind, state, attempts, next_attempt, last_answer, created, delivered, "
    "replied"
)


@dataclass(frozen=True)
class OutboxMessage:
    """One message and how far it has come; the pages show it, the body stays sealed.

    Attributes:
        sequence: Its place in the order of the partner's messages, from 1.
        state: `waiting`, `delivered` or `given-up`.
        next_attempt: Real time before which it is not tried again.
        last_answer: What became of the last try, in a few words.
        created: The city's time.
        delivered: The city's time, once it was.
        replied: The city's time, once the partner answered what it says (partner_bridge/claim_answers.py).
    """

    pod_id: PodId
    message_id: str
    client_id: ClientId
    sequence: int
    kind: str
    state: str
    attempts: int
    next_attempt: datetime
    last_answer: str
    created: datetime
    delivered: datetime | None
    replied: datetime | None = None


def enqueue(
    host: Host,
    tx: Transaction,
    *,
    pod_id: PodId | None,
    client_id: ClientId,
    kind: str,
    body: Mapping[str, Any],
    idempotency_key: str,
) -> str:
    """Put a message down, in the caller's transaction.

    Args:
        host: Whose key seals the body and whose clock dates it.
        tx: The writing transaction of what the message tells of.
        pod_id: The pod it concerns, or None.
        client_id: The partner it goes to.
        kind: `consent-withdrawn`, `claim`, …: the last part of its event's IRI.
        body: JSON members of the event.
        idempotency_key: The same key to the same partner adds nothing the second time.

    Returns:
        The message's id; the first one's where the key was seen before.
    """
    standing = tx.one(
        "SELECT (SELECT message_id FROM outbox WHERE client_id = ? AND idempotency_key = ?), "
        "(SELECT MAX(sequence) FROM outbox WHERE client_id = ?)",
        (client_id, idempotency_key, client_id),
    )
    assert standing is not None, "two questions without a table have one answer"
    seen, last = standing
    if seen is not None:
        return str(seen)
    sequence = int(last or 0) + 1
    message_id = f"m-{secrets.token_hex(16)}"
    tx.send(
        "INSERT INTO outbox (pod_id, message_id, client_id, sequence, idempotency_key, kind, body, state, attempts,"
        " next_attempt, last_answer, created, delivered) VALUES (?, ?, ?, ?, ?, ?, ?, 'waiting', 0, 0, '', ?, NULL)",
        (
            NO_POD if pod_id is None else pod_id,
            message_id,
            client_id,
            sequence,
            idempotency_key,
            kind,
            # The host's own key seals, not the pod's: a notice must go out while the pod is locked.
            seal(host.host_key, _LABEL, (message_id,), msgspec.json.encode(body)).encode("ascii"),
            microseconds(host.clock.now()),
        ),
    )
    return message_id


def messages(
    tx: Transaction, *, pod_id: PodId | None = None, client_id: ClientId | None = None, limit: int = 50
) -> list[OutboxMessage]:
    """A pod's or a partner's latest messages, newest first."""
    if pod_id is not None:
        rows = tx.all(
            f"SELECT {_COLUMNS} FROM outbox WHERE pod_id = ? ORDER BY created DESC, sequence DESC LIMIT ?",
            (pod_id, limit),
        )
    else:
        rows = tx.all(
            f"SELECT {_COLUMNS} FROM outbox WHERE client_id = ? ORDER BY sequence DESC LIMIT ?",
            (client_id or "", limit),
        )
    return [_message(row) for row in rows]


def first_waiting(tx: Transaction, due: datetime | None = None, limit: int = 200) -> list[OutboxMessage]:
    """The foremost waiting message of each partner: the only one that may be sent, since order is kept.

    Those that were never tried come first, then by when they are due: however many partners are away, what waits for one that
    is there is among the first.

    Args:
        tx: Read in it.
        due: Only what may be tried at this (real) time; else all.
        limit: At most so many.
    """
    rows = tx.all(
        f"SELECT {_COLUMNS} FROM outbox WHERE (client_id, sequence) IN "
        "(SELECT client_id, MIN(sequence) FROM outbox WHERE state = 'waiting' GROUP BY client_id) "
        "AND next_attempt <= ? ORDER BY CASE WHEN attempts = 0 THEN 0 ELSE 1 END, next_attempt, client_id LIMIT ?",
        (_NEVER if due is None else microseconds(due), limit),
    )
    return [_message(row) for row in rows]


def lease(tx: Transaction, message: OutboxMessage, now: datetime, until: datetime) -> bool:
    """Take a message for sending; False where another worker has it or it is not due."""
    return (
        tx.execute(
            "UPDATE outbox SET next_attempt = ?, attempts = attempts + 1"
            " WHERE pod_id = ? AND message_id = ? AND state = 'waiting' AND next_attempt <= ? AND attempts = ?",
            (microseconds(until), message.pod_id, message.message_id, microseconds(now), message.attempts),
        )
        == 1
    )


def read_body(host_key: HostKey, tx: Transaction, message: OutboxMessage) -> dict[str, Any]:
    """The members of a waiting message's event; none where it was let go of.

    Raises:
        SealBroken: the sealed body was changed or moved.
    """
    row = tx.one("SELECT body FROM outbox WHERE pod_id = ? AND message_id = ?", (message.pod_id, message.message_id))
    if row is None or not row[0]:
        return {}
    decoded: dict[str, Any] = msgspec.json.decode(
        unseal(host_key, _LABEL, (message.message_id,), bytes(row[0]).decode("ascii"))
    )
    return decoded


def find(tx: Transaction, client_id: ClientId, message_id: str) -> OutboxMessage | None:
    """A partner's message by its name; None where it was sent none of that name."""
    row = tx.one(f"SELECT {_COLUMNS} FROM outbox WHERE client_id = ? AND message_id = ?", (client_id, message_id))
    return None if row is None else _message(row)


def keep_reply(host: Host, tx: Transaction, message: OutboxMessage, reply: Mapping[str, str], at: datetime) -> None:
    """Write down what the partner answered, in place of what it had; sealed like the message itself."""
    sealed = seal(host.host_key, _REPLY, (message.message_id,), msgspec.json.encode(reply))
    tx.send(
        "UPDATE outbox SET reply = ?, replied = ? WHERE pod_id = ? AND message_id = ?",
        (sealed, microseconds(at), message.pod_id, message.message_id),
    )


def read_reply(host_key: HostKey, tx: Transaction, message: OutboxMessage) -> dict[str, str]:
    """What the partner answered; empty where it has not.

    Raises:
        SealBroken: the sealed answer was changed or moved.
    """
    row = tx.one("SELECT reply FROM outbox WHERE pod_id = ? AND message_id = ?", (message.pod_id, message.message_id))
    if row is None or not row[0]:
        return {}
    reply: dict[str, str] = msgspec.json.decode(unseal(host_key, _REPLY, (message.message_id,), row[0]))
    return reply


def mark_delivered(tx: Transaction, message: OutboxMessage, answer: str, now: datetime) -> None:
    """The partner has it: the body is let go of."""
    tx.send(
        "UPDATE outbox SET state = 'delivered', body = ?, last_answer = ?, delivered = ?"
        " WHERE pod_id = ? AND message_id = ?",
        (b"", answer, microseconds(now), message.pod_id, message.message_id),
    )


def mark_failed(tx: Transaction, message: OutboxMessage, answer: str, *, again_at: datetime | None) -> None:
    """The try failed: again later, or given up (again_at None), after which the partner's next message goes."""
    if again_at is None:
        tx.send(
            "UPDATE outbox SET state = 'given-up', body = ?, last_answer = ? WHERE pod_id = ? AND message_id = ?",
            (b"", answer, message.pod_id, message.message_id),
        )
    else:
        tx.send(
            "UPDATE outbox SET next_attempt = ?, last_answer = ? WHERE pod_id = ? AND message_id = ?",
            (microseconds(again_at), answer, message.pod_id, message.message_id),
        )


def _message(row: Row) -> OutboxMessage:
    return OutboxMessage(
        pod_id=PodId(row[0]),
        message_id=row[1],
        client_id=ClientId(row[2]),
        sequence=row[3],
        kind=row[4],
        state=row[5],
        attempts=row[6],
        next_attempt=moment(row[7]),
        last_answer=row[8],
        created=moment(row[9]),
        delivered=None if row[10] is None else moment(row[10]),
        replied=None if row[11] is None else moment(row[11]),
    )
