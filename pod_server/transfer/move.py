"""A whole pod moves to another host: everything as it lies sealed, its keys and its log, under the citizen's own ways in.

    1. `move_out`   here: one sealed file; the log says so, and that leaf travels along
    2. `move_in`    there: the same pod under the same keys at a new address; its log goes on, and says where it came from
    3. `move_away`  here again, against the other host's statement of arrival: addresses here lead there from now on,
                    the keys here are destroyed, the rows follow

The file is opened by the citizen's passphrase or recovery code and by nothing else: not by this host's key. The statement
of step 2 proves (RFC 9162, section 2.1.4) that the log there begins with every leaf of the log here, and says how far the
pod had come; where anything was written here since, step 3 refuses, so that nothing is lost. IRIs inside the pod are kept
relative to its root, so documents move without a byte changing, but for the issuer in the profile.

A consent is given to be served by one host. Each that stood arrives **paused** where the other host knows the partner by
one of the same signing keys: the citizen lets it go on with one click, and the partner's own id of it stays. Where the
partner is not known there, and for research releases, it arrives **withdrawn**. What was delivered stays the citizen's
either way, erasable as before. Here the partners are told that the consent ended, and not where the citizen went.
Sessions, passkeys, apps, scripts and subscriptions belong to a host's own address and stay behind.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec
from pyoxigraph import NamedNode, Triple

from consent.grant import Grant, GrantState
from pod_server import binaries, consent_receipts, documents, grants, partners
from pod_server.authorization import enforcement, grant_rows
from pod_server.clock import microseconds, moment
from pod_server.errors import HandleMalformed, PermitExceeded
from pod_server.identifiers import Actor, ClientId, Handle, PodId, WebId, parse_handle
from pod_server.log import ledger
from pod_server.log.checkpoint import VerifierKey, verify_checkpoint
from pod_server.log.errors import LogBroken
from pod_server.log.event import LogEvent
from pod_server.log.tree import verify_consistency
from pod_server.log.verification import verify_stored
from pod_server.opening import POD_COLUMNS, OpenPod, find_pod
from pod_server.partners import SELF
from pod_server.pods import check_free
from pod_server.removal import remove_citizen
from pod_server.representation import stored
from pod_server.resources.seed import CARD_PATH, WEBID_FRAGMENT
from pod_server.signatures import thumbprint
from pod_server.storage.errors import StorageDamaged
from pod_server.storage.schema_version import SCHEMA_VERSION, columns_of, tables_of_pods
from pod_server.transfer.errors import ArrivalRefused, PodFileInvalid
from pod_server.transfer.sealed_stream import Records, write_record
from pod_server.vault.envelope import Scope
from pod_server.vault.errors import Tampered
from pod_server.vault.moving import (
    MoveWriter,
    MovingSecret,
    MovingVault,
    open_root,
    read_moved,
    receive_vault,
    secrets_to_move,
    slots_to_move,
)
from pod_server.vault.slots import Slot

if TYPE_CHECKING:
    from pathlib import Path

    from pod_server.host import Host
    from pod_server.opening import Pod
    from pod_server.partners import Partner
    from pod_server.storage.binary_files import Draft
    from pod_server.storage.ports import Transaction
    from pod_server.vault.key_derivation import Passphrase
    from pod_server.vault.vault import Vault

FORMAT = "tvilling-move-1"
ARRIVAL_FORMAT = "tvilling-arrival-1"
_MAGIC = b"TVM\x01"
_LARGEST_HEADER_BYTES = 64 * 1024
_ROWS_AT_ONCE = 200
_ISSUER = NamedNode("http://www.w3.org/ns/solid/terms#oidcIssuer")

CARRIED: Mapping[str, str] = {
    "consent_event": "grant_id, sequence",
    "consent_reminder": "grant_id",
    "consent_use": "grant_id, day",
    "document": "name_key",
    "document_part": "name_key, version",
    "feed": "pod_id",
    "feed_change": "seq",
    "figures": "pod_id",
    "grant_inbox": "grant_id",
    "household": "pod_id",
    "log_leaf": "leaf_index",
    "log_tree": "pod_id",
    "mandate": "mandate_id",
    "partial": "grant_id, month",
    "pending_delivery": "arrival",
    "proposal": "proposal_id",
    "resealing": "pod_id",
    "sealed_delivery": "grant_id, sequence",
    "segment": "seq",
    "storage_use": "pod_id",
    "twin_event": "seq",
    "twin_event_counter": "pod_id",
    "unsettled_pod": "pod_id",
}
"""Tables whose rows go along as they are, and the order they are read in."""

TRANSLATED = frozenset({"pod", "consent", "grant_route", "consent_receipt"})
"""Tables that say something of the host too: of these the contents go along."""

LEFT_BEHIND = frozenset(
    {
        "app_code", "app_connection", "app_refresh_token", "authorization_code", "live_ticket", "log_cosignature", "outbox",
        "passkey", "refresh_token", "script_credential", "session", "sign_in_link", "upload", "upstream_link",
        "webhook_channel",
    }
)  # fmt: skip
"""Tables of what holds at one host's address alone, or is under way there."""

