"""Is everything in a pod what was written there? What is damaged, exchanged, put back from a copy or gone is named.

Three things are held against each other: each sealed value against its place (it opens at its own place alone), the
deliveries and documents against the log (which tells of each with its number or version), and the log against its own
tree. Nothing of what is opened leaves this module; names of documents do, to the citizen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pod_server import calculations, documents, participations, proposals, rectifications
from pod_server.activities import segment_place
from pod_server.log import ledger
from pod_server.log.errors import LogError
from pod_server.log.verification import verify_segments, verify_stored
from pod_server.vault.envelope import Place, Scope
from pod_server.vault.errors import KeyErased, Tampered

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pod_server.host import Host
    from pod_server.identifiers import PodId
    from pod_server.storage.ports import Transaction
    from pod_server.vault.vault import Vault

LOGGED_PATH = 200
"""Of a longer path the log tells the beginning alone; such documents are held against their place only."""

Kind = Literal["unreadable", "rolled-back", "came-back", "missing", "log"]
What = Literal[
    "delivery",
    "sum",
    "figures",
    "event",
    "proposal",
    "rectification",
    "calculation",
    "participation",
    "household",
    "document",
    "file",
    "log",
]


@dataclass(frozen=True)
class Damage:
    """One thing that is not what was written.

    Attributes:
        kind: `unreadable` (changed, cut short, or taken from another place), `rolled-back` (an older version was put
            back), `came-back` (it was deleted), `missing` (it was written and is not there), `log` (the log itself).
        what: What it is.
        where: Which one: a path, a consent's id and a delivery's number, a month, an entry of the log.
    """

    kind: Kind
    what: What
    where: str

    def __str__(self) -> str:
        """As the operator reads it."""
        return f"{self.what} {self.where}".strip() + f": {self.kind}"


@dataclass(frozen=True)
class Examined:
    """What an examination found.

    Attributes:
        objects: How many sealed values were looked at.
        damages: What is not what was written.
    """

    objects: int
    damages: tuple[Damage, ...]


def examine(host: Host, vault: Vault, pod_id: PodId) -> Examined:
    """Look at everything of a pod, in one snapshot.

    Args:
        host: The host.
        vault: The pod's, open.
        pod_id: Whose.

    Raises:
        PodLocked: the vault is not open.
    """
    damages: list[Damage] = []
    with host.storage.read() as tx:
        objects = 0
        for what, where, scope, place, sealed in _sealed_values(tx, pod_id):
            objects += 1
            try:
                vault.open(scope, place, sealed)
            except KeyErased:
                continue  # an erasure destroyed the key and has not deleted the row yet
            except Tampered:
                damages.append(Damage("unreadable", what, where))
        versions, broken = _open_documents(tx, vault, pod_id)
        objects += len(versions) + len(broken)
        damages += broken
        damages += _files(host, tx, pod_id)
        log = _log(tx, vault, pod_id)
        damages += log
        if not log:
            # An older version is told from a newer one by the log alone.
            damages += _against_the_log(tx, vault, pod_id, versions, {damage.where for damage in damages})
    return Examined(objects, tuple(damages))


def _sealed_values(tx: Transaction, pod_id: PodId) -> Iterator[tuple[What, str, Scope, Place, bytes]]:
    """Every sealed value that is known by its row alone, with its place."""
    mine = (pod_id,)
    for grant, ordinal, first, epoch, sealed in tx.all(
        "SELECT grant_id, ordinal, first_ordinal, epoch, sealed FROM segment WHERE pod_id = ?", mine
    ):
        where = f"{grant} {first}-{ordinal}" if first else f"{grant} {ordinal}"
        yield "delivery", where, Scope("grant", grant, epoch), segment_place(ordinal, first), bytes(sealed)
    for grant, month, version, epoch, sealed in tx.all(
        "SELECT grant_id, month, version, epoch, sealed FROM partial WHERE pod_id = ?", mine
    ):
        place = Place("partial", month.encode(), version)
        yield "sum", f"{grant} {month}", Scope("grant", grant, epoch), place, bytes(sealed)
    for version, epoch, sealed in tx.all("SELECT version, epoch, sealed FROM figures WHERE pod_id = ?", mine):
        yield "figures", "", Scope("figures", "", epoch), Place("figures", b"", version), bytes(sealed)
    for seq, grant, epoch, sealed in tx.all(
        "SELECT seq, grant_id, epoch, sealed FROM twin_event WHERE pod_id = ?", mine
    ):
        scope = Scope("grant", grant, epoch) if grant else Scope("figures", "", epoch)
        yield "event", str(seq), scope, Place("twin-event", b"", seq), bytes(sealed)
    for name, version, epoch, sealed in tx.all(
        "SELECT proposal_id, version, epoch, sealed FROM proposal WHERE pod_id = ?", mine
    ):
        place = Place("proposal", name.encode(), version)
        yield "proposal", name, Scope("own", "", epoch), place, bytes(sealed)
    for name, version, epoch, sealed in tx.all(
        "SELECT proposal_id, version, figures_epoch, figures FROM proposal WHERE pod_id = ? AND figures IS NOT NULL",
        mine,
    ):
        yield "proposal", name, Scope("figures", "", epoch), proposals.figures_place(name, version), bytes(sealed)
    for name, grant, version, epoch, sealed in tx.all(
        "SELECT rectification_id, grant_id, version, epoch, sealed FROM rectification WHERE pod_id = ?", mine
    ):
        yield "rectification", name, Scope("grant", grant, epoch), rectifications.place(name, version), bytes(sealed)
    for name, grant, epoch, sealed in tx.all(
        "SELECT calculation_id, grant_id, epoch, sealed FROM calculation WHERE pod_id = ?", mine
    ):
        # The outer envelope covers every byte of the inner one.
        yield "calculation", name, Scope("grant", grant, epoch), calculations.outer_place(name), bytes(sealed)
    for grant, version, epoch, sealed in tx.all(
        "SELECT grant_id, version, epoch, sealed FROM participation WHERE pod_id = ?", mine
    ):
        yield "participation", grant, Scope("grant", grant, epoch), participations.place(version), bytes(sealed)
    for version, epoch, sealed in tx.all("SELECT version, epoch, sealed FROM household WHERE pod_id = ?", mine):
        yield "household", "", Scope("own", "", epoch), Place("household", b"", version), bytes(sealed)


def _open_documents(tx: Transaction, vault: Vault, pod_id: PodId) -> tuple[dict[str, int], list[Damage]]:
    """The version of each document that opens, by path; and those that do not, by the hash of their name."""
    versions, broken = {}, []
    for name_key, scope_name, version, epoch, head, body in tx.all(
        "SELECT name_key, scope, version, epoch, sealed_head, sealed_body FROM document WHERE pod_id = ?", (pod_id,)
    ):
        scope = Scope("public") if scope_name == "public" else Scope("own", "", epoch)
        at = documents.SealedAt(scope, bytes(name_key), version)
        try:
            path, _, _ = documents.open_whole(tx, vault, at, bytes(head), bytes(body))
        except (Tampered, KeyErased):
            named = _path_of(vault, scope, at, bytes(head))
            broken.append(Damage("unreadable", "document", named or f"({bytes(name_key).hex()})"))
        else:
            if documents.name_key_of(vault, scope, path) != bytes(name_key):
                broken.append(Damage("unreadable", "document", path))
            versions[path] = version
    return versions, broken


def _path_of(vault: Vault, scope: Scope, at: documents.SealedAt, head: bytes) -> str | None:
    """The path of a document whose body is damaged and whose head is not."""
    try:
        return documents.path_in_head(vault.open(scope, Place("document-head", at.name_key, at.version), head))
    except (Tampered, KeyErased):
        return None


def _files(host: Host, tx: Transaction, pod_id: PodId) -> list[Damage]:
    """Large binaries whose file is gone; that a file is whole shows when it is read, chunk by chunk."""
    damages = []
    for (name,) in tx.all("SELECT binary_name FROM document WHERE pod_id = ? AND binary_name IS NOT NULL", (pod_id,)):
        path: Path = host.binaries.path(pod_id, bytes(name))
        if not path.is_file():
            damages.append(Damage("missing", "file", bytes(name).hex()))
    return damages


def _log(tx: Transaction, vault: Vault, pod_id: PodId) -> list[Damage]:
    try:
        verify_stored(tx, pod_id)
        for _ in ledger.all_events(tx, vault, pod_id):
            pass
    except LogError as error:
        return [Damage("log", "log", str(error))]
    return []


def _against_the_log(
    tx: Transaction, vault: Vault, pod_id: PodId, versions: dict[str, int], known: set[str]
) -> list[Damage]:
    damages = []
    try:
        verify_segments(tx, vault, pod_id)
    except LogError as error:
        damages.append(Damage("rolled-back", "delivery", str(error)))
    written: dict[str, tuple[int, int]] = {}
    deleted: dict[str, int] = {}
    for entry in ledger.all_events(tx, vault, pod_id):  # the newest first
        path = str(entry.event.detail.get("path", ""))
        if len(path) >= LOGGED_PATH or entry.event.outcome == "refused":
            continue
        if entry.event.action == "delete-document":
            deleted.setdefault(path, entry.index)
        elif entry.event.action == "write-document" and "version" in entry.event.detail:
            written.setdefault(path, (entry.index, int(entry.event.detail["version"])))
    for path, (index, version) in sorted(written.items()):
        stored = versions.get(path)
        # A document's access rules and description go with it.
        subject = path.removesuffix(".acl").removesuffix(".meta")
        if max(deleted.get(path, -1), deleted.get(subject, -1)) > index:
            # Whatever the host itself wrote there since has a later version; no version is ever used twice.
            if stored is not None and stored <= version:
                damages.append(Damage("came-back", "document", path))
        elif stored is None and path not in known:
            damages.append(Damage("missing", "document", path))
        elif stored is not None and stored < version:
            damages.append(Damage("rolled-back", "document", path))
    return damages
