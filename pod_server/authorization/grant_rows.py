"""What the database knows of grants: the enforcement rows, their events and the counts of what was delivered."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from consent.grant import Grant, GrantState, GrantTerms
from consent.ledger import EventKind, GrantEvent
from pod_server.clock import microseconds, moment
from pod_server.identifiers import GrantId, PodId
from pod_server.vault.envelope import EnvelopeKey, Place, Scope
from pod_server.vault.errors import Tampered

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pod_server.storage.ports import Row, Transaction
    from pod_server.vault.host_key import HostKey

_LABEL = "grant terms"
_COLUMNS = (
    "pod_id, grant_id, client_id, kinds, operations, history_from, valid_to, expires_at, quota_per_day, state, "
    "state_version, epoch, given_at, changed_at, terms"
)


@dataclass(frozen=True)
class Use:
    """What was delivered under a grant on one day.

    Attributes:
        day: Midnight UTC.
        accepted: Records taken in.
        duplicates: Records that were there already.
        refused: Records refused.
        last_at: The latest delivery, city's time.
    """

    day: datetime
    accepted: int
    duplicates: int
    refused: int
    last_at: datetime


def terms_to_json(terms: GrantTerms) -> dict[str, Any]:
    """Terms as JSON; fields are only ever added."""
    return {
        "client_id": terms.client_id,
        "purpose": terms.purpose,
        "kinds": sorted(terms.kinds),
        "operations": sorted(terms.operations),
        "granularity": terms.granularity if isinstance(terms.granularity, str) else dict(terms.granularity),
        "history_from": terms.history_from.isoformat(),
        "valid_to": terms.valid_to.isoformat() if terms.valid_to else None,
        "expires_at": terms.expires_at.isoformat(),
        "retention": terms.retention,
        "quota_per_day": terms.quota_per_day,
        "notice_version": terms.notice_version,
        "notice_hash": terms.notice_hash,
        "figures": sorted(terms.figures),
        "reads_per_day": terms.reads_per_day,
        "documents": sorted(terms.documents),
    }


def terms_from_json(value: dict[str, Any]) -> GrantTerms:
    """The inverse of `terms_to_json`."""
    return GrantTerms(
        client_id=value["client_id"],
        purpose=value["purpose"],
        kinds=frozenset(value["kinds"]),
        operations=frozenset(value["operations"]),
        granularity=value["granularity"],
        history_from=datetime.fromisoformat(value["history_from"]),
        valid_to=datetime.fromisoformat(value["valid_to"]) if value["valid_to"] else None,
        expires_at=datetime.fromisoformat(value["expires_at"]),
        retention=value["retention"],
        quota_per_day=value["quota_per_day"],
        notice_version=value["notice_version"],
        notice_hash=value["notice_hash"],
        figures=frozenset(value.get("figures", ())),
        reads_per_day=value.get("reads_per_day"),
        documents=frozenset(value.get("documents", ())),
    )


def insert_grant(tx: Transaction, host_key: HostKey, grant: Grant) -> None:
    """Write a new grant's enforcement row and its route."""
    tx.send("INSERT INTO grant_route (grant_id, pod_id) VALUES (?, ?)", (grant.id, grant.pod_id))
    tx.send(
        f"INSERT INTO consent ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        _row_of(host_key, grant),
    )


_TERMS = Place("grant-terms", b"")


def _terms_key(host_key: HostKey, pod_id: int, grant_id: str) -> EnvelopeKey:
    """The partner's copy of the terms is the host's to read, also while the pod is locked, and no database thief's."""
    return host_key.envelope_key_for(_LABEL, PodId(pod_id), Scope("grant", GrantId(grant_id)))


def _row_of(host_key: HostKey, grant: Grant) -> Sequence[Any]:
    terms = grant.terms
    # Where the consent stands is sealed in with its terms: a row whose plain columns say otherwise was edited.
    value = {**terms_to_json(terms), "standing": [str(grant.state), grant.state_version]}
    sealed = _terms_key(host_key, grant.pod_id, grant.id).seal(_TERMS, json.dumps(value).encode(), os.urandom)
    return (
        grant.pod_id,
        grant.id,
        terms.client_id,
        json.dumps({kind: terms.granularity_of(kind) for kind in sorted(terms.kinds)}),
        " ".join(sorted(terms.operations)),
        microseconds(terms.history_from),
        microseconds(terms.valid_to) if terms.valid_to else None,
        microseconds(terms.expires_at),
        terms.quota_per_day,
        str(grant.state),
        grant.state_version,
        grant.epoch,
        microseconds(grant.given_at),
        microseconds(grant.changed_at),
        sealed,
    )


