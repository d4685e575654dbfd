"""Citizens' connections to sources that are asked for their data: the rows, and what is sealed in them.

What a row tells in plain is when to ask next and how it went; the tokens, and how far a source was read, are sealed under
the key of the grant that they serve, and go with it. Who asks, and how, is partner_bridge/pulling.py's affair.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pod_server import key_epochs
from pod_server.clock import microseconds, moment
from pod_server.identifiers import GrantId, PodId
from pod_server.vault.envelope import Place, Scope

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from pod_server.storage.ports import Row, Transaction
    from pod_server.vault.vault import Vault

_COLUMNS = (
    "pod_id, grant_id, slug, next_at, not_before, failures, last_problem, last_at, last_accepted, epoch, version, "
    "sealed, user_key, callbacks"
)


@dataclass(frozen=True)
class Pull:
    """One citizen's connection to one source.

    Attributes:
        slug: The source.
        next_at: When it is asked next, real time.
        not_before: The source wants to be left alone until then, real time.
        failures: How many pulls failed in a row.
        last_problem: A word for what went wrong last; empty where nothing did.
        last_at: When a pull last came to its end, city's time.
        last_accepted: How many records that one brought.
        version: Counts what was sealed.
        sealed: Tokens and cursor.
        user_key: A keyed hash of the name by which the source's calls tell of the citizen; empty until it is known.
        callbacks: What a ping asks to be fetched, sealed for this host; empty where nothing is.
    """

    pod_id: PodId
    grant: GrantId
    slug: str
    next_at: datetime
    not_before: datetime
    failures: int
    last_problem: str
    last_at: datetime | None
    last_accepted: int
    epoch: int
    version: int
    sealed: bytes
    user_key: str = ""
    callbacks: str = ""


def place(version: int) -> Place:
    """Where tokens and cursor are sealed."""
    return Place("pull", b"", version)


def pulls_of(tx: Transaction, pod_id: PodId) -> list[Pull]:
    """Every connection of one citizen."""
    return [_of(row) for row in tx.all(f"SELECT {_COLUMNS} FROM pull WHERE pod_id = ? ORDER BY slug", (pod_id,))]


def find_pull(tx: Transaction, pod_id: PodId, grant: str) -> Pull | None:
    """The connection under a grant; None where there is none, or none any more."""
    row = tx.one(f"SELECT {_COLUMNS} FROM pull WHERE pod_id = ? AND grant_id = ?", (pod_id, grant))
    return None if row is None else _of(row)


def pull_of_user(tx: Transaction, slug: str, user_key: str) -> Pull | None:
    """The connection of the one whom a source knows by a name; None where nobody here is."""
    row = tx.one(f"SELECT {_COLUMNS} FROM pull WHERE slug = ? AND user_key = ?", (slug, user_key))
    return None if row is None or not user_key else _of(row)


def keep_user(tx: Transaction, pull: Pull, user_key: str) -> None:
    """Note by which name the source's calls tell of a citizen: a keyed hash of it."""
    tx.send("UPDATE pull SET user_key = ? WHERE pod_id = ? AND grant_id = ?", (user_key, pull.pod_id, pull.grant))


def due(tx: Transaction, now: datetime, limit: int) -> list[tuple[PodId, GrantId]]:
    """Connections whose time has come and which nobody has in hand, the longest waiting first."""
    at = microseconds(now)
    rows = tx.all(
        "SELECT pod_id, grant_id FROM pull WHERE next_at <= ? AND leased_until <= ? ORDER BY next_at LIMIT ?",
        (at, at, limit),
    )
    return [(PodId(pod_id), GrantId(grant)) for pod_id, grant in rows]


def lease(tx: Transaction, pod_id: PodId, grant: GrantId, now: datetime, until: datetime) -> Pull | None:
    """Take a connection in hand until a moment; None where somebody else has it, or it is not due, or gone."""
    at = microseconds(now)
    taken = tx.execute(
        "UPDATE pull SET leased_until = ? WHERE pod_id = ? AND grant_id = ? AND next_at <= ? AND leased_until <= ?",
        (microseconds(until), pod_id, grant, at, at),
    )
    return find_pull(tx, pod_id, grant) if taken else None


def keep_new(  # noqa: PLR0917 - called in one place
    tx: Transaction, vault: Vault, grant: GrantId, slug: str, content: bytes, next_at: datetime
) -> None:
    """Write a connection down, in the place of an earlier one under the same grant."""
    pod_id = vault.pod_id
    before = find_pull(tx, pod_id, grant)
    version = 1 if before is None else before.version + 1
    scope, sealed = _seal(tx, vault, grant, version, content)
    at = microseconds(next_at)
    tx.execute("DELETE FROM pull WHERE pod_id = ? AND grant_id = ?", (pod_id, grant))
    tx.execute(
        "INSERT INTO pull (pod_id, grant_id, slug, next_at, not_before, leased_until, failures, last_problem, last_at, "
        "last_accepted, epoch, version, sealed) VALUES (?, ?, ?, ?, 0, 0, 0, '', NULL, 0, ?, ?, ?)",
        (pod_id, grant, slug, at, scope.epoch, version, sealed),
    )


