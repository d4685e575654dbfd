"""Who lives in a pod: the citizen's name, language, household and district, sealed in their own scope."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from pod_server import feed, key_epochs
from pod_server.errors import PermitExceeded, PodError
from pod_server.vault.envelope import Place, Scope

if TYPE_CHECKING:
    from datetime import datetime

    from pod_server.opening import OpenPod
    from pod_server.storage.ports import Transaction

_LARGEST_HOUSEHOLD = 30


@dataclass(frozen=True)
class Household:
    """The citizen's own facts.

    Attributes:
        name: As pages greet them.
        language: `nb`, `nn` or `en`.
        household_size: Persons among whom what the household uses is divided; 1 to 30.
        area: District code of vocab/areas.ttl, or "".
        dwelling: `flat`, `terraced`, `detached` or "".
    """

    name: str
    language: str = "nb"
    household_size: int = 1
    area: str = ""
    dwelling: str = ""

    def __post_init__(self) -> None:
        if not 1 <= self.household_size <= _LARGEST_HOUSEHOLD:
            message = f"a household has 1 to {_LARGEST_HOUSEHOLD} persons"
            raise ValueError(message)


def save(tx: Transaction, open_pod: OpenPod, household: Household, *, at: datetime, head: int | None = None) -> int:
    """Write the household down and wake the agent, which divides by its size; returns the new version.

    Whoever knows the feed's head gives it: 0 in the transaction that makes the pod.

    Raises:
        PermitExceeded: only the owner changes it.
    """
    if open_pod.permit.authority != "owner":
        raise PermitExceeded
    version = feed.note_change(tx, open_pod.pod_id, "household", at=at, head=head)
    scope = key_epochs.own_scope(tx, open_pod.pod_id)
    sealed = open_pod.vault.seal(scope, Place("household", b"", version), msgspec.json.encode(household))
    tx.send(
        "INSERT INTO household (pod_id, version, epoch, sealed) VALUES (?, ?, ?, ?) ON CONFLICT (pod_id) "
        "DO UPDATE SET version = excluded.version, epoch = excluded.epoch, sealed = excluded.sealed",
        (open_pod.pod_id, version, scope.epoch, sealed),
    )
    return version


def load(tx: Transaction, open_pod: OpenPod) -> Household:
    """The household as last saved.

    Raises:
        PermitExceeded: neither the owner nor the twin asks.
        PodError: the pod has none (every pod gets one at its creation).
    """
    if open_pod.permit.authority not in {"owner", "mandate", "release"}:
        raise PermitExceeded
    return _load(tx, open_pod)


def size_of(tx: Transaction, open_pod: OpenPod) -> int:
    """Among how many what is the household's is divided: for whoever reads all the activities anyway.

    Raises:
        PermitExceeded: somebody else asks.
        PodError: the pod has no household.
    """
    if not open_pod.permit.reads_as_owner:
        raise PermitExceeded
    return _load(tx, open_pod).household_size


def _load(tx: Transaction, open_pod: OpenPod) -> Household:
    row = tx.one("SELECT version, epoch, sealed FROM household WHERE pod_id = ?", (open_pod.pod_id,))
    if row is None:
        raise PodError("The pod has no household.")
    version, epoch, sealed = row
    opened = open_pod.vault.open(Scope("own", "", epoch), Place("household", b"", version), sealed)
    return msgspec.json.decode(opened, type=Household)
