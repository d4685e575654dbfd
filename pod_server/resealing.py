"""New keys for a pod, and its history sealed anew under them.

    1. the key store      a new root key, new slots, a new epoch of every scope              one commit (vault/rotation.py)
    2. the database       the epochs in force, the inbox keys, the log's public key, the log's leaf, and the intent to seal
                          history anew                                                       one transaction (`adopt`)
    3. in the background  row by row under the new epochs, a few milliseconds at a time       `reseal`, resumable
    4. afterwards         the old epochs' keys are destroyed, so many days later              `retire_due`

From 2 on everything is written under the new epochs; readers look under both. A crash between 1 and 2 is mended by whoever
opens the pod next (`adopt` again); a crash in 3 by the next run, which finds what is still under an old epoch. Step 4
waits so long because a restore is data of any age with the newest key store: the old keys open a backup's rows, and those
alone, since nothing present lies under them any more.

Rows are never in between: each is replaced, in one transaction, by the same thing sealed anew, if it is still the one
that was read. A full disk stops the work where it is; nothing is lost and the next run goes on.
"""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from datetime import timedelta
from itertools import groupby
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from pod_server import calculations, documents, inboxes, key_epochs, participations, proposals, pulls, rectifications
from pod_server.activities import seal_segment, segment_place
from pod_server.clock import microseconds, moment
from pod_server.identifiers import GrantId, PodId
from pod_server.log import ledger
from pod_server.log.event import LogEvent
from pod_server.merging import HOST, run_detail
from pod_server.vault.envelope import Place, Scope
from pod_server.vault.errors import KeyErased, KeyStoreOutdated
from pod_server.vault.vault import newest_scopes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from pod_server.host import Host
    from pod_server.storage.ports import Row, Transaction
    from pod_server.vault.vault import Vault

KEPT_FOR = timedelta(days=30)
"""How long the old epochs' keys are kept after the last row was sealed anew: as long as backups are (vault-format.md)."""

_ROWS_AT_ONCE = 32
_REST = 1.0
"""After each piece of work, so many times its length of leaving the machine to others."""

_LONGEST_REST_SECONDS = 0.05

Step = Literal["sealed", "begun", "written", "committed"]


@dataclass(frozen=True)
class Progress:
    """How far a pod's history is sealed anew.

    Attributes:
        began: When the pod got its new keys, city's time.
        total: How many sealed rows there were.
        done: How many are sealed anew.
        finished: When the last one was, or None.
    """

    began: datetime
    total: int
    done: int
    finished: datetime | None


def progress(tx: Transaction, pod_id: PodId) -> Progress | None:
    """How far it is; None where the pod never got new keys, or its old ones are destroyed."""
    row = tx.one("SELECT began, total, done, finished FROM resealing WHERE pod_id = ?", (pod_id,))
    if row is None:
        return None
    return Progress(moment(row[0]), row[1], min(row[2], row[1]), None if row[3] is None else moment(row[3]))


def unfinished_in_open_pods(tx: Transaction, limit: int = 100) -> list[PodId]:
    """Open pods whose history is not sealed anew yet; a locked one waits for its citizen."""
    rows = tx.all(
        "SELECT resealing.pod_id FROM resealing JOIN pod ON pod.pod_id = resealing.pod_id "
        "WHERE resealing.finished IS NULL AND pod.state = 'open' LIMIT ?",
        (limit,),
    )
    return [PodId(pod_id) for (pod_id,) in rows]


# The epochs in force


