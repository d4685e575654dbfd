"""A pod that moves comes in: the second step of move.py.

The file is read twice: once to its end before anything is made, and once to put it here. Its rows come in some at a time,
under an id that no pod has yet; what makes a pod of them is one transaction: the row in `pod`, the leaf that says where it
came from, the issuer in the profile, and the consents, paused or withdrawn. A crash before it leaves what `sweep` removes
a day later, or the next try; a crash after it leaves a pod that has arrived, whose statement a second call gives again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import IO, TYPE_CHECKING, Any

import msgspec
from pyoxigraph import NamedNode, Triple

from consent.grant import Grant, GrantState
from pod_server import consent_receipts, documents, grants, partners
from pod_server.authorization import enforcement, grant_rows
from pod_server.clock import microseconds, moment
from pod_server.errors import HandleMalformed
from pod_server.identifiers import Actor, Handle, PodId, WebId, parse_handle
from pod_server.log import ledger
from pod_server.log.errors import LogBroken
from pod_server.log.event import LogEvent
from pod_server.log.verification import verify_stored
from pod_server.opening import POD_COLUMNS, OpenPod, find_pod
from pod_server.partners import SELF
from pod_server.pods import check_free, forget_rows
from pod_server.representation import stored
from pod_server.resources.seed import CARD_PATH, WEBID_FRAGMENT
from pod_server.storage.errors import StorageDamaged, is_doubled
from pod_server.storage.schema_version import SCHEMA_VERSION, columns_of
from pod_server.transfer.errors import PodFileInvalid
from pod_server.transfer.move import (
    ARRIVAL_FORMAT,
    CARRIED,
    FORMAT,
    LARGEST_HEADER_BYTES,
    LARGEST_NOTICE,
    MAGIC,
    OF_THE_HOST,
    ROWS_AT_ONCE,
    from_text,
    key_names,
    to_text,
)
from pod_server.transfer.sealed_stream import Records
from pod_server.vault.envelope import Scope
from pod_server.vault.errors import Tampered
from pod_server.vault.moving import MovingSecret, MovingVault, open_root, read_moved, receive_vault
from pod_server.vault.slots import Slot

if TYPE_CHECKING:
    from pathlib import Path

    from pod_server.host import Host
    from pod_server.storage.binary_files import Draft
    from pod_server.storage.ports import Transaction
    from pod_server.vault.key_derivation import Passphrase
    from pod_server.vault.vault import Vault

UNFINISHED_FOR = timedelta(days=1)
"""How long an arrival may take; what is left of one that began before is of a process that ended."""

_ISSUER = NamedNode("http://www.w3.org/ns/solid/terms#oidcIssuer")


@dataclass(frozen=True)
class MovedIn:
    """A pod that has arrived.

    Attributes:
        webid: The citizen's name here.
        state: `open` or `locked`, as it was.
        documents: How many.
        log_entries: Of the log, which goes on.
        paused: Consents that wait for the citizen to let them go on.
        withdrawn: Consents that ended, because their partner is not known here.
        arrival: The statement for the host that the pod came from.
    """

    webid: WebId
    state: str
    documents: int
    log_entries: int
    paused: tuple[str, ...]
    withdrawn: tuple[str, ...]
    arrival: dict[str, Any]


def move_in(
    host: Host,
    source: Path,
    *,
    handle: str | None = None,
    passphrase: Passphrase | None = None,
    recovery_code: str | None = None,
    actor: Actor,
) -> MovedIn:
    """Take a pod in.

    Args:
        host: The host.
        source: The file.
        handle: The pod's here; the one it had where None.
        passphrase: The citizen's; or
        recovery_code: theirs.
        actor: Who does it, for the log.

    Raises:
        PodFileInvalid: the file is not whole, was changed, or comes from another version; nothing was made.
        WrongPassphrase, WrongRecoveryCode, RecoveryCodeMistyped, SignInBusy: about the way in; nothing was made.
        VaultExists: the pod is here, or was; nothing was made.
        HandleMalformed, HandleTaken: about the handle; nothing was made.
        StorageFull: there was no room; nothing was kept.
    """
    with source.open("rb") as file:
        header = _header(file)
        pod_id, slots = PodId(header.pod), header.slots
        root_key = open_root(pod_id, slots, passphrase=passphrase, recovery_code=recovery_code)
        begins = file.tell()
        try:
            # Read once to its end before anything is made: what is cut short or changed leaves nothing behind.
            wanted = _Wanted()
            for kind, value in Records(read_moved(pod_id, root_key, header.secret, file)):
                wanted.look(kind, value)
            wanted.check()
        except (Tampered, msgspec.MsgspecError) as error:
            raise PodFileInvalid("the file was changed, or cut short") from error
        about = wanted.about
        try:
            parsed = parse_handle(handle or str(about["handle"]))
        except ValueError as error:
            raise HandleMalformed(str(error)) from error
        with host.storage.read() as tx:
            here = tx.one("SELECT handle FROM pod WHERE pod_id = ?", (pod_id,))
            if here is None:
                _check_handle(tx, parsed, about)
            elif here[0] != parsed or not _came_from(tx, pod_id, about):
                raise PodFileInvalid("this pod is on this host already")
        if here is not None:
            if not host.key_store.slot_kinds(pod_id):
                raise PodFileInvalid("this pod is on this host, and its keys are not: remove it here, and try again")
            # It came before, and whoever brought it did not get the statement.
            return _arrived(host, pod_id, wanted)
        _clear(host, pod_id)  # what a crash left of an earlier try
        begun = _announce(host, pod_id)
        custodian = about["state"] == "open"
        try:
            vault = receive_vault(
                host.host_key, host.key_store, pod_id, root_key, MovingVault(slots, wanted.secrets), custodian=custodian
            )
        except Tampered as error:
            raise PodFileInvalid("the keys in the file are not those of its pod") from error
        file.seek(begins)
        arriving = _Arriving(host, pod_id, parsed, about)
        try:
            arriving.take(Records(read_moved(pod_id, root_key, header.secret, file)))
            with host.storage.read() as tx:
                verify_stored(tx, pod_id)
            with host.storage.write() as tx:
                _end_announcement(host, tx, pod_id, begun)
                arriving.put_pod(tx)
                _settle(host, tx, vault, about, known=arriving.known, actor=actor)
        except BaseException as error:
            with host.storage.read() as tx:
                is_ours = _is_announced(tx, pod_id, begun)
            if is_ours:
                _clear(host, pod_id)
            if _says_the_file_is_wrong(error):
                raise PodFileInvalid("the file holds what no pod has") from error
            raise
    consent_receipts.file_if_open(host, pod_id, vault)
    host.signal.notify([pod_id])
    return _arrived(host, pod_id, wanted)


def sweep(host: Host) -> int:
    """Remove what is left of pods that never arrived, because their process ended; how many there were."""
    before = microseconds(host.clock.protocol_now() - UNFINISHED_FOR)
    with host.storage.read() as tx:
        left = tx.all("SELECT pod_id FROM arriving_pod WHERE begun < ?", (before,))
    for (pod_id,) in left:
        _clear(host, PodId(pod_id))
    return len(left)


def _announce(host: Host, pod_id: PodId) -> int:
    """Say that a pod is arriving, before the first of its keys or rows is here; when that was."""
    begun = microseconds(host.clock.protocol_now())
    with host.storage.write() as tx:
        tx.send("INSERT INTO arriving_pod (pod_id, begun) VALUES (?, ?)", (pod_id, begun))
    return begun


def _is_announced(tx: Transaction, pod_id: PodId, begun: int) -> bool:
    return tx.one("SELECT 1 FROM arriving_pod WHERE pod_id = ? AND begun = ?", (pod_id, begun)) is not None


def _end_announcement(host: Host, tx: Transaction, pod_id: PodId, begun: int) -> None:
    """In the transaction that makes the pod: nobody else took its arrival for dead, or began it anew.

    Raises:
        PodFileInvalid: somebody did; what is there now is theirs.
    """
    if not _is_announced(tx, pod_id, begun) or not host.key_store.slot_kinds(pod_id):
        raise PodFileInvalid(
            "another command brought the same pod in meanwhile, or this one took over a day: look, and try again"
        )
    tx.send("DELETE FROM arriving_pod WHERE pod_id = ?", (pod_id,))


def _came_from(tx: Transaction, pod_id: PodId, about: dict[str, Any]) -> bool:
    """Whether the pod that is here is the file's: its log begins with the file's."""
    try:
        return ledger.tree_root_at(tx, pod_id, about["log"]["size"]) == bytes(about["log"]["root"])
    except IndexError:
        return False


def _check_handle(tx: Transaction, handle: Handle, about: dict[str, Any]) -> None:
    """Check that the pod may have the handle: a free one, or the one that it left for the host it now comes from."""
    row = tx.one("SELECT moved_to FROM retired_handle WHERE handle = ?", (handle,))
    if row is None or row[0] != f"{about['base_url']}/{about['handle']}/":
        check_free(tx, handle)


def _clear(host: Host, pod_id: PodId) -> None:
    """Nothing of a pod that did not arrive stays.

    The rows go first: were the keys destroyed and then a pod found whose commit had seemed to fail, it would be here and
    nobody could open it. The announcement goes last, so that what is left of a crash is found again.
    """
    with host.storage.write() as tx:
        forget_rows(tx, pod_id, but=frozenset({"arriving_pod"}))
    host.key_store.destroy_vault(pod_id)
    host.binaries.remove_pod(pod_id)
    with host.storage.write() as tx:
        tx.send("DELETE FROM arriving_pod WHERE pod_id = ?", (pod_id,))


def _says_the_file_is_wrong(error: BaseException) -> bool:
    """Whether what went wrong is what the file holds; both engines call a row that is there already by one name."""
    if isinstance(error, PodFileInvalid):
        return False
    return is_doubled(error) or isinstance(error, KeyError | TypeError | ValueError | LogBroken | StorageDamaged)


class _Header(msgspec.Struct, frozen=True):
    """What stands open at the file's beginning: enough for the citizen's passphrase to open the rest."""

    pod: int
    secret: bytes
    slots: list[Slot]


def _header(file: IO[bytes]) -> _Header:
    magic, length = file.read(4), int.from_bytes(file.read(4), "big")
    if magic != MAGIC or not 0 < length <= LARGEST_HEADER_BYTES:
        raise PodFileInvalid("the file is no pod that moves")
    try:
        members = json.loads(file.read(length))
        if members["format"] != FORMAT:
            raise PodFileInvalid(f"the file is not of the form {FORMAT}")
        if members["schema"] != SCHEMA_VERSION:
            raise PodFileInvalid(
                f"the file comes from schema {members['schema']}, and this host has {SCHEMA_VERSION}: bring both hosts to "
                "the same version first"
            )
        slots = [
            Slot(kind, parameters, from_text(salt), from_text(sealed))
            for kind, parameters, salt, sealed in members["slots"]
        ]
        pod_id = int(members["pod"])
        if not 0 <= pod_id < 1 << 63 or any(slot.kind not in {"passphrase", "recovery"} for slot in slots):
            raise PodFileInvalid("the file's beginning does not have its form")
        return _Header(pod_id, from_text(members["secret"]), slots)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        if isinstance(error, PodFileInvalid):
            raise
        raise PodFileInvalid("the file's beginning does not have its form") from error


class _Wanted:
    """What is learnt of a file by reading it to its end."""

    def __init__(self) -> None:
        self.about: dict[str, Any] = {}
        self.secrets: list[MovingSecret] = []
        self.documents = 0
        self.standing: set[str] = set()
        self._notices: set[str] = set()
        self._shown: set[str] = set()
        self._in_file = False
        self._ended: int | None = None

    def look(self, kind: str, value: Any) -> None:
        if self._ended is not None:
            raise PodFileInvalid("the file goes on after its end")
        if kind == "piece" and not self._in_file:
            raise PodFileInvalid("the file holds a piece of no document")
        self._in_file = kind in {"file", "piece"}
        if kind == "pod":
            self.about = value
        elif kind == "secret":
            self.secrets.append(MovingSecret(Scope(value[0], value[1], value[2]), value[3]))
        elif kind == "row":
            table, columns, row = value
            if table not in CARRIED or columns != [column.name for column in columns_of(table)]:
                raise PodFileInvalid("the file holds a row that no pod has")
            if len(row) != len(columns) or not all(
                column.takes(value) for column, value in zip(columns_of(table), row, strict=True)
            ):
                raise PodFileInvalid("the file holds a row that no pod has")
            self.documents += table == "document"
        elif kind == "end":
            self._ended = value
        elif kind == "notice":
            version, text = value
            if not isinstance(version, str) or not isinstance(text, str) or len(text) > LARGEST_NOTICE:
                raise PodFileInvalid("the file holds a text that nobody was shown")
            self._notices.add(hashlib.sha256(text.encode()).hexdigest())
        elif kind == "grant":
            terms = grant_rows.terms_from_json(value["terms"])
            self._shown.add(terms.notice_hash)
            if value["state"] in {GrantState.ACTIVE, GrantState.PAUSED} and terms.client_id != SELF.client_id:
                self.standing.add(str(value["id"]))
        elif kind == "receipt":
            self._shown.add(consent_receipts.notice_of(value[3]))
        elif kind not in {"file", "piece"}:
            raise PodFileInvalid("the file holds what no pod has")

    def check(self) -> None:
        members = {
            "base_url",
            "handle",
            "created",
            "state",
            "area",
            "log_public_key",
            "epochs",
            "log",
            "feed",
            "partners",
        }
        if self._ended != self.documents or members - set(self.about):
            raise PodFileInvalid("the file was cut short")
        if self._notices - self._shown:
            raise PodFileInvalid("the file holds a text that no consent of it names")


class _Arriving:
    """A pod's rows and files while they come in. Its row in `pod` comes last: before it nobody finds any of the rest."""

    def __init__(self, host: Host, pod_id: PodId, handle: Handle, about: dict[str, Any]) -> None:
        self._host = host
        self._pod_id = pod_id
        self._handle = handle
        self._about = about
        self._rows: list[tuple[str, list[Any]]] = []
        self._last: list[tuple[str, list[Any]]] = []
        self._grants: list[Grant] = []
        self._partners = [each for each in partners.list_partners(host) if each.is_admitted]
        self._draft: Draft | None = None

    @property
    def known(self) -> frozenset[str]:
        """The partners that are known here."""
        return frozenset(each.client_id for each in self._partners)

    def take(self, records: Iterable[tuple[str, Any]]) -> None:
        try:
            for kind, value in records:
                if kind != "piece":
                    self._end_file()
                if kind == "row":
                    # With its feed a pod is there for the agent.
                    rows = self._last if value[0] == "feed" else self._rows
                    rows.append((value[0], self._checked(*value)))
                elif kind == "grant":
                    self._grants.append(self._grant(value))
                elif kind == "receipt":
                    with self._host.storage.write() as tx:
                        consent_receipts.bring_in(self._host, tx, self._pod_id, value)
                elif kind == "notice":
                    consent_receipts.keep_notice(self._host, *value)
                elif kind == "file":
                    self._flush()
                    self._draft = self._host.binaries.create(self._pod_id, bytes(value))
                elif kind == "piece":
                    assert self._draft is not None, "read before: no piece without its file"
                    self._draft.write(value)
                if len(self._rows) >= ROWS_AT_ONCE:
                    self._flush()
            self._end_file()
            self._flush()
        finally:
            if self._draft is not None:
                self._draft.discard()

    def _checked(self, table: str, columns: list[str], row: list[Any]) -> list[Any]:
        """The row as it is put here: of this pod alone, and as this host decides where a host does."""
        if row[columns.index("pod_id")] != self._pod_id:
            raise PodFileInvalid("the file holds a row of another pod")
        for column, value in OF_THE_HOST.get(table, {}).items():
            row[columns.index(column)] = value
        return row

    def _flush(self) -> None:
        if not self._rows:
            return
        with self._host.storage.write() as tx:
            _insert(tx, self._rows)
        self._rows.clear()

    def _end_file(self) -> None:
        if self._draft is not None:
            self._draft.sync()
            self._draft.close()
            self._draft = None

    def _grant(self, members: dict[str, Any]) -> Grant:
        terms = grant_rows.terms_from_json(members["terms"])
        client = self._known_here(terms.client_id)
        return Grant(
            id=str(members["id"]),
            pod_id=self._pod_id,
            terms=replace(terms, client_id=client) if client else terms,
            state=GrantState(members["state"]),
            state_version=int(members["state_version"]),
            epoch=int(members["epoch"]),
            given_at=moment(members["given_at"]),
            changed_at=moment(members["changed_at"]),
        )

    def _known_here(self, client_id: str) -> str | None:
        """The partner's id here: the one that signs with one of the same keys."""
        there: list[str] = next(
            (each["keys"] for each in self._about["partners"] if each["client_id"] == client_id), []
        )
        return next((each.client_id for each in self._partners if set(there) & set(key_names(each))), None)

    def put_pod(self, tx: Transaction) -> None:
        """What makes a pod of the rows, in the caller's transaction."""
        about = self._about
        figures_epoch, own_epoch, own_oldest = about["epochs"]
        _check_handle(tx, self._handle, about)
        tx.send("DELETE FROM retired_handle WHERE handle = ?", (self._handle,))
        _insert(tx, self._last)
        for grant in self._grants:
            grant_rows.insert_grant(tx, self._host.host_key, grant)
        tx.send(
            f"INSERT INTO pod ({POD_COLUMNS}, figures_epoch, own_epoch, own_oldest_epoch) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                self._pod_id, self._handle, about["created"], about["state"], str(about["area"])[:20], 0,
                about["log_public_key"], figures_epoch, own_epoch, own_oldest,
            ),
        )  # fmt: skip


