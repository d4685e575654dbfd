"""Receipts of consents: signed at each event, kept for both parties, checked by anybody without asking us.

A receipt is written in the transaction of its event, sealed for this host: the partner gets it with the event's
message and at Grant Management. The citizen's copy is the pod's own document `consents/<grant>.jsonld`, private, always
the latest, which tells every earlier event too. It needs the pod's keys: a consent given opens them and files the copy
in the same transaction; a locked pod can withdraw all the same, and the copy follows when it is next opened.

Source: ISO/IEC TS 27560; GDPR Art. 7(1); Data Integrity EdDSA Cryptosuites 1.0.
"""

from __future__ import annotations

import hashlib
import json
import os
from typing import TYPE_CHECKING, Any

from consent.record import NOT_STATED, Circumstances, Party, consent_receipt
from pod_server import documents
from pod_server.authorization.enforcement import require_owner
from pod_server.clock import microseconds
from pod_server.identifiers import ClientId, GrantId, PodId
from pod_server.lasting_keys import lasting_signer, list_lasting, rotate_lasting
from pod_server.opening import OpenPod, custodian_vault, find_pod
from pod_server.signatures import PublicKey, SignatureInvalid, base64url, data_integrity, pairwise_subject
from pod_server.vault.envelope import EnvelopeKey, Place, Scope
from pod_server.vault.errors import PodLocked
from vocab.consent_records import CONTEXT_PATH, load_consent_context

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from consent.grant import Grant
    from consent.ledger import GrantEvent
    from pod_server.host import Host
    from pod_server.lasting_keys import LastingKey
    from pod_server.partners import Partner
    from pod_server.signatures import SigningKey
    from pod_server.storage.ports import Transaction
    from pod_server.vault.vault import Vault

Receipt = dict[str, Any]

FOLDER = "consents/"
ISSUER_PATH = "/vocab/consent/issuer.jsonld"
MEDIA_TYPE = "application/json"
"""Kept as it was signed, byte for byte: as an RDF source the pod would keep its graph alone, in Turtle."""

_LABEL = "consent receipt"
_CONTAINER_MEDIA_TYPE = "text/turtle"
_MOST_BYTES = 256 * 1024


def path_of(grant_id: str) -> str:
    """Where in the pod the citizen's copy lies."""
    return f"{FOLDER}{grant_id}.jsonld"


def verification_method(host: Host) -> str:
    """The IRI of the key that this host signs receipts with."""
    return _method_of(host, _signer(host).public_key)


def _signer(host: Host) -> SigningKey:
    return lasting_signer(host.host_key, host.key_store, "receipts")


def _method_of(host: Host, key: PublicKey) -> str:
    return f"{host.base_url}{ISSUER_PATH}#{data_integrity.multikey(key)}"


def issuer_document(host: Host) -> dict[str, Any]:
    """The host's keys for receipts, now and before, as a controlled identifier document (Controlled Identifiers 1.0, 2.1).

    A receipt has no end, so a key that signs no more is named without `expires`: what it signed is good. One that came into
    other hands is `revoked` and asserts nothing.
    """
    issuer = f"{host.base_url}{ISSUER_PATH}"
    methods, good = [], []
    for key in list_lasting(host.host_key, host.key_store, "receipts"):
        public = PublicKey({"kty": "OKP", "crv": "Ed25519", "x": base64url.write(key.public)})
        method = {
            "id": _method_of(host, public),
            "type": "Multikey",
            "controller": issuer,
            "publicKeyMultibase": data_integrity.multikey(public),
        }
        if key.revoked_at is None:
            good.append(method["id"])
        else:
            method["revoked"] = key.revoked_at.isoformat().replace("+00:00", "Z")
        methods.append(method)
    return {
        "@context": "https://www.w3.org/ns/cid/v1",
        "id": issuer,
        "verificationMethod": methods,
        "assertionMethod": good,
    }


def rotate_key(host: Host, *, compromised: bool = False) -> LastingKey:
    """Let a new key sign receipts from now on.

    Args:
        host: The host.
        compromised: The old key is in other hands: nothing that it signed is taken any more, and the latest receipt of each
            consent is signed anew (`sign_anew`) by the caller.

    Raises:
        KeyStoreUnavailable: nothing was changed.
    """
    at = host.clock.protocol_now()
    return rotate_lasting(host.host_key, host.key_store, "receipts", at=at, compromised=compromised)