def keep_content(tx: Transaction, vault: Vault, pull: Pull, content: bytes, leased_until: datetime) -> int | None:
    """Write tokens and cursor anew, and go on holding the lease.

    Returns:
        The new version; None where the connection is gone, or somebody else wrote: nothing was written then.
    """
    version = pull.version + 1
    scope, sealed = _seal(tx, vault, pull.grant, version, content)
    written = tx.execute(
        "UPDATE pull SET epoch = ?, version = ?, sealed = ?, leased_until = ? "
        "WHERE pod_id = ? AND grant_id = ? AND version = ?",
        (scope.epoch, version, sealed, microseconds(leased_until), pull.pod_id, pull.grant, pull.version),
    )
    return version if written else None


def open_content(vault: Vault, pull: Pull) -> bytes:
    """Tokens and cursor.

    Raises:
        KeyErased: the grant was erased.
        Tampered: it was changed, or lies in another row.
    """
    return vault.open(Scope("grant", pull.grant, pull.epoch), place(pull.version), pull.sealed)


def let_go(
    tx: Transaction,
    pull: Pull,
    next_at: datetime,
    failures: int,
    problem: str,
    *,
    not_before: datetime | None = None,
    finished: tuple[datetime, int] | None = None,
) -> None:
    """Give the lease back and say how it went and when to ask again.

    Args:
        tx: A writing transaction.
        pull: The connection; nothing happens where it is gone.
        next_at: Real time.
        failures: In a row.
        problem: A word, or empty.
        not_before: What the source asked for.
        finished: When a pull came to its end (city's time), and with how many new records; None where it did not.
    """
    tx.send(
        "UPDATE pull SET next_at = ?, failures = ?, last_problem = ?, not_before = ?, leased_until = 0 "
        "WHERE pod_id = ? AND grant_id = ?",
        (
            microseconds(next_at),
            failures,
            problem,
            0 if not_before is None else microseconds(not_before),
            pull.pod_id,
            pull.grant,
        ),
    )
    if finished is not None:
        tx.send(
            "UPDATE pull SET last_at = ?, last_accepted = ? WHERE pod_id = ? AND grant_id = ?",
            (microseconds(finished[0]), finished[1], pull.pod_id, pull.grant),
        )


def hurry(tx: Transaction, pod_id: PodId, grant: GrantId, now: datetime) -> bool:
    """Ask at the next occasion, unless the source wants to be left alone until later; False where there is nothing to ask."""
    at = microseconds(now)
    return bool(
        tx.execute(
            "UPDATE pull SET next_at = CASE WHEN not_before > ? THEN not_before ELSE ? END "
            "WHERE pod_id = ? AND grant_id = ?",
            (at, at, pod_id, grant),
        )
    )


def hurry_again(  # noqa: PLR0917 - called in one place
    tx: Transaction, pod_id: PodId, grant: GrantId, now: datetime, at_most_every: timedelta, callbacks: str = ""
) -> bool:
    """As `hurry`, but no sooner than so long after the last time; False where nothing was hurried.

    A connection that waits for its citizen is let be. After a failure no callbacks are noted: the ordinary questions come
    first then, so that forged pings whose callbacks fail cannot hold them up for ever.
    """
    at, again = microseconds(now), microseconds(now + at_most_every)
    return bool(
        tx.execute(
            "UPDATE pull SET next_at = CASE WHEN not_before > ? THEN not_before ELSE ? END, hurried_until = ?, "
            "callbacks = CASE WHEN failures = 0 THEN ? ELSE '' END "
            "WHERE pod_id = ? AND grant_id = ? AND hurried_until <= ? AND next_at > ? "
            "AND last_problem NOT IN ('sign-in-again', 'paused', 'locked')",
            (at, at, again, callbacks, pod_id, grant, at, at),
        )
    )


def take_callbacks(tx: Transaction, pull: Pull) -> bool:
    """Strike out what a ping asked to be fetched, before it is; False where the connection is gone."""
    return bool(
        tx.execute("UPDATE pull SET callbacks = '' WHERE pod_id = ? AND grant_id = ?", (pull.pod_id, pull.grant))
    )


def forget(tx: Transaction, pod_id: PodId, grant: GrantId) -> None:
    """End a connection; its tokens are gone with the commit."""
    tx.execute("DELETE FROM pull WHERE pod_id = ? AND grant_id = ?", (pod_id, grant))


def _seal(tx: Transaction, vault: Vault, grant: GrantId, version: int, content: bytes) -> tuple[Scope, bytes]:
    scope = key_epochs.grant_scope(tx, vault.pod_id, grant)
    return scope, vault.seal(scope, place(version), content)


def _of(row: Row) -> Pull:
    (
        pod_id,
        grant,
        slug,
        next_at,
        not_before,
        failures,
        problem,
        last_at,
        accepted,
        epoch,
        version,
        sealed,
        user_key,
        callbacks,
    ) = row
    return Pull(
        PodId(pod_id),
        GrantId(grant),
        slug,
        moment(next_at),
        moment(not_before),
        failures,
        problem,
        None if last_at is None else moment(last_at),
        accepted,
        epoch,
        version,
        bytes(sealed),
        user_key,
        callbacks,
    )