def _insert(tx: Transaction, rows: list[tuple[str, list[Any]]]) -> None:
    for table, row in rows:
        marks = ", ".join("?" * len(row))
        names = ", ".join(column.name for column in columns_of(table))
        tx.send(f"INSERT INTO {table} ({names}) VALUES ({marks})", row)


def _settle(
    host: Host, tx: Transaction, vault: Vault, about: dict[str, Any], *, known: frozenset[str], actor: Actor
) -> None:
    """What the pod's new address changes: the issuer in the profile, the consents; and the log tells where it came from."""
    pod_id = vault.pod_id
    opened = OpenPod(find_pod(tx, pod_id), enforcement.require_owner(vault, assisted=True), vault)
    log = about["log"]
    detail: dict[str, str | int] = {
        "from": str(log["origin"])[:200],
        "size": log["size"],
        "root": log["root"].hex(),
    }
    ledger.append(tx, pod_id, LogEvent(at=host.clock.now(), actor=actor, action="move-in", detail=detail))
    _name_issuer(host, tx, opened, str(about["base_url"]))
    for grant in grant_rows.grants_in_pod(tx, host.host_key, pod_id):
        stands = grant.state_at(host.clock.now()) in {GrantState.ACTIVE, GrantState.PAUSED}
        if stands and grant.terms.client_id != SELF.client_id:
            grants.settle_arrival(
                host, tx, pod_id, grant.id, partner_is_known=grant.terms.client_id in known, actor=actor
            )


