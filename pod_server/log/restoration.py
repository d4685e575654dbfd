"""The leaf that tells a restore from a rollback: which backup, at which head of the log, signed with the log's own key.

A log that went back to an earlier head without such a leaf was rolled back by somebody who hoped not to be seen.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from pod_server.identifiers import Actor
from pod_server.log.errors import LogBroken
from pod_server.log.event import LogEvent
from pod_server.log.ledger import append, load_tree, log_signer
from pod_server.signatures import PublicKey, SignatureInvalid, base64url

if TYPE_CHECKING:
    from datetime import datetime

    from pod_server.host import Host
    from pod_server.identifiers import PodId
    from pod_server.log.checkpoint import VerifierKey
    from pod_server.storage.ports import Transaction

ACTION = "restored-from"


def _statement(size: int, root: str, backup: str, taken: str) -> bytes:
    return f"tvilling restored-from v1\n{size}\n{root}\n{backup}\n{taken}\n".encode()


def append_restored(tx: Transaction, host: Host, pod_id: PodId, *, backup: str, taken: datetime) -> int:
    """Append the leaf to a restored log; its index.

    Args:
        tx: The writing transaction.
        host: The host that was restored.
        pod_id: Whose log.
        backup: SHA-256 of the backup's manifest, hexadecimal.
        taken: When the backup was taken.

    Raises:
        NoLog: the pod has none.
    """
    frontier = load_tree(tx, pod_id).frontier
    root, when = frontier.root().hex(), taken.isoformat()
    signature = log_signer(host).sign(_statement(frontier.size, root, backup, when))
    detail: dict[str, str | int] = {
        "backup": backup,
        "taken": when,
        "size": frontier.size,
        "root": root,
        "signature": base64url.write(signature),
    }
    return append(tx, pod_id, LogEvent(at=host.clock.now(), actor=Actor("operator"), action=ACTION, detail=detail))


def verify_restored(event: LogEvent, *keys: VerifierKey) -> None:
    """Check the signature of such a leaf.

    Args:
        event: The leaf's.
        keys: The log's, one after another: the restore was signed with the one of its time.

    Raises:
        LogBroken: the leaf is another's, lacks a part, or was signed with none of these keys.
    """
    detail = event.detail
    failure = LogBroken("The leaf of a restore is not signed with the log's key.")
    try:
        statement = _statement(int(detail["size"]), str(detail["root"]), str(detail["backup"]), str(detail["taken"]))
        signature = base64url.read(str(detail["signature"]))
    except (KeyError, ValueError):
        raise failure from None
    for key in keys:
        public_key = PublicKey({"kty": "OKP", "crv": "Ed25519", "x": base64url.write(key.public_key)})
        with suppress(SignatureInvalid):
            public_key.verify(signature, statement)
            return
    raise failure
