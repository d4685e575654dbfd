"""What a calculation service of the citizen's own choosing answered: figures that are not the twin's, kept beside it.

One row a calculation, sealed twice: inside under the figures key, which ends when anybody whose data it was drawn from is
erased, and around that under the key of the service's own grant. So either erasure takes it along, from every copy. It is
never changed, only replaced by another one.

The content is compact JSON-LD whose context is known by reference (vocab/calculation.jsonld), so that it is RDF for every
reader and opaque here. Nothing in it is counted by the twin.
"""

from __future__ import annotations

import secrets
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pod_server import key_epochs
from pod_server.clock import microseconds, moment
from pod_server.errors import PermitExceeded
from pod_server.identifiers import GrantId, PodId
from pod_server.vault.envelope import Place, Scope
from pod_server.vault.errors import KeyErased

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from pod_server.opening import OpenPod
    from pod_server.storage.ports import Row, Transaction
    from pod_server.vault.vault import Vault

COLUMNS = "calculation_id, grant_id, created, epoch, figures_epoch, sealed"
MOST_KEPT = 120
"""Ten years of months; the oldest goes first."""


@dataclass(frozen=True)
class Calculation:
    """One answer.

    Attributes:
        calculation_id: Random.
        grant: The service's.
        created: City's time.
        content: JSON-LD, relative to the pod's root.
    """

    calculation_id: str
    grant: GrantId
    created: datetime
    content: bytes


def new_id() -> str:
    """A name that says nothing."""
    return f"c-{secrets.token_hex(12)}"


def keep(  # noqa: PLR0917 - called in one place
    tx: Transaction,
    open_pod: OpenPod,
    calculation_id: str,
    grant: GrantId,
    content: bytes,
    at: datetime,
    *,
    instead_of: Sequence[str] = (),
) -> None:
    """Write an answer, in the transaction that has read the grant's state again.

    Args:
        tx: The transaction.
        open_pod: Open under the owner's Permit.
        calculation_id: As `new_id` made it.
        grant: The service's.
        content: JSON-LD.
        at: City's time.
        instead_of: Earlier answers that it takes the place of.

    Raises:
        PermitExceeded: this is not the owner.
        KeyErased: an erasure is under way that would take it along.
    """
    if open_pod.permit.authority != "owner":
        raise PermitExceeded
    pod_id = open_pod.pod_id
    outer, inner = key_epochs.grant_scope(tx, pod_id, grant), key_epochs.figures_scope(tx, pod_id)
    if not open_pod.vault.has_scope(inner):
        open_pod.vault.create_scope(inner)
    sealed = seal(open_pod.vault, calculation_id, outer, inner, content)
    rows = tx.all("SELECT calculation_id FROM calculation WHERE pod_id = ? ORDER BY created", (pod_id,))
    for name in {*instead_of, *(row[0] for row in rows[: max(0, len(rows) - MOST_KEPT + 1)])}:
        tx.send("DELETE FROM calculation WHERE pod_id = ? AND calculation_id = ?", (pod_id, name))
    tx.send(
        "INSERT INTO calculation (pod_id, calculation_id, grant_id, created, epoch, figures_epoch, sealed) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        (pod_id, calculation_id, grant, microseconds(at), outer.epoch, inner.epoch, sealed),
    )


def listed(tx: Transaction, open_pod: OpenPod) -> list[Calculation]:
    """Every answer that is kept, the newest first.

    Raises:
        PermitExceeded: neither the owner nor a program of the owner's own that may read all the owner reads.
    """
    permit = open_pod.permit
    if permit.authority != "owner" and not (
        permit.authority in {"app", "script"} and permit.allows("control") and permit.allows("read")
    ):
        raise PermitExceeded
    rows = tx.all(
        f"SELECT {COLUMNS} FROM calculation WHERE pod_id = ? ORDER BY created DESC, calculation_id", (open_pod.pod_id,)
    )
    found = []
    for row in rows:
        with suppress(KeyErased):  # an erasure is under way
            found.append(_opened(open_pod.vault, row))
    return found


def forget_all(tx: Transaction, pod_id: PodId) -> None:
    """Let go of every answer of a pod: what they were drawn from is being erased. For an erasure, locked pod or not."""
    tx.send("DELETE FROM calculation WHERE pod_id = ?", (pod_id,))


def drop(tx: Transaction, open_pod: OpenPod, calculation_id: str) -> None:
    """The citizen throws one away.

    Raises:
        PermitExceeded: this is not the owner.
    """
    if open_pod.permit.authority != "owner":
        raise PermitExceeded
    tx.send("DELETE FROM calculation WHERE pod_id = ? AND calculation_id = ?", (open_pod.pod_id, calculation_id[:64]))


def seal(vault: Vault, calculation_id: str, outer: Scope, inner: Scope, content: bytes) -> bytes:
    """Both envelopes, the figures key's inside."""
    within = vault.seal(inner, inner_place(calculation_id), content, compress=True)
    return vault.seal(outer, outer_place(calculation_id), within)


def unseal(vault: Vault, calculation_id: str, outer: Scope, inner: Scope, sealed: bytes) -> bytes:
    """The content of both envelopes.

    Raises:
        KeyErased: one of the keys is destroyed.
    """
    return vault.open(inner, inner_place(calculation_id), vault.open(outer, outer_place(calculation_id), sealed))


def outer_place(calculation_id: str) -> Place:
    """Where the grant's envelope is sealed to."""
    return Place("calculation", calculation_id.encode(), 1)


def inner_place(calculation_id: str) -> Place:
    """Where the figures key's envelope is sealed to."""
    return Place("calculation-figures", calculation_id.encode(), 1)


def _opened(vault: Vault, row: Row) -> Calculation:
    name, grant, created, epoch, figures_epoch, sealed = row
    scopes = Scope("grant", grant, epoch), Scope("figures", "", figures_epoch)
    return Calculation(name, GrantId(grant), moment(created), unseal(vault, name, *scopes, bytes(sealed)))
