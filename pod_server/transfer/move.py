"""A whole pod moves to another host: everything as it lies sealed, its keys and its log, under the citizen's own ways in.

    1. `move_out`   here: one sealed file; the log says so, and that leaf travels along
    2. `move_in`    there (arrival.py): the same pod under the same keys at a new address; its log goes on, and says where
                    it came from
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
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from consent.grant import Grant
from pod_server import binaries, consent_receipts, partners
from pod_server.authorization import grant_rows
from pod_server.clock import microseconds
from pod_server.errors import PermitExceeded
from pod_server.identifiers import Actor, ClientId, PodId
from pod_server.log import ledger
from pod_server.log.checkpoint import VerifierKey, verify_checkpoint
from pod_server.log.errors import LogBroken
from pod_server.log.event import LogEvent
from pod_server.log.tree import verify_consistency
from pod_server.opening import OpenPod
from pod_server.removal import remove_citizen
from pod_server.signatures import thumbprint
from pod_server.storage.copying import sync_folder
from pod_server.storage.schema_version import SCHEMA_VERSION, columns_of
from pod_server.transfer.errors import ArrivalRefused, PodFileInvalid
from pod_server.transfer.sealed_stream import write_record
from pod_server.vault.moving import (
    MoveWriter,
    secrets_to_move,
    slots_to_move,
)

if TYPE_CHECKING:
    from pathlib import Path

    from pod_server.host import Host
    from pod_server.opening import Pod
    from pod_server.partners import Partner
    from pod_server.storage.ports import Transaction

FORMAT = "tvilling-move-1"
ARRIVAL_FORMAT = "tvilling-arrival-1"
MAGIC = b"TVM\x01"
LARGEST_HEADER_BYTES = 64 * 1024
ROWS_AT_ONCE = 200
LARGEST_NOTICE = 64 * 1024
"""Letters of a text that a citizen answered; ours are about two thousand."""

CARRIED: Mapping[str, str] = {
    "calculation": "calculation_id",
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
    "participation": "grant_id",
    "pending_delivery": "arrival",
    "proposal": "proposal_id",
    "rectification": "rectification_id",
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
        "app_code", "app_connection", "app_refresh_token", "arriving_pod", "authorization_code", "live_ticket", "log_cosignature", "outbox",
        "passkey", "pull", "refresh_token", "representation", "script_credential", "session", "sign_in_link", "upload", "upstream_link",
        "webhook_channel",
    }
)  # fmt: skip
"""Tables of what holds at one host's address alone, or is under way there."""

OF_THE_HOST: dict[str, dict[str, Any]] = {
    "storage_use": {"allowed_bytes": None},
    "feed": {"claimed_by": "", "claimed_until": 0},
    "log_tree": {"key_number": 1},
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
                "secret": to_text(writer.sealed_secret),
                "slots": [[slot.kind, slot.parameters, to_text(slot.salt), to_text(slot.sealed)] for slot in slots],
            }
            encoded = json.dumps(header).encode()
            file.write(MAGIC + len(encoded).to_bytes(4, "big") + encoded)
            writer.begin()
            counts = _write_pod(host, opened, writer)
            writer.finish()
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, target)  # never over a file that came meanwhile
        sync_folder(target.parent)
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
            shown = {grant.terms.notice_hash for grant in held}
            for grant_id, sequence, filed, receipt in consent_receipts.all_of_pod(host, tx, pod_id):
                write_record(writer, "receipt", [grant_id, sequence, filed, receipt])
                shown.add(consent_receipts.notice_of(receipt))
            for notice in consent_receipts.notices(tx, shown):
                write_record(writer, "notice", notice)
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
        "partners": [{"client_id": each.client_id, "keys": key_names(each)} for each in known if each is not None],
    }


def _rows(tx: Transaction, pod_id: PodId, table: str, columns: list[str], order: str) -> Iterator[list[Any]]:
    """A table's rows of one pod, some at a time: the transaction is a snapshot, so pages fit together."""
    offset = 0
    question = f"SELECT {', '.join(columns)} FROM {table} WHERE pod_id = ? ORDER BY {order} LIMIT ? OFFSET ?"
    while page := tx.all(question, (pod_id, ROWS_AT_ONCE, offset)):
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


def key_names(partner: Partner) -> list[str]:
    """The thumbprints of a partner's keys, by which two hosts know that they mean the same one."""
    return [thumbprint(key) for key in partner.jwks.get("keys", [])]


def _feed_head(tx: Transaction, pod_id: PodId) -> int:
    row = tx.one("SELECT head FROM feed WHERE pod_id = ?", (pod_id,))
    return 0 if row is None else int(row[0])


def to_text(data: bytes) -> str:
    """Bytes as they stand in JSON."""
    return base64.b64encode(data).decode()


def from_text(text: Any) -> bytes:
    """The other way.

    Raises:
        PodFileInvalid: they are not so written.
    """
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, TypeError) as error:
        raise PodFileInvalid("the file's beginning does not have its form") from error


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
        size, root, feed = int(left["size"]), from_text(left["root"]), int(left["feed"])
        state = verify_checkpoint(str(arrival["checkpoint"]), [VerifierKey.decode(str(arrival["key"]))])
        proof = [from_text(each) for each in arrival["consistency"]]
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