def _arrived(host: Host, pod_id: PodId, wanted: _Wanted) -> MovedIn:
    """The pod as it has arrived, and the statement for the host that it came from."""
    log = wanted.about["log"]
    with host.storage.read() as tx:
        pod = find_pod(tx, pod_id)
        tree = ledger.load_tree(tx, pod_id)
        held = grant_rows.grants_in_pod(tx, host.host_key, pod_id)
        arrival = {
            "format": ARRIVAL_FORMAT,
            "root": pod.root(host.base_url),
            "webid": pod.webid(host.base_url),
            "left": {
                "origin": log["origin"],
                "size": log["size"],
                "root": to_text(log["root"]),
                "feed": wanted.about["feed"],
            },
            "checkpoint": ledger.checkpoint(tx, host, pod_id),
            "key": ledger.log_verifier_key(host, tree).encoded(),
            "consistency": [to_text(each) for each in ledger.prove_consistency(tx, pod_id, log["size"])],
        }
    stood = [grant for grant in held if grant.id in wanted.standing]
    return MovedIn(
        webid=pod.webid(host.base_url),
        state=pod.state,
        documents=wanted.documents,
        log_entries=tree.frontier.size,
        paused=tuple(grant.id for grant in stood if grant.state is GrantState.PAUSED),
        withdrawn=tuple(grant.id for grant in stood if grant.state is GrantState.WITHDRAWN),
        arrival=arrival,
    )


def _name_issuer(host: Host, tx: Transaction, opened: OpenPod, old_issuer: str) -> None:
    """The profile names the issuer whose tokens speak for the citizen: from now on this host."""
    card = documents.get(tx, opened, CARD_PATH)
    if card is None:
        return
    root = opened.pod.root(host.base_url)
    owner = NamedNode(root + CARD_PATH + WEBID_FRAGMENT)
    old = Triple(owner, _ISSUER, NamedNode(old_issuer))
    new = Triple(owner, _ISSUER, NamedNode(host.base_url))
    graph = stored.read(card.content, root)
    if old in graph.triples:
        graph = replace(graph, triples=tuple(new if triple == old else triple for triple in graph.triples))
        documents.put(
            tx, opened, CARD_PATH, card.media_type, stored.write(graph, root), public=card.public, at=card.modified
        )