def adopt(host: Host, tx: Transaction, vault: Vault) -> bool:
    """Let the database go on under the newest epochs of the key store; True if it did not before.

    In the caller's transaction. Also writes down inbox keys that are missing or not of the present epoch.

    Raises:
        KeyStoreOutdated: the key store is an older copy; the data lie under epochs that it never had.
        PodLocked: the vault's root key is not the pod's any more.
    """
    pod_id = vault.pod_id
    newest = {(scope.kind, scope.grant): scope.epoch for scope in vault.newest_scopes()}
    before = (key_epochs.own_scope(tx, pod_id).epoch, key_epochs.figures_scope(tx, pod_id).epoch)
    own, log = newest["own", ""], newest["log", ""]
    figures = max(newest.get(("figures", ""), 1), before[1])
    tree = ledger.load_tree(tx, pod_id)
    if own < before[0] or log < tree.epoch:
        raise KeyStoreOutdated
    changed = (own, figures, log) != (*before, tree.epoch)
    if changed:
        tx.send(
            "UPDATE pod SET own_epoch = ?, figures_epoch = ?, log_public_key = ? WHERE pod_id = ?",
            (own, figures, vault.inbox(Scope("log", "", log)).public_key, pod_id),
        )
        key_epochs.forget(tx)
        tx.send(
            "UPDATE log_tree SET epoch = ?, public_key = ? WHERE pod_id = ?",
            (log, vault.inbox(Scope("log", "", log)).public_key, pod_id),
        )
    for grant, epoch, inbox_epoch in tx.all(
        "SELECT consent.grant_id, consent.epoch, grant_inbox.epoch FROM consent LEFT JOIN grant_inbox "
        "ON grant_inbox.pod_id = consent.pod_id AND grant_inbox.grant_id = consent.grant_id "
        "WHERE consent.pod_id = ? AND consent.state NOT IN ('erased', 'refused', 'requested')",
        (pod_id,),
    ):
        present = newest.get(("grant", grant))
        if present is None:
            continue  # its key is destroyed: an erasure is under way
        if present != epoch:
            tx.send("UPDATE consent SET epoch = ? WHERE pod_id = ? AND grant_id = ?", (present, pod_id, grant))
            changed = True
        if present != inbox_epoch:
            vault.keep_mark_key(GrantId(grant), present)
            inboxes.keep_inbox(tx, vault, GrantId(grant), present)
    if changed:
        _intend(tx, pod_id, host.clock.now())
    return changed


def _intend(tx: Transaction, pod_id: PodId, at: datetime) -> None:
    """Write down that history is to be sealed anew, and how much of it there is."""
    total = sum(_count(tx, pod_id, kind) for kind in _KINDS)
    tx.send(
        "INSERT INTO resealing (pod_id, began, total, done, finished) VALUES (?, ?, ?, 0, NULL) ON CONFLICT (pod_id) "
        "DO UPDATE SET began = excluded.began, total = excluded.total, done = 0, finished = NULL",
        (pod_id, microseconds(at), total),
    )


# Sealing anew


class _Kind(NamedTuple):
    """Rows of one table that lie under an epoch which is not in force any more.

    Attributes:
        table: Where.
        columns: What of a row is read, the key first.
        old: The condition for rows under an old epoch, with one `?` for the pod.
        order: Along which key.
        anew: Seals some rows anew and returns the statements that replace them.
    """

    table: str
    columns: str
    old: str
    order: str
    anew: Callable[[Vault, Transaction, PodId, Sequence[Row]], list[_Replacement]]


class _Replacement(NamedTuple):
    sql: str
    parameters: tuple[Any, ...]
    run: tuple[str, int, bytes] | None = None
    counts: bool = True


_OLD_OWN = "epoch < (SELECT own_epoch FROM pod WHERE pod.pod_id = {table}.pod_id)"
_OLD_OF_GRANT = (
    "epoch < (SELECT consent.epoch FROM consent WHERE consent.pod_id = {table}.pod_id "
    "AND consent.grant_id = {table}.grant_id AND consent.state <> 'erased')"
)
_OLD_FIGURES = "epoch < (SELECT figures_epoch FROM pod WHERE pod.pod_id = {table}.pod_id)"


def _own(tx: Transaction, pod_id: PodId) -> Scope:
    return key_epochs.own_scope(tx, pod_id)


def _households(vault: Vault, tx: Transaction, pod_id: PodId, rows: Sequence[Row]) -> list[_Replacement]:
    scope = _own(tx, pod_id)
    return [
        _Replacement(
            "UPDATE household SET epoch = ?, sealed = ? WHERE pod_id = ? AND version = ? AND epoch = ?",
            (
                scope.epoch,
                _again(vault, Scope("own", "", epoch), scope, Place("household", b"", version), sealed),
                pod_id,
                version,
                epoch,
            ),
        )
        for version, epoch, sealed in rows
    ]


