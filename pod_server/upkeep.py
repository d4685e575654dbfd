"""What a host does by itself, now and then, in the agent's process: it tends its keys, has its logs witnessed and packs small deliveries."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from pod_server import grants, log_keys, partner_deliveries, resealing
from pod_server.authorization_server.software_statements import suspend_lapsed
from pod_server.compaction import compact
from pod_server.storage.errors import StorageError
from pod_server.transfer import arrival
from pod_server.vault import host_key_rotation
from pod_server.vault.errors import VaultError
from pod_server.witnessing import have_witnessed

if TYPE_CHECKING:
    import threading

    from pod_server.host import Host
    from pod_server.vault.key_store import Renewal

TENDED_EVERY_SECONDS = 1800.0

_log = structlog.get_logger("tvilling.upkeep")


def tend(host: Host) -> Renewal:
    """Finish an exchange of the host key's file that was cut off; begin and end epochs as their time has come.

    And destroy the old keys of pods whose history was sealed anew long enough ago, finish erasures that a full disk or a
    crash cut off, and forget what is left of pods whose move to this host was cut off, and what partners' consoles have
    shown for long enough.

    Raises:
        KeyStoreTooOld, EpochKeysMissing, HostKeyMissing, HostKeyMismatch: not all keys are at hand; nothing was done.
        KeyStoreUnavailable: the key store cannot be written.
        StorageError: the database cannot be; the epochs of the host are tended all the same.
    """
    store = host.key_store
    host_key_rotation.finish(store.epoch_keys.host_key_path, store, store.epoch_keys)
    renewal = store.renew_epoch()
    resealing.retire_due(host)
    grants.resume_erasures(host)
    log_keys.take_over(host)
    partner_deliveries.forget_old(host)
    suspend_lapsed(host)
    arrival.sweep(host)
    return renewal


def witness(host: Host) -> None:
    """Have the logs witnessed that are due, so far as the witnesses answer."""
    while have_witnessed(host).cosigned:
        pass


def run_upkeep(host: Host, stop: threading.Event) -> None:
    """Tend the keys at once and then twice an hour, until `stop` is set. Any number of processes may."""
    while not stop.is_set():
        try:
            renewal = tend(host)
            if renewal.begun or renewal.destroyed:
                _log.info("keys.epoch", epoch=renewal.epoch, pods=renewal.covered_anew, destroyed=renewal.destroyed)
        except (VaultError, StorageError) as error:
            # `tvilling doctor` says the same, with how to mend it; the next round tries again.
            _log.warning("keys.not_tended", problem=type(error).__name__)
        try:
            witness(host)
        except StorageError as error:
            _log.warning("logs.not_witnessed", problem=type(error).__name__)
        try:
            compacted = compact(host, stop=stop.is_set, rest=stop.wait)
            if compacted.packs:
                _log.info("deliveries.packed", rows=compacted.rows, packs=compacted.packs)
        except StorageError as error:
            _log.warning("deliveries.not_packed", problem=type(error).__name__)
        stop.wait(TENDED_EVERY_SECONDS)