_OF_THE_HOST: dict[str, dict[str, Any]] = {
    "storage_use": {"allowed_bytes": None},
    "feed": {"claimed_by": "", "claimed_until": 0},
}
"""Columns that a host decides; what a pod arrives with."""


@dataclass(frozen=True)
class MovedOut:
    """What a file for moving holds."""

    documents: int
    binaries: int
    grants: int
    log_entries: int


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


@dataclass(frozen=True)
class MovedAway:
    """A pod whose addresses lead elsewhere.

    Attributes:
        root: Where.
        told: How many partners are told that their consent ended here.
        receipt: The signed receipt of the removal here (removal.py).
    """

    root: str
    told: int
    receipt: str


# 1. Out


def move_out(host: Host, opened: OpenPod, target: Path) -> MovedOut:
    """Write the file.

    Args:
        host: The host.
        opened: The pod, under its owner's Permit and with its vault open.
        target: A new file.

    Raises:
        PermitExceeded: somebody else's Permit.
        PodFileInvalid: the target is there already, or something is under way that cannot be interrupted.
        Tampered, LogBroken: something was changed at rest.
    """
    if opened.permit.authority != "owner":
        raise PermitExceeded
    if target.exists():
        raise PodFileInvalid(f"{target} is there already; name another file")
    slots = slots_to_move(host.key_store, opened.pod_id)
    if not slots:
        raise PodFileInvalid("the pod has neither a passphrase nor a recovery code by which another host could open it")
    with host.storage.write() as tx:
        at = host.clock.now()
        ledger.append(tx, opened.pod_id, LogEvent(at=at, actor=opened.permit.actor, action="move-out"))
    draft = target.with_name(f".{target.name}.draft")
    draft.unlink(missing_ok=True)
    try:
        with os.fdopen(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600), "w+b") as file:
            writer = MoveWriter(opened.vault, file)
            header = {
                "format": FORMAT,
                "schema": SCHEMA_VERSION,
                "pod": opened.pod_id,
                "secret": _text(writer.sealed_secret),
                "slots": [[slot.kind, slot.parameters, _text(slot.salt), _text(slot.sealed)] for slot in slots],
            }
            encoded = json.dumps(header).encode()
            file.write(_MAGIC + len(encoded).to_bytes(4, "big") + encoded)
            writer.begin()
            counts = _write_pod(host, opened, writer)
            writer.finish()
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, target)  # never over a file that came meanwhile
    finally:
        draft.unlink(missing_ok=True)
    return counts


def _write_pod(host: Host, opened: OpenPod, writer: MoveWriter) -> MovedOut:
    pod_id = opened.pod_id
    # No file is removed while they are copied; what the snapshot names is there.
    with host.binaries.keep():
        with host.storage.read() as tx:
            if tx.one("SELECT 1 FROM consent WHERE pod_id = ? AND erasure_pending = 1", (pod_id,)):
                raise PodFileInvalid("an erasure is under way; it must be finished first")
            tree = ledger.load_tree(tx, pod_id)
            held = grant_rows.grants_in_pod(tx, host.host_key, pod_id)
            write_record(writer, "pod", _about(host, tx, opened, tree, held))
            for each in secrets_to_move(host.host_key, host.key_store, pod_id):
                write_record(writer, "secret", [each.scope.kind, each.scope.grant, each.scope.epoch, each.secret])
            for grant in held:
                write_record(writer, "grant", _grant_members(grant))
            for grant_id, sequence, filed, receipt in consent_receipts.all_of_pod(host, tx, pod_id):
                write_record(writer, "receipt", [grant_id, sequence, filed, receipt])
            rows = 0
            for table, order in CARRIED.items():
                columns = [column.name for column in columns_of(table)]
                for row in _rows(tx, pod_id, table, columns, order):
                    write_record(writer, "row", [table, columns, row])
                    rows += table == "document"
            files = sorted(binaries.named_files(tx, pod_id))
        for name in files:
            write_record(writer, "file", name)
            descriptor = host.binaries.open(pod_id, name)
            with os.fdopen(descriptor, "rb") as file:
                while piece := file.read(1 << 20):
                    write_record(writer, "piece", piece)
    write_record(writer, "end", rows)
    return MovedOut(rows, len(files), len(held), tree.frontier.size)


