"""A seeded citizen's life below the recorder: every kind of write the house has, in an order that the seed decides.

Before each act a note says what is tried, and after it what was acknowledged; notes stand in the trace between the
calls, so that it is known for each place what the house had promised by then. A note's "try" is the number of its act.

    python -m faults.harness.workload FOLDER SEED [--fault KIND --after CALLS] [--in ACT] [--back DAYS] [--short] [--rows]
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import random
import sqlite3
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deliveries import CITIZEN, deliver, granted, permit_again, reading
from faults.harness.places import Partner, arrive, put_back, settings_of
from faults.harness.recorder import FAULTS, Recorder
from faults.harness.visitors import Visitors
from faults.harness.writes import Rows, changes, counted, rows_of
from flask import Flask
from hosts import NOON, make_host
from solid_door import TestAgent
from twin_activities import ALL_KINDS

from partner_bridge.merging import merge_waiting
from partner_bridge.outbox import send_waiting
from partner_bridge.sealed_deliveries import inbox_for, take_in
from partner_bridge.sealing import read_inbox, seal_delivery
from pod_server import grants, http_problems, lifecycle, pods, removal, resealing, routes, upkeep
from pod_server.authorization_server.tokens import AuthenticatedPartner
from pod_server.clock import SetClock
from pod_server.log import ledger
from pod_server.opening import custodian_vault, open_pod
from pod_server.partners import add_partner as register_partner
from pod_server.storage.errors import StorageError, StorageFull
from pod_server.storage.sqlite import translate
from pod_server.transfer.move import move_out
from pod_server.vault import host_key_rotation
from pod_server.vault.errors import VaultError
from pod_server.vault.key_derivation import Argon2Cost, Passphrase
from tvilling.backup import take_backup
from tvilling.data_folder import migrate_data_folder
from twin_agent.worker import run_until_idle

if TYPE_CHECKING:
    from collections.abc import Callable

    from deliveries import GrantedPartner

MARKER = "kanarifugl"
"""Whatever the citizen and partners bring in says this; no file may."""

SAID = f"{MARKER} heter Pippi"
WORDS, CHEAP = Passphrase(SAID), Argon2Cost(64, 1, 1)
LARGE = 300_000
ROWS_IN = {"data": "tvilling.sqlite", "keys": "keys/keys.sqlite"}
"""Databases whose every row is a promise."""

REFUSED = (StorageError, VaultError, OSError)
"""What a failing disk may look like to who asked: named errors of the house, and of the system where a command writes
to a folder that the operator named."""


class Life:
    """One host, its citizen kari, and what happens to them."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.recorder = Recorder()
        self.folder = folder
        self.draw = random.Random(seed)
        self.clock = SetClock(NOON)
        self.number = 0
        self.records = 0
        self.documents: dict[str, str] = {}
        self.partners: dict[str, GrantedPartner] = {}
        self.states: dict[str, str] = {}
        self.keys: dict[str, dict[str, Any]] = {}
        self.sequence = 0
        self.vault: Any = None
        self.code = ""
        self.fault: tuple[str, int, int] | None = None
        self.refusals, self.patience = 0, self.draw.randint(1, 6)
        self.marker = MARKER
        self.visitors = Visitors(self)
        self.tells_rows = self.is_short = False
        self.rows: dict[str, Rows] = {}

    # What frames an act

    def act(self, name: str, work: Callable[[], dict[str, Any] | None], **plan: Any) -> bool:
        """Say what is tried, do it, say what was acknowledged; False where the disk refused it."""
        self.number += 1
        plan |= {"try": self.number, "act": name}
        if self.fault is not None and self.fault[0] in {"", name}:
            self.recorder.arm(*self.fault[1:])
            self.fault = None
        self.recorder.note(**plan)
        try:
            told = work() or {}
        except REFUSED as error:
            self.recorder.note(refused=self.number, error=type(error).__name__)
            if not self.recorder.struck():
                raise
            self.refusals += 1
            if self.refusals >= self.patience:
                self.relieve()
            return False
        self.recorder.note(done=self.number, **told, **self._head(), **self._rows())
        return True

    def relieve(self) -> None:
        """There is room again, or another disk: from here on nothing may be refused any more."""
        if self.recorder.struck():
            self.recorder.arm(0, 0)
            self.recorder.note(relieved=True)

    def _head(self) -> dict[str, Any]:
        """What the log promises from now on."""
        with self.host.storage.read() as tx:
            tree = ledger.load_tree(tx, self.pod_id)
            return {"log_size": tree.frontier.size, "log_root": tree.frontier.root().hex()}

    def _rows(self) -> dict[str, Any]:
        """Which rows are others than at the last note, in the database and in the key store."""
        told = {}
        if self.tells_rows:
            for name, file in ROWS_IN.items():
                now = rows_of(self.folder / "data" / file)
                told[name], self.rows[name] = changes(self.rows.get(name, {}), now), now
        return {"rows": told} if told else {}

    # Beginning and ending

    def begin(self) -> None:
        self._start()
        made: list[Any] = []
        self.number += 1
        self.recorder.note(**{"try": self.number, "act": "begin"})
        made.append(pods.create_pod(self.host, "kari", name=f"{MARKER} Kari", household_size=2))
        self.code = made[0].recovery_code
        self.pod_id, self.vault = made[0].pod_id, made[0].vault
        self._open_doors()
        self.recorder.note(
            done=self.number, pod=self.pod_id, recovery_code=made[0].recovery_code, **self._head(), **self._rows()
        )
        self.give("Strømmen")
        self.visitors.move_in()
        if not self.is_short:
            self.visitors.propose()

    def _start(self) -> None:
        # The house's own way to a new folder; the tests' short cut to an empty database syncs nothing.
        migrate_data_folder(settings_of(self.folder / "data"))
        self.host = replace(make_host(self.folder / "data", self.clock), outbound=Partner())

    def _open_doors(self) -> None:
        app = Flask("pods", static_folder=None)
        http_problems.register(app, self.host)
        routes.register(app, self.host)
        lifecycle.verify_solid_request = lambda _host, _request: TestAgent("http://localhost:8080/kari/profile/card#me")
        self.client = app.test_client()

    def restart(self) -> None:
        """Stop and start: SQLite moves its log into the database, and takes it away."""

        def work() -> None:
            self.host.storage.close()
            self.host.key_store.close()
            self._start()
            self._open_doors()
            self.vault = custodian_vault(self.host, self.pod_id)

        if not self.act("restart", work):
            # A process that finds no room for SQLite's index does not start; with room it does.
            self.relieve()
            assert self.act("restart", work)

    def checkpoint(self) -> None:
        def work() -> None:
            with contextlib.closing(self.host.storage._connect(read_only=False)) as connection:
                try:
                    connection.execute("PRAGMA wal_checkpoint(RESTART)")
                except sqlite3.Error as error:
                    raise translate(error) from error

        self.act("checkpoint", work)

    # Consents

    def give(self, name: str) -> None:
        held: list[GrantedPartner] = []

        def work() -> dict[str, Any]:
            from joserfc.jwk import ECKey

            key = ECKey.generate_key("P-256", parameters={"kid": "k1", "use": "sig", "alg": "ES256"})
            partner = register_partner(
                self.host, name=name, jwks={"keys": [key.as_dict(private=False)]}, webhook="https://partner.example/"
            )
            self.keys[partner.client_id] = key.as_dict(private=True)
            held.append(granted(self.host, self.pod_id, partner=partner, kinds=ALL_KINDS))
            return {"grant": held[0].grant, "client": partner.client_id}

        if self.act("give", work):
            self.partners[held[0].grant] = held[0]
            self.states[held[0].grant] = "active"

    def active(self) -> str | None:
        choice = sorted(grant for grant, state in self.states.items() if state == "active")
        return self.draw.choice(choice) if choice else None

    def change(self, what: str) -> None:
        grant = self.active()
        if grant is None or (len([1 for state in self.states.values() if state == "active"]) < 2 and what != "pause"):
            return self.give(f"Partner {self.number}")
        do = {"pause": grants.pause, "withdraw": grants.withdraw, "erase": grants.erase}
        if what == "narrow":
            fewer = frozenset({"electricity-reading", "grocery-line"})
            done = self.act(
                "narrow",
                lambda: self._ignore(grants.narrow(self.host, self.pod_id, grant, actor=CITIZEN, kinds=fewer)),
                grant=grant,
            )
        else:
            # The work of an erasure is repeatable: whoever was told that the disk was full asks again.
            done = self.act(
                what, lambda: self._ignore(do[what](self.host, self.pod_id, grant, actor=CITIZEN)), grant=grant
            )
        if done and what != "narrow":
            self.states[grant] = {"pause": "paused", "withdraw": "withdrawn", "erase": "erased"}[what]
        if (
            done
            and what == "pause"
            and self.act(
                "resume", lambda: self._ignore(grants.resume(self.host, self.pod_id, grant, actor=CITIZEN)), grant=grant
            )
        ):
            self.states[grant] = "active"
        if not done and what != "narrow":
            self.states[grant] = "unclear"
        if not done and what == "erase":
            self.relieve()
            self.act("tend", lambda: self._ignore(upkeep.tend(self.host)))
        return None

    @staticmethod
    def _ignore(_: object) -> None:
        """An act whose answer says nothing that is checked."""

    # Deliveries

    def deliver(self, count: int = 0) -> None:
        grant = self.active()
        if grant is None:
            return
        first, count = self.records, count or self.draw.randint(1, 12)
        self.records += count
        made = [reading(number, 1 + number % 7, meter=f"{MARKER}-m") for number in range(first, first + count)]
        if first and self.draw.random() < 0.3:
            made.append(reading(self.draw.randrange(first), 99.0 + first, correction=True, meter=f"{MARKER}-m"))
        held = self.partners[grant]
        plan = {"grant": grant, "records": {one.id: one.raw.decode() for one in made if not one.correction},
                "corrections": {one.id: one.raw.decode() for one in made if one.correction}}  # fmt: skip

        def work() -> dict[str, Any]:
            statuses = deliver(self.host, permit_again(self.host, held.partner, grant), made)
            return {"statuses": dict(zip([one.id for one in made], statuses, strict=True))}

        self.act("deliver", work, **plan)

    # Documents, by the Solid door

    def _request(self, method: str, path: str, body: bytes = b"", media_type: str = "") -> None:
        answer = self.client.open("/kari/" + path, method=method, data=body, content_type=media_type or None)
        if answer.status_code in {500, 503, 507} and self.recorder.struck():
            raise StorageFull
        assert answer.status_code < 300, (method, path, answer.status_code, answer.text)

    def put(self) -> None:
        path = f"notes/{self.draw.randrange(6)}"
        content = f"{MARKER} {self.number} ".encode() * self.draw.choice((1, 20, 900))
        self.act(
            "put",
            lambda: self._request("PUT", path, content, "text/plain"),
            path=path,
            content=hashlib.sha256(content).hexdigest(),
        )

    def put_graph(self) -> None:
        path, word = f"graphs/{self.draw.randrange(3)}", f"{MARKER}-graph-{self.number}"
        triples = "".join(f'<#s{n}> <urn:p> "{word} {n}" .\n' for n in range(self.draw.choice((3, 200))))
        done = self.act(
            "put-graph",
            lambda: self._request("PUT", path, triples.encode(), "text/turtle"),
            path=path,
            word=f"{word} 0",
        )
        self.documents[path] = word if done else ""

    def add_to_graph(self) -> None:
        known = sorted(path for path, word in self.documents.items() if word)
        if not known:
            return self.put_graph()
        path, word = self.draw.choice(known), f"{MARKER}-added-{self.number}"
        patch = (
            "@prefix solid: <http://www.w3.org/ns/solid/terms#> .\n_:p a solid:InsertDeletePatch; "
            f'solid:inserts {{ <#added{self.number}> <urn:p> "{word}" . }} .'
        )
        self.act("add-to-graph", lambda: self._request("PATCH", path, patch.encode(), "text/n3"), path=path, word=word)
        return None

    def put_large(self) -> None:
        path = f"films/{self.draw.randrange(2)}"
        content = (f"{MARKER} {self.number} ".encode() * (LARGE // 12))[:LARGE]
        self.act(
            "put",
            lambda: self._request("PUT", path, content, "video/mp4"),
            path=path,
            content=hashlib.sha256(content).hexdigest(),
        )

    def delete(self) -> None:
        path = f"gone/{self.number}"
        content = f"{MARKER} {path}".encode()
        if self.act(
            "put",
            lambda: self._request("PUT", path, content, "text/plain"),
            path=path,
            content=hashlib.sha256(content).hexdigest(),
        ):
            self.act("delete", lambda: self._request("DELETE", path), path=path)

    # Keys

    def lock_and_open(self) -> None:
        """Lock; deliveries wait, the host's and one sealed by the partner; open, merge, seal anew."""
        grant = self.active()
        if grant is None:
            return

        def lock() -> None:
            locked = pods.lock_pod(self.host, self.vault, WORDS, cost=CHEAP)
            self.vault, self.code = locked.vault, locked.recovery_code

        if not self.act("lock", lock):
            self._find_vault()
            if "custodian" in self.host.key_store.slot_kinds(self.pod_id):
                return
        self.deliver(3)
        self._deliver_sealed(grant)

        def unlock() -> None:
            pods.leave_pod_open(self.host, self.vault)

        if not self.act("open", unlock):
            self.relieve()
            assert self.act("open", unlock)
        self.act("merge", lambda: self._ignore(merge_waiting(self.host, self.vault)))
        self.reseal()

    def _find_vault(self) -> None:
        """After a refused act: the pod's keys as they stand, opened the way there is."""
        self.relieve()
        from pod_server.vault.vault import unlock_with_passphrase

        if "custodian" in self.host.key_store.slot_kinds(self.pod_id):
            self.vault = custodian_vault(self.host, self.pod_id)
        else:
            self.vault = unlock_with_passphrase(self.host.host_key, self.host.key_store, self.pod_id, WORDS)
        pods.catch_up_with_keys(self.host, self.vault)

    def _deliver_sealed(self, grant: str) -> None:
        held = self.partners[grant]
        client = held.partner.client_id
        asking = AuthenticatedPartner(client, held.partner.name, None, "")
        number = self.records
        self.records += 1
        one = reading(number, 3.0, meter=f"{MARKER}-m")
        self.sequence += 1

        def work() -> None:
            inbox = read_inbox(inbox_for(self.host, asking, grant)["statement"], pinned=None)
            body = seal_delivery(
                inbox,
                [json.loads(one.raw)],
                sequence=self.sequence,
                idempotency_key=f"k{self.sequence}",
                sign_with=self.keys[client],
            )
            take_in(self.host, asking, json.dumps(body).encode())

        self.act("deliver", work, grant=grant, records={one.id: one.raw.decode()}, corrections={})

    def renew_keys(self) -> None:
        def work() -> None:
            renewed = pods.renew_keys(self.host, self.vault, None)
            self.vault, self.code = renewed.vault, renewed.recovery_code

        if not self.act("renew-keys", work):
            self._find_vault()
        self.reseal()

    def reseal(self) -> None:
        self.act("reseal", lambda: self._ignore(resealing.reseal(self.host, self.vault, rest=lambda _: None)))

    def tend(self) -> None:
        """A day passes: a new epoch, and now and then so many that the oldest key is destroyed."""
        self.clock.advance(timedelta(days=self.draw.choice((1, 1, 12))))
        self.act("tend", lambda: self._ignore(upkeep.tend(self.host)))

    def exchange_host_key(self) -> None:
        store, path = self.host.key_store, self.folder / "data" / "keys" / "host.key"
        self.act("exchange-host-key", lambda: self._ignore(host_key_rotation.rotate(path, store, store.epoch_keys)))

    def log_only(self) -> None:
        """An act that the log tells of and the database does not: a new recovery code."""

        def work() -> dict[str, Any]:
            self.code = pods.renew_recovery_code(self.host, self.vault)
            return {"recovery_code": self.code}

        self.act("renew-recovery-code", work)

    # Others

    def send(self) -> None:
        self.act("send", lambda: {"sent": send_waiting(self.host)})

    def think(self) -> None:
        self.act("think", lambda: {"pods": run_until_idle(self.host)})

    def neighbour(self) -> None:
        """A pod is made, and removed."""
        handle = f"nabo-{self.number}"
        made: list[int] = []

        def make() -> dict[str, Any]:
            made.append(pods.create_pod(self.host, handle, name=f"{MARKER} {handle}").pod_id)
            return {"pod": made[0]}

        if self.act("make-pod", make, handle=handle):
            self.act(
                "remove-pod",
                lambda: self._ignore(removal.remove_citizen(self.host, made[0], actor=CITIZEN)),
                pod=made[0],
                handle=handle,
            )

    def move_out(self) -> None:
        target = self.folder / f"kari-{self.number}.pod"

        def work() -> dict[str, Any]:
            move_out(self.host, open_pod(self.host, _owner(self.vault), vault=self.vault), target)
            return {"sha256": hashlib.sha256(target.read_bytes()).hexdigest()}

        # A new code is made by a known hand alone: after a refused act nobody may know the present one.
        code = self.code if self.refusals == 0 else ""
        if self.act("move-out", work, file=target.name) and code:
            self.act("move-in", lambda: arrive(self.folder, target, code, self.clock), file=target.name, code=code)

    def backup(self) -> None:
        target = self.folder / "backup"
        settings = settings_of(self.folder / "data")
        if self.act("backup", lambda: {"taken": take_backup(self.host, settings, target, with_host_key=True).taken}):
            self.act("restore", lambda: put_back(self.folder))

    def live(self, *, back: timedelta) -> None:
        """Every kind of act once, in the seed's order, among deliveries and documents; half-way the clock goes back."""
        others = [
            lambda: self.change("narrow"), lambda: self.change("pause"), lambda: self.change("withdraw"),
            lambda: self.change("erase"), self.lock_and_open, self.renew_keys, self.tend, self.tend,
            self.exchange_host_key, self.log_only, self.send, self.think, self.neighbour, self.move_out, self.backup,
            self.restart, self.checkpoint, self.delete, self.put_large, self.put_large, self.put_graph, self.add_to_graph,
            lambda: self.give("AtB"), lambda: self.give("Rema"), *([] if self.is_short else self.visitors.visits()),
        ]  # fmt: skip
        self.draw.shuffle(others)
        if back:
            # After a clock that goes back, what is used once is refused until the time is reached again (T6).
            visits = self.visitors.visits()
            others.sort(key=lambda each: each not in visits)
        for place, other in enumerate(others):
            if place == len(others) // 2:
                self.clock.advance(-back)
            for small in self.draw.sample((self.deliver, self.put, self.add_to_graph, self.deliver), 2):
                small()
            other()
        if not self.is_short:
            self.visitors.come_again()


def _owner(vault: Any) -> Any:
    from pod_server.authorization.enforcement import require_owner

    return require_owner(vault)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("seed", type=int)
    parser.add_argument("--fault", choices=FAULTS, help="which")
    parser.add_argument("--after", type=int, default=0, help="after how many calls that it concerns")
    parser.add_argument("--in", dest="act", default="", help="counted from the beginning of the first act of this name")
    parser.add_argument("--back", type=int, default=0, help="days that the clock goes back half-way")
    parser.add_argument("--short", action="store_true", help="without those who come to the second citizen")
    parser.add_argument("--rows", action="store_true", help="note after each act which rows it changed")
    asked = parser.parse_args(arguments)
    with counted() as writes:
        life = Life(asked.folder, asked.seed)
        life.tells_rows, life.is_short = asked.rows, asked.short
        life.begin()
        if asked.fault:
            life.fault = (asked.act, FAULTS[asked.fault], asked.after)
        life.live(back=timedelta(days=asked.back))
    life.recorder.note(end=True, struck=bool(life.recorder.struck()), writes=sorted(writes))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
