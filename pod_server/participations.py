"""In which challenges a citizen takes part, under a name made for that one alone.

One row a challenge, by the consent that it is joined under, and sealed under that consent's key: an erasure takes it along.
What was told there is not kept; when it was, is.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pod_server import key_epochs
from pod_server.errors import PermitExceeded
from pod_server.identifiers import GrantId
from pod_server.vault.envelope import Place, Scope
from pod_server.vault.errors import KeyErased

if TYPE_CHECKING:
    from pod_server.opening import OpenPod
    from pod_server.storage.ports import Transaction

PLACE = "participation"


@dataclass(frozen=True)
class Participation:
    """One challenge.

    Attributes:
        grant: The consent.
        version: Of the last change.
        content: JSON of the bridge's own.
    """

    grant: GrantId
    version: int
    content: bytes


def place(version: int) -> Place:
    """Where a row is sealed to; its consent stands in the scope."""
    return Place(PLACE, b"", version)


def save(tx: Transaction, open_pod: OpenPod, grant: GrantId, content: bytes) -> None:
    """Write a participation, or its next version.

    Raises:
        PermitExceeded: this is not the owner.
        KeyErased: the consent was erased.
    """
    _owner_only(open_pod)
    pod_id = open_pod.pod_id
    row = tx.one("SELECT version FROM participation WHERE pod_id = ? AND grant_id = ?", (pod_id, grant))
    version = 1 if row is None else row[0] + 1
    scope = key_epochs.grant_scope(tx, pod_id, grant)
    tx.send(
        "INSERT INTO participation (pod_id, grant_id, version, epoch, sealed) VALUES (?, ?, ?, ?, ?) "
        "ON CONFLICT (pod_id, grant_id) DO UPDATE SET "
        "version = excluded.version, epoch = excluded.epoch, sealed = excluded.sealed",
        (pod_id, grant, version, scope.epoch, open_pod.vault.seal(scope, place(version), content, compress=True)),
    )


def listed(tx: Transaction, open_pod: OpenPod) -> list[Participation]:
    """Every challenge that the citizen takes part in, or left and could not tell so yet.

    Raises:
        PermitExceeded: this is not the owner.
    """
    _owner_only(open_pod)
    found = []
    for grant, version, epoch, sealed in tx.all(
        "SELECT grant_id, version, epoch, sealed FROM participation WHERE pod_id = ? ORDER BY grant_id",
        (open_pod.pod_id,),
    ):
        with suppress(KeyErased):  # an erasure is under way
            content = open_pod.vault.open(Scope("grant", grant, epoch), place(version), bytes(sealed))
            found.append(Participation(GrantId(grant), version, content))
    return found


def forget(tx: Transaction, open_pod: OpenPod, grant: GrantId) -> None:
    """The challenge was left, and its service was told.

    Raises:
        PermitExceeded: this is not the owner.
    """
    _owner_only(open_pod)
    tx.send("DELETE FROM participation WHERE pod_id = ? AND grant_id = ?", (open_pod.pod_id, grant))


def _owner_only(open_pod: OpenPod) -> None:
    if open_pod.permit.authority != "owner":
        raise PermitExceeded
