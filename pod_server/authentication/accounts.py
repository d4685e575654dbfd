"""Signing in: with a passphrase, whose guesses are counted, or by a one-use link made on the machine itself.

A try is counted before it is made, so that guesses made at the same time count like guesses in a row; a name nobody
has is counted, and refused, like one that somebody has.
"""

from __future__ import annotations

import hmac
import ipaddress
import secrets
from datetime import timedelta
from typing import TYPE_CHECKING

from pod_server.authentication.errors import SignInLinkInvalid, TooManyAttempts
from pod_server.authentication.session import create_session, hashed
from pod_server.clock import microseconds
from pod_server.identifiers import Actor, PodId
from pod_server.log.event import LogEvent
from pod_server.log.ledger import append as append_to_log
from pod_server.vault.errors import WrongPassphrase
from pod_server.vault.key_derivation import Passphrase
from pod_server.vault.vault import unlock_with_custodian, unlock_with_passphrase

if TYPE_CHECKING:
    from pod_server.host import Host
    from pod_server.storage.ports import Transaction
    from pod_server.vault.vault import Vault

FREE_TRIES = 5
FIRST_WAIT = timedelta(seconds=30)
LONGEST_WAIT = timedelta(minutes=15)
LINK_LIFETIME = timedelta(hours=12)
TRIES_REMEMBERED = timedelta(days=1)
"""How long after the last wait for a name its wrong passphrases still count; names that nobody has do not pile up."""

_NOBODY = PodId(0)
"""No pod has this number: its passphrase slot is missing, so unlocking it costs a derivation and fails."""


def wait_after(failures: int) -> timedelta:
    """How long after the n-th wrong passphrase in a row: nothing for the first four, then 30 s, doubling to 15 min."""
    if failures < FREE_TRIES:
        return timedelta(0)
    doublings: int = 2 ** min(failures - FREE_TRIES, 10)
    return min(FIRST_WAIT * doublings, LONGEST_WAIT)


def _name_hash(host: Host, handle: str) -> str:
    return hmac.digest(host.host_key.derive("sign-in names"), handle.encode(), "sha256").hex()


def _count_try(host: Host, handle: str) -> None:
    """Count a try before it is made.

    Raises:
        TooManyAttempts: the name has to wait.
    """
    now = host.clock.protocol_now()
    name = _name_hash(host, handle)
    with host.storage.write() as tx:
        row = tx.one("SELECT failures, wait_until FROM sign_in_attempt WHERE name_hash = ?", (name,))
        failures, wait_until = (int(row[0]), int(row[1])) if row else (0, 0)
        left = wait_until - microseconds(now)
        if left > 0:
            raise TooManyAttempts(-(-left // 1_000_000))
        failures += 1
        tx.send(
            "INSERT INTO sign_in_attempt (name_hash, failures, wait_until) VALUES (?, ?, ?) "
            "ON CONFLICT (name_hash) DO UPDATE SET failures = excluded.failures, wait_until = excluded.wait_until",
            (name, failures, microseconds(now + wait_after(failures))),
        )


def _forget_tries(host: Host, handle: str) -> None:
    """Forget a name's wrong tries, and those of every name that nobody has tried for a day."""
    long_ago = microseconds(host.clock.protocol_now() - TRIES_REMEMBERED)
    with host.storage.write() as tx:
        tx.send(
            "DELETE FROM sign_in_attempt WHERE name_hash = ? OR wait_until < ?", (_name_hash(host, handle), long_ago)
        )


def forget_name(tx: Transaction, host: Host, handle: str) -> None:
    """Forget that somebody ever tried to sign in under a name."""
    tx.execute("DELETE FROM sign_in_attempt WHERE name_hash = ?", (_name_hash(host, handle),))


def open_vault(host: Host, handle: str, passphrase: str) -> Vault:
    """Open a citizen's vault by passphrase, with its guesses counted.

    Raises:
        WrongPassphrase: no such citizen, or not their passphrase: the same answer, after the same work.
        TooManyAttempts: too many wrong ones in a row.
        SignInBusy: too many people at once; the try does count.
    """
    handle = handle.strip().lower()[:64]
    _count_try(host, handle)
    with host.storage.read() as tx:
        row = tx.one("SELECT pod_id FROM pod WHERE handle = ?", (handle,))
    pod_id = PodId(row[0]) if row else _NOBODY
    vault = unlock_with_passphrase(host.host_key, host.key_store, pod_id, Passphrase(passphrase))
    if row is None:
        raise WrongPassphrase
    _forget_tries(host, handle)
    return vault


def sign_in(host: Host, handle: str, passphrase: str, *, device: str = "") -> str:
    """Sign a citizen in with their passphrase; returns the session cookie's value.

    Args:
        host: This host.
        handle: Who they say they are.
        passphrase: What they know.
        device: Which browser on which system, for their list of sessions.

    Raises:
        WrongPassphrase, TooManyAttempts, SignInBusy: as `open_vault`.
    """
    vault = open_vault(host, handle, passphrase)
    _log_unlock(host, vault.pod_id, "passphrase")
    return create_session(host, vault.pod_id, vault, device=device)


def create_sign_in_link(host: Host, pod_id: PodId) -> str:
    """A one-use path that signs in on this machine without a passphrase: the demo prints one.

    Raises:
        PodLocked: the citizen has locked the pod; only a passphrase signs in.
    """
    unlock_with_custodian(host.host_key, host.key_store, pod_id)
    token = secrets.token_urlsafe(24)
    expires_at = host.clock.protocol_now() + LINK_LIFETIME
    with host.storage.write() as tx:
        tx.send(
            "INSERT INTO sign_in_link (link_hash, pod_id, expires_at) VALUES (?, ?, ?)",
            (hashed(token), pod_id, microseconds(expires_at)),
        )
    return f"/-/sign-in/link/{token}"


def redeem_sign_in_link(host: Host, token: str, remote_address: str | None, *, device: str = "") -> str:
    """Use a sign-in link up; returns the session cookie's value.

    Raises:
        SignInLinkInvalid: used, run out, never made, or opened from another machine.
        PodLocked: the citizen has locked the pod since.
    """
    if not host.allow_insecure or not _is_loopback(remote_address):
        raise SignInLinkInvalid
    with host.storage.write() as tx:
        row = tx.one("SELECT pod_id, expires_at FROM sign_in_link WHERE link_hash = ?", (hashed(token),))
        used = tx.execute("DELETE FROM sign_in_link WHERE link_hash = ?", (hashed(token),))
    if row is None or not used or row[1] <= microseconds(host.clock.protocol_now()):
        raise SignInLinkInvalid
    pod_id = PodId(row[0])
    vault = unlock_with_custodian(host.host_key, host.key_store, pod_id)
    _log_unlock(host, pod_id, "link")
    return create_session(host, pod_id, vault, means="link", device=device)


def _is_loopback(address: str | None) -> bool:
    try:
        return address is not None and ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def _log_unlock(host: Host, pod_id: PodId, means: str) -> None:
    with host.storage.write() as tx:
        event = LogEvent(at=host.clock.now(), actor=Actor("citizen"), action="unlock", detail={"means": means})
        append_to_log(tx, pod_id, event, random=secrets.token_bytes)
