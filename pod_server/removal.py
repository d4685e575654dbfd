"""Deleting a citizen: everything of theirs, and a signed receipt that says so (GDPR Art. 17).

    1. intent    the handle is retired, for ever: from here on the removal is finished, whatever happens
    2. end       each consent is withdrawn as the citizen would: partners are told, and nothing more comes in
    3. destroy   every key: from here on nothing opens; copies of the key store follow within 30 days
    4. delete    files, and every row of every table; the receipt is signed and kept beside the retired handle

`resume_removals` finishes what a crash left.
"""

from __future__ import annotations

import base64
import binascii
import json
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from consent.grant import GrantState
from pod_server import delegation, grants, partners, signing_keys
from pod_server.authentication.accounts import forget_name
from pod_server.authorization import grant_rows
from pod_server.clock import microseconds
from pod_server.identifiers import Actor, Handle, PodId
from pod_server.log import ledger
from pod_server.log.errors import NoLog
from pod_server.opening import find_pod
from pod_server.outbox import NO_POD
from pod_server.signatures import PublicKey, sign_jws, verify_jws
from pod_server.storage.schema_version import tables_of_pods
from pod_server.vault.epoch_keys import COPIES_DIE_AFTER

if TYPE_CHECKING:
    from collections.abc import Mapping

    from consent.grant import Grant
    from pod_server.host import Host
    from pod_server.opening import Pod
    from pod_server.storage.ports import Transaction

RECEIPT_TYPE = "removal-receipt+jwt"
KEPT = (
    "the handle, so that it is never given to somebody else",
    "the receipts of deliveries, which name consents and no citizen",
    "published research figures, which name nobody",
    "notices to partners that a consent ended, until they are delivered",
    "the host's own backups of the data, unreadable without the keys that were destroyed",
)


@dataclass(frozen=True)
class Removed:
    """A citizen who was removed.

    Attributes:
        handle: Never given out again.
        receipt: The signed receipt, a compact JWS.
        says: What it says.
    """

    handle: Handle
    receipt: str
    says: Mapping[str, Any]


def remove_citizen(host: Host, pod_id: PodId, *, actor: Actor) -> Removed:
    """Delete a citizen for good. Calling again finishes a removal that was cut off.

    Args:
        host: The host.
        pod_id: Whose pod.
        actor: Who does it; it stands in the receipts of the consents that end.

    Raises:
        NoSuchPod: there is none.
        KeyStoreUnavailable: the keys could not be destroyed; try again.
    """
    with host.storage.write(urgent=True) as tx:
        pod = find_pod(tx, pod_id)
        tx.execute(
            "INSERT INTO retired_handle (handle, retired) VALUES (?, ?) ON CONFLICT (handle) DO NOTHING",
            (pod.handle, microseconds(host.clock.now())),
        )
        tx.execute("DELETE FROM live_ticket WHERE pod_id = ?", (pod_id,))
        tx.execute("DELETE FROM session WHERE pod_id = ?", (pod_id,))
        held = grant_rows.grants_in_pod(tx, host.host_key, pod_id)
    for grant in held:
        if grant.state_at(host.clock.now()) in {GrantState.ACTIVE, GrantState.PAUSED}:
            grants.withdraw(host, pod_id, grant.id, actor=actor)
    with host.storage.read() as tx:
        head = _log_head(host, tx, pod_id)
        told = _partners_told(tx, held)
    host.key_store.destroy_vault(pod_id)
    keys = len(host.key_store.keyring(pod_id))
    files = host.binaries.count(pod_id)
    host.binaries.remove_pod(pod_id)
    with host.storage.write(urgent=True) as tx:
        # A partner must still hear that its consent ended; it hears a consent's number and its own name for the citizen.
        tx.execute(
            "UPDATE outbox SET pod_id = ? WHERE pod_id = ? AND state = 'waiting' AND kind LIKE 'consent-%'",
            (NO_POD, pod_id),
        )
        rows = {table: tx.execute(f"DELETE FROM {table} WHERE pod_id = ?", (pod_id,)) for table in tables_of_pods()}
        delegation.forget_representative(tx, pod_id)
        forget_name(tx, host, pod.handle)
        says = _statement(host, pod, keys=keys, files=files, rows=rows, head=head, told=told)
        receipt = sign_jws(signing_keys.current(host), says, typ=RECEIPT_TYPE)
        tx.execute("UPDATE retired_handle SET receipt = ? WHERE handle = ?", (receipt, pod.handle))
    host.signal.notify([pod_id])
    return Removed(pod.handle, receipt, says)


