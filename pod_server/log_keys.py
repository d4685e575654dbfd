"""Changing the key that signs the logs: a new one signs at once, and each log says so with a leaf of its own.

    1. the key store     a new key, the note by which the old one hands over, the old private part destroyed     one commit
    2. each log          the leaf `log-key-changed`, after which no checkpoint is good under the old key         one transaction a log

Between the two, and after a crash, checkpoints are signed with the new key already; a log without its leaf gets it from
`take_over`, which the agent calls. Nobody waits: each leaf is a transaction of its own between other writes.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from pod_server.identifiers import Actor, PodId
from pod_server.lasting_keys import LastingKey, list_lasting, rotate_lasting
from pod_server.log import ledger
from pod_server.log.hand_over import leaf_event, make_hand_over, read_hand_over

if TYPE_CHECKING:
    from pod_server.host import Host
    from pod_server.signatures import SigningKey

_LOGS_AT_ONCE = 500
_OPERATOR = Actor("operator")


def rotate(host: Host, *, compromised: bool = False) -> LastingKey:
    """Let a new key sign all logs from now on; their leaves follow (`take_over`).

    Args:
        host: The host.
        compromised: The old key is in other hands; it is told so where keys are listed.

    Raises:
        KeyStoreUnavailable: nothing was changed.
    """
    at, name = host.clock.protocol_now(), ledger.origins_of(host)

    def hand_over(number: int, old: SigningKey, new: SigningKey) -> str:
        return make_hand_over(name, number, old, new, at)

    return rotate_lasting(host.host_key, host.key_store, "log", at=at, compromised=compromised, hand_over=hand_over)


def take_over(host: Host) -> int:
    """Write the leaf into every log that lacks it; how many. Any number of processes may, while others write.

    Raises:
        StorageError: the database cannot be written; the next call goes on.
    """
    present = list_lasting(host.host_key, host.key_store, "log")[-1]
    if not present.hand_over:
        return 0
    told, hand_over = 0, read_hand_over(present.hand_over)
    while True:
        with host.storage.read() as tx:
            behind = tx.all("SELECT pod_id FROM log_tree WHERE key_number < ? LIMIT ?", (present.number, _LOGS_AT_ONCE))
        for (pod_id,) in behind:
            with host.storage.write() as tx:
                # Whoever comes second finds it done.
                if tx.execute(
                    "UPDATE log_tree SET key_number = ? WHERE pod_id = ? AND key_number < ?",
                    (present.number, pod_id, present.number),
                ):
                    event = leaf_event(hand_over, _OPERATOR, host.clock.now())
                    ledger.append(tx, PodId(pod_id), event, random=secrets.token_bytes)
                    told += 1
        if not behind:
            return told