def sign_anew(host: Host, pod_id: PodId) -> int:
    """Sign the latest receipt of each of a pod's consents with the present key, where an older one signed it; how many.

    Only what this host signed: a receipt that came along with a pod stays its first host's. The pod's own copy follows.
    """
    method, renewed = verification_method(host), 0
    with host.storage.write() as tx:
        newest = {grant: (sequence, document) for grant, sequence, _, document in all_of_pod(host, tx, pod_id)}
        for grant, (sequence, document) in newest.items():
            receipt = json.loads(document)
            signed_by = str(receipt["proof"]["verificationMethod"])
            if signed_by == method or not signed_by.startswith(f"{host.base_url}{ISSUER_PATH}#"):
                continue
            unsigned = {name: value for name, value in receipt.items() if name != "proof"}
            text = json.dumps(_signed(host, unsigned, host.clock.now()), ensure_ascii=False).encode()
            sealed = _key(host, pod_id, grant).seal(_place(sequence), text, os.urandom, compress=True)
            tx.send(
                "UPDATE consent_receipt SET receipt = ?, filed = 0 WHERE pod_id = ? AND grant_id = ? AND sequence = ?",
                (sealed, pod_id, grant, sequence),
            )
            renewed += 1
    if renewed:
        file_if_open(host, pod_id)
    return renewed


def _signed(host: Host, receipt: Receipt, at: datetime) -> Receipt:
    key = _signer(host)
    return data_integrity.sign(
        receipt,
        key,
        verification_method=_method_of(host, key.public_key),
        created=at,
        contexts={f"{host.base_url}{CONTEXT_PATH}": load_consent_context()},
    )


def write(host: Host, tx: Transaction, grant: Grant, events: Sequence[GrantEvent], partner: Partner | None) -> Receipt:
    """Sign the receipt of the latest event and keep it, in the event's own transaction."""
    client_id = ClientId(grant.terms.client_id)
    about = partner.about if partner else {}
    circumstances = Circumstances(
        base_url=host.base_url,
        subject=pairwise_subject(host.host_key, client_id, PodId(grant.pod_id)),
        partner=Party(
            iri=partner.document
            if partner and partner.document
            else f"{host.base_url}/vocab/consent/partners#{client_id}",
            identifier=client_id,
            name=partner.name if partner else client_id,
            contact=about.get("contact", NOT_STATED),
            address=about.get("address", NOT_STATED),
        ),
        host=Party(
            iri=f"{host.base_url}/", identifier=host.base_url, name=host.base_url, contact=f"{host.base_url}/-/my-data"
        ),
    )
    now = host.clock.now()
    signed = _signed(host, consent_receipt(grant, events, circumstances, at=now), now)
    sequence = len(events)
    sealed = _key(host, grant.pod_id, grant.id).seal(
        _place(sequence), json.dumps(signed, ensure_ascii=False).encode(), os.urandom, compress=True
    )
    tx.send("UPDATE consent_receipt SET filed = 1 WHERE pod_id = ? AND grant_id = ?", (grant.pod_id, grant.id))
    tx.send(
        "INSERT INTO consent_receipt (pod_id, grant_id, sequence, filed, receipt) VALUES (?, ?, ?, 0, ?)",
        (grant.pod_id, grant.id, sequence, sealed),
    )
    return signed


def latest(host: Host, tx: Transaction, pod_id: PodId, grant_id: str) -> Receipt | None:
    """The latest receipt of a grant of one pod; None for a grant from before there were receipts."""
    row = tx.one(
        "SELECT sequence, receipt FROM consent_receipt WHERE pod_id = ? AND grant_id = ? "
        "ORDER BY sequence DESC LIMIT 1",
        (pod_id, grant_id),
    )
    if row is None:
        return None
    found: Receipt = json.loads(_key(host, pod_id, grant_id).open(_place(int(row[0])), bytes(row[1])))
    return found


def all_of_pod(host: Host, tx: Transaction, pod_id: PodId) -> Iterator[tuple[str, int, int, bytes]]:
    """Every receipt of a pod as (grant, sequence, filed, the document), for a pod that moves."""
    rows = tx.all(
        "SELECT grant_id, sequence, filed, receipt FROM consent_receipt WHERE pod_id = ? ORDER BY grant_id, sequence",
        (pod_id,),
    )
    for grant_id, sequence, filed, sealed in rows:
        yield grant_id, sequence, filed, _key(host, pod_id, grant_id).open(_place(sequence), bytes(sealed))


def bring_in(host: Host, tx: Transaction, pod_id: PodId, receipt: tuple[str, int, int, bytes]) -> None:
    """Keep a receipt that another host signed, as `all_of_pod` gave it, of a pod that moved in."""
    grant_id, sequence, filed, document = receipt
    sealed = _key(host, pod_id, grant_id).seal(_place(sequence), document, os.urandom, compress=True)
    tx.send(
        "INSERT INTO consent_receipt (pod_id, grant_id, sequence, filed, receipt) VALUES (?, ?, ?, ?, ?)",
        (pod_id, grant_id, sequence, filed, sealed),
    )