def _about(host: Host, tx: Transaction, opened: OpenPod, tree: ledger.Tree, held: Iterable[Grant]) -> dict[str, Any]:
    pod = opened.pod
    named = {grant.terms.client_id for grant in held} - set(partners.HOUSE_CLIENTS)
    known = [partners.find_partner(tx, ClientId(client)) for client in sorted(named)]
    epochs = tx.one("SELECT figures_epoch, own_epoch, own_oldest_epoch FROM pod WHERE pod_id = ?", (pod.pod_id,))
    assert epochs is not None
    return {
        "base_url": host.base_url,
        "handle": pod.handle,
        "created": microseconds(pod.created),
        "state": pod.state,
        "area": pod.area,
        "log_public_key": pod.log_public_key,
        "epochs": list(epochs),
        "log": {"origin": ledger.origin_of(host, tree), "size": tree.frontier.size, "root": tree.frontier.root()},
        "feed": _feed_head(tx, pod.pod_id),
        "partners": [{"client_id": each.client_id, "keys": _key_names(each)} for each in known if each is not None],
    }


def _rows(tx: Transaction, pod_id: PodId, table: str, columns: list[str], order: str) -> Iterator[list[Any]]:
    """A table's rows of one pod, some at a time: the transaction is a snapshot, so pages fit together."""
    offset = 0
    question = f"SELECT {', '.join(columns)} FROM {table} WHERE pod_id = ? ORDER BY {order} LIMIT ? OFFSET ?"
    while page := tx.all(question, (pod_id, _ROWS_AT_ONCE, offset)):
        for row in page:
            yield [bytes(value) if isinstance(value, memoryview | bytearray) else value for value in row]
        offset += len(page)


def _grant_members(grant: Grant) -> dict[str, Any]:
    return {
        "id": grant.id,
        "terms": grant_rows.terms_to_json(grant.terms),
        "state": str(grant.state),
        "state_version": grant.state_version,
        "epoch": grant.epoch,
        "given_at": microseconds(grant.given_at),
        "changed_at": microseconds(grant.changed_at),
    }


def _key_names(partner: Partner) -> list[str]:
    return [thumbprint(key) for key in partner.jwks.get("keys", [])]


def _feed_head(tx: Transaction, pod_id: PodId) -> int:
    row = tx.one("SELECT head FROM feed WHERE pod_id = ?", (pod_id,))
    return 0 if row is None else int(row[0])


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


# 2. In


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
            _check_handle(tx, parsed, about)
            if tx.one("SELECT 1 FROM pod WHERE pod_id = ?", (pod_id,)):
                raise PodFileInvalid("this pod is on this host already")
        _clear(host, pod_id)  # what a crash left of an earlier try
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
        except BaseException as error:
            _clear(host, pod_id)
            if _says_the_file_is_wrong(error):
                raise PodFileInvalid("the file holds what no pod has") from error
            raise
    return _settle(host, pod_id, vault, about, actor=actor)


def _check_handle(tx: Transaction, handle: Handle, about: dict[str, Any]) -> None:
    """Check that the pod may have the handle: a free one, or the one that it left for the host it now comes from."""
    row = tx.one("SELECT moved_to FROM retired_handle WHERE handle = ?", (handle,))
    if row is None or row[0] != f"{about['base_url']}/{about['handle']}/":
        check_free(tx, handle)


def _clear(host: Host, pod_id: PodId) -> None:
    """Nothing of a pod that did not arrive stays; the keys go first."""
    host.key_store.destroy_vault(pod_id)
    with host.storage.write() as tx:
        for table in tables_of_pods():
            tx.send(f"DELETE FROM {table} WHERE pod_id = ?", (pod_id,))
    host.binaries.remove_pod(pod_id)


