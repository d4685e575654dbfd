"""T1: a thief with the database, its write-ahead log and every other file of the data folder reads nothing personal.

Canaries go in through every door of storage. Then each file is searched for them, in the encodings they might lie in,
while the server runs and after it has stopped. Handles, public organisations and times may be found; a control makes
sure that the search finds what is there.
"""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import Iterator
from datetime import timedelta

import pytest
import zstandard
from deliveries import deliver, granted, owner_permit, reading
from hosts import key_store_in

from pod_server import documents, figures, household, proposals
from pod_server.activities import Record
from pod_server.authorization import enforcement
from pod_server.household import Household
from pod_server.log import ledger
from pod_server.log.event import LogEvent
from pod_server.opening import OpenPod, open_pod
from pod_server.vault.errors import HostKeyMismatch, KeyErased, PodLocked
from pod_server.vault.host_key import HostKey
from pod_server.vault.vault import unlock_with_custodian

CANARY = "kanarifugl"
ZSTD_FRAME = b"\x28\xb5\x2f\xfd"


def canary(door: str) -> str:
    """Text that is nowhere by chance, and repeats so that compression alone would show."""
    return f"{CANARY}-{door}-{CANARY}"


@pytest.fixture
def filled(city, host, clock):
    """A pod with a canary behind every door; returns the doors' number."""
    kari = city.citizen("kari", name=canary("name-on-the-card"), language="nb", dwelling="detached")
    partner = granted(host, kari.pod_id)
    record = reading(0, meter=canary("meter"))
    line = {
        "@id": canary("record-id"),
        "@type": "GroceryLine",
        "start": record.start.isoformat(),
        "end": record.end.isoformat(),
        "quantity": 0.4,
        "unit": "KiloGM",
        "name": canary("grocery"),
        "store": canary("store"),
    }
    raw = json.dumps(line).encode()
    grocery = Record(canary("record-id"), raw, "grocery-line", record.start, record.end)
    assert deliver(host, partner.permit, [record, grocery]) == ["accepted"] * 2
    assert deliver(host, partner.permit, [reading(0, 9.0, meter=canary("meter"))]) == ["conflict"]
    at = clock.now()
    owned = open_pod(host, owner_permit(kari.vault), vault=kari.vault)
    twin = open_pod(host, enforcement.require_mandate(host, kari.pod_id, "compute"))
    with host.storage.write() as tx:
        household.save(tx, owned, Household(canary("household"), "nb", 2, "500101", "flat"), at=at)
        for public in (False, True):
            path = f"{'public' if public else 'private'}/{canary('path')}"
            documents.put(tx, owned, path, "text/plain", canary("document").encode(), public=public, at=at)
        proposals.save(tx, owned, "p1", canary("proposal").encode(), state="open", at=at)
        figures.save_partial(tx, twin, partner.grant, "2026-11", canary("partial").encode())
        figures.save_figures(tx, twin, canary("figures").encode())
        figures.append_event(tx, twin, canary("event").encode(), grant=partner.grant)
        figures.append_event(tx, twin, canary("combined-event").encode())
        actor = enforcement.Actor("app", canary("app"), canary("app-name"))
        ledger.append(tx, kari.pod_id, LogEvent(at + timedelta(1), actor, "read", detail={"path": canary("log")}))
    return kari


def every_file(folder) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def unsealed_frames(content: bytes) -> Iterator[bytes]:
    """What opens as a zstd frame; its four first bytes alone may stand in ciphertext by chance."""
    start = content.find(ZSTD_FRAME)
    while start >= 0:
        with contextlib.suppress(zstandard.ZstdError):
            yield zstandard.ZstdDecompressor().decompressobj().decompress(content[start:])
        start = content.find(ZSTD_FRAME, start + 1)


def needles(text: str) -> list[bytes]:
    plain = text.encode()
    return [
        plain,
        text.encode("utf-16-le"),
        plain.hex().encode(),
        plain.upper(),
        plain[::-1],
        base64.b64encode(plain)[:12],
    ]


def test_no_file_holds_a_canary_while_running_or_stopped(host, filled):
    running = every_file(host.data_folder)
    assert "tvilling.sqlite-wal" in running
    host.storage.close()
    host.key_store.close()
    stopped = every_file(host.data_folder)
    for files in (running, stopped):
        everything = b"".join(files.values())
        assert b"kari" in everything, "the search does not even find the public handle"
        assert len(everything) > 100_000
        for name, content in files.items():
            for needle in needles(CANARY):
                assert needle not in content, f"{name} holds a canary"
            assert not list(unsealed_frames(content)), f"{name} holds an unsealed zstd frame"


def test_a_plain_canary_would_have_been_found(host, filled):
    """The control: the same search over a folder in which one value was stored plain."""
    with host.storage.write() as tx:
        tx.execute("UPDATE household SET sealed = ?", (canary("household").encode(),))
        frame = zstandard.ZstdCompressor().compress(canary("figures").encode() * 20)
        tx.execute("UPDATE figures SET sealed = ?", (frame,))
    files = every_file(host.data_folder)
    assert any(needles(CANARY)[0] in content for content in files.values())
    assert any(list(unsealed_frames(content)) for content in files.values())


def test_kinds_of_activity_stand_only_in_the_consent_that_the_host_enforces(host, filled):
    """What somebody bought or used shows in no row of theirs; that they agreed to it is the host's to know."""
    with host.storage.read() as tx:
        for table in ("segment", "feed", "feed_change", "partial", "figures", "twin_event", "log_leaf", "document"):
            for row in tx.all(f"SELECT * FROM {table}"):
                plain = b" ".join(value if isinstance(value, bytes) else str(value).encode() for value in row)
                assert b"electricity" not in plain.lower(), table
                assert b"grocery" not in plain.lower(), table


def test_the_database_and_key_store_without_the_host_key_open_nothing(host, filled, tmp_path):
    other_key = HostKey(bytes(32))
    with pytest.raises(HostKeyMismatch):
        unlock_with_custodian(other_key, host.key_store, filled.pod_id)


def test_the_database_with_an_emptied_key_store_opens_nothing(host, filled):
    empty = key_store_in(host.data_folder / "empty")
    with pytest.raises(PodLocked):
        unlock_with_custodian(host.host_key, empty, filled.pod_id)
    from pod_server.vault.vault import Vault

    stolen = Vault(filled.pod_id, bytes(32), host.host_key, empty)
    with host.storage.read() as tx, pytest.raises(KeyErased):
        household.load(tx, OpenPod(filled.pod, owner_permit(stolen), stolen))
