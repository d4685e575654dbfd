"""Inboxes: where deliveries to a locked pod wait, sealed so that only the opened pod reads them.

Each grant has an inbox key (X25519) that belongs to the present epoch of its key. The host keeps the public half, with a
statement signed by the citizen's own key for this grant: whoever seals to it can see that nobody put in another.

Two forms wait. `host`: this host checked the records as always, saw them in flight, and sealed them; the delivery has
the ordinal that it will have as a segment, and the marks by which its records are recognised. `partner`: the partner
sealed them itself (partner_bridge/sealing.py), so that the host saw nothing; they are checked when the pod is opened.

Form, grant, epoch and number are bound to the ciphertext (docs/vault-format.md, section 11): nothing can be moved to
another grant or played again under another number.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from pod_server import key_epochs
from pod_server.identifiers import GrantId, PodId
from pod_server.signatures import SigningKey, base64url, sign_jws
from pod_server.vault import compression
from pod_server.vault.envelope import Scope, field
from pod_server.vault.inbox import seal_to

if TYPE_CHECKING:
    from pod_server.activities import SegmentRow
    from pod_server.storage.ports import Row, Transaction
    from pod_server.vault.vault import Vault

Form = Literal["host", "partner"]

STATEMENT_TYPE = "tvilling-inbox-key+jwt"
RECORDS_OF_A_GRANT = 50_000
BYTES_OF_A_GRANT = 16 * 1024 * 1024
BYTES_OF_A_POD = 64 * 1024 * 1024
"""How much may wait: some years of hourly readings of one meter, and a bound on what a locked pod costs its host."""


class Inbox(NamedTuple):
    """One grant's inbox as the host knows it.

    Attributes:
        epoch: Of the grant's key.
        public_key: 32 bytes; others seal to it.
        statement: A JWS by the citizen's key for this grant: grant, epoch and public key.
        waiting_records: How many records wait in it.
        waiting_bytes: How many sealed bytes.
    """

    pod_id: PodId
    grant: GrantId
    epoch: int
    public_key: bytes
    statement: str
    waiting_records: int
    waiting_bytes: int


class Waiting(NamedTuple):
    """One delivery that waits; members as in the table `pending_delivery`."""

    arrival: int
    grant: GrantId
    epoch: int
    form: Form
    number: int
    received: int
    first_day: int
    last_day: int
    records: int
    corrections: int
    log_index: int
    marks: bytes
    sealed: bytes


_COLUMNS = "pod_id, grant_id, epoch, public_key, statement, waiting_records, waiting_bytes"
_WAITING = "arrival, grant_id, epoch, form, number, received, first_day, last_day, records, corrections, log_index, marks, sealed"


def find_inbox(tx: Transaction, pod_id: PodId, grant: GrantId) -> Inbox | None:
    """A grant's inbox; None where it never got one (a pod that was never locked needs none)."""
    row = tx.one(f"SELECT {_COLUMNS} FROM grant_inbox WHERE pod_id = ? AND grant_id = ?", (pod_id, grant))
    return None if row is None else _inbox(row)


def inboxes_of(tx: Transaction, pod_id: PodId) -> list[Inbox]:
    """Every inbox of a pod."""
    rows = tx.all(f"SELECT {_COLUMNS} FROM grant_inbox WHERE pod_id = ? ORDER BY grant_id", (pod_id,))
    return [_inbox(row) for row in rows]


def _inbox(row: Row) -> Inbox:
    pod_id, grant, epoch, public_key, statement, records, size_bytes = row
    return Inbox(PodId(pod_id), GrantId(grant), epoch, bytes(public_key), statement, records, size_bytes)


def keep_inbox(tx: Transaction, vault: Vault, grant: GrantId, epoch: int) -> Inbox:
    """Write down a grant's present inbox key, signed by the citizen; what waits under an older one goes on waiting."""
    public_key = vault.inbox(Scope("grant", grant, epoch)).public_key
    tx.send(
        "INSERT INTO grant_inbox (pod_id, grant_id, epoch, public_key, statement) VALUES (?, ?, ?, ?, ?) "
        "ON CONFLICT (pod_id, grant_id) DO UPDATE SET "
        "epoch = excluded.epoch, public_key = excluded.public_key, statement = excluded.statement",
        (vault.pod_id, grant, epoch, public_key, sign_statement(vault.signing_seed(grant), grant, epoch, public_key)),
    )
    found = find_inbox(tx, vault.pod_id, grant)
    assert found is not None, "it was written just now"
    return found


def keep_present_inbox(tx: Transaction, vault: Vault, grant: GrantId) -> Inbox:
    """Write down the inbox of a grant's present epoch, and leave its mark key with the host."""
    epoch = key_epochs.grant_scope(tx, vault.pod_id, grant).epoch
    vault.keep_mark_key(grant, epoch)
    return keep_inbox(tx, vault, grant, epoch)


def sign_statement(seed: bytes, grant: str, epoch: int, public_key: bytes) -> str:
    """The citizen's word that this is the inbox key of this grant and epoch; the header carries the signing key.

    Who reads it compares that key's thumbprint (`kid`) with the one kept from the first statement of the grant.
    """
    key = SigningKey.ed25519(seed)
    payload = {"grant": grant, "epoch": epoch, "inbox": base64url.write(public_key)}
    return sign_jws(key, payload, typ=STATEMENT_TYPE, headers={"jwk": key.public_jwk})


def context(form: Form, grant: str, epoch: int, number: int) -> bytes:
    """What a sealed delivery is bound to: HPKE's `info`."""
    return (
        b"tvilling inbox v1\x00"
        + field(form.encode())
        + field(grant.encode("ascii"))
        + field(epoch.to_bytes(4, "big"))
        + field(number.to_bytes(8, "big"))
    )


