"""What waits for a pod to be opened, done when it is: beside the pages, a few milliseconds at a time.

    1. the database follows the key store     where a crash came between the two (pods.catch_up_with_keys)
    2. what waited is merged                  deliveries of the time in which the pod was locked
    3. consents' receipts are filed           the citizen's own copies
    4. the twin takes in what is new          nothing is computed while a pod is locked
    5. history is sealed anew                 where the pod got new keys

A locked pod is open as long as somebody has its keys: the worker that answers a citizen's pages does these in a thread of
its own, which ends when they are done; it is begun again with the next page where something came in since. An open pod
needs no citizen: the agent's process looks for such pods. Every step may be cut off at any place and be done again.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from partner_bridge.merging import merge_waiting
from pod_server import consent_receipts, feed, inboxes, pods, resealing
from pod_server.authorization.errors import MandateMissing
from pod_server.errors import FeedMoved, NoSuchPod
from pod_server.log.errors import LogError
from pod_server.opening import custodian_vault
from pod_server.storage.errors import StorageError
from pod_server.vault.errors import PodLocked, VaultError
from twin_agent.pipeline import process_pod

if TYPE_CHECKING:
    from pod_server.host import Host
    from pod_server.identifiers import PodId
    from pod_server.resealing import Progress
    from pod_server.storage.ports import Transaction
    from pod_server.vault.vault import Vault

POLL_SECONDS = 1.0
_REST_SECONDS = 0.005
_MOVED_AT_MOST = 5

_log = structlog.get_logger("tvilling.unlocking")


@dataclass(frozen=True)
class Waits:
    """What waits for a pod, as its citizen's page tells it.

    Attributes:
        records: Records of deliveries that came while the pod was locked.
        unreadable: Deliveries that did not open and are kept aside.
        resealing: How far history is sealed anew; None where that is not going on.
        news: Whether the twin has something to take in.
    """

    records: int
    unreadable: int
    resealing: Progress | None
    news: bool

    @property
    def any(self) -> bool:
        """Whether there is something to do."""
        return bool(self.records or self.resealing or self.news)


def what_waits(tx: Transaction, pod_id: PodId) -> Waits:
    """Ask what waits for a pod; needs none of its keys."""
    waiting = inboxes.count_waiting(tx, pod_id)
    progress = resealing.progress(tx, pod_id)
    cursor, head = feed.position(tx, pod_id)
    unfinished = progress if progress is not None and progress.finished is None else None
    return Waits(waiting.records, waiting.unreadable, unfinished, head > cursor)


def do_what_waits(host: Host, vault: Vault, *, rest_seconds: float = 0.0) -> None:
    """Carry out the five steps, now and in this thread.

    Args:
        host: The host.
        vault: The pod's, open.
        rest_seconds: How long to leave the machine to others between transactions.

    Raises:
        PodLocked: the pod got new keys meanwhile, or was removed; whoever has the new ones goes on.
        StorageFull, StorageBusy: what is not done yet waits on.
        Tampered, LogBroken: something was changed at rest.
    """
    pod_id = vault.pod_id
    pods.catch_up_with_keys(host, vault)
    merge_waiting(host, vault, rest=lambda: time.sleep(rest_seconds))
    consent_receipts.file_if_open(host, pod_id, vault)
    _think(host, vault)
    resealing.reseal(host, vault, rest=lambda seconds: time.sleep(seconds if rest_seconds else 0))


def _think(host: Host, vault: Vault) -> None:
    for _ in range(_MOVED_AT_MOST):
        try:
            process_pod(host, vault.pod_id, vault=vault)
        except MandateMissing:
            return  # the citizen turned the twin off
        except FeedMoved:
            continue  # another worker, or an erasure, was first
        else:
            return


class _Workers:
    """The threads of this process, one a pod."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._at_work: dict[tuple[int, PodId], threading.Thread] = {}

    def begin(self, host: Host, vault: Vault) -> threading.Thread:
        place = (id(host.storage), vault.pod_id)
        with self._guard:
            running = self._at_work.get(place)
            if running is not None and running.is_alive():
                return running
            worker = threading.Thread(target=_work, args=(host, vault), name="unlocking", daemon=True)
            self._at_work = {key: each for key, each in self._at_work.items() if each.is_alive()}
            self._at_work[place] = worker
            worker.start()
            return worker


_workers = _Workers()


def begin(host: Host, vault: Vault) -> threading.Thread:
    """Do what waits for a pod in the background, if this process is not about it already."""
    return _workers.begin(host, vault)


def begin_if_something_waits(host: Host, vault: Vault) -> None:
    """As `begin`, where something waits."""
    with host.storage.read() as tx:
        waits = what_waits(tx, vault.pod_id).any
    if waits:
        begin(host, vault)


def _work(host: Host, vault: Vault) -> None:
    try:
        do_what_waits(host, vault, rest_seconds=_REST_SECONDS)
    except (PodLocked, NoSuchPod):
        pass  # locked again, or gone
    except (StorageError, VaultError, LogError) as error:
        # It waits on: the next page begins it again, and the page about the lock says how far it is.
        _log.warning("unlocking.stopped", problem=type(error).__name__)
    except Exception:  # noqa: BLE001 - a thread's last word
        _log.exception("unlocking.failed")


# Open pods: in the agent's process


def tend_open_pods(host: Host) -> int:
    """Do what waits for pods that are open by their custodian slots; returns for how many something was done."""
    with host.storage.read() as tx:
        found = dict.fromkeys([*inboxes.pods_with_waiting(tx), *resealing.unfinished_in_open_pods(tx)])
    done = 0
    for pod_id in found:
        try:
            do_what_waits(host, custodian_vault(host, pod_id), rest_seconds=_REST_SECONDS)
            done += 1
        except (PodLocked, NoSuchPod):
            continue
        except (StorageError, VaultError, LogError) as error:
            _log.warning("unlocking.stopped", problem=type(error).__name__)
    return done


def run_for_open_pods(host: Host, stop: threading.Event) -> None:
    """Look for such pods until told to stop; any number of processes may."""
    while not stop.wait(POLL_SECONDS):
        try:
            tend_open_pods(host)
        except StorageError as error:
            _log.warning("unlocking.storage", problem=type(error).__name__)