def _proposals(vault: Vault, tx: Transaction, pod_id: PodId, rows: Sequence[Row]) -> list[_Replacement]:
    scope = _own(tx, pod_id)
    return [
        _Replacement(
            "UPDATE proposal SET epoch = ?, sealed = ? "
            "WHERE pod_id = ? AND proposal_id = ? AND version = ? AND epoch = ?",
            (
                scope.epoch,
                _again(
                    vault,
                    Scope("own", "", epoch),
                    scope,
                    Place("proposal", name.encode(), version),
                    sealed,
                    compress=True,
                ),
                pod_id,
                name,
                version,
                epoch,
            ),
        )
        for name, version, epoch, sealed in rows
    ]


def _proposal_figures(vault: Vault, tx: Transaction, pod_id: PodId, rows: Sequence[Row]) -> list[_Replacement]:
    scope = key_epochs.figures_scope(tx, pod_id)
    made = []
    for name, version, epoch, sealed in rows:
        place = proposals.figures_place(name, version)
        try:
            again = _again(vault, Scope("figures", "", epoch), scope, place, sealed, compress=True)
        except KeyErased:
            continue  # an erasure is under way
        made.append(
            _Replacement(
                "UPDATE proposal SET figures_epoch = ?, figures = ? "
                "WHERE pod_id = ? AND proposal_id = ? AND version = ? AND figures_epoch = ?",
                (scope.epoch, again, pod_id, name, version, epoch),
            )
        )
    return made


def _documents(vault: Vault, tx: Transaction, pod_id: PodId, rows: Sequence[Row]) -> list[_Replacement]:
    """Names are looked up by a hash under the scope's own key: a document gets new ones."""
    scope = _own(tx, pod_id)
    made = []
    for name_key, version, epoch, sealed_head, sealed_body in rows:
        old = Scope("own", "", epoch)
        path, head, body = documents.open_whole(
            tx, vault, documents.SealedAt(old, name_key, version), sealed_head, sealed_body
        )
        new_key = documents.name_key_of(vault, scope, path)
        made.append(
            _Replacement(
                "UPDATE document SET name_key = ?, parent_key = ?, epoch = ?, sealed_head = ?, sealed_body = ? "
                "WHERE pod_id = ? AND name_key = ? AND version = ? AND epoch = ?",
                (
                    new_key,
                    documents.parent_key_of(vault, scope, path),
                    scope.epoch,
                    vault.seal(scope, Place("document-head", new_key, version), head),
                    vault.seal(scope, Place("document", new_key, version), body, compress=True),
                    pod_id,
                    name_key,
                    version,
                    epoch,
                ),
            )
        )
        # The parts of a body that is whole again; they stay where the document was changed meanwhile, and so was not moved.
        made.append(
            _Replacement(
                "DELETE FROM document_part WHERE pod_id = ? AND name_key = ? AND NOT EXISTS (SELECT 1 FROM document "
                "WHERE document.pod_id = document_part.pod_id AND document.name_key = document_part.name_key)",
                (pod_id, name_key),
                counts=False,
            )
        )
    return made


def _figures(vault: Vault, tx: Transaction, pod_id: PodId, rows: Sequence[Row]) -> list[_Replacement]:
    scope = key_epochs.figures_scope(tx, pod_id)
    made = []
    for version, epoch, sealed in rows:
        place = Place("figures", b"", version)
        try:
            again = _again(vault, Scope("figures", "", epoch), scope, place, sealed, compress=True)
        except KeyErased:
            continue  # an erasure is under way; the twin makes the figures anew
        made.append(
            _Replacement(
                "UPDATE figures SET epoch = ?, sealed = ? WHERE pod_id = ? AND version = ? AND epoch = ?",
                (scope.epoch, again, pod_id, version, epoch),
            )
        )
    return made


def _partials(vault: Vault, tx: Transaction, pod_id: PodId, rows: Sequence[Row]) -> list[_Replacement]:
    made = []
    for grant, month, version, epoch, sealed in rows:
        scope = key_epochs.grant_scope(tx, pod_id, GrantId(grant))
        place = Place("partial", month.encode(), version)
        try:
            again = _again(vault, Scope("grant", grant, epoch), scope, place, sealed, compress=True)
        except KeyErased:
            continue
        made.append(
            _Replacement(
                "UPDATE partial SET epoch = ?, sealed = ? "
                "WHERE pod_id = ? AND grant_id = ? AND month = ? AND version = ? AND epoch = ?",
                (scope.epoch, again, pod_id, grant, month, version, epoch),
            )
        )
    return made


