"""What the twin made of a pod: partial sums per grant, the combined figures, and the last events.

The bytes are the twin's own and opaque here. What came of one partner's data is sealed under that grant's key and goes
with it when the citizen erases the partner; what combines grants is sealed under the figures key, which is renewed at
each erasure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pod_server import key_epochs
from pod_server.errors import PermitExceeded
from pod_server.identifiers import GrantId, PodId
from pod_server.vault.envelope import Place, Scope
from pod_server.vault.errors import KeyErased

if TYPE_CHECKING:
    from pod_server.opening import OpenPod
    from pod_server.storage.ports import Transaction
    from pod_server.vault.vault import Vault

EVENTS_KEPT = 300
_TRIM_EVERY = 32
"""Old events are dropped now and then, not at each append."""

_READERS = frozenset({"owner", "mandate", "release"})


class Partial(NamedTuple):
    """The sums of one grant's activities in one month."""

    grant: GrantId
    month: str
    content: bytes


class TwinEvent(NamedTuple):
    """One event as the twin wrote it."""

    seq: int
    content: bytes


def save_partial(tx: Transaction, open_pod: OpenPod, grant: GrantId, month: str, content: bytes) -> None:
    """Write the sums of one grant and month (`YYYY-MM`).

    Raises:
        PermitExceeded: not the twin.
        KeyErased: the grant's data was erased.
    """
    _check_writer(open_pod)
    row = tx.one(
        "SELECT version FROM partial WHERE pod_id = ? AND grant_id = ? AND month = ?", (open_pod.pod_id, grant, month)
    )
    version = 1 if row is None else row[0] + 1
    scope = key_epochs.grant_scope(tx, open_pod.pod_id, grant)
    sealed = open_pod.vault.seal(scope, Place("partial", month.encode(), version), content, compress=True)
    tx.send(
        "INSERT INTO partial (pod_id, grant_id, epoch, month, version, sealed) VALUES (?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (pod_id, grant_id, month) DO UPDATE SET "
        "epoch = excluded.epoch, version = excluded.version, sealed = excluded.sealed",
        (open_pod.pod_id, grant, scope.epoch, month, version, sealed),
    )


def load_partial(tx: Transaction, open_pod: OpenPod, grant: GrantId, month: str) -> bytes | None:
    """The sums of one grant and month, or None."""
    _check_reader(open_pod)
    row = tx.one(
        "SELECT epoch, version, sealed FROM partial WHERE pod_id = ? AND grant_id = ? AND month = ?",
        (open_pod.pod_id, grant, month),
    )
    if row is None:
        return None
    return open_pod.vault.open(Scope("grant", grant, row[0]), Place("partial", month.encode(), row[1]), row[2])


def load_partials(
    tx: Transaction, open_pod: OpenPod, grant: GrantId | None = None, *, from_month: str = ""
) -> list[Partial]:
    """The sums of every grant (or one), from a month on, in order of month; erased grants are left out."""
    _check_reader(open_pod)
    rows = tx.all(
        "SELECT grant_id, epoch, month, version, sealed FROM partial WHERE pod_id = ? AND month >= ? "
        "ORDER BY month, grant_id",
        (open_pod.pod_id, from_month),
    )
    partials = []
    for grant_id, epoch, month, version, sealed in rows:
        if grant is not None and grant_id != grant:
            continue
        try:
            content = open_pod.vault.open(
                Scope("grant", grant_id, epoch), Place("partial", month.encode(), version), sealed
            )
        except KeyErased:
            continue
        partials.append(Partial(GrantId(grant_id), month, content))
    return partials


def drop_partials(tx: Transaction, open_pod: OpenPod) -> None:
    """Forget every sum of the pod, for a recompute from the start."""
    _check_writer(open_pod)
    tx.send("DELETE FROM partial WHERE pod_id = ?", (open_pod.pod_id,))


def save_figures(tx: Transaction, open_pod: OpenPod, content: bytes) -> None:
    """Write the combined figures of the pod.

    Raises:
        PermitExceeded: not the twin.
    """
    _check_writer(open_pod)
    row = tx.one("SELECT version FROM figures WHERE pod_id = ?", (open_pod.pod_id,))
    version = 1 if row is None else row[0] + 1
    scope = key_epochs.figures_scope(tx, open_pod.pod_id)
    sealed = _seal_figures(open_pod.vault, scope, Place("figures", b"", version), content)
    tx.send(
        "INSERT INTO figures (pod_id, epoch, version, sealed) VALUES (?, ?, ?, ?) ON CONFLICT (pod_id) DO UPDATE SET "
        "epoch = excluded.epoch, version = excluded.version, sealed = excluded.sealed",
        (open_pod.pod_id, scope.epoch, version, sealed),
    )