def resume_removals(host: Host) -> list[Removed]:
    """Finish the removals that a crash interrupted; the agent's process calls this when it starts."""
    with host.storage.read() as tx:
        begun = tx.all("SELECT pod.pod_id FROM pod JOIN retired_handle ON retired_handle.handle = pod.handle")
    return [remove_citizen(host, PodId(pod_id), actor=Actor("operator", "", "resumed removal")) for (pod_id,) in begun]


def find_receipt(host: Host, handle: str) -> str | None:
    """The receipt of a citizen who was removed; None where nobody of this handle was, or it is not finished."""
    with host.storage.read() as tx:
        row = tx.one("SELECT receipt FROM retired_handle WHERE handle = ?", (handle,))
    return None if row is None or row[0] is None else str(row[0])


def is_removal_receipt(text: str) -> bool:
    """Whether a signed text says that it is such a receipt; nothing is checked."""
    try:
        head = text.split(".", 1)[0]
        header = json.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)))
    except (ValueError, binascii.Error, RecursionError):
        return False
    return isinstance(header, dict) and header.get("typ") == RECEIPT_TYPE


def verify_receipt(signed: str, issuer_keys: Mapping[str, Any]) -> dict[str, Any]:
    """Check a receipt offline; what it says.

    Args:
        signed: The compact JWS.
        issuer_keys: The issuer's JWK set, from a source that one trusts: the present one, or all it ever had.

    Raises:
        SignatureInvalid: it was not signed by this issuer, or was changed.
    """
    # A key that came into other hands vouches for nothing, not even for what it signed before.
    keys = [PublicKey(jwk) for jwk in issuer_keys["keys"] if "revoked" not in jwk]
    return verify_jws(signed.strip(), keys, typ=RECEIPT_TYPE).payload


def _statement(
    host: Host,
    pod: Pod,
    *,
    keys: int,
    files: int,
    rows: Mapping[str, int],
    head: Mapping[str, Any] | None,
    told: list[str],
) -> dict[str, Any]:
    now = host.clock.now()
    return {
        "iss": host.base_url,
        "sub": pod.webid(host.base_url),
        "jti": f"d-{secrets.token_hex(16)}",
        "iat": int(host.clock.protocol_now().timestamp()),
        "removedAt": now.isoformat(),
        "keysDestroyed": keys,
        "filesDeleted": files,
        "rowsDeleted": {table: count for table, count in sorted(rows.items()) if count},
        "copiesOfKeysDieBy": (host.clock.protocol_now() + COPIES_DIE_AFTER).isoformat(),
        "partnersTold": told,
        "log": head,
        "kept": list(KEPT),
    }


def _log_head(host: Host, tx: Transaction, pod_id: PodId) -> dict[str, Any] | None:
    """Where the citizen's log ended, so that the receipt fits the copy of it that they may hold."""
    try:
        tree = ledger.load_tree(tx, pod_id)
    except NoLog:
        return None
    return {
        "origin": ledger.origin_of(host, tree),
        "size": tree.frontier.size,
        "root": tree.frontier.root().hex(),
    }


def _partners_told(tx: Transaction, held: list[Grant]) -> list[str]:
    found = {grant.terms.client_id: partners.find_partner(tx, grant.terms.client_id) for grant in held}
    return sorted(partner.name for partner in found.values() if partner is not None and partner.webhook is not None)