def _events(vault: Vault, tx: Transaction, pod_id: PodId, rows: Sequence[Row]) -> list[_Replacement]:
    made = []
    for seq, grant, epoch, sealed in rows:
        if grant:
            old, scope = Scope("grant", grant, epoch), key_epochs.grant_scope(tx, pod_id, GrantId(grant))
        else:
            old, scope = Scope("figures", "", epoch), key_epochs.figures_scope(tx, pod_id)
        try:
            again = _again(vault, old, scope, Place("twin-event", b"", seq), sealed, compress=True)
        except KeyErased:
            continue
        made.append(
            _Replacement(
                "UPDATE twin_event SET epoch = ?, sealed = ? WHERE pod_id = ? AND seq = ? AND epoch = ?",
                (scope.epoch, again, pod_id, seq, epoch),
            )
        )
    return made


def _pulls(vault: Vault, tx: Transaction, pod_id: PodId, rows: Sequence[Row]) -> list[_Replacement]:
    made = []
    for grant, version, epoch, sealed in rows:
        scope = key_epochs.grant_scope(tx, pod_id, GrantId(grant))
        try:
            again = _again(vault, Scope("grant", grant, epoch), scope, pulls.place(version), sealed)
        except KeyErased:
            continue
        made.append(
            _Replacement(
                "UPDATE pull SET epoch = ?, sealed = ? WHERE pod_id = ? AND grant_id = ? AND version = ? AND epoch = ?",
                (scope.epoch, again, pod_id, grant, version, epoch),
            )
        )
    return made


def _rectifications(vault: Vault, tx: Transaction, pod_id: PodId, rows: Sequence[Row]) -> list[_Replacement]:
    made = []
    for name, grant, version, epoch, sealed in rows:
        scope = key_epochs.grant_scope(tx, pod_id, GrantId(grant))
        at = rectifications.place(name, version)
        try:
            again = _again(vault, Scope("grant", grant, epoch), scope, at, sealed, compress=True)
        except KeyErased:
            continue
        made.append(
            _Replacement(
                "UPDATE rectification SET epoch = ?, sealed = ? "
                "WHERE pod_id = ? AND rectification_id = ? AND version = ? AND epoch = ?",
                (scope.epoch, again, pod_id, name, version, epoch),
            )
        )
    return made


def _calculations(vault: Vault, tx: Transaction, pod_id: PodId, rows: Sequence[Row]) -> list[_Replacement]:
    made = []
    figures = key_epochs.figures_scope(tx, pod_id)
    for name, grant, epoch, figures_epoch, sealed in rows:
        scope = key_epochs.grant_scope(tx, pod_id, GrantId(grant))
        old = Scope("grant", grant, epoch), Scope("figures", "", figures_epoch)
        try:
            content = calculations.unseal(vault, name, *old, bytes(sealed))
            again = calculations.seal(vault, name, scope, figures, content)
        except KeyErased:
            continue  # an erasure is under way
        made.append(
            _Replacement(
                "UPDATE calculation SET epoch = ?, figures_epoch = ?, sealed = ? "
                "WHERE pod_id = ? AND calculation_id = ? AND epoch = ? AND figures_epoch = ?",
                (scope.epoch, figures.epoch, again, pod_id, name, epoch, figures_epoch),
            )
        )
    return made


def _participations(vault: Vault, tx: Transaction, pod_id: PodId, rows: Sequence[Row]) -> list[_Replacement]:
    made = []
    for grant, version, epoch, sealed in rows:
        scope = key_epochs.grant_scope(tx, pod_id, GrantId(grant))
        at = participations.place(version)
        try:
            again = _again(vault, Scope("grant", grant, epoch), scope, at, sealed, compress=True)
        except KeyErased:
            continue
        made.append(
            _Replacement(
                "UPDATE participation SET epoch = ?, sealed = ? "
                "WHERE pod_id = ? AND grant_id = ? AND version = ? AND epoch = ?",
                (scope.epoch, again, pod_id, grant, version, epoch),
            )
        )
    return made