def _says_the_file_is_wrong(error: BaseException) -> bool:
    """Whether what went wrong is what the file holds; both engines call a row that is there already by one name."""
    if isinstance(error, PodFileInvalid):
        return False
    doubled = any(each.__name__ == "IntegrityError" for each in type(error).__mro__)
    return doubled or isinstance(error, KeyError | TypeError | ValueError | LogBroken | StorageDamaged)


class _Header(msgspec.Struct, frozen=True):
    """What stands open at the file's beginning: enough for the citizen's passphrase to open the rest."""

    pod: int
    secret: bytes
    slots: list[Slot]


def _header(file: IO[bytes]) -> _Header:
    magic, length = file.read(4), int.from_bytes(file.read(4), "big")
    if magic != _MAGIC or not 0 < length <= _LARGEST_HEADER_BYTES:
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
            Slot(kind, parameters, _bytes(salt), _bytes(sealed)) for kind, parameters, salt, sealed in members["slots"]
        ]
        pod_id = int(members["pod"])
        if not 0 <= pod_id < 1 << 63 or any(slot.kind not in {"passphrase", "recovery"} for slot in slots):
            raise PodFileInvalid("the file's beginning does not have its form")
        return _Header(pod_id, _bytes(members["secret"]), slots)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        if isinstance(error, PodFileInvalid):
            raise
        raise PodFileInvalid("the file's beginning does not have its form") from error


def _bytes(text: Any) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, TypeError) as error:
        raise PodFileInvalid("the file's beginning does not have its form") from error


class _Wanted:
    """What is learnt of a file by reading it to its end."""

    def __init__(self) -> None:
        self.about: dict[str, Any] = {}
        self.secrets: list[MovingSecret] = []
        self._documents = 0
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
            self._documents += table == "document"
        elif kind == "end":
            self._ended = value
        elif kind not in {"grant", "receipt", "file", "piece"}:
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
        if self._ended != self._documents or members - set(self.about):
            raise PodFileInvalid("the file was cut short")


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
        self._partners = [each for each in partners.list_partners(host) if each.active]
        self._draft: Draft | None = None

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
                elif kind == "file":
                    self._flush()
                    self._draft = self._host.binaries.create(self._pod_id, bytes(value))
                elif kind == "piece":
                    assert self._draft is not None, "read before: no piece without its file"
                    self._draft.write(value)
                if len(self._rows) >= _ROWS_AT_ONCE:
                    self._flush()
            self._end_file()
            self._flush()
            self._put_pod()
        finally:
            if self._draft is not None:
                self._draft.discard()

    def _checked(self, table: str, columns: list[str], row: list[Any]) -> list[Any]:
        """The row as it is put here: of this pod alone, and as this host decides where a host does."""
        if row[columns.index("pod_id")] != self._pod_id:
            raise PodFileInvalid("the file holds a row of another pod")
        for column, value in _OF_THE_HOST.get(table, {}).items():
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
        return next((each.client_id for each in self._partners if set(there) & set(_key_names(each))), None)

    def _put_pod(self) -> None:
        about = self._about
        figures_epoch, own_epoch, own_oldest = about["epochs"]
        with self._host.storage.write() as tx:
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


