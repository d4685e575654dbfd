"""Receipts: what the bridge took, signed, so that a partner can show it later to anybody, without asking us.

A receipt is a JWS (RFC 7515) over a JSON object. It names the SHA-256 of the request's body and of the answer's:
whoever kept both bodies verifies every single item with the issuer's public key alone.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from typing import TYPE_CHECKING, Any

from partner_bridge.delivery import ACCEPTED, DUPLICATE, PENDING, REFUSED
from partner_bridge.errors import NoSuchReceipt, ReceiptInvalid
from pod_server import partner_deliveries, signing_keys
from pod_server.clock import microseconds
from pod_server.partner_deliveries import ItemProblem
from pod_server.problems import problem_type_of
from pod_server.signatures.errors import SignatureInvalid
from pod_server.signatures.jws import sign_jws, verify_jws
from pod_server.signatures.keys import PublicKey

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from partner_bridge.delivery import Item, ItemAnswer
    from pod_server.host import Host
    from pod_server.storage.ports import Transaction

RECEIPT_TYPE = "delivery-receipt+jwt"


def issue_receipt(
    host: Host,
    client_id: str,
    items: Sequence[Item],
    answers: Sequence[ItemAnswer],
    *,
    request_sha256: str,
    response_sha256: str,
    channel: str = "activities",
    delivered_by: tuple[str, str] = ("", ""),
) -> str:
    """Sign and keep the receipt of one delivery.

    Args:
        host: The issuer.
        client_id: The partner who delivered.
        items: What was delivered.
        answers: What became of each.
        request_sha256: Of the request's body, byte for byte; hexadecimal.
        response_sha256: Of the answer's.
        channel: The door that it came by, for the partner's console.
        delivered_by: Client identifier and name of the integrator who brought it; empty where the partner came itself.

    Returns:
        The receipt's id, from which `GET /bridge/receipts/<id>` answers.
    """
    receipt_id = f"r-{secrets.token_hex(16)}"
    at = host.clock.now()
    grants: dict[str, dict[str, Any]] = {}
    for item, answer in zip(items, answers, strict=True):
        if answer.status not in {ACCEPTED, DUPLICATE, PENDING} and answer.log_index is None:
            continue  # what the grant itself refused names no place in a log
        line = grants.setdefault(item.grant, {ACCEPTED: 0, DUPLICATE: 0, PENDING: 0, REFUSED: 0})
        line[answer.status] += 1
        if answer.log_index is not None:
            line["logIndex"] = answer.log_index
    statuses = [answer.status for answer in answers]
    receipt = {
        "iss": host.base_url,
        "aud": client_id,
        "jti": receipt_id,
        "iat": int(host.clock.protocol_now().timestamp()),
        "receivedAt": at.isoformat(),
        "items": len(answers),
        **{status: statuses.count(status) for status in (ACCEPTED, DUPLICATE, PENDING, REFUSED)},
        "grants": [{"grant": grant, **line} for grant, line in sorted(grants.items())],
        "requestSha256": request_sha256,
        "responseSha256": response_sha256,
    }
    if delivered_by[0]:
        receipt["deliveredBy"] = {"client_id": delivered_by[0], "name": delivered_by[1]}
        channel = f"{channel} ({delivered_by[1]})"
    signed = sign_jws(signing_keys.current(host), receipt, typ=RECEIPT_TYPE)
    with host.storage.write() as tx:
        _keep(tx, receipt_id, client_id, microseconds(at), signed)
        partner_deliveries.keep(
            host,
            tx,
            receipt_id=receipt_id,
            client_id=client_id,
            channel=channel,
            counts={status: statuses.count(status) for status in (ACCEPTED, DUPLICATE, PENDING, REFUSED)},
            problems=_problems(items, answers),
        )
    return receipt_id


def issue_summary(
    host: Host,
    client_id: str,
    items: int,
    parts: Sequence[Mapping[str, Any]],
    delivered_by: tuple[str, str] = ("", ""),
) -> str:
    """Sign and keep the receipt of a delivery that was taken in several pieces.

    Args:
        host: The issuer.
        client_id: The partner who delivered.
        items: How many items there were in all.
        parts: In order, of each piece: its receipt's id (empty where none of its items were taken), its bytes, and their
            SHA-256. Whoever cuts the body into parts of those bytes checks each with its own receipt.
        delivered_by: As `issue_receipt`.

    Returns:
        The receipt's id.
    """
    body: dict[str, Any] = {"receivedAt": host.clock.now().isoformat(), "items": items, "parts": list(parts)}
    if delivered_by[0]:
        body["deliveredBy"] = {"client_id": delivered_by[0], "name": delivered_by[1]}
    with host.storage.write() as tx:
        return _issue(host, tx, client_id, body)


def _problems(items: Sequence[Item], answers: Sequence[ItemAnswer]) -> list[ItemProblem]:
    """Where refused items stood and why; neither an activity nor its id."""
    found: list[ItemProblem] = []
    for position, (item, answer) in enumerate(zip(items, answers, strict=True)):
        if answer.error is not None and len(found) < partner_deliveries.MOST_PROBLEMS:
            problem = problem_type_of(answer.error)
            slug = problem.slug if problem is not None else "internal-error"
            found.append(ItemProblem(position, slug, item.grant, str(getattr(answer.error, "path", ""))))
    return found


def issue_merge_receipt(host: Host, tx: Transaction, client_id: str, body: Mapping[str, Any]) -> str:
    """Sign and keep the final receipt of a delivery that the partner sealed itself, in the transaction that merges it.

    Args:
        host: The issuer.
        tx: The merging transaction.
        client_id: The partner who delivered.
        body: Grant, sequence, SHA-256 of the sealed bytes, counts, and the refused items by position.

    Returns:
        The receipt's id.
    """
    return _issue(host, tx, client_id, {"mergedAt": host.clock.now().isoformat(), **body})


def _issue(host: Host, tx: Transaction, client_id: str, body: Mapping[str, Any]) -> str:
    """Sign and keep a receipt in the caller's transaction; its id."""
    receipt_id = f"r-{secrets.token_hex(16)}"
    receipt = {
        "iss": host.base_url,
        "aud": client_id,
        "jti": receipt_id,
        "iat": int(host.clock.protocol_now().timestamp()),
        **body,
    }
    signed = sign_jws(signing_keys.current(host), receipt, typ=RECEIPT_TYPE)
    _keep(tx, receipt_id, client_id, microseconds(host.clock.now()), signed)
    return receipt_id