def _segments(vault: Vault, tx: Transaction, pod_id: PodId, rows: Sequence[Row]) -> list[_Replacement]:
    made = []
    for grant, ordinal, first_ordinal, epoch, records, sealed in rows:
        scope = key_epochs.grant_scope(tx, pod_id, GrantId(grant))
        try:
            body = vault.open(Scope("grant", grant, epoch), segment_place(ordinal, first_ordinal), sealed)
            again = seal_segment(vault, scope, ordinal, body, records=records, first_ordinal=first_ordinal)
        except KeyErased:
            continue
        made.append(
            _Replacement(
                "UPDATE segment SET epoch = ?, log_index = ?, sealed = ? "
                "WHERE pod_id = ? AND grant_id = ? AND first_ordinal = ? AND ordinal = ? AND epoch = ?",
                (scope.epoch, again, pod_id, grant, first_ordinal, ordinal, epoch),
                (grant, ordinal, again),
            )
        )
    return made


def _leaves(vault: Vault, tx: Transaction, pod_id: PodId, rows: Sequence[Row]) -> list[_Replacement]:
    epoch = ledger.load_tree(tx, pod_id).epoch
    leaves = [ledger.Leaf.of_row(row) for row in rows]
    return [
        _Replacement(
            "UPDATE log_leaf SET epoch = ?, sealed_hash = ?, sealed = ? "
            "WHERE pod_id = ? AND leaf_index = ? AND epoch = ?",
            (
                epoch,
                leaf.sealed_hash,
                ledger.reseal_leaf(vault, pod_id, leaf, epoch),
                pod_id,
                leaf.number,
                leaf.epoch,
            ),
        )
        for leaf in leaves
    ]


def _again(vault: Vault, old: Scope, new: Scope, place: Place, sealed: bytes, *, compress: bool = False) -> bytes:
    return vault.seal(new, place, vault.open(old, place, bytes(sealed)), compress=compress)


_KINDS = (
    _Kind("household", "version, epoch, sealed", _OLD_OWN, "version", _households),
    _Kind("proposal", "proposal_id, version, epoch, sealed", _OLD_OWN, "proposal_id", _proposals),
    _Kind(
        "proposal",
        "proposal_id, version, figures_epoch, figures",
        "figures IS NOT NULL AND proposal.figures_epoch < "
        "(SELECT pod.figures_epoch FROM pod WHERE pod.pod_id = {table}.pod_id)",
        "proposal_id",
        _proposal_figures,
    ),
    _Kind(
        "document",
        "name_key, version, epoch, sealed_head, sealed_body",
        f"scope = 'own' AND {_OLD_OWN}",
        "name_key",
        _documents,
    ),
    _Kind("figures", "version, epoch, sealed", _OLD_FIGURES, "version", _figures),
    _Kind("partial", "grant_id, month, version, epoch, sealed", _OLD_OF_GRANT, "grant_id, month", _partials),
    _Kind(
        "twin_event",
        "seq, grant_id, epoch, sealed",
        f"((grant_id = '' AND {_OLD_FIGURES}) OR (grant_id <> '' AND {_OLD_OF_GRANT}))",
        "seq",
        _events,
    ),
    _Kind(
        "rectification",
        "rectification_id, grant_id, version, epoch, sealed",
        _OLD_OF_GRANT,
        "rectification_id",
        _rectifications,
    ),
    _Kind(
        "calculation",
        "calculation_id, grant_id, epoch, figures_epoch, sealed",
        f"({_OLD_OF_GRANT} OR figures_{_OLD_FIGURES})",
        "calculation_id",
        _calculations,
    ),
    _Kind("participation", "grant_id, version, epoch, sealed", _OLD_OF_GRANT, "grant_id", _participations),
    _Kind("pull", "grant_id, version, epoch, sealed", _OLD_OF_GRANT, "grant_id", _pulls),
    _Kind(
        "segment",
        "grant_id, ordinal, first_ordinal, epoch, records, sealed",
        _OLD_OF_GRANT,
        "grant_id, ordinal",
        _segments,
    ),
    _Kind(
        "log_leaf",
        ledger.LEAF_COLUMNS,
        "epoch < (SELECT log_tree.epoch FROM log_tree WHERE log_tree.pod_id = log_leaf.pod_id)",
        "leaf_index",
        _leaves,
    ),
)