def _settle(host: Host, pod_id: PodId, vault: Vault, about: dict[str, Any], *, actor: Actor) -> MovedIn:
    """What the pod's new address changes: the issuer in the profile, the consents; and the log tells where it came from."""
    with host.storage.read() as tx:
        pod = find_pod(tx, pod_id)
    opened = OpenPod(pod, enforcement.require_owner(vault, assisted=True), vault)
    log = about["log"]
    with host.storage.write() as tx:
        detail: dict[str, str | int] = {
            "from": str(log["origin"])[:200],
            "size": log["size"],
            "root": log["root"].hex(),
        }
        ledger.append(tx, pod_id, LogEvent(at=host.clock.now(), actor=actor, action="move-in", detail=detail))
        _name_issuer(host, tx, opened, str(about["base_url"]))
    paused, withdrawn = [], []
    with host.storage.read() as tx:
        held = grant_rows.grants_in_pod(tx, host.host_key, pod_id)
    known = {each.client_id for each in partners.list_partners(host) if each.active}
    for grant in held:
        stands = grant.state_at(host.clock.now()) in {GrantState.ACTIVE, GrantState.PAUSED}
        if not stands or grant.terms.client_id == SELF.client_id:
            continue
        if grant.terms.client_id in known:
            grants.pause(host, pod_id, grant.id, actor=actor)
            paused.append(grant.id)
        else:
            grants.withdraw(host, pod_id, grant.id, actor=actor)
            withdrawn.append(grant.id)
    consent_receipts.file_if_open(host, pod_id, vault)
    with host.storage.read() as tx:
        tree = ledger.load_tree(tx, pod_id)
        arrival = {
            "format": ARRIVAL_FORMAT,
            "root": pod.root(host.base_url),
            "webid": pod.webid(host.base_url),
            "left": {"origin": log["origin"], "size": log["size"], "root": _text(log["root"]), "feed": about["feed"]},
            "checkpoint": ledger.checkpoint(tx, host, pod_id),
            "key": ledger.log_verifier_key(host, tree).encoded(),
            "consistency": [_text(each) for each in ledger.prove_consistency(tx, pod_id, log["size"])],
        }
        listed = len(documents.document_paths(tx, opened))
    host.signal.notify([pod_id])
    return MovedIn(
        webid=pod.webid(host.base_url),
        state=pod.state,
        documents=listed,
        log_entries=tree.frontier.size,
        paused=tuple(paused),
        withdrawn=tuple(withdrawn),
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


# 3. Away


def move_away(host: Host, pod: Pod, arrival: Mapping[str, Any], *, actor: Actor) -> MovedAway:
    """Let the pod's addresses lead to where it has arrived, and delete it here.

    Args:
        host: The host that the pod leaves.
        pod: The pod.
        arrival: The other host's statement, from `move_in`.
        actor: Who does it; it stands in the receipts of the consents that end here.

    Raises:
        ArrivalRefused: the statement is not of this pod, does not hold, or something was written here since.
    """
    there = _address(arrival, host)
    try:
        left = arrival["left"]
        size, root, feed = int(left["size"]), _bytes(left["root"]), int(left["feed"])
        state = verify_checkpoint(str(arrival["checkpoint"]), [VerifierKey.decode(str(arrival["key"]))])
        proof = [_bytes(each) for each in arrival["consistency"]]
        verify_consistency(size, root, state.size, state.root, proof)
    except (KeyError, TypeError, ValueError, LogBroken) as error:
        raise ArrivalRefused("the statement of arrival does not hold together") from error
    with host.storage.write(urgent=True) as tx:
        try:
            matches = ledger.tree_root_at(tx, pod.pod_id, size) == root
        except IndexError:
            matches = False
        if not matches or state.size <= size:
            raise ArrivalRefused("the statement is not of this pod: its log there does not begin with its log here")
        if _feed_head(tx, pod.pod_id) != feed:
            raise ArrivalRefused(
                "something was written here since the file was made: make a new file and move that in, so that nothing is lost"
            )
        # From this commit on the addresses lead away; what follows can be done again.
        tx.send(
            "INSERT INTO retired_handle (handle, retired, moved_to) VALUES (?, ?, ?) "
            "ON CONFLICT (handle) DO UPDATE SET moved_to = excluded.moved_to",
            (pod.handle, microseconds(host.clock.now()), there),
        )
    removed = remove_citizen(host, pod.pod_id, actor=actor)
    return MovedAway(there, len(removed.says["partnersTold"]), removed.receipt)


def _address(arrival: Mapping[str, Any], host: Host) -> str:
    if not isinstance(arrival, Mapping):
        raise ArrivalRefused("this is no statement of a pod's arrival")
    root = str(arrival.get("root", ""))
    parts = urlsplit(root)
    local = parts.hostname in {"localhost", "127.0.0.1", "::1"}
    if arrival.get("format") != ARRIVAL_FORMAT or not (parts.scheme == "https" or (parts.scheme == "http" and local)):
        raise ArrivalRefused("this is no statement of a pod's arrival")
    unsafe = any(ord(sign) <= 0x20 or sign in '<>"\\' for sign in root)
    if unsafe or not parts.netloc or parts.username or not root.endswith("/") or parts.query or parts.fragment:
        raise ArrivalRefused("the statement names no address of a pod")
    if root.startswith(f"{host.base_url}/"):
        raise ArrivalRefused("the statement names an address on this host")
    return root
