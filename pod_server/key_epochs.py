"""Which epoch of each key is in force: read inside the transaction that seals or looks something up.

A pod that gets new keys (vault/rotation.py) goes on under the next epoch at once; what was sealed before lies under older
epochs until it has been sealed anew (resealing.py), so that readers look under both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pod_server.vault.envelope import Scope

if TYPE_CHECKING:
    from pod_server.identifiers import GrantId, PodId
    from pod_server.storage.ports import Transaction


def own_scope(tx: Transaction, pod_id: PodId) -> Scope:
    """The citizen's own scope as it is sealed under now."""
    return own_scopes(tx, pod_id)[0]


def own_scopes(tx: Transaction, pod_id: PodId) -> list[Scope]:
    """Every epoch of the citizen's own scope under which something may still lie, the present one first."""
    scopes: list[Scope] | None = tx.memory.get(("own scopes", pod_id))
    if scopes is None:
        row = tx.one("SELECT own_epoch, own_oldest_epoch FROM pod WHERE pod_id = ?", (pod_id,))
        scopes = note_own_scopes(tx, pod_id, *((1, 1) if row is None else row))
    return scopes


def note_own_scopes(tx: Transaction, pod_id: PodId, present: int, oldest: int) -> list[Scope]:
    """What this transaction has read of a pod's row: the scopes are not asked for again."""
    scopes = [Scope("own", "", epoch) for epoch in range(present, min(oldest, present) - 1, -1)]
    tx.memory["own scopes", pod_id] = scopes
    return scopes


def forget(tx: Transaction) -> None:
    """To be told by whoever changes the epochs: names are looked up anew in what follows of this transaction."""
    tx.memory.clear()


def grant_scope(tx: Transaction, pod_id: PodId, grant: GrantId) -> Scope:
    """A grant's scope as it is sealed under now."""
    row = tx.one("SELECT epoch FROM consent WHERE pod_id = ? AND grant_id = ?", (pod_id, grant))
    return Scope("grant", grant, 1 if row is None else int(row[0]))


def figures_scope(tx: Transaction, pod_id: PodId) -> Scope:
    """The scope of figures across grants as it is sealed under now; it is made at its first use after an erasure."""
    row = tx.one("SELECT figures_epoch FROM pod WHERE pod_id = ?", (pod_id,))
    return Scope("figures", "", 1 if row is None else int(row[0]))


def in_force(tx: Transaction, pod_id: PodId) -> dict[tuple[str, str], int]:
    """The epoch of each scope, by kind and grant, that the database seals under; an erased grant has none.

    The key store may be one further: new keys are made there first, and a crash may come between the two.
    """
    row = tx.one(
        "SELECT pod.own_epoch, pod.figures_epoch, log_tree.epoch FROM pod JOIN log_tree ON log_tree.pod_id = pod.pod_id "
        "WHERE pod.pod_id = ?",
        (pod_id,),
    )
    if row is None:
        return {}
    found = dict(zip((("own", ""), ("figures", ""), ("log", "")), row, strict=True))
    for grant, epoch in tx.all("SELECT grant_id, epoch FROM consent WHERE pod_id = ? AND state <> 'erased'", (pod_id,)):
        found["grant", grant] = epoch
    return found