def update_grant(tx: Transaction, host_key: HostKey, grant: Grant) -> None:
    """Write a grant's new state and terms; the caller adds the event in the same transaction."""
    row = _row_of(host_key, grant)
    tx.send(
        "UPDATE consent SET client_id = ?, kinds = ?, operations = ?, history_from = ?, valid_to = ?, expires_at = ?, "
        "quota_per_day = ?, state = ?, state_version = ?, epoch = ?, given_at = ?, changed_at = ?, terms = ? "
        "WHERE pod_id = ? AND grant_id = ?",
        (*row[2:], grant.pod_id, grant.id),
    )


def add_event(tx: Transaction, pod_id: PodId, grant_id: str, sequence: int, event: GrantEvent) -> None:
    """Add one event to a grant's ledger; the primary key keeps two writers from both being the n-th."""
    tx.send(
        "INSERT INTO consent_event (pod_id, grant_id, sequence, kind, at, expires_at, actor) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            pod_id,
            grant_id,
            sequence,
            str(event.kind),
            microseconds(event.at),
            microseconds(event.expires_at) if event.expires_at else None,
            event.by,
        ),
    )


def events_of(tx: Transaction, pod_id: PodId, grant_id: str) -> list[GrantEvent]:
    """A grant's ledger in order."""
    rows = tx.all(
        "SELECT kind, at, expires_at, actor FROM consent_event WHERE pod_id = ? AND grant_id = ? ORDER BY sequence",
        (pod_id, grant_id),
    )
    return [
        GrantEvent(EventKind(kind), moment(at), None if expires_at is None else moment(expires_at), by)
        for kind, at, expires_at, by in rows
    ]


@lru_cache(maxsize=4096)
def _terms_of(host_key: HostKey, pod_id: int, grant_id: str, sealed: bytes) -> tuple[GrantTerms, list[Any] | None]:
    """The terms, and the state and version that they were sealed with; None for rows of before that was so."""
    value = json.loads(_terms_key(host_key, pod_id, grant_id).open(_TERMS, sealed))
    return terms_from_json(value), value.get("standing")


def _grant_of(host_key: HostKey, row: Row) -> Grant:
    pod_id, grant_id = row[0], row[1]
    terms, standing = _terms_of(host_key, pod_id, grant_id, bytes(row[14]))
    if (standing is not None and standing != [row[9], row[10]]) or (row[2], row[7], row[8]) != (
        terms.client_id,
        microseconds(terms.expires_at),
        terms.quota_per_day,
    ):
        raise Tampered
    return Grant(
        id=grant_id,
        pod_id=pod_id,
        terms=terms,
        state=GrantState(row[9]),
        state_version=row[10],
        epoch=row[11],
        given_at=moment(row[12]),
        changed_at=moment(row[13]),
    )


def find_grant(tx: Transaction, host_key: HostKey, grant_id: str) -> Grant | None:
    """A grant by its id alone, as a partner names it."""
    route = tx.one("SELECT pod_id FROM grant_route WHERE grant_id = ?", (grant_id,))
    return None if route is None else grant_in_pod(tx, host_key, PodId(route[0]), grant_id)


def find_grants(tx: Transaction, host_key: HostKey, grant_ids: Sequence[str]) -> dict[str, Grant]:
    """Grants by their ids alone, as `find_grant` finds each, by one question; those that do not exist are left out."""
    columns = ", ".join(f"consent.{name}" for name in _COLUMNS.split(", "))
    rows = tx.all(
        f"SELECT {columns} FROM grant_route JOIN consent ON consent.pod_id = grant_route.pod_id "
        "AND consent.grant_id = grant_route.grant_id "
        f"WHERE grant_route.grant_id IN ({', '.join('?' * len(grant_ids))})",
        tuple(grant_ids),
    )
    return {row[1]: _grant_of(host_key, row) for row in rows}


def grant_in_pod(tx: Transaction, host_key: HostKey, pod_id: PodId, grant_id: str) -> Grant | None:
    """One grant of one pod."""
    row = tx.one(f"SELECT {_COLUMNS} FROM consent WHERE pod_id = ? AND grant_id = ?", (pod_id, grant_id))
    return None if row is None else _grant_of(host_key, row)


def grants_in_pod(tx: Transaction, host_key: HostKey, pod_id: PodId, *, client_id: str | None = None) -> list[Grant]:
    """Every grant of one pod, or those of one client, the newest first."""
    rows = (
        tx.all(f"SELECT {_COLUMNS} FROM consent WHERE pod_id = ? ORDER BY given_at DESC, grant_id", (pod_id,))
        if client_id is None
        else tx.all(
            f"SELECT {_COLUMNS} FROM consent WHERE pod_id = ? AND client_id = ? ORDER BY given_at DESC, grant_id",
            (pod_id, client_id),
        )
    )
    return [_grant_of(host_key, row) for row in rows]


StateRow = tuple[str, int, int, int, int | None]
"""State, its version, epoch, expiry (microseconds) and quota."""