def file_waiting(host: Host, tx: Transaction, pod_id: PodId, vault: Vault) -> int:
    """Put the citizen's copies that wait into the pod, in the caller's transaction; how many there were.

    The event's own leaf in the log tells of the receipt too, so filing adds none.
    """
    waiting = tx.all("SELECT grant_id FROM consent_receipt WHERE pod_id = ? AND filed = 0", (pod_id,))
    if not waiting:
        return 0
    own = OpenPod(find_pod(tx, pod_id), require_owner(vault, pod_id=pod_id), vault)
    now = host.clock.now()
    if not documents.exists(tx, own, FOLDER):
        documents.put(tx, own, FOLDER, _CONTAINER_MEDIA_TYPE, b"", public=False, at=now)
    for (grant_id,) in waiting:
        text = json.dumps(latest(host, tx, pod_id, grant_id), ensure_ascii=False, indent=1).encode()
        documents.put(tx, own, path_of(grant_id), MEDIA_TYPE, text, public=False, at=now)
    tx.send("UPDATE consent_receipt SET filed = 1 WHERE pod_id = ? AND filed = 0", (pod_id,))
    return len(waiting)


def file_if_open(host: Host, pod_id: PodId, vault: Vault | None = None) -> bool:
    """File what waits with the vault given, else with the custodian slot; False where the pod is locked."""
    try:
        vault = vault or custodian_vault(host, pod_id)
    except PodLocked:
        return False
    with host.storage.read() as tx:
        if tx.one("SELECT 1 FROM consent_receipt WHERE pod_id = ? AND filed = 0", (pod_id,)) is None:
            return True
    with host.storage.write() as tx:
        file_waiting(host, tx, pod_id, vault)
    return True


def resume_filing(host: Host, *, limit: int = 1000) -> int:
    """File what a crash left, in every pod that is open; how many pods. Locked pods wait for their citizens."""
    with host.storage.read() as tx:
        pods = tx.all("SELECT DISTINCT pod_id FROM consent_receipt WHERE filed = 0 LIMIT ?", (limit,))
    return sum(file_if_open(host, PodId(pod_id)) for (pod_id,) in pods)


def keep_notice(host: Host, version: str, notice: str) -> str:
    """Keep the exact text that a citizen answered; its SHA-256 in hex."""
    notice_hash = hashlib.sha256(notice.encode()).hexdigest()
    with host.storage.write() as tx:
        tx.send(
            "INSERT INTO consent_notice (notice_hash, version, notice, first_answered) VALUES (?, ?, ?, ?) "
            "ON CONFLICT (notice_hash) DO NOTHING",
            (notice_hash, version, notice, microseconds(host.clock.now())),
        )
    return notice_hash


def find_notice(host: Host, notice_hash: str) -> str | None:
    """The text with this SHA-256, or None where nobody here answered it."""
    with host.storage.read() as tx:
        row = tx.one("SELECT notice FROM consent_notice WHERE notice_hash = ?", (notice_hash,))
    return None if row is None else str(row[0])


def notices(tx: Transaction, hashes: Iterable[str]) -> list[tuple[str, str]]:
    """Version and text of each notice with one of these SHA-256, so far as somebody here answered it."""
    found = (tx.one("SELECT version, notice FROM consent_notice WHERE notice_hash = ?", (each,)) for each in hashes)
    return [(str(row[0]), str(row[1])) for row in found if row is not None]


def notice_of(receipt: bytes) -> str:
    """The SHA-256 of the text that a receipt's event was the answer to, in hex; empty where it names none."""
    record = json.loads(receipt)
    notice = record.get("notice") if isinstance(record, dict) else None
    return str(notice.get("sha256", "")) if isinstance(notice, dict) else ""


def is_consent_receipt(text: str) -> bool:
    """Whether a text looks like such a receipt rather than a JWS."""
    return text.lstrip().startswith("{")


def verify(text: str, issuer: Mapping[str, Any]) -> Receipt:
    """Check a receipt offline.

    Args:
        text: The JSON-LD document.
        issuer: The issuer's keys, from a source that one trusts: what `/vocab/consent/issuer.jsonld` answered.

    Returns:
        What the receipt says.

    Raises:
        SignatureInvalid: it is no receipt, was changed, or was signed by somebody else.
    """
    if len(text) > _MOST_BYTES:
        raise SignatureInvalid("The text is longer than any receipt.")
    try:
        receipt = json.loads(text, object_pairs_hook=_without_duplicates)
        keys = {
            str(method["id"]): data_integrity.read_multikey(str(method["publicKeyMultibase"]))
            for method in issuer["verificationMethod"]
            if method["id"] in issuer["assertionMethod"]
        }
        base_url = str(issuer["id"]).removesuffix(ISSUER_PATH)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise SignatureInvalid("The receipt, or the issuer's document, is not what it should be.") from error
    if not isinstance(receipt, dict) or receipt.get("type") != "ConsentReceipt":
        raise SignatureInvalid("The document is no consent receipt.")
    return data_integrity.verify(receipt, keys, contexts={f"{base_url}{CONTEXT_PATH}": load_consent_context()})


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a member is there twice")
    return value


def _key(host: Host, pod_id: int, grant_id: str) -> EnvelopeKey:
    return EnvelopeKey(host.host_key.derive(_LABEL), PodId(pod_id), Scope("grant", GrantId(grant_id)))


def _place(sequence: int) -> Place:
    return Place("consent-receipt", b"", sequence)
