"""What the vault, the signatures and the log cost: `.venv/bin/python benchmarks/vault.py [--json]`.

Each figure is the median of several rounds; the machine is printed with them.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from pod_server.clock import SystemClock
from pod_server.identifiers import Actor
from pod_server.log import ledger
from pod_server.log.event import LogEvent
from pod_server.log.verification import verify_stored
from pod_server.signatures import issuer_key, sign_jws, verify_jws
from pod_server.storage.migrate import migrate
from pod_server.storage.sqlite import SqliteStorage
from pod_server.vault.envelope import OWN, Place, Scope
from pod_server.vault.epoch_keys import EpochKeys
from pod_server.vault.host_key import HostKeyFile, open_host_key
from pod_server.vault.inbox import seal_to
from pod_server.vault.key_derivation import SHARED, Argon2Cost, Passphrase
from pod_server.vault.key_store import KeyStore
from pod_server.vault.scope_keys import marks_with
from pod_server.vault.vault import create_vault, unlock_with_custodian

ROUNDS = 5


def seconds_each(work: Callable[[int], object], count: int) -> float:
    """The median over the rounds of the time of one call."""
    rounds = []
    for number in range(ROUNDS):
        started = time.perf_counter()
        for at in range(count):
            work(number * count + at)
        rounds.append((time.perf_counter() - started) / count)
    return statistics.median(rounds)


def segment_of_24() -> bytes:
    """A day of hourly readings as they are stored, about 4 KB."""
    return b"\n".join(
        json.dumps(
            {
                "@id": f"reading/707057500012345678/2026-11-23T{hour:02}",
                "@type": "ElectricityReading",
                "end": f"2026-11-23T{hour:02}:59:59Z",
                "meter": "707057500012345678",
                "quality": "measured",
                "quantity": round(0.4 + (hour * 37 % 24) / 9, 3),
                "start": f"2026-11-23T{hour:02}:00:00Z",
                "unit": "KiloW-HR",
            },
            separators=(",", ":"),
        ).encode()
        for hour in range(24)
    )


def measure(folder: Path) -> dict[str, float | int | str]:
    file = HostKeyFile.load_or_create(folder / "host.key")
    key_store = KeyStore(folder / "keys.sqlite", EpochKeys(folder / "epochs", file, SystemClock()))
    host_key = open_host_key(file, key_store)
    figures: dict[str, float | int | str] = {}
    per_second = 1 / seconds_each(lambda number: create_vault(host_key, key_store, 1 + number), 200)
    figures["vaults made, one commit each, a second"] = round(per_second)

    def fifty(number: int) -> None:
        with key_store.batch():
            for at in range(50):
                create_vault(host_key, key_store, 100_000 + number * 50 + at)

    figures["vaults made, fifty a commit, a second"] = round(50 / seconds_each(fifty, 8))

    def unlock(number: int) -> None:
        unlock_with_custodian(host_key, key_store, 1 + number % 1000).keys(OWN)

    figures["custodian unlock with one scope, µs"] = round(seconds_each(unlock, 500) * 1e6, 1)

    vault = unlock_with_custodian(host_key, key_store, 1)
    scope, body = Scope("grant", "g-abcdefghijklmnopqrstuvwxyz", 1), segment_of_24()
    vault.create_scope(scope)
    keys = vault.keys(scope)
    figures["segment of 24 records, bytes"] = len(body)

    def round_trip(number: int, *, compress: bool) -> None:
        place = Place("segment", b"", number)
        vault.open(scope, place, vault.seal(scope, place, body, compress=compress))

    figures["seal and open the segment, µs"] = round(
        seconds_each(lambda n: round_trip(n, compress=False), 2000) * 1e6, 1
    )
    figures["the same, compressed, µs"] = round(seconds_each(lambda n: round_trip(n, compress=True), 2000) * 1e6, 1)
    figures["sealed segment, compressed, bytes"] = len(vault.seal(scope, Place("segment", b"", 0), body, compress=True))
    ids = [f"reading/707057500012345678/{number}" for number in range(1000)]
    figures["idempotency mark, µs"] = round(seconds_each(lambda _: marks_with(keys.mark_key, ids), 20) * 1e3, 2)
    delivery = body[:400]
    figures["HPKE seal to an inbox, µs"] = round(
        seconds_each(lambda _: seal_to(keys.inbox.public_key, delivery, b"context"), 500) * 1e6, 1
    )

    cost = Argon2Cost()
    SHARED.derive(Passphrase("fire ord om katten"), bytes(16), cost)
    figures[f"passphrase to key, {cost.encoded()}, ms"] = round(
        seconds_each(lambda _: SHARED.derive(Passphrase("fire ord om katten"), bytes(16), cost), 2) * 1e3
    )

    key = issuer_key(host_key)
    token = sign_jws(key, {"sub": "s-1", "iat": 1}, typ="at+jwt")
    figures["sign a JWS (ES256), µs"] = round(
        seconds_each(lambda _: sign_jws(key, {"sub": "s-1", "iat": 1}, typ="at+jwt"), 500) * 1e6, 1
    )
    figures["verify it, µs"] = round(
        seconds_each(lambda _: verify_jws(token, [key.public_key], typ="at+jwt"), 500) * 1e6, 1
    )

    migrate(folder / "tvilling.sqlite")
    storage = SqliteStorage(folder / "tvilling.sqlite")
    made = create_vault(host_key, key_store, 999_999)
    event = LogEvent(
        datetime(2026, 11, 23, 12, tzinfo=UTC), Actor("partner", "c-1", "Oss"), "append", "live-electricity", "g-1"
    )
    with storage.write() as tx:
        ledger.create_tree(tx, 999_999, made.log_public_key)
        figures["log entry in its transaction, µs"] = round(
            seconds_each(lambda _: ledger.append(tx, 999_999, event), 400) * 1e6, 1
        )
    with storage.read() as tx:
        figures["read and check 50 entries, ms"] = round(
            seconds_each(lambda _: ledger.read_events(tx, made.vault, 999_999, limit=50), 10) * 1e3, 2
        )
        figures["verify a log of 2000 entries, ms"] = round(
            seconds_each(lambda _: verify_stored(tx, 999_999), 2) * 1e3, 1
        )
    storage.close()
    key_store.close()
    return figures


def machine() -> str:
    """What it ran on, in a line."""
    model = platform.processor() or platform.machine()
    information = Path("/proc/cpuinfo")
    if information.exists():
        names = [
            line.partition(":")[2].strip() for line in information.read_text().splitlines() if "model name" in line
        ]
        model = names[0] if names else model
    return (
        f"{model}, {os.cpu_count()} cores, {platform.system()} {platform.release()}, Python {platform.python_version()}"
    )


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--json", action="store_true")
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(Path(folder))
    if options.json:
        print(json.dumps({"machine": machine(), "figures": figures}, ensure_ascii=False))
        return
    print(machine())
    for name, value in figures.items():
        print(f"  {name:48} {value}")


if __name__ == "__main__":
    main()