def _count(tx: Transaction, pod_id: PodId, kind: _Kind) -> int:
    row = tx.one(
        f"SELECT COUNT(*) FROM {kind.table} WHERE pod_id = ? AND {kind.old.format(table=kind.table)}", (pod_id,)
    )
    return 0 if row is None else int(row[0])


def _some(tx: Transaction, pod_id: PodId, kind: _Kind, after: tuple[Any, ...]) -> list[Row]:
    """The next rows under an old epoch; of segments, those of one block (log/ledger.py says why)."""
    names = kind.order.split(", ")
    columns = [name.strip() for name in kind.columns.split(",")]
    beyond = f" AND ({kind.order}) > ({', '.join('?' for _ in names)})" if after else ""
    rows = tx.all(
        f"SELECT {kind.columns} FROM {kind.table} WHERE pod_id = ? AND {kind.old.format(table=kind.table)}{beyond} "
        f"ORDER BY {kind.order} LIMIT ?",
        (pod_id, *after, _ROWS_AT_ONCE),
    )
    if kind.table == "segment" and rows:
        grant_at, ordinal_at = columns.index("grant_id"), columns.index("ordinal")
        first = (rows[0][grant_at], ledger.block_of(rows[0][ordinal_at]))
        rows = [row for row in rows if (row[grant_at], ledger.block_of(row[ordinal_at])) == first]
    return rows


def reseal(
    host: Host,
    vault: Vault,
    *,
    at_step: Callable[[Step], None] | None = None,
    rest: Callable[[float], None] = time.sleep,
) -> bool:
    """Go on sealing a pod's history anew until it is done; True when nothing is left (or nothing was asked for).

    Args:
        host: The host.
        vault: The pod's, open under its present root key.
        at_step: Called at each step of each transaction; for tests of crashes.
        rest: Waits so many seconds between transactions.

    Raises:
        StorageFull, StorageBusy: it stopped where it was; the next run goes on.
        PodLocked: the pod got new keys again, and this vault is of the old ones.
        Tampered: a row was changed at rest; the others of its table wait behind it.
    """
    tell = at_step or _ignore
    with host.storage.read() as tx:
        asked = progress(tx, vault.pod_id)
    if asked is None or asked.finished is not None:
        return True
    while True:
        moved = sum(_pass(host, vault, kind, tell, rest) for kind in _KINDS)
        if _finish(host, vault.pod_id):
            return True
        if moved == 0:
            return False  # what is left belongs to an erasure that is under way


def _pass(host: Host, vault: Vault, kind: _Kind, tell: Callable[[Step], None], rest: Callable[[float], None]) -> int:
    pod_id = vault.pod_id
    columns = [name.strip() for name in kind.columns.split(",")]
    key_at = [columns.index(name) for name in kind.order.split(", ")]
    after: tuple[Any, ...] = ()
    moved = 0
    while True:
        began = time.monotonic()
        with host.storage.read() as tx:
            rows = _some(tx, pod_id, kind, after)
            if not rows:
                return moved
            after = tuple(rows[-1][at] for at in key_at)
            replacements = kind.anew(vault, tx, pod_id, rows)
        tell("sealed")
        with host.storage.write() as tx:
            tell("begun")
            changed = _replace(host, tx, pod_id, replacements)
            tx.send("UPDATE resealing SET done = done + ? WHERE pod_id = ?", (changed, pod_id))
            tell("written")
        tell("committed")
        moved += changed
        rest(min((time.monotonic() - began) * _REST, _LONGEST_REST_SECONDS))


def _replace(host: Host, tx: Transaction, pod_id: PodId, replacements: Sequence[_Replacement]) -> int:
    changed = 0
    for run, group in groupby(replacements, key=lambda each: None if each.run is None else each.run[0]):
        members = list(group)
        if run is None:
            changed += sum(tx.execute(each.sql, each.parameters) * each.counts for each in members)
            continue
        pieces = [(each.run[1], each.run[2]) for each in members if each.run is not None]
        if not _all_there(tx, pod_id, run, members):
            continue  # erased meanwhile, or sealed anew by another session
        event = LogEvent(
            at=host.clock.now(),
            actor=HOST,
            action="reseal",
            grant=run,
            count=len(pieces),
            detail=run_detail(pieces),
        )
        leaf = ledger.append(tx, pod_id, event, random=secrets.token_bytes)
        for each in members:
            epoch, *others = each.parameters
            changed += tx.execute(each.sql, (epoch, leaf, *others))
    return changed


