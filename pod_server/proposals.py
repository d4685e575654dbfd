"""What the twin proposes and what became of it: sealed in the citizen's own scope, each with a version to compare."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from pod_server import feed, key_epochs
from pod_server.clock import microseconds, moment
from pod_server.errors import PermitExceeded, VersionMoved
from pod_server.vault.envelope import Place, Scope

if TYPE_CHECKING:
    from datetime import datetime

    from pod_server.opening import OpenPod
    from pod_server.storage.ports import Row, Transaction


@dataclass(frozen=True)
class Proposal:
    """One proposal.

    Attributes:
        proposal_id: Random; it says nothing of what is proposed.
        state: The twin's own word: `open`, `approved`, `declined`, `sent`, …
        version: Of the last change, to compare when saving.
        created: City's time.
        body: JSON of the twin's own.
    """

    proposal_id: str
    state: str
    version: int
    created: datetime
    body: bytes

    @property
    def id(self) -> str:
        """The proposal's id."""
        return self.proposal_id


class _Content(msgspec.Struct, frozen=True, array_like=True):
    state: str
    body: bytes


def save(
    tx: Transaction,
    open_pod: OpenPod,
    proposal_id: str,
    body: bytes,
    *,
    state: str,
    at: datetime,
    if_version: int | None = None,
) -> int:
    """Write a proposal; returns its new version.

    Args:
        tx: The transaction that also writes what follows from the new state (a mandate, an outgoing message).
        open_pod: Open under the owner's Permit or the twin's mandate.
        proposal_id: Random text, at most 64 characters.
        body: JSON, opaque here.
        state: The new state.
        at: City's time.
        if_version: The version that was read; None for a new proposal.

    Raises:
        VersionMoved: it is not at `if_version` any more, or is there already: somebody else decided meanwhile.
        PermitExceeded: neither the owner nor the twin.
    """
    _check(open_pod)
    row = tx.one(
        "SELECT version, created FROM proposal WHERE pod_id = ? AND proposal_id = ?", (open_pod.pod_id, proposal_id)
    )
    if (None if row is None else row[0]) != if_version:
        raise VersionMoved
    version = feed.note_change(tx, open_pod.pod_id, "proposal", at=at)
    content = msgspec.msgpack.encode(_Content(state, body))
    scope = key_epochs.own_scope(tx, open_pod.pod_id)
    sealed = open_pod.vault.seal(scope, Place("proposal", proposal_id.encode(), version), content, compress=True)
    tx.send(
        "INSERT INTO proposal (pod_id, proposal_id, version, created, epoch, sealed) VALUES (?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (pod_id, proposal_id) DO UPDATE SET "
        "version = excluded.version, epoch = excluded.epoch, sealed = excluded.sealed",
        (open_pod.pod_id, proposal_id, version, microseconds(at) if row is None else row[1], scope.epoch, sealed),
    )
    return version


def load(tx: Transaction, open_pod: OpenPod, proposal_id: str) -> Proposal | None:
    """One proposal, or None."""
    _check(open_pod)
    row = tx.one(
        "SELECT proposal_id, version, created, epoch, sealed FROM proposal WHERE pod_id = ? AND proposal_id = ?",
        (open_pod.pod_id, proposal_id),
    )
    return None if row is None else _proposal(open_pod, row)


def list_proposals(tx: Transaction, open_pod: OpenPod) -> list[Proposal]:
    """Every proposal, the newest first."""
    _check(open_pod)
    rows = tx.all(
        "SELECT proposal_id, version, created, epoch, sealed FROM proposal WHERE pod_id = ? ORDER BY created DESC, proposal_id",
        (open_pod.pod_id,),
    )
    return [_proposal(open_pod, row) for row in rows]


def _proposal(open_pod: OpenPod, row: Row) -> Proposal:
    proposal_id, version, created, epoch, sealed = row
    opened = open_pod.vault.open(Scope("own", "", epoch), Place("proposal", proposal_id.encode(), version), sealed)
    content = msgspec.msgpack.decode(opened, type=_Content)
    return Proposal(proposal_id, content.state, version, moment(created), content.body)


def _check(open_pod: OpenPod) -> None:
    if open_pod.permit.authority not in {"owner", "mandate"}:
        raise PermitExceeded