def load_figures(tx: Transaction, open_pod: OpenPod) -> bytes | None:
    """The combined figures, or None before the first are made (and between an erasure and the next).

    A partner's grant opens them where the citizen let it read some; partner_bridge/reading.py hands out those alone.
    """
    permit = open_pod.permit
    reads_some = permit.authority == "grant" and permit.allows("read") and permit.terms is not None
    if not (reads_some and permit.terms is not None and permit.terms.figures):
        _check_reader(open_pod)
    row = tx.one("SELECT epoch, version, sealed FROM figures WHERE pod_id = ?", (open_pod.pod_id,))
    if row is None:
        return None
    try:
        return open_pod.vault.open(Scope("figures", "", row[0]), Place("figures", b"", row[1]), row[2])
    except KeyErased:
        return None


def append_event(tx: Transaction, open_pod: OpenPod, content: bytes, *, grant: GrantId | None = None) -> int:
    """Add an event to the pod's ring of the last 300; returns its number (1, 2, 3 … in the pod, never used twice).

    Args:
        tx: The transaction that also writes what the event tells of.
        open_pod: The pod, open under the twin's mandate or by its owner.
        content: The event.
        grant: From whose data it was made; None where that is no single grant.
    """
    if open_pod.permit.authority not in {"owner", "mandate"}:
        raise PermitExceeded
    row = tx.one(
        "INSERT INTO twin_event_counter (pod_id, last_seq) VALUES (?, 1) "
        "ON CONFLICT (pod_id) DO UPDATE SET last_seq = twin_event_counter.last_seq + 1 RETURNING last_seq",
        (open_pod.pod_id,),
    )
    assert row is not None
    seq = int(row[0])
    place = Place("twin-event", b"", seq)
    if grant is None:
        scope = key_epochs.figures_scope(tx, open_pod.pod_id)
        sealed = _seal_figures(open_pod.vault, scope, place, content)
    else:
        scope = key_epochs.grant_scope(tx, open_pod.pod_id, grant)
        sealed = open_pod.vault.seal(scope, place, content, compress=True)
    tx.send(
        "INSERT INTO twin_event (pod_id, seq, grant_id, epoch, sealed) VALUES (?, ?, ?, ?, ?)",
        (open_pod.pod_id, seq, grant or "", scope.epoch, sealed),
    )
    if seq % _TRIM_EVERY == 0:
        tx.send("DELETE FROM twin_event WHERE pod_id = ? AND seq <= ?", (open_pod.pod_id, seq - EVENTS_KEPT))
    return seq


def events_after(
    tx: Transaction, open_pod: OpenPod, seq: int = 0, limit: int = 50, *, newest_first: bool = False
) -> list[TwinEvent]:
    """Events with a greater number, at most `limit`; `newest_first` gives the newest ones, else the oldest."""
    _check_reader(open_pod)
    order = "DESC" if newest_first else "ASC"
    rows = tx.all(
        f"SELECT seq, grant_id, epoch, sealed FROM twin_event WHERE pod_id = ? AND seq > ? ORDER BY seq {order} LIMIT ?",
        (open_pod.pod_id, seq, min(limit, EVENTS_KEPT)),
    )
    events = []
    for number, grant_id, epoch, sealed in rows:
        scope = Scope("grant", grant_id, epoch) if grant_id else Scope("figures", "", epoch)
        try:
            events.append(TwinEvent(number, open_pod.vault.open(scope, Place("twin-event", b"", number), sealed)))
        except KeyErased:
            continue
    return events


def last_event_seq(tx: Transaction, pod_id: PodId) -> int:
    """The number of the pod's newest event; 0 before the first."""
    row = tx.one("SELECT last_seq FROM twin_event_counter WHERE pod_id = ?", (pod_id,))
    return 0 if row is None else int(row[0])


def forget_grant(tx: Transaction, pod_id: PodId, grant: GrantId) -> None:
    """Forget everything made from one grant's data, and begin a new epoch of the figures key.

    Works on a locked pod: the new key is made when the twin next writes figures. Before this transaction the caller
    destroys the grant's keys and `key_epochs.figures_scope(tx, pod_id)`, since the combined figures held
    the erased grant's share.
    """
    tx.send("UPDATE pod SET figures_epoch = figures_epoch + 1 WHERE pod_id = ?", (pod_id,))
    tx.send("DELETE FROM partial WHERE pod_id = ? AND grant_id = ?", (pod_id, grant))
    tx.send("DELETE FROM figures WHERE pod_id = ?", (pod_id,))
    tx.send("DELETE FROM twin_event WHERE pod_id = ? AND (grant_id = ? OR grant_id = '')", (pod_id, grant))


def _seal_figures(vault: Vault, scope: Scope, place: Place, content: bytes) -> bytes:
    """Seal under the figures key of an epoch, which is made here if this is its first use.

    Raises:
        KeyErased: an erasure is under way: its keys are gone and its transaction is not there yet.
    """
    try:
        return vault.seal(scope, place, content, compress=True)
    except KeyErased:
        vault.create_scope(scope)
        return vault.seal(scope, place, content, compress=True)


def _check_writer(open_pod: OpenPod) -> None:
    if open_pod.permit.authority != "mandate":
        raise PermitExceeded


def _check_reader(open_pod: OpenPod) -> None:
    if open_pod.permit.authority not in _READERS:
        raise PermitExceeded
