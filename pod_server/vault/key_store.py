"""The key store: slots and keyrings in a SQLite file of their own, outside the database, its log and its backups.

Everything in it is sealed twice: to a slot, to a root key or to the host key; and around that under the pod's cover key,
which is sealed under the host's epoch key. What makes the store special is that its rows can be destroyed for good:

- in the file: `secure_delete` overwrites them, and the write-ahead log is truncated after each erasure;
- in every copy: whatever destroys a row gives the pod a new cover key in the same commit, so that the old one exists in
  copies alone, under an epoch key that is destroyed some days later (epoch_keys.py).
"""

from __future__ import annotations

import contextlib
import itertools
import os
import sqlite3
import threading
import time
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from pod_server.identifiers import GrantId, PodId
from pod_server.storage.errors import StorageFull
from pod_server.storage.sqlite import commit, translate
from pod_server.vault.envelope import SECRET_BYTES, EnvelopeKey, Place, Scope, ScopeKind, field
from pod_server.vault.epoch_keys import EPOCH_KEPT, EPOCH_LASTS, EpochKeys
from pod_server.vault.errors import (
    EpochKeyDestroyed,
    KeyStoreFull,
    KeyStoreTooNew,
    KeyStoreTooOld,
    KeyStoreUnavailable,
    Tampered,
    VaultExists,
)
from pod_server.vault.slots import Slot, SlotKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime, timedelta
    from pathlib import Path

    from pod_server.vault.randomness import RandomBytes

_T = TypeVar("_T")

FORMAT = 4
"""2: counts its changes, so that of two copies the newer one can be told. 3: covers, epochs and the host key. 4: the keys
that sign logs and receipts, after their first rotation."""

_BUSY_MILLISECONDS = 10_000
_TRUNCATION_SECONDS = 5.0
_SCHEMA = """
CREATE TABLE slot (
    pod_id INTEGER NOT NULL, kind TEXT NOT NULL, parameters TEXT NOT NULL, salt BLOB NOT NULL, sealed BLOB NOT NULL,
    PRIMARY KEY (pod_id, kind)
) WITHOUT ROWID;
CREATE TABLE keyring (
    pod_id INTEGER NOT NULL, kind TEXT NOT NULL, grant_id TEXT NOT NULL, epoch INTEGER NOT NULL,
    wrapped BLOB, -- NULL once destroyed: the row stays so that the scope is never made again
    PRIMARY KEY (pod_id, kind, grant_id, epoch)
) WITHOUT ROWID;
"""
_SCHEMA_2 = "CREATE TABLE generation (changes INTEGER NOT NULL); INSERT INTO generation VALUES (0)"
_SCHEMA_3 = """
CREATE TABLE cover (pod_id INTEGER PRIMARY KEY, epoch INTEGER NOT NULL, wrapped BLOB NOT NULL);
CREATE INDEX cover_by_epoch ON cover (epoch);
CREATE TABLE epoch (current INTEGER NOT NULL);
INSERT INTO epoch VALUES (0);
CREATE TABLE host_key (file TEXT PRIMARY KEY, sealed BLOB NOT NULL) WITHOUT ROWID
"""
_SCHEMA_4 = """
CREATE TABLE lasting_key (
    use TEXT NOT NULL, number INTEGER NOT NULL, public BLOB NOT NULL, made_at INTEGER, hand_over TEXT NOT NULL,
    revoked_at INTEGER, sealed BLOB, -- NULL where it signs no more
    PRIMARY KEY (use, number)
) WITHOUT ROWID
"""
_PODS_AT_ONCE = 200
_COVER_PLACE = Place("cover-key", b"")


class Renewal(NamedTuple):
    """What tending the epochs did.

    Attributes:
        epoch: The newest.
        begun: Whether it was begun just now.
        covered_anew: How many pods were put under it.
        destroyed: The epochs whose keys were destroyed.
    """

    epoch: int
    begun: bool
    covered_anew: int
    destroyed: tuple[int, ...]


class CoveredSlot(NamedTuple):
    """A slot as its row has it.

    Attributes:
        mark: As `KeyStore.slot_mark` gives it: the cover's epoch, the wrapped cover key and the slot under it.
        parameters: The slot's.
        salt: The slot's.
    """

    mark: tuple[Any, ...]
    parameters: str
    salt: bytes


Covers = dict[tuple[PodId, Any, Any], EnvelopeKey]
"""The covers that one call has opened: each of many pods' once. Never kept longer than that."""


