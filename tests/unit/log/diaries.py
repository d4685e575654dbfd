"""A pod's log with ways to write to it and to tamper with it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from types import SimpleNamespace

from pod_server.identifiers import Actor
from pod_server.log import ledger
from pod_server.log.event import LogEvent
from pod_server.storage.sqlite import SqliteStorage
from pod_server.vault.vault import Vault

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def event(number: int = 0, **changes: object) -> LogEvent:
    members = {"at": NOON, "actor": Actor("partner", "c-oss", "Oss"), "action": "append", "count": number, **changes}
    return LogEvent(**members)


@dataclass
class Diary:
    """One pod's log, its vault and its storage."""

    storage: SqliteStorage
    vault: Vault
    host: SimpleNamespace
    pod_id: int = 7

    def write(self, count: int, **changes: object) -> None:
        with self.storage.write() as tx:
            ledger.append_many(tx, self.pod_id, [event(number, **changes) for number in range(count)])

    def tamper(self, sql: str, *parameters: object) -> None:
        with self.storage.write() as tx:
            assert tx.execute(sql, parameters) > 0