def _keep(tx: Transaction, receipt_id: str, client_id: str, created: int, signed: str) -> None:
    tx.execute(
        "INSERT INTO delivery_receipt (receipt_id, client_id, created, receipt) VALUES (?, ?, ?, ?)",
        (receipt_id, client_id, created, signed),
    )


def read_receipt(host: Host, client_id: str, receipt_id: str, *, delivered_by: str = "") -> str:
    """The signed receipt, to the partner whose delivery it is; an integrator gets those of its own deliveries alone.

    Raises:
        NoSuchReceipt: there is none, or it is another partner's.
    """
    with host.storage.read() as tx:
        row = tx.one(
            "SELECT receipt FROM delivery_receipt WHERE receipt_id = ? AND client_id = ?", (receipt_id[:64], client_id)
        )
    if row is None or (delivered_by and _deliverer(str(row[0])) != delivered_by):
        raise NoSuchReceipt("There is no such receipt of a delivery of yours.")
    return str(row[0])


def _deliverer(signed: str) -> str:
    """The integrator that a receipt of ours names; it came from our own table."""
    part = signed.split(".")[1]
    told = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))).get("deliveredBy")
    return str(told["client_id"]) if told else ""


def list_receipts(host: Host, client_id: str, limit: int = 50) -> list[str]:
    """The ids of a partner's latest receipts, newest first."""
    with host.storage.read() as tx:
        rows = tx.all(
            "SELECT receipt_id FROM delivery_receipt WHERE client_id = ? ORDER BY created DESC, receipt_id LIMIT ?",
            (client_id, limit),
        )
    return [str(row[0]) for row in rows]


def verify_receipt(
    signed: str, issuer_keys: Mapping[str, Any], *, request: bytes | None = None, response: bytes | None = None
) -> dict[str, Any]:
    """Check a receipt offline.

    Args:
        signed: The compact JWS.
        issuer_keys: The issuer's JWK set, from a source that one trusts: the present one, or all it ever had.
        request: The body that was delivered, where it was kept.
        response: The answer's body, where it was kept.

    Returns:
        What the receipt says.

    Raises:
        ReceiptInvalid: the signature does not hold, or the bodies are others than those received and answered.
    """
    try:
        # A key that came into other hands vouches for nothing, not even for what it signed before.
        keys = [PublicKey(jwk) for jwk in issuer_keys["keys"] if "revoked" not in jwk]
        receipt = verify_jws(signed.strip(), keys, typ=RECEIPT_TYPE).payload
    except SignatureInvalid as error:
        raise ReceiptInvalid("The receipt was not signed by this issuer, or was changed.") from error
    for name, body in (("requestSha256", request), ("responseSha256", response)):
        if body is not None and hashlib.sha256(body).hexdigest() != receipt.get(name):
            raise ReceiptInvalid(f"The receipt speaks of another {name.removesuffix('Sha256')}.")
    return receipt