def state_now(tx: Transaction, pod_id: PodId, grant_id: GrantId) -> StateRow | None:
    """What the writing transaction reads again."""
    row = tx.one(
        "SELECT state, state_version, epoch, expires_at, quota_per_day FROM consent WHERE pod_id = ? AND grant_id = ?",
        (pod_id, grant_id),
    )
    return None if row is None else (row[0], row[1], row[2], row[3], row[4])


def _day_number(at: datetime) -> int:
    return microseconds(at) // 86_400_000_000


def used_on(tx: Transaction, pod_id: PodId, grant_id: str, at: datetime) -> int:
    """How many records the grant has taken in on the day of `at` (UTC)."""
    row = tx.one(
        "SELECT accepted FROM consent_use WHERE pod_id = ? AND grant_id = ? AND day = ?",
        (pod_id, grant_id, _day_number(at)),
    )
    return 0 if row is None else int(row[0])


def add_use(
    tx: Transaction, pod_id: PodId, grant_id: str, at: datetime, *, accepted: int, duplicates: int, refused: int
) -> None:
    """Count a delivery, in the transaction that writes it."""
    tx.send(
        "INSERT INTO consent_use (pod_id, grant_id, day, accepted, duplicates, refused, last_at) "
        "VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (pod_id, grant_id, day) DO UPDATE SET "
        "accepted = consent_use.accepted + excluded.accepted, duplicates = consent_use.duplicates + excluded.duplicates, "
        "refused = consent_use.refused + excluded.refused, last_at = excluded.last_at",
        (pod_id, grant_id, _day_number(at), accepted, duplicates, refused, microseconds(at)),
    )


def reads_on(tx: Transaction, pod_id: PodId, grant_id: str, at: datetime) -> int:
    """How often the grant was read on the day of `at` (UTC)."""
    row = tx.one(
        "SELECT reads FROM consent_use WHERE pod_id = ? AND grant_id = ? AND day = ?",
        (pod_id, grant_id, _day_number(at)),
    )
    return 0 if row is None else int(row[0])


def add_read(tx: Transaction, pod_id: PodId, grant_id: str, at: datetime) -> None:
    """Count one reading, in the transaction that writes it into the log."""
    tx.send(
        "INSERT INTO consent_use "
        "(pod_id, grant_id, day, accepted, duplicates, refused, last_at, reads, last_read_at) "
        "VALUES (?, ?, ?, 0, 0, 0, ?, 1, ?) ON CONFLICT (pod_id, grant_id, day) DO UPDATE SET "
        "reads = consent_use.reads + 1, last_at = excluded.last_at, last_read_at = excluded.last_read_at",
        (pod_id, grant_id, _day_number(at), microseconds(at), microseconds(at)),
    )


def reads_of_pod(tx: Transaction, pod_id: PodId, since: datetime) -> dict[str, tuple[int, int, datetime | None]]:
    """How often each grant of a pod was read since the day of `since`, and ever, and when last."""
    return {
        grant_id: (int(lately), int(ever), None if last is None else moment(last))
        for grant_id, lately, ever, last in tx.all(
            "SELECT grant_id, SUM(CASE WHEN day >= ? THEN reads ELSE 0 END), SUM(reads), MAX(last_read_at) "
            "FROM consent_use WHERE pod_id = ? GROUP BY grant_id",
            (_day_number(since), pod_id),
        )
    }


def uses_since(tx: Transaction, pod_id: PodId, since: datetime) -> dict[str, list[Use]]:
    """The counts of each grant of a pod, day by day from `since` on."""
    uses: dict[str, list[Use]] = {}
    for grant_id, day, accepted, duplicates, refused, last_at in tx.all(
        "SELECT grant_id, day, accepted, duplicates, refused, last_at FROM consent_use "
        "WHERE pod_id = ? AND day >= ? ORDER BY grant_id, day",
        (pod_id, _day_number(since)),
    ):
        midnight = moment(0) + timedelta(days=day)
        uses.setdefault(grant_id, []).append(Use(midnight, accepted, duplicates, refused, moment(last_at)))
    return uses


def last_use(tx: Transaction, pod_id: PodId, grant_id: str) -> datetime | None:
    """When something was last delivered, tried or read under a grant, or None."""
    row = tx.one("SELECT MAX(last_at) FROM consent_use WHERE pod_id = ? AND grant_id = ?", (pod_id, grant_id))
    return None if row is None or row[0] is None else moment(row[0])


def totals(tx: Transaction, pod_id: PodId) -> dict[str, tuple[int, int, int, datetime]]:
    """Accepted, duplicates and refused since the beginning, and the latest delivery, for each grant of a pod."""
    return {
        grant_id: (int(accepted), int(duplicates), int(refused), moment(last_at))
        for grant_id, accepted, duplicates, refused, last_at in tx.all(
            "SELECT grant_id, SUM(accepted), SUM(duplicates), SUM(refused), MAX(last_at) FROM consent_use "
            "WHERE pod_id = ? GROUP BY grant_id",
            (pod_id,),
        )
    }
