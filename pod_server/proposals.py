"""What the twin proposes and what became of it, each with a version to compare.

Two sealed values. What is proposed, and the answer, are the citizen's own. What it rests on (weights, days, whatever was
drawn from partners' data) lies apart under the figures key, which ends when a partner is erased: then the decision
stands, and nothing tells any more what it was decided on, in no copy of the data either.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from pod_server import feed, key_epochs
from pod_server.authorization import mandates
from pod_server.clock import microseconds, moment
from pod_server.errors import PermitExceeded, VersionMoved
from pod_server.vault.envelope import Place, Scope
from pod_server.vault.errors import KeyErased

if TYPE_CHECKING:
    from datetime import datetime

    from pod_server.identifiers import PodId
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
        body: JSON of the twin's own: what is proposed.
        figures: JSON of the twin's own: what it rests on; None where that was forgotten with a partner.
        lies_apart: False for one from before the two lay apart; saving it again mends that.
    """

    proposal_id: str
    state: str
    version: int
    created: datetime
    body: bytes
    figures: bytes | None = None
    lies_apart: bool = True

    @property
    def id(self) -> str:
        """The proposal's id."""
        return self.proposal_id


_COLUMNS = "proposal_id, version, created, epoch, sealed, figures_epoch, figures"


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
    figures: bytes | None = None,
    if_version: int | None = None,
) -> int:
    """Write a proposal; returns its new version.

    Args:
        tx: The transaction that also writes what follows from the new state (a mandate, an outgoing message).
        open_pod: Open under the owner's Permit or the twin's mandate.
        proposal_id: Random text, at most 64 characters.
        body: JSON, opaque here; nothing that was drawn from a partner's data.
        figures: JSON, opaque here: what was.
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
    figures_epoch, sealed_figures = _seal_figures(tx, open_pod, proposal_id, version, figures)
    tx.send(
        "INSERT INTO proposal (pod_id, proposal_id, version, created, epoch, sealed, figures_epoch, figures) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (pod_id, proposal_id) DO UPDATE SET "
        "version = excluded.version, epoch = excluded.epoch, sealed = excluded.sealed, "
        "figures_epoch = excluded.figures_epoch, figures = excluded.figures",
        (
            open_pod.pod_id,
            proposal_id,
            version,
            microseconds(at) if row is None else row[1],
            scope.epoch,
            sealed,
            figures_epoch,
            sealed_figures,
        ),
    )
    return version


def _seal_figures(
    tx: Transaction, open_pod: OpenPod, proposal_id: str, version: int, figures: bytes | None
) -> tuple[int, bytes | None]:
    """Under the figures key; without them where an erasure is under way, which would take them along."""
    if figures is None:
        return 0, None
    scope = key_epochs.figures_scope(tx, open_pod.pod_id)
    try:
        if not open_pod.vault.has_scope(scope):
            open_pod.vault.create_scope(scope)
        return scope.epoch, open_pod.vault.seal(scope, figures_place(proposal_id, version), figures, compress=True)
    except KeyErased:
        return 0, None


def figures_place(proposal_id: str, version: int) -> Place:
    """Where the figures of a proposal are sealed to."""
    return Place("proposal-figures", proposal_id.encode(), version)


def forget_figures(tx: Transaction, pod_id: PodId) -> None:
    """Let go of what every proposal of a pod rests on, and of the hashes of it that stand with the citizen's answers.

    For an erasure, locked pod or not. A proposal from before the figures lay apart goes wholly: nobody could part it.
    """
    tx.send("DELETE FROM proposal WHERE pod_id = ? AND figures_epoch IS NULL", (pod_id,))
    tx.send("UPDATE proposal SET figures_epoch = 0, figures = NULL WHERE pod_id = ?", (pod_id,))
    mandates.forget_what_about(tx, pod_id)


def load(tx: Transaction, open_pod: OpenPod, proposal_id: str) -> Proposal | None:
    """One proposal, or None."""
    _check(open_pod)
    row = tx.one(
        f"SELECT {_COLUMNS} FROM proposal WHERE pod_id = ? AND proposal_id = ?",
        (open_pod.pod_id, proposal_id),
    )
    return None if row is None else _proposal(open_pod, row)


def list_proposals(tx: Transaction, open_pod: OpenPod) -> list[Proposal]:
    """Every proposal, the newest first."""
    _check(open_pod)
    rows = tx.all(
        f"SELECT {_COLUMNS} FROM proposal WHERE pod_id = ? ORDER BY created DESC, proposal_id",
        (open_pod.pod_id,),
    )
    return [_proposal(open_pod, row) for row in rows]


def _proposal(open_pod: OpenPod, row: Row) -> Proposal:
    proposal_id, version, created, epoch, sealed, figures_epoch, sealed_figures = row
    opened = open_pod.vault.open(Scope("own", "", epoch), Place("proposal", proposal_id.encode(), version), sealed)
    content = msgspec.msgpack.decode(opened, type=_Content)
    figures = None
    if sealed_figures is not None:
        # A missing key is an erasure whose rows are not gone yet.
        with suppress(KeyErased):
            scope = Scope("figures", "", figures_epoch)
            figures = open_pod.vault.open(scope, figures_place(proposal_id, version), sealed_figures)
    return Proposal(
        proposal_id,
        content.state,
        version,
        moment(created),
        content.body,
        figures,
        lies_apart=figures_epoch is not None,
    )


def _check(open_pod: OpenPod) -> None:
    if open_pod.permit.authority not in {"owner", "mandate"}:
        raise PermitExceeded
