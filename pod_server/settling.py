"""After a change of access rules: what everyone may read comes to lie in the public scope, everything else in the owner's.

The public scope is what the host can open while a pod is locked, so it must follow the rules. Moving a document is sealing
it anew, and a container's rules hold for everything below it: so it is done after the commit of the rules, in
transactions of a few milliseconds each, that no writer waits for.

    1. with the rules     a mark that the pod is unsettled                                        the rules' transaction
    2. after the commit   the documents that lie in the wrong scope are found                     one snapshot
    3.                    each is moved, if the rules of that moment still say so                 many small transactions
    4.                    the mark goes, if nobody has changed rules meanwhile                    one transaction

Whatever is not done when the request has waited long enough, or was cut off by a crash, is done by the agent role from the
mark. Until then everything is answered as the rules say: what is still sealed for the owner alone is opened for strangers
by way of the rules (AccessRules.require); and what is still in the public scope is not served from there, neither while
the pod is open (the rules are asked) nor, while the mark is there, when it is locked.
"""

from __future__ import annotations

import contextlib
import secrets
import time
from typing import TYPE_CHECKING

from pod_server import documents
from pod_server.access_rules import AccessRules
from pod_server.authorization.enforcement import require_owner
from pod_server.errors import NoSuchPod
from pod_server.identifiers import PodId
from pod_server.opening import OpenPod, custodian_vault, find_pod
from pod_server.resources.path import is_container
from pod_server.storage.errors import StorageError
from pod_server.vault.errors import PodLocked

if TYPE_CHECKING:
    import threading

    from pod_server.host import Host
    from pod_server.storage.ports import Transaction
    from pod_server.vault.vault import Vault

STEP_SECONDS = 0.012
"""Of moving, in one transaction."""

REQUEST_SECONDS = 1.0
"""How long a request that changed rules waits for their consequences."""

POLL_SECONDS = 2.0
_DESCRIPTION = ".meta"


def begin(tx: Transaction, pod_id: PodId) -> tuple[int, bool]:
    """Mark a pod as unsettled, in the transaction that changes its rules.

    Returns:
        The mark, and whether the pod was settled before: then only what lies below the changed rules is concerned.
    """
    turn = secrets.randbits(62)
    was_settled = tx.one("SELECT 1 FROM unsettled_pod WHERE pod_id = ?", (pod_id,)) is None
    if was_settled:
        tx.execute("INSERT INTO unsettled_pod (pod_id, turn) VALUES (?, ?)", (pod_id, turn))
    else:
        tx.execute("UPDATE unsettled_pod SET turn = ? WHERE pod_id = ?", (turn, pod_id))
    return turn, was_settled


def is_settled(tx: Transaction, pod_id: PodId) -> bool:
    """Whether the public scope holds what everyone may read, and nothing else."""
    return tx.one("SELECT 1 FROM unsettled_pod WHERE pod_id = ?", (pod_id,)) is None


def settle(host: Host, opened: OpenPod, turn: int, path: str = "", *, seconds: float | None = None) -> bool:
    """Move what lies in the wrong scope.

    Args:
        host: The host.
        opened: The pod, under a Permit that may write.
        turn: The mark of the change that this is for.
        path: The container whose rules changed; the root, for everything.
        seconds: How long at most; None for as long as it takes.

    Returns:
        True when everything lies where it belongs as far as `turn` is concerned.
    """
    until = None if seconds is None else time.monotonic() + seconds
    with host.storage.read() as tx:
        misplaced = _misplaced(host, tx, opened, path)
    while misplaced:
        with host.storage.write() as tx:
            rules = AccessRules(host, tx, opened, remember=True)
            step_until = time.monotonic() + STEP_SECONDS
            while misplaced:
                one = misplaced.pop()
                documents.move(tx, opened, one, public=rules.is_public(one))
                if time.monotonic() >= step_until:
                    break
        if misplaced and until is not None and time.monotonic() >= until:
            return False
    with host.storage.write() as tx:
        tx.execute("DELETE FROM unsettled_pod WHERE pod_id = ? AND turn = ?", (opened.pod_id, turn))
    return True


def settle_pod(host: Host, vault: Vault) -> None:
    """Move everything in a pod that lies in the wrong scope; for who opens or locks a pod, and for the agent role."""
    with host.storage.read() as tx:
        row = tx.one("SELECT turn FROM unsettled_pod WHERE pod_id = ?", (vault.pod_id,))
        pod = find_pod(tx, vault.pod_id)
    if row is not None:
        settle(host, OpenPod(pod, require_owner(vault, pod_id=vault.pod_id), vault), row[0])


def run_settler(host: Host, stop: threading.Event) -> None:
    """Finish what requests have left, until `stop` is set; for the agent role."""
    before: dict[PodId, int] = {}
    while not stop.wait(POLL_SECONDS):
        # A storage that does not answer now, or a pod that was locked meanwhile, is asked again at the next turn.
        with contextlib.suppress(StorageError):
            before = settle_left_over(host, before)


def settle_left_over(host: Host, seen: dict[PodId, int]) -> dict[PodId, int]:
    """Settle the pods whose marks were there the last time already: their requests are done with them.

    Returns:
        The marks that are there now, for the next time.
    """
    with host.storage.read() as tx:
        marks = {PodId(pod_id): turn for pod_id, turn in tx.all("SELECT pod_id, turn FROM unsettled_pod LIMIT 1000")}
    for pod_id, turn in marks.items():
        if seen.get(pod_id) == turn:
            with contextlib.suppress(PodLocked, NoSuchPod):
                settle_pod(host, custodian_vault(host, pod_id))
    return marks


def _misplaced(host: Host, tx: Transaction, opened: OpenPod, path: str) -> list[str]:
    """What lies in the wrong scope at and below a path, the last to be moved first.

    Containers are closed before their members and opened after them, so that a stranger who is shown a container from
    the public scope is shown all its public members.
    """
    rules = AccessRules(host, tx, opened, remember=True)
    to_close: list[str] = []
    to_open: list[str] = []
    waiting = [path]
    while waiting:
        one = waiting.pop()
        entry = documents.find_entry(tx, opened, one)
        if entry is None:
            continue
        below = documents.members(tx, opened, one) if is_container(one) else []
        documents.look_up(tx, opened, [f"{each.path}{ending}" for each in below for ending in (".acl", _DESCRIPTION)])
        for each in (entry, *(member for member in below if not is_container(member.path))):
            public = rules.is_public(each.path)
            if each.public != public:
                (to_open if public else to_close).append(each.path)
            described = documents.find_entry(tx, opened, each.path + _DESCRIPTION)
            if described is not None and described.public != public:
                (to_open if public else to_close).append(described.path)
        waiting += [member.path for member in below if is_container(member.path)]
    return [*to_open, *reversed(to_close)]