def _all_there(tx: Transaction, pod_id: PodId, grant: str, members: Sequence[_Replacement]) -> bool:
    expected = {each.parameters[-3:] for each in members}
    ordinals = [ordinal for _, ordinal, _ in expected]
    rows = tx.all(
        "SELECT first_ordinal, ordinal, epoch FROM segment WHERE pod_id = ? AND grant_id = ? AND ordinal BETWEEN ? AND ?",
        (pod_id, grant, min(ordinals), max(ordinals)),
    )
    return set(rows) == expected


def _finish(host: Host, pod_id: PodId) -> bool:
    """Write down that nothing is left under an old epoch, where that is so."""
    with host.storage.read() as tx:
        asked = progress(tx, pod_id)
        if asked is None or asked.finished is not None:
            return True
        if any(_count(tx, pod_id, kind) for kind in _KINDS):
            return False
    with host.storage.write() as tx:
        # Nobody writes under an old epoch, so none came since; but the pod may have got new keys once more.
        now = host.clock.now()
        done = tx.execute(
            "UPDATE resealing SET done = total, finished = ? WHERE pod_id = ? AND began = ? AND finished IS NULL",
            (microseconds(now), pod_id, microseconds(asked.began)),
        )
        if done:
            tx.send("UPDATE pod SET own_oldest_epoch = own_epoch WHERE pod_id = ?", (pod_id,))
            key_epochs.forget(tx)
            event = LogEvent(at=now, actor=HOST, action="reseal-finished", count=asked.total)
            ledger.append(tx, pod_id, event, random=secrets.token_bytes)
    host.signal.notify([pod_id])
    return bool(done)


def retire_due(host: Host, *, limit: int = 100) -> int:
    """Destroy the old epochs' keys of pods that were sealed anew so many days ago; how many keys. Needs no citizen.

    A pod for which something still waits that was sealed to an old inbox key keeps that key until it was merged. What is
    old is said by the database: where a crash came between new keys and their adoption, the key store is one epoch further,
    and everything still lies under the one before.
    """
    now = host.clock.now()
    with host.storage.read() as tx:
        due = tx.all(
            "SELECT pod_id FROM resealing WHERE finished IS NOT NULL AND finished <= ? LIMIT ?",
            (microseconds(now - KEPT_FOR), limit),
        )
        waiting = {
            pod_id: {
                Scope("grant", grant, epoch)
                for grant, epoch in tx.all(
                    "SELECT DISTINCT grant_id, epoch FROM pending_delivery WHERE pod_id = ?", (pod_id,)
                )
            }
            for (pod_id,) in due
        }
        # Of the same snapshot in which nothing was left under older epochs.
        in_force = {pod_id: key_epochs.in_force(tx, PodId(pod_id)) for (pod_id,) in due}
    destroyed = 0
    for (pod_id,) in due:
        keyring = host.key_store.keyring(PodId(pod_id))
        present = {(scope.kind, scope.grant): scope.epoch for scope in newest_scopes(keyring)}
        old = [
            scope
            for scope, wrapped in keyring.items()
            if wrapped is not None
            and scope.epoch < min(present.get(name := (scope.kind, scope.grant), 0), in_force[pod_id].get(name, 0))
        ]
        kept = waiting[pod_id].intersection(old)
        retired = host.key_store.destroy_scopes(PodId(pod_id), [scope for scope in old if scope not in kept])
        with host.storage.write() as tx:
            if not kept:
                tx.send("DELETE FROM resealing WHERE pod_id = ? AND finished IS NOT NULL", (pod_id,))
            if retired:
                event = LogEvent(at=now, actor=HOST, action="old-keys-destroyed", count=retired)
                ledger.append(tx, PodId(pod_id), event, random=secrets.token_bytes)
        destroyed += retired
    return destroyed


def _ignore(_: Step) -> None:
    """Nobody asked to be told."""
