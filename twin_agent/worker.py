"""The agent's loop: wait for a signal, take in the pods that changed, at once."""

from __future__ import annotations

import contextlib
import os
import secrets
import traceback
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from pod_server import coming_of_age, consent_receipts, feed, grants, pods, reminders, removal, signing_keys
from pod_server.authorization.errors import MandateMissing
from pod_server.errors import FeedMoved, NoSuchPod
from pod_server.notifications.signal import Listener, Signal
from pod_server.storage.errors import StorageBusy, StorageFull
from pod_server.vault.errors import PodLocked
from twin_agent.compute import rules_fingerprint
from twin_agent.pipeline import EVERYBODYS_TROUBLE, TogetherFailed, process_pod, process_pods

if TYPE_CHECKING:
    import threading
    from collections.abc import Sequence

    from pod_server.host import Host
    from pod_server.identifiers import PodId
    from twin_agent.pipeline import Processed

PODS_AT_ONCE = 8
POLL_SECONDS = 1.0
"""How long a lost signal can delay a pod. The database is the truth; the signal is speed."""

EXPIRY_EVERY = timedelta(seconds=60)

REMINDERS_EVERY = timedelta(minutes=10)

_RULES_MARKER = "twin-rules"
_PODS_WOKEN_AT_ONCE = 50

_log = structlog.get_logger("tvilling.agent")


def run_agent(host: Host, stop: threading.Event) -> None:
    """Take in what comes, until `stop` is set; one call a process, any number of processes.

    A pod whose citizen locked it or turned the twin off is left alone until its claim has run out, and then looked at
    again: nothing of it is lost, it waits.
    """
    listener = host.signal.listen() if isinstance(host.signal, Signal) else None
    next_expiry = next_reminders = host.clock.protocol_now()
    with listener if listener is not None else contextlib.nullcontext():
        _start_up(host)
        while not stop.is_set():
            try:
                done = work_once(host)
                now = host.clock.protocol_now()
                if now >= next_expiry:
                    grants.expire_due(host)
                    signing_keys.keep_in_order(host)
                    next_expiry = now + EXPIRY_EVERY
                if now >= next_reminders:
                    reminders.remind_due(host)
                    coming_of_age.look_after_birthdays(host)
                    next_reminders = now + REMINDERS_EVERY
            except EVERYBODYS_TROUBLE as error:
                _log.warning("agent.storage", problem=type(error).__name__)
                stop.wait(POLL_SECONDS)
                continue
            if not done:
                _wait(listener, stop)


def work_once(host: Host) -> int:
    """Claim some pods and take in what is new in them; returns how many were claimed.

    Each round claims under a name of its own: a pod that cannot be taken in now stays claimed until that claim runs
    out, and is not asked for again at once.

    Raises:
        StorageBusy, StorageFull, KeyStoreFull: nothing can be done now; the claims not done are given back.
    """
    worker = f"agent-{os.getpid()}-{secrets.token_hex(4)}"
    claims = feed.claim(host, worker, PODS_AT_ONCE)
    done: frozenset[PodId] = frozenset()
    try:
        if len(claims) > 1 and host.storage.is_embedded:
            done = _process_together(host, claims)
        for claim in claims:
            if claim.pod_id not in done:
                process_claim(host, claim, worker)
    except EVERYBODYS_TROUBLE:
        _release_all(host, claims, worker)
        raise
    return len(claims)


def _process_together(host: Host, claims: Sequence[feed.Claim]) -> frozenset[PodId]:
    """The claimed pods that could be taken in by one commit; the others' trouble is met where each is alone."""
    try:
        return process_pods(host, [claim.pod_id for claim in claims])
    except TogetherFailed as error:
        _log.warning("agent.one_by_one", pods=len(claims), kind=str(error))
        return frozenset()


def _release_all(host: Host, claims: Sequence[feed.Claim], worker: str) -> None:
    """So that they wait for the storage, and not for the claims' end. Those taken in meanwhile are claimed no longer."""
    with contextlib.suppress(*EVERYBODYS_TROUBLE):
        for claim in claims:
            feed.release(host, claim.pod_id, worker)


def process_claim(host: Host, claim: feed.Claim, worker: str) -> Processed | None:
    """Take one claimed pod in; None where it cannot be now.

    Raises:
        StorageBusy, StorageFull, KeyStoreFull: it is every pod's trouble; the claim stands.
    """
    try:
        return process_pod(host, claim.pod_id)
    except (PodLocked, MandateMissing):
        return None
    except (FeedMoved, NoSuchPod):
        with contextlib.suppress(StorageBusy):
            feed.release(host, claim.pod_id, worker)
        return None
    except EVERYBODYS_TROUBLE:
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, it is this pod's
        # One pod's trouble must not stop the others; its claim runs out and it is tried again. The error's own words may
        # hold what stands in the pod: its kind and its place in the program say enough, and are nobody's.
        _log.error("agent.pod_failed", pod=claim.pod_id, kind=type(error).__name__, at=_place_of(error))
        return None


def _place_of(error: Exception) -> str:
    """Module and line where it was raised, and no value that stood there."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}"


def run_until_idle(host: Host) -> int:
    """Take in everything that waits now, in this process; returns how many pods were taken in.

    For commands and tests. Locked pods and pods without a twin are passed over.
    """
    count = 0
    while done := work_once(host):
        count += done
    return count


def _start_up(host: Host) -> None:
    """Finish the erasures and file the receipts that a crash interrupted, and look at every pod again where rules or factors have changed."""
    with contextlib.suppress(StorageBusy, StorageFull):
        removal.resume_removals(host)
        grants.resume_erasures(host)
        consent_receipts.resume_filing(host)
        wake_pods_of_other_rules(host)


def wake_pods_of_other_rules(host: Host) -> int:
    """Put every pod on the feed if the rules or factors are not those of the last run; returns how many were put there.

    The twin then makes their sums anew from the activities: a figure never mixes two versions of a factor.
    """
    marker = host.data_folder / "run" / _RULES_MARKER
    fingerprint = rules_fingerprint()
    if marker.exists() and marker.read_text("utf-8") == fingerprint:
        return 0
    found = pods.list_pods(host)
    for start in range(0, len(found), _PODS_WOKEN_AT_ONCE):
        with host.storage.write() as tx:
            for pod in found[start : start + _PODS_WOKEN_AT_ONCE]:
                feed.tell_change(tx, pod.pod_id, "rules", "", at=host.clock.protocol_now())
    marker.parent.mkdir(parents=True, exist_ok=True)
    marker.write_text(fingerprint, "utf-8")
    return len(found)


def _wait(listener: Listener | None, stop: threading.Event) -> None:
    if listener is None:
        stop.wait(POLL_SECONDS)
    else:
        listener.wait(POLL_SECONDS)