class KeyStore:
    """One key store file; safe among threads and processes.

    Attributes:
        epoch_keys: What its covers lie under.
    """

    _covering_of: tuple[bytes, EnvelopeKey] | None = None

    def __init__(self, path: Path, epoch_keys: EpochKeys, random: RandomBytes = os.urandom) -> None:
        """Open the file, or make it (mode 0600).

        Raises:
            KeyStoreTooNew: a newer version wrote it.
            KeyStoreUnavailable: it cannot be opened.
        """
        self._path = path
        self.epoch_keys = epoch_keys
        self._random = random
        self._of_thread = threading.local()
        self._connections: list[sqlite3.Connection] = []
        self._guard = threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with contextlib.suppress(FileExistsError):
                os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        except OSError as error:
            raise KeyStoreUnavailable("The key store's file cannot be made.") from error
        with self._writing() as connection:
            (found,) = connection.execute("PRAGMA user_version").fetchone()
            if found > FORMAT:
                raise KeyStoreTooNew(
                    f"The key store has format {found}; this version knows {FORMAT}. Run the newer one."
                )
            if found == 0:
                for statement in _SCHEMA.split(";"):
                    connection.execute(statement)
            if found < 2:
                for statement in _SCHEMA_2.split(";"):
                    connection.execute(statement)
            if found < 3:
                for statement in _SCHEMA_3.split(";"):
                    connection.execute(statement)
                for (pod_id,) in connection.execute(
                    "SELECT pod_id FROM slot UNION SELECT pod_id FROM keyring"
                ).fetchall():
                    self._cover_anew(connection, PodId(pod_id), was_covered=False)
                    self._erasing()
            if found < FORMAT:
                connection.execute(_SCHEMA_4)
                connection.execute(f"PRAGMA user_version = {FORMAT}")

    @contextlib.contextmanager
    def batch(self) -> Iterator[None]:
        """Make the changes inside the block one durable commit (of this thread); all or none of them happen.

        Raises:
            KeyStoreUnavailable: the commit failed; nothing was written.
        """
        with self._writing():
            yield

    # Slots

    def slot(self, pod_id: PodId, kind: SlotKind) -> Slot | None:
        """One slot, or None."""
        row = self._one(
            "SELECT cover.epoch, cover.wrapped, slot.parameters, slot.salt, slot.sealed "
            "FROM slot LEFT JOIN cover ON cover.pod_id = slot.pod_id WHERE slot.pod_id = ? AND slot.kind = ?",
            (pod_id, kind),
        )
        if row is None:
            return None
        cover = self._open_cover(pod_id, row[0], row[1])
        return Slot(kind, row[2], row[3], cover.open(slot_place(kind), row[4]))

    def slot_mark(self, pod_id: PodId, kind: SlotKind) -> tuple[Any, ...] | None:
        """What differs as soon as the slot, or the key that covers it, is another one; opens nothing. None without a slot."""
        return self._one(
            "SELECT cover.epoch, cover.wrapped, slot.sealed FROM slot LEFT JOIN cover ON cover.pod_id = slot.pod_id "
            "WHERE slot.pod_id = ? AND slot.kind = ?",
            (pod_id, kind),
        )

    def slots_of(self, pods: Sequence[PodId], kind: SlotKind) -> dict[PodId, CoveredSlot]:
        """The slots of many pods, by one question; opens nothing. Pods without such a slot are left out."""
        if not pods:
            return {}
        asked = _filled_up(pods)
        rows = self._all(
            "SELECT slot.pod_id, cover.epoch, cover.wrapped, slot.sealed, slot.parameters, slot.salt FROM slot LEFT JOIN "
            f"cover ON cover.pod_id = slot.pod_id WHERE slot.kind = ? AND slot.pod_id IN ({', '.join('?' * len(asked))})",
            (kind, *asked),
        )
        return {PodId(row[0]): CoveredSlot(row[1:4], row[4], row[5]) for row in rows}

    def open_slot(self, pod_id: PodId, kind: SlotKind, covered: CoveredSlot, covers: Covers) -> Slot:
        """A slot that `slots_of` found.

        Raises:
            Tampered: the row was changed.
        """
        cover = self._open_cover_once(covers, pod_id, covered.mark[0], covered.mark[1])
        return Slot(kind, covered.parameters, covered.salt, cover.open(slot_place(kind), covered.mark[2]))

    def secret_mark(self, pod_id: PodId, scope: Scope) -> tuple[Any, ...] | None:
        """As `slot_mark`, of a scope's secret; None if it was destroyed or never made."""
        return self._one(
            "SELECT cover.epoch, cover.wrapped, keyring.wrapped "
            "FROM keyring LEFT JOIN cover ON cover.pod_id = keyring.pod_id WHERE keyring.pod_id = ? "
            "AND keyring.kind = ? AND keyring.grant_id = ? AND keyring.epoch = ? AND keyring.wrapped IS NOT NULL",
            (pod_id, *scope),
        )

    def slot_kinds(self, pod_id: PodId) -> frozenset[str]:
        """Which slots a pod has."""
        return frozenset(kind for (kind,) in self._all("SELECT kind FROM slot WHERE pod_id = ?", (pod_id,)))

    def put_slot(self, pod_id: PodId, slot: Slot) -> None:
        """Add or replace a slot; the replaced bytes are overwritten."""
        with self._writing() as connection:
            self._insert_slots(connection, pod_id, [slot])
            self._erasing(pod_id)

    def remove_slot(self, pod_id: PodId, kind: SlotKind) -> bool:
        """Destroy a slot; True if there was one."""
        with self._writing() as connection:
            self._erasing(pod_id)
            return connection.execute("DELETE FROM slot WHERE pod_id = ? AND kind = ?", (pod_id, kind)).rowcount > 0

    # Keyrings

    def keyring(self, pod_id: PodId) -> dict[Scope, bytes | None]:
        """Every scope of a pod with its wrapped secret; None where it was destroyed."""
        rows = self._all(
            "SELECT cover.epoch, cover.wrapped, keyring.kind, keyring.grant_id, keyring.epoch, keyring.wrapped "
            "FROM keyring LEFT JOIN cover ON cover.pod_id = keyring.pod_id WHERE keyring.pod_id = ?",
            (pod_id,),
        )
        cover = self._open_cover(pod_id, *rows[0][:2]) if any(row[5] is not None for row in rows) else None
        return {
            scope: None if cover is None or row[5] is None else cover.open(secret_place(scope), row[5])
            for scope, row in ((Scope(row[2], row[3], row[4]), row) for row in rows)
        }

    def wrapped_secret(self, pod_id: PodId, scope: Scope) -> bytes | None:
        """A scope's wrapped secret; None if it was destroyed or never made."""
        row = self._one(
            "SELECT cover.epoch, cover.wrapped, keyring.wrapped "
            "FROM keyring LEFT JOIN cover ON cover.pod_id = keyring.pod_id "
            "WHERE keyring.pod_id = ? AND keyring.kind = ? AND keyring.grant_id = ? AND keyring.epoch = ?",
            (pod_id, *scope),
        )
        if row is None or row[2] is None:
            return None
        return self._open_cover(pod_id, row[0], row[1]).open(secret_place(scope), row[2])

    def wrapped_secrets(
        self, wanted: Sequence[tuple[PodId, Scope]], covers: Covers
    ) -> dict[tuple[PodId, Scope], bytes]:
        """The wrapped secrets of many pods' scopes, by one question; those that are not there, or destroyed, are left out.

        Raises:
            Tampered: a row was changed.
        """
        if not wanted:
            return {}
        asked = _filled_up(wanted)
        rows = self._all(
            # A join: for a list of four columns SQLite would read the whole table.
            "WITH wanted (pod_id, kind, grant_id, epoch) AS "
            f"(VALUES {', '.join(['(?, ?, ?, ?)'] * len(asked))}) SELECT keyring.pod_id, keyring.kind, keyring.grant_id, "
            "keyring.epoch, keyring.wrapped, cover.epoch, cover.wrapped FROM wanted JOIN keyring ON "
            "keyring.pod_id = wanted.pod_id AND keyring.kind = wanted.kind AND keyring.grant_id = wanted.grant_id "
            "AND keyring.epoch = wanted.epoch LEFT JOIN cover ON cover.pod_id = keyring.pod_id "
            "WHERE keyring.wrapped IS NOT NULL",
            tuple(value for pod_id, scope in asked for value in (pod_id, *scope)),
        )
        found = {}
        for pod_id, kind, grant, epoch, wrapped, of_epoch, cover_wrapped in rows:
            scope = Scope(kind, grant, epoch)
            cover = self._open_cover_once(covers, pod_id, of_epoch, cover_wrapped)
            if (pod_id, scope) not in found:
                found[PodId(pod_id), scope] = cover.open(secret_place(scope), wrapped)
        return found

    def newest_epoch(self, pod_id: PodId, kind: ScopeKind, grant: GrantId | str = "") -> tuple[int, bool] | None:
        """The greatest epoch of a scope, and whether its secret is there still; None where there never was one."""
        row = self._one(
            "SELECT epoch, wrapped IS NOT NULL FROM keyring WHERE pod_id = ? AND kind = ? AND grant_id = ? "
            "ORDER BY epoch DESC LIMIT 1",
            (pod_id, kind, grant),
        )
        return None if row is None else (int(row[0]), bool(row[1]))

    def newest_secret(
        self, pod_id: PodId, kind: ScopeKind, grant: GrantId | str = ""
    ) -> tuple[int, bytes | None] | None:
        """The greatest epoch of a scope and its wrapped secret (None once destroyed); None where there never was one."""
        row = self._one(
            "SELECT cover.epoch, cover.wrapped, keyring.epoch, keyring.wrapped "
            "FROM keyring LEFT JOIN cover ON cover.pod_id = keyring.pod_id "
            "WHERE keyring.pod_id = ? AND keyring.kind = ? AND keyring.grant_id = ? ORDER BY keyring.epoch DESC LIMIT 1",
            (pod_id, kind, grant),
        )
        if row is None or row[3] is None:
            return None if row is None else (int(row[2]), None)
        scope = Scope(kind, GrantId(grant), row[2])
        return int(row[2]), self._open_cover(pod_id, row[0], row[1]).open(secret_place(scope), row[3])

    def add_secret(self, pod_id: PodId, scope: Scope, wrapped: bytes) -> bool:
        """Store a new scope's wrapped secret; False if the scope was there before, alive or destroyed."""
        with self._writing() as connection:
            return self._insert_secrets(connection, pod_id, [(scope, wrapped)]) > 0

    def create(self, pod_id: PodId, slots: Iterable[Slot], secrets: Iterable[tuple[Scope, bytes]]) -> None:
        """Store a new vault, all of it or none.

        Raises:
            VaultExists: the pod has a vault.
        """
        with self._writing() as connection:
            if connection.execute("SELECT 1 FROM keyring WHERE pod_id = ? LIMIT 1", (pod_id,)).fetchone():
                raise VaultExists("The pod has a vault already.")
            self._insert_slots(connection, pod_id, slots)
            self._insert_secrets(connection, pod_id, secrets)

    def forget_tombstones(self, pod_id: PodId) -> None:
        """Forget that a pod was here, all of whose keys are destroyed: it comes back, with tombstones of its own.

        Raises:
            VaultExists: the pod has a vault.
        """
        with self._writing() as connection:
            alive = "SELECT 1 FROM keyring WHERE pod_id = ? AND wrapped IS NOT NULL LIMIT 1"
            if connection.execute(alive, (pod_id,)).fetchone():
                raise VaultExists("The pod has a vault already.")
            connection.execute("DELETE FROM keyring WHERE pod_id = ?", (pod_id,))

    def replace_root(
        self,
        pod_id: PodId,
        slots: Iterable[Slot],
        secrets: Iterable[tuple[Scope, bytes]],
        fresh: Iterable[tuple[Scope, bytes]] = (),
    ) -> None:
        """Put new slots and newly wrapped secrets in place of all the old ones, in one commit, and destroy the old.

        Args:
            pod_id: Whose.
            slots: All that the pod has from now on.
            secrets: The secrets that stay, wrapped anew.
            fresh: The secrets of scopes that did not exist before.
        """
        with self._writing() as connection:
            connection.execute("DELETE FROM slot WHERE pod_id = ?", (pod_id,))
            self._insert_slots(connection, pod_id, slots)
            cover = self._cover(connection, pod_id)
            connection.executemany(
                _REPLACE_IN_KEYRING,
                (
                    (cover.seal(secret_place(scope), wrapped, self._random), pod_id, *scope)
                    for scope, wrapped in secrets
                ),
            )
            self._insert_secrets(connection, pod_id, fresh)
            self._erasing(pod_id)

    # Erasure

    def destroy_scope(self, pod_id: PodId, scope: Scope) -> bool:
        """Destroy one scope's secret for good; True if there was one. Works on a locked pod."""
        with self._writing() as connection:
            self._erasing(pod_id)
            connection.execute(_ADD_TO_KEYRING, (pod_id, *scope, None))
            return (
                connection.execute(
                    "UPDATE keyring SET wrapped = NULL"
                    " WHERE pod_id = ? AND kind = ? AND grant_id = ? AND epoch = ? AND wrapped IS NOT NULL",
                    (pod_id, *scope),
                ).rowcount
                > 0
            )

    def destroy_scopes(self, pod_id: PodId, scopes: Iterable[Scope]) -> int:
        """Destroy several scopes' secrets in one commit; how many there were. Works on a locked pod."""
        with self.batch():
            return sum(self.destroy_scope(pod_id, scope) for scope in scopes)

    def destroy_grant(self, pod_id: PodId, grant: GrantId) -> int:
        """Destroy the secrets of every epoch of a grant, and of its marks; how many there were. Works on a locked pod."""
        with self._writing() as connection:
            self._erasing(pod_id)
            return connection.execute(
                "UPDATE keyring SET wrapped = NULL"
                " WHERE pod_id = ? AND kind IN ('grant', 'marks') AND grant_id = ? AND wrapped IS NOT NULL",
                (pod_id, grant),
            ).rowcount

    def destroy_vault(self, pod_id: PodId) -> None:
        """Destroy everything of a pod: nothing of it can be opened again. The scopes' tombstones stay."""
        with self._writing() as connection:
            self._erasing()
            for statement in (
                "DELETE FROM slot WHERE pod_id = ?",
                "UPDATE keyring SET wrapped = NULL WHERE pod_id = ?",
                "DELETE FROM cover WHERE pod_id = ?",
            ):
                connection.execute(statement, (pod_id,))

    # The host key

    def host_key(self, file: str) -> bytes | None:
        """The host key sealed to the host key's file of this fingerprint, or None."""
        row = self._one("SELECT sealed FROM host_key WHERE file = ?", (file,))
        return None if row is None else bytes(row[0])

    def host_key_files(self) -> frozenset[str]:
        """The fingerprints of the files that open the host key: one, and two while they are being exchanged."""
        return frozenset(file for (file,) in self._all("SELECT file FROM host_key", ()))

    def add_first_host_key(self, file: str, sealed: bytes) -> bool:
        """Store the sealed host key of a store that has none; False if it has one."""
        with self._writing() as connection:
            return (
                connection.execute(
                    "INSERT INTO host_key SELECT ?, ? WHERE NOT EXISTS (SELECT 1 FROM host_key)", (file, sealed)
                ).rowcount
                > 0
            )

    def add_host_key(self, file: str, sealed: bytes) -> None:
        """Store the host key sealed to one more file."""
        with self._writing() as connection:
            connection.execute("INSERT OR REPLACE INTO host_key VALUES (?, ?)", (file, sealed))

    def keep_host_key_of(self, file: str) -> None:
        """Destroy the host key as it is sealed to any other file than this one."""
        with self._writing() as connection:
            self._erasing()
            connection.execute("DELETE FROM host_key WHERE file <> ?", (file,))

    def custodians(self) -> frozenset[str]:
        """The parameters of the custodian slots: to which host keys pods were left open."""
        rows = self._all("SELECT DISTINCT parameters FROM slot WHERE kind = 'custodian'", ())
        return frozenset(parameters for (parameters,) in rows)

    def is_empty(self) -> bool:
        """Whether no pod ever had keys here."""
        return self._one("SELECT 1 FROM keyring LIMIT 1", ()) is None

    # Keys that others hold the host to (lasting_keys.py)

    def lasting_keys(self, use: str) -> list[tuple[Any, ...]]:
        """The rows of one use: number, public key, when made (µs), hand-over, when revoked (µs), sealed seed or None."""
        return self._all(
            "SELECT number, public, made_at, hand_over, revoked_at, sealed FROM lasting_key WHERE use = ? ORDER BY number",
            (use,),
        )

    def add_lasting_key(self, use: str, row: tuple[int, bytes, int | None, str, int | None, bytes | None]) -> None:
        """Write down a key of this use; the private parts of those before it are destroyed in the same commit."""
        with self._writing() as connection:
            connection.execute("UPDATE lasting_key SET sealed = NULL WHERE use = ? AND number < ?", (use, row[0]))
            connection.execute("INSERT INTO lasting_key VALUES (?, ?, ?, ?, ?, ?, ?)", (use, *row))
            self._erasing()

    def revoke_lasting_key(self, use: str, number: int, at: int) -> None:
        """Say that a key came into other hands, at so many microseconds since 1970."""
        with self._writing() as connection:
            connection.execute("UPDATE lasting_key SET revoked_at = ? WHERE use = ? AND number = ?", (at, use, number))

    # Epochs

    def epoch(self) -> int:
        """The newest epoch; 0 before the first."""
        row = self._one("SELECT current FROM epoch", ())
        assert row is not None, "a key store has its epoch from the beginning"
        return int(row[0])

    def epochs_in_use(self) -> list[int]:
        """The epochs under which some pod's keys lie, the oldest first: one, and two while pods are covered anew."""
        return [epoch for (epoch,) in self._all("SELECT DISTINCT epoch FROM cover ORDER BY epoch", ())]

    def require_epoch_keys(self) -> None:
        """Check that the keys of all epochs in use are there.

        Raises:
            KeyStoreTooOld: one was destroyed: this is an old copy.
            EpochKeysMissing: none is there, or they do not open.
        """
        for epoch in self.epochs_in_use():
            self._epoch_key(epoch)

    def renew_epoch(self, *, lasts: timedelta = EPOCH_LASTS, kept: timedelta = EPOCH_KEPT) -> Renewal:
        """Begin a new epoch where the newest is old enough, put every pod under it, and destroy the keys that are due.

        Each step is durable before the next, and a call after a crash goes on where it was. Readers and writers go on.

        Args:
            lasts: After how long a new epoch begins.
            kept: How long an ended epoch's key is kept; copies of the store from that epoch open as long.

        Raises:
            KeyStoreTooOld, EpochKeysMissing: not all keys are at hand; nothing was done.
        """
        self.require_epoch_keys()
        self.epoch_keys.clear()
        self._covering_of = None
        now = self.epoch_keys.clock.protocol_now()
        begun = self._begin_epoch(now, lasts)
        current, covered = self.epoch(), 0
        while pods := self._all("SELECT pod_id FROM cover WHERE epoch < ? LIMIT ?", (current, _PODS_AT_ONCE)):
            with self._writing() as connection:
                for (pod_id,) in pods:
                    covered += self._move_cover(connection, PodId(pod_id), current)
                self._erasing()
        epochs = self.epoch_keys.epochs()
        destroyed = []
        for epoch, follower in itertools.pairwise(epochs):
            if follower.made > now:
                # A clock was ahead when it was made; counted from now on, no key is kept for longer than it should.
                self.epoch_keys.date_anew(follower.number)
            elif follower.made <= now - kept and epoch.number < current:
                self.epoch_keys.destroy(epoch.number)
                destroyed.append(epoch.number)
        return Renewal(current, begun, covered, tuple(destroyed))

    def _begin_epoch(self, now: datetime, lasts: timedelta) -> bool:
        with self._writing() as connection:
            (current,) = connection.execute("SELECT current FROM epoch").fetchone()
            epochs = self.epoch_keys.epochs()
            newest = epochs[-1] if epochs else None
            if newest is not None and newest.number > current:
                # Made, and then came a crash; or this store is a copy from before. Either way it is the newest.
                connection.execute("UPDATE epoch SET current = ?", (newest.number,))
                return True
            if newest is not None and newest.number == current and now - lasts < newest.made <= now:
                return False
            self.epoch_keys.make(current + 1)
            connection.execute("UPDATE epoch SET current = ?", (current + 1,))
            return True

    def _move_cover(self, connection: sqlite3.Connection, pod_id: PodId, epoch: int) -> int:
        row = connection.execute("SELECT epoch, wrapped FROM cover WHERE pod_id = ?", (pod_id,)).fetchone()
        if row is None or row[0] >= epoch:
            return 0
        key = self._open_cover_key(pod_id, *row)
        connection.execute(
            "UPDATE cover SET epoch = ?, wrapped = ? WHERE pod_id = ?", (epoch, self._wrap(pod_id, epoch, key), pod_id)
        )
        return 1

    # Covers

    def _wrap(self, pod_id: PodId, epoch: int, key: bytes) -> bytes:
        return self._covering(pod_id, epoch).seal(_COVER_PLACE, key, self._random)

    def _covering(self, pod_id: PodId, epoch: int) -> EnvelopeKey:
        """The epoch's key for one pod; the epoch's part of it is made once for as long as the epoch's key is the same."""
        secret, scope = self._epoch_key(epoch), Scope("cover", "", epoch)
        known = self._covering_of
        if known is None or known[0] != secret:
            known = self._covering_of = secret, EnvelopeKey(secret, pod_id, scope)
        return known[1].elsewhere(pod_id, scope)

    def _epoch_key(self, epoch: int) -> bytes:
        try:
            return self.epoch_keys.key(epoch)
        except EpochKeyDestroyed as error:
            raise KeyStoreTooOld(
                f"This copy of the key store is of epoch {epoch}, whose key was destroyed so that old copies open nothing. "
                "Use a newer one."
            ) from error

    def _open_cover_key(self, pod_id: PodId, epoch: int | None, wrapped: bytes | None) -> bytes:
        if epoch is None or wrapped is None:
            raise Tampered  # rows without their pod's cover: somebody took it away
        return self._covering(pod_id, epoch).open(_COVER_PLACE, wrapped)

    def _open_cover(self, pod_id: PodId, epoch: int | None, wrapped: bytes | None) -> EnvelopeKey:
        return EnvelopeKey(self._open_cover_key(pod_id, epoch, wrapped), pod_id, _COVERED)

    def _open_cover_once(self, covers: Covers, pod_id: PodId, epoch: int | None, wrapped: bytes | None) -> EnvelopeKey:
        cover = covers.get((pod_id, epoch, wrapped))
        if cover is None:
            cover = covers[pod_id, epoch, wrapped] = self._open_cover(pod_id, epoch, wrapped)
        return cover

    def _cover(self, connection: sqlite3.Connection, pod_id: PodId) -> EnvelopeKey:
        """The pod's cover in the present transaction; a new one where it has none."""
        row = connection.execute("SELECT epoch, wrapped FROM cover WHERE pod_id = ?", (pod_id,)).fetchone()
        if row is not None:
            return self._open_cover(pod_id, *row)
        return self._new_cover(connection, pod_id)

    def _new_cover(self, connection: sqlite3.Connection, pod_id: PodId) -> EnvelopeKey:
        (epoch,) = connection.execute("SELECT current FROM epoch").fetchone()
        if epoch == 0:
            epochs = self.epoch_keys.epochs()
            epoch = epochs[-1].number if epochs else 1
            self.epoch_keys.make(epoch)
            connection.execute("UPDATE epoch SET current = ?", (epoch,))
        key = self._random(SECRET_BYTES)
        connection.execute(
            "INSERT OR REPLACE INTO cover VALUES (?, ?, ?)", (pod_id, epoch, self._wrap(pod_id, epoch, key))
        )
        return EnvelopeKey(key, pod_id, _COVERED)

    def _cover_anew(self, connection: sqlite3.Connection, pod_id: PodId, *, was_covered: bool = True) -> None:
        """Seal all that is left of a pod under a new cover key: the old one opens what was destroyed, in copies."""
        slots = connection.execute("SELECT kind, sealed FROM slot WHERE pod_id = ?", (pod_id,)).fetchall()
        secrets = connection.execute(
            "SELECT kind, grant_id, epoch, wrapped FROM keyring WHERE pod_id = ? AND wrapped IS NOT NULL", (pod_id,)
        ).fetchall()
        if not slots and not secrets:
            connection.execute("DELETE FROM cover WHERE pod_id = ?", (pod_id,))
            return
        old = self._cover(connection, pod_id) if was_covered else None
        new = self._new_cover(connection, pod_id)

        def again(place: Place, sealed: bytes) -> bytes:
            return new.seal(place, sealed if old is None else old.open(place, sealed), self._random)

        connection.executemany(
            "UPDATE slot SET sealed = ? WHERE pod_id = ? AND kind = ?",
            [(again(slot_place(kind), sealed), pod_id, kind) for kind, sealed in slots],
        )
        connection.executemany(
            _REPLACE_IN_KEYRING,
            [
                (again(secret_place(scope), wrapped), pod_id, *scope)
                for *named, wrapped in secrets
                for scope in (Scope(*named),)
            ],
        )

    def _insert_slots(self, connection: sqlite3.Connection, pod_id: PodId, slots: Iterable[Slot]) -> None:
        cover = self._cover(connection, pod_id)
        connection.executemany(
            "INSERT OR REPLACE INTO slot VALUES (?, ?, ?, ?, ?)",
            [
                (
                    pod_id,
                    slot.kind,
                    slot.parameters,
                    slot.salt,
                    cover.seal(slot_place(slot.kind), slot.sealed, self._random),
                )
                for slot in slots
            ],
        )

    def _insert_secrets(
        self, connection: sqlite3.Connection, pod_id: PodId, secrets: Iterable[tuple[Scope, bytes]]
    ) -> int:
        cover = self._cover(connection, pod_id)
        return connection.executemany(
            _ADD_TO_KEYRING,
            [(pod_id, *scope, cover.seal(secret_place(scope), wrapped, self._random)) for scope, wrapped in secrets],
        ).rowcount

    def damaged_rows(self, pod_ids: Iterable[PodId]) -> list[tuple[PodId, str]]:
        """The slots and secrets of these pods that are not what was written: changed, exchanged, or put back from a copy.

        Returns:
            The pod, and in words which row.
        """
        found: list[tuple[PodId, str]] = []
        for pod_id in pod_ids:
            row = self._one(
                "SELECT cover.epoch, cover.wrapped FROM (SELECT pod_id FROM slot WHERE pod_id = ?1 UNION "
                "SELECT pod_id FROM keyring WHERE pod_id = ?1 AND wrapped IS NOT NULL) AS held "
                "LEFT JOIN cover ON cover.pod_id = held.pod_id",
                (pod_id,),
            )
            if row is None:
                continue
            try:
                cover = self._open_cover(pod_id, *row)
            except Tampered:
                found.append((pod_id, "the cover key"))
                continue
            rows = [
                (f"the {kind} slot", slot_place(kind), sealed)
                for kind, sealed in self._all("SELECT kind, sealed FROM slot WHERE pod_id = ?", (pod_id,))
            ] + [
                (
                    f"the key of {' '.join(filter(None, (kind, grant)))}, epoch {epoch}",
                    secret_place(Scope(kind, grant, epoch)),
                    wrapped,
                )
                for kind, grant, epoch, wrapped in self._all(
                    "SELECT kind, grant_id, epoch, wrapped FROM keyring WHERE pod_id = ? AND wrapped IS NOT NULL",
                    (pod_id,),
                )
            ]
            for what, place, sealed in rows:
                try:
                    cover.open(place, sealed)
                except Tampered:
                    found.append((pod_id, what))
        return found

    # Copies

    def changes(self) -> int:
        """How many commits changed the store since it was made: of two copies of one store the greater is the newer."""
        row = self._one("SELECT changes FROM generation", ())
        assert row is not None, "a key store has its generation from the beginning"
        return int(row[0])

    def tombstones(self) -> list[tuple[PodId, Scope]]:
        """Every scope whose secret was destroyed."""
        rows = self._all("SELECT pod_id, kind, grant_id, epoch FROM keyring WHERE wrapped IS NULL", ())
        return [(PodId(pod_id), Scope(kind, grant, epoch)) for pod_id, kind, grant, epoch in rows]

    def grants_with_keys(self) -> frozenset[tuple[PodId, str]]:
        """The grants, by pod, that have at least one secret."""
        rows = self._all(
            "SELECT DISTINCT pod_id, grant_id FROM keyring WHERE kind = 'grant' AND wrapped IS NOT NULL", ()
        )
        return frozenset((PodId(pod_id), grant) for pod_id, grant in rows)

    def pods_with_keys(self) -> frozenset[PodId]:
        """The pods that have at least one secret; a removed pod has tombstones alone."""
        rows = self._all("SELECT DISTINCT pod_id FROM keyring WHERE wrapped IS NOT NULL", ())
        return frozenset(PodId(pod_id) for (pod_id,) in rows)

    def close(self) -> None:
        """Let go of every connection; one that another thread is asking at this moment ends with its answer."""
        # Other threads' are not closed by hand: SQLite dies of a connection that is closed under a running statement.
        # What nobody holds any more closes itself.
        own: sqlite3.Connection | None = getattr(self._of_thread, "connection", None)
        with self._guard:
            self._connections = []
        self._of_thread = threading.local()
        if own is not None:
            with contextlib.suppress(sqlite3.Error):
                own.close()

    # Connections

    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._of_thread, "connection", None)
        if connection is not None and self._of_thread.process == os.getpid():
            return connection
        # A connection must not be used after a fork: a child makes its own.
        connection = sqlite3.connect(
            self._path, timeout=_BUSY_MILLISECONDS / 1000, isolation_level=None, check_same_thread=False
        )
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "secure_delete = ON", "wal_autocheckpoint = 1000"):
            connection.execute(f"PRAGMA {pragma}")
        self._of_thread.connection, self._of_thread.process = connection, os.getpid()
        self._of_thread.depth, self._of_thread.erases = 0, False
        self._of_thread.uncovered = set()
        with self._guard:
            self._connections.append(connection)
        return connection

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        try:
            connection = self._connection()
            if self._of_thread.depth:
                yield connection
                return
            connection.execute("BEGIN IMMEDIATE")
            self._of_thread.depth, self._of_thread.erases = 1, False
            self._of_thread.uncovered = set()
            before = connection.total_changes
            try:
                yield connection
                for pod_id in sorted(self._of_thread.uncovered):
                    self._cover_anew(connection, pod_id)
                if connection.total_changes != before:
                    connection.execute("UPDATE generation SET changes = changes + 1")
                commit(connection, "UPDATE generation SET changes = changes + 1")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
                raise
            finally:
                self._of_thread.depth = 0
            if self._of_thread.erases:
                self._truncate_log(connection)
        except sqlite3.Error as error:
            if isinstance(translate(error), StorageFull):
                raise KeyStoreFull from error
            raise KeyStoreUnavailable("The key store could not be written.") from error

    def _erasing(self, pod_id: PodId | None = None) -> None:
        """The present transaction destroys something; of this pod, which gets a new cover at its end."""
        self._of_thread.erases = True
        if pod_id is not None:
            self._of_thread.uncovered.add(pod_id)

    def _truncate_log(self, connection: sqlite3.Connection) -> None:
        # Old pages live on in the write-ahead log until it is truncated; a reader in another process may hold it for
        # a moment.
        deadline = time.monotonic() + _TRUNCATION_SECONDS
        while connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
            if time.monotonic() > deadline:
                raise KeyStoreUnavailable("The key was destroyed, but the key store's log is held open by a reader.")
            time.sleep(0.01)

    def _one(self, sql: str, parameters: tuple[object, ...]) -> tuple[Any, ...] | None:
        try:
            row: tuple[Any, ...] | None = self._connection().execute(sql, parameters).fetchone()
        except sqlite3.Error as error:
            raise KeyStoreUnavailable("The key store could not be read.") from error
        return row

    def _all(self, sql: str, parameters: tuple[object, ...]) -> list[tuple[Any, ...]]:
        try:
            return self._connection().execute(sql, parameters).fetchall()
        except sqlite3.Error as error:
            raise KeyStoreUnavailable("The key store could not be read.") from error


_ADD_TO_KEYRING = "INSERT OR IGNORE INTO keyring VALUES (?, ?, ?, ?, ?)"
_REPLACE_IN_KEYRING = "UPDATE keyring SET wrapped = ? WHERE pod_id = ? AND kind = ? AND grant_id = ? AND epoch = ? AND wrapped IS NOT NULL"
_COVERED = Scope("cover")


def _filled_up(values: Sequence[_T]) -> Sequence[_T]:
    """To the next power of two, with the last one again: statements of a few lengths are kept prepared, not of each."""
    return [*values, *[values[-1]] * ((1 << (len(values) - 1).bit_length()) - len(values))]


def slot_place(kind: str) -> Place:
    """Where a slot lies under its pod's cover."""
    return Place("covered-slot", kind.encode())


def secret_place(scope: Scope) -> Place:
    """Where a scope's secret lies under its pod's cover."""
    return Place(
        "covered-secret", field(scope.kind.encode()) + field(scope.grant.encode()) + scope.epoch.to_bytes(4, "big")
    )