def seal_for(inbox: Inbox, ordinal: int, body: bytes) -> bytes:
    """A segment's encoded body, compressed and sealed to a grant's inbox."""
    frame = compression.compress(body, "")
    return seal_to(inbox.public_key, frame, context("host", inbox.grant, inbox.epoch, ordinal))


def open_body(vault: Vault, waiting: Waiting) -> bytes:
    """What `seal_for` sealed.

    Raises:
        Tampered: it was sealed to another key, for another place, or was changed.
        KeyErased: the grant was erased.
    """
    inbox = vault.inbox(Scope("grant", waiting.grant, waiting.epoch))
    frame = inbox.open(waiting.sealed, context("host", waiting.grant, waiting.epoch, waiting.number))
    return compression.decompress(frame, "")


def is_full(tx: Transaction, inbox: Inbox, size_bytes: int, records: int) -> bool:
    """Whether a delivery is more than may wait."""
    if inbox.waiting_records + records > RECORDS_OF_A_GRANT or inbox.waiting_bytes + size_bytes > BYTES_OF_A_GRANT:
        return True
    _, waiting_bytes = backlog(tx, inbox.pod_id)
    return waiting_bytes + size_bytes > BYTES_OF_A_POD


def backlog(tx: Transaction, pod_id: PodId) -> tuple[int, int]:
    """How many records, and how many sealed bytes, wait for a pod."""
    row = tx.one(
        "SELECT COALESCE(SUM(waiting_records), 0), COALESCE(SUM(waiting_bytes), 0) FROM grant_inbox WHERE pod_id = ?",
        (pod_id,),
    )
    return (0, 0) if row is None else (int(row[0]), int(row[1]))


class WaitingCount(NamedTuple):
    """How much waits for a pod: records, sealed bytes, and deliveries that did not open and are kept aside."""

    records: int
    size_bytes: int
    unreadable: int


def count_waiting(tx: Transaction, pod_id: PodId) -> WaitingCount:
    """What waits for a pod, for its citizen's page."""
    aside = tx.one(
        "SELECT COUNT(*), COALESCE(SUM(records), 0), COALESCE(SUM(LENGTH(sealed)), 0) FROM pending_delivery "
        "WHERE pod_id = ? AND unreadable = 1",
        (pod_id,),
    )
    count, records_aside, bytes_aside = (0, 0, 0) if aside is None else (int(each) for each in aside)
    records, size_bytes = backlog(tx, pod_id)
    return WaitingCount(records - records_aside, size_bytes - bytes_aside, count)


def put(tx: Transaction, inbox: Inbox, row: SegmentRow, form: Form = "host") -> None:
    """Let a delivery wait, in the transaction that acknowledges it."""
    last = tx.one("SELECT MAX(arrival) FROM pending_delivery WHERE pod_id = ?", (inbox.pod_id,))
    arrival = 1 if last is None or last[0] is None else int(last[0]) + 1
    tx.send(
        f"INSERT INTO pending_delivery (pod_id, {_WAITING}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            inbox.pod_id,
            arrival,
            row.grant,
            row.epoch,
            form,
            row.ordinal,
            row.received,
            row.first_day,
            row.last_day,
            row.records,
            row.corrections,
            row.log_index,
            row.marks,
            row.sealed,
        ),
    )
    _count(tx, inbox.pod_id, inbox.grant, row.records, len(row.sealed))


def waiting(tx: Transaction, pod_id: PodId, *, after: int = 0, limit: int = 50) -> list[Waiting]:
    """Deliveries that wait, in the order in which they came; those that did not open once are left out."""
    rows = tx.all(
        f"SELECT {_WAITING} FROM pending_delivery WHERE pod_id = ? AND arrival > ? AND unreadable = 0 "
        "ORDER BY arrival LIMIT ?",
        (pod_id, after, limit),
    )
    return [Waiting._make((*row[:11], bytes(row[11]), bytes(row[12]))) for row in rows]


def take(tx: Transaction, pod_id: PodId, taken: Waiting) -> bool:
    """Take a delivery out of its inbox; False where another was first, or an erasure."""
    gone = tx.execute(
        "DELETE FROM pending_delivery WHERE pod_id = ? AND arrival = ? AND grant_id = ? AND number = ? AND form = ?",
        (pod_id, taken.arrival, taken.grant, taken.number, taken.form),
    )
    if gone:
        _count(tx, pod_id, taken.grant, -taken.records, -len(taken.sealed))
    return bool(gone)


def set_aside(tx: Transaction, pod_id: PodId, kept: Waiting) -> bool:
    """Mark a delivery that does not open, so that it holds up no others; it is kept."""
    return bool(
        tx.execute(
            "UPDATE pending_delivery SET unreadable = 1 WHERE pod_id = ? AND arrival = ? AND unreadable = 0",
            (pod_id, kept.arrival),
        )
    )


def pods_with_waiting(tx: Transaction, limit: int = 100) -> list[PodId]:
    """Pods that are open by their rows and for which something waits: they were opened just now."""
    rows = tx.all(
        "SELECT pod_id FROM pod WHERE state = 'open' AND EXISTS (SELECT 1 FROM pending_delivery "
        "WHERE pending_delivery.pod_id = pod.pod_id AND unreadable = 0) LIMIT ?",
        (limit,),
    )
    return [PodId(pod_id) for (pod_id,) in rows]


def _count(tx: Transaction, pod_id: PodId, grant: GrantId, records: int, size_bytes: int) -> None:
    tx.send(
        "UPDATE grant_inbox SET waiting_records = waiting_records + ?, waiting_bytes = waiting_bytes + ? "
        "WHERE pod_id = ? AND grant_id = ?",
        (records, size_bytes, pod_id, grant),
    )
