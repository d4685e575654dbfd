"""Makes tests/vectors/vault/vectors.json: run it by hand when, and only when, a format gets a new version.

    .venv/bin/python tests/vectors/generate_vault_vectors.py

Every random byte comes from one SHAKE-256 stream, so that anybody gets the same file. What cannot be repeated byte for
byte (HPKE draws its own key; zstd may compress differently some day) is kept as bytes to be opened.
"""

from __future__ import annotations

import base64
import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from pod_server import inboxes
from pod_server.activities import PackBody, Part, segment_place
from pod_server.clock import microseconds
from pod_server.identifiers import Actor, ClientId, GrantId, PodId
from pod_server.log import ledger
from pod_server.log.checkpoint import Checkpoint, sign_checkpoint, verifier_key
from pod_server.log.cosignature import cosign, witness_key
from pod_server.log.event import LogEvent
from pod_server.log.hand_over import make_hand_over
from pod_server.log.stored_event import stored
from pod_server.log.tree import Frontier, leaf_hash
from pod_server.signatures import SigningKey, pairwise_subject
from pod_server.vault import compression, recovery_code, slots
from pod_server.vault.chunks import CHUNK_BYTES, PREFIX, ChunkedFile, ChunkKey, count_chunks
from pod_server.vault.compression import ACTIVITIES
from pod_server.vault.envelope import IDENTITY, EnvelopeKey, Place, Scope, expand
from pod_server.vault.host_key import HostKey, HostKeyFile
from pod_server.vault.inbox import seal_to
from pod_server.vault.key_derivation import SHARED, Argon2Cost, Passphrase
from pod_server.vault.key_store import secret_place, slot_place
from pod_server.vault.scope_keys import ScopeKeys, mark_with, wrap_secret

FILE = Path(__file__).with_name("vault") / "vectors.json"
POD = PodId(0x1234_5678_9ABC_DEF0)
GRANT = GrantId("g-abcdefghijklmnopqrstuvwxyz")
PASSPHRASE = "Trondheim er en by i Sør-Trøndelag"


class Stream:
    """A source of bytes that everybody can repeat."""

    def __init__(self, seed: bytes) -> None:
        self._bytes, self._at = hashlib.shake_256(seed).digest(65536), 0

    def __call__(self, count: int) -> bytes:
        self._at += count
        return self._bytes[self._at - count : self._at]


def envelopes() -> list[dict[str, Any]]:
    record = b'{"@id":"urn:oss:m1:1795442460","@type":"ElectricityReading","quantity":0.0412,"unit":"KiloW-HR"}'
    cases: list[tuple[str, Scope, Place, bytes, bool]] = [
        ("empty body in the own scope", Scope("own"), Place("document", b"name", 1), b"", False),
        (
            "a segment of a grant",
            Scope("grant", GRANT, 3),
            Place("segment", b"\x00" * 7 + b"\x2a", 7),
            b'{"a":1}',
            False,
        ),
        ("a public document", Scope("public"), Place("document", b"profile/card", 2**40), b"<> a <> .", False),
        (
            "names with every byte",
            Scope("figures", "", 2**32 - 1),
            Place("x", bytes(range(256)), 0),
            b"\xff" * 33,
            False,
        ),
        ("compressed with a dictionary", Scope("grant", GRANT, 1), Place("segment", b"", 9), record, True),
        ("compressed", Scope("own"), Place("segment", b"", 0), b"electricity " * 100, True),
    ]
    made = []
    for number, (name, scope, place, plaintext, compress) in enumerate(cases):
        random = Stream(b"envelope %d" % number)
        secret = random(32)
        dictionary = ACTIVITIES if "dictionary" in name else ""
        sealed = EnvelopeKey(secret, POD, scope).seal(
            place, plaintext, random, compress=compress, dictionary=dictionary
        )
        made.append(
            {
                "name": name,
                "secret": secret.hex(),
                "pod": str(POD),
                "scope": scope.kind,
                "grant": scope.grant,
                "epoch": scope.epoch,
                "object_type": place.object_type,
                "place": place.name.hex(),
                "version": str(place.version),
                "plaintext": plaintext.hex(),
                "compressed": compress,
                "sealed": sealed.hex(),
            }
        )
    return made


def key_schedule() -> dict[str, Any]:
    secret = Stream(b"key schedule")(32)
    keys = ScopeKeys(secret, POD, Scope("grant", GRANT, 1))
    return {
        "secret": secret.hex(),
        "seal": expand(secret, "seal").hex(),
        "commit": expand(secret, "commit").hex(),
        "index": expand(secret, "index").hex(),
        "mark": expand(secret, "mark").hex(),
        "inbox_public_key": keys.inbox.public_key.hex(),
        "text": "målere/æøå.ttl",
        "index_name": keys.index_name("målere/æøå.ttl").hex(),
        "mark_of_text": mark_with(keys.mark_key, "målere/æøå.ttl").hex(),
    }


def vault_slots() -> dict[str, Any]:
    random = Stream(b"slots")
    root_key, host_secret = random(32), random(32)
    entropy = random(16)
    code = recovery_code.write(entropy)
    host_key = HostKey(host_secret)
    cost = Argon2Cost(64, 1, 1)
    made = [
        slots.passphrase_slot(POD, root_key, Passphrase(PASSPHRASE), random, cost=cost),
        slots.recovery_slot(POD, root_key, code, random),
        slots.custodian_slot(POD, root_key, host_key, random),
    ]
    scope, secret = Scope("grant", GRANT, 2), random(32)
    wrapped = wrap_secret(EnvelopeKey(expand(root_key, "keyring"), POD, scope), secret, random)
    return {
        "pod": str(POD),
        "root_key": root_key.hex(),
        "host_key": host_secret.hex(),
        "host_fingerprint": host_key.fingerprint,
        "passphrase": PASSPHRASE,
        "passphrase_key": SHARED.derive(Passphrase(PASSPHRASE), made[0].salt, cost).hex(),
        "recovery_code": code,
        "recovery_entropy": entropy.hex(),
        "slots": [
            {"kind": slot.kind, "parameters": slot.parameters, "salt": slot.salt.hex(), "sealed": slot.sealed.hex()}
            for slot in made
        ],
        "keyring": {"grant": GRANT, "epoch": 2, "secret": secret.hex(), "wrapped": wrapped.hex()},
        "subject": pairwise_subject(host_key, ClientId("c-oss"), POD),
    }


def log() -> dict[str, Any]:
    random = Stream(b"log")
    log_keys = ScopeKeys(random(32), POD, Scope("log"))
    noon = datetime(2026, 11, 23, 12, tzinfo=UTC)
    events = [
        LogEvent(noon, Actor("citizen", name="Kari Nordmann"), "create-pod"),
        LogEvent(
            noon, Actor("partner", "c-oss", "Oss"), "append", "live-electricity", GRANT, count=24, detail={"segment": 1}
        ),
        LogEvent(noon, Actor("partner", "c-oss", "Oss"), "append", "live-electricity", GRANT, "consent-withdrawn", 0),
    ]
    frontier, leaves = Frontier(), []
    for index, event in enumerate(events):
        salt, encoded = random(32), event.encoded()
        context = b"tvilling log v1\x00" + POD.to_bytes(8, "big") + index.to_bytes(8, "big")
        sealed = seal_to(log_keys.inbox.public_key, salt + encoded, context)
        opening = ledger.event_commitment(salt, encoded)
        data = ledger.leaf_data(index, opening, hashlib.sha256(sealed).digest())
        frontier = frontier.append(leaf_hash(data))
        leaves.append(
            {
                "index": index,
                "event": encoded.decode(),
                "salt": salt.hex(),
                "sealed": sealed.hex(),
                "event_commitment": opening.hex(),
                "leaf_hash": leaf_hash(data).hex(),
            }
        )
    seed = random(32)
    key = SigningKey.ed25519(seed)
    state = Checkpoint("pods.example/-/logs/00112233445566778899aabbccddeeff", frontier.size, frontier.root())
    return {
        "pod": str(POD),
        "log_secret": Stream(b"log")(32).hex(),
        "leaves": leaves,
        "root": frontier.root().hex(),
        "checkpoint_seed": seed.hex(),
        "verifier_key": verifier_key(state.origin, key).encoded(),
        "checkpoint": sign_checkpoint(state, key),
    }


def compact_events() -> list[dict[str, str]]:
    """Events in the form in which an open pod's log keeps them, and what the log commits to."""
    noon = datetime(2026, 11, 23, 12, tzinfo=UTC)
    partner, detail = Actor("partner", "c-oss", "Oss på Øya"), {"ordinal": 70000, "sha256": "5e" * 32}
    grant = GrantId("g-" + "abcdefghijklmnopqrstuvwxy4")
    events = [
        LogEvent(noon, Actor("citizen", name="Kari Nordmann"), "create-pod"),
        LogEvent(noon, partner, "append", "personal-footprint", grant, count=24, detail=detail),
        LogEvent(
            noon, partner, "append", "live-electricity", "g-1", "a-word-not-listed", 300, {"kind": 3, "note": "done"}
        ),
    ]
    return [
        {"event": event.encoded().decode(), "compact": stored(event, microseconds(event.at)).hex()} for event in events
    ]


def covers() -> dict[str, Any]:
    """The host key's file, an epoch key, and what lies under it of one pod."""
    random = Stream(b"covers")
    file = HostKeyFile(Path("host.key"), random(32))
    host_key, epoch_key, cover_key = HostKey(random(32)), random(32), random(32)
    made, epoch = "2026-11-23T12:00:00+00:00", 7
    sealed_epoch = file.envelope_key("epoch key", Scope("epoch", "", epoch)).seal(
        Place("epoch-key", made.encode()), epoch_key, random
    )
    covering = EnvelopeKey(epoch_key, POD, Scope("cover", "", epoch))
    cover = EnvelopeKey(cover_key, POD, Scope("cover"))
    scope, slot, wrapped = Scope("grant", GRANT, 2), random(40), random(50)
    return {
        "pod": str(POD),
        "file_secret": Stream(b"covers")(32).hex(),
        "file_fingerprint": file.fingerprint,
        "host_fingerprint": host_key.fingerprint,
        "host_key_sealed": file.seal_host_key(host_key, random).hex(),
        "epoch_key_file": f"tvilling-epoch-key-v1 {epoch} {made}\n"
        f"{file.fingerprint} {base64.b64encode(sealed_epoch).decode()}\n",
        "cover": covering.seal(Place("cover-key", b""), cover_key, random).hex(),
        "slot": {
            "kind": "recovery",
            "inside": slot.hex(),
            "sealed": cover.seal(slot_place("recovery"), slot, random).hex(),
        },
        "secret": {
            "grant": GRANT,
            "epoch": 2,
            "inside": wrapped.hex(),
            "sealed": cover.seal(secret_place(scope), wrapped, random).hex(),
        },
    }


def cosignature() -> dict[str, Any]:
    """What a witness says of the log's checkpoint."""
    seed = Stream(b"witness")(32)
    key = SigningKey.ed25519(seed)
    state = Checkpoint("pods.example/-/logs/00112233445566778899aabbccddeeff", 3, hashlib.sha256(b"root").digest())
    return {
        "seed": seed.hex(),
        "witness_key": witness_key("auditor.example/1", key).encoded(),
        "checkpoint_body": state.body(),
        "line": cosign(state, "auditor.example/1", key, 1_795_435_200),
    }


def chunked_files() -> list[dict[str, Any]]:
    """One byte repeated, so that the file of vectors stays small: whoever reads it seals or opens as much himself."""
    cases = [
        ("an empty file", 0),
        ("one short chunk", 5),
        ("one full chunk", CHUNK_BYTES),
        ("a full chunk and one byte", CHUNK_BYTES + 1),
        ("two full chunks and a half", CHUNK_BYTES * 5 // 2),
    ]
    made = []
    for number, (name, size) in enumerate(cases):
        random = Stream(b"chunked file %d" % number)
        file = ChunkedFile(random(16), random(32), size)
        key, plaintext = ChunkKey(file.name, file.secret, POD), bytes([65 + number]) * size
        chunks = [
            key.seal(index, plaintext[index * CHUNK_BYTES : (index + 1) * CHUNK_BYTES], last=index + 1 == count)
            for count in [count_chunks(size)]
            for index in range(count)
        ]
        sealed = PREFIX + b"".join(chunks)
        made.append(
            {
                "name": name,
                "pod": str(POD),
                "reference": file.encoded().hex(),
                "byte": 65 + number,
                "bytes": size,
                "tags": [chunk[-16:].hex() for chunk in chunks],
                "sealed_sha256": hashlib.sha256(sealed).hexdigest(),
                "sealed": sealed.hex() if size < 100 else None,
            }
        )
    return made


def inboxes_of_a_grant() -> dict[str, Any]:
    """The identity's signing key, the inbox and what was sealed to it in both forms, and the host's copy of a mark key."""
    random = Stream(b"inboxes")
    identity, secret, host_secret = random(32), random(32), random(32)
    grant_keys = ScopeKeys(secret, POD, Scope("grant", GRANT, 2))
    seed = ScopeKeys(identity, POD, IDENTITY).signing_seed(GRANT)
    public_key = grant_keys.inbox.public_key
    mark_key = random(32)
    marks = Scope("marks", GRANT)
    body = b"a segment's encoded body"
    lines = b'{"@id":"a"}\n{"@id":"b"}'
    return {
        "pod": str(POD),
        "grant": GRANT,
        "epoch": 2,
        "identity_secret": identity.hex(),
        "signing_seed": seed.hex(),
        "grant_secret": secret.hex(),
        "inbox_public_key": public_key.hex(),
        "statement": inboxes.sign_statement(seed, GRANT, 2, public_key),
        "host": {
            "number": 7,
            "body": body.hex(),
            "sealed": seal_to(public_key, compression.compress(body), inboxes.context("host", GRANT, 2, 7)).hex(),
        },
        "partner": {
            "number": 9,
            "lines": lines.hex(),
            "sealed": seal_to(public_key, lines, inboxes.context("partner", GRANT, 2, 9)).hex(),
        },
        "marks": {
            "host_key": host_secret.hex(),
            "mark_key": mark_key.hex(),
            "wrapped": wrap_secret(HostKey(host_secret).envelope_key(POD, marks), mark_key, random).hex(),
        },
    }


def sealed_anew() -> dict[str, Any]:
    """An event of the log under a new epoch of its key, and what the log tells of a run of segments."""
    random = Stream(b"sealed anew")
    secret, salt = random(32), random(32)
    event = LogEvent(datetime(2026, 11, 23, 12, tzinfo=UTC), Actor("citizen"), "lock-pod").encoded()
    key = EnvelopeKey(secret, POD, Scope("log", "", 2))
    hashes = [(ordinal, random(32)) for ordinal in (33, 34, 36)]
    return {
        "pod": str(POD),
        "log_secret": secret.hex(),
        "epoch": 2,
        "index": 5,
        "salt": salt.hex(),
        "event": event.decode(),
        "sealed": key.seal(Place("log-event", b"", 5), salt + event, random).hex(),
        "run": {
            "segments": [[ordinal, sealed_hash.hex()] for ordinal, sealed_hash in hashes],
            "commitment": ledger.run_commitment(hashes),
        },
    }


def packs() -> dict[str, Any]:
    """Three deliveries of one grant packed in one, of which the second holds two records of two kinds."""
    random = Stream(b"packs")
    secret = random(32)
    noon = 1_795_435_200_000_000
    kinds = ["electricity-reading", "grocery-line"]
    deliveries = [
        (33, 70, noon, [[kinds[0], '{"@id":"a"}']]),
        (34, 72, noon + 1, [[kinds[1], '{"@id":"b"}'], [kinds[0], '{"@id":"c"}']]),
        (35, 75, noon + 3_600_000_000, [[kinds[0], '{"@id":"a","correction":true}']]),
    ]
    records = [record for *_, own in deliveries for record in own]
    body = PackBody(
        kinds,
        [kinds.index(kind) for kind, _ in records],
        [raw.encode() for _, raw in records],
        [Part(ordinal, seq, received, len(own)) for ordinal, seq, received, own in deliveries],
    )
    encoded = msgspec.msgpack.encode(body)
    key = EnvelopeKey(secret, POD, Scope("grant", GRANT, 2))
    return {
        "pod": str(POD),
        "grant": GRANT,
        "epoch": 2,
        "secret": secret.hex(),
        "first": 33,
        "last": 35,
        "body": encoded.hex(),
        "sealed": key.seal(segment_place(35, 33), encoded, random).hex(),
        "deliveries": [
            {"ordinal": ordinal, "seq": seq, "received": str(received), "records": own}
            for ordinal, seq, received, own in deliveries
        ],
    }


def hand_over() -> dict[str, Any]:
    """How one key of a host's logs hands over to the next, and that next one at rest."""
    random = Stream(b"hand-over")
    seeds = [random(32), random(32)]
    old, new = (SigningKey.ed25519(seed) for seed in seeds)
    secret = random(32)
    host_key = HostKey(secret)
    at = datetime(2026, 11, 23, 12, tzinfo=UTC)
    place = Place("lasting-key", b"log", 2)
    sealed = EnvelopeKey(host_key.derive("lasting key"), PodId(0), Scope("host")).seal(place, seeds[1], random)
    return {
        "seeds": [seed.hex() for seed in seeds],
        "note": make_hand_over("pods.example/-/logs/", 2, old, new, at),
        "host_key": secret.hex(),
        "sealed_seed": sealed.hex(),
    }


def main() -> None:
    document = {
        "format": "tvilling vault 1",
        "envelopes": envelopes(),
        "key_schedule": key_schedule(),
        "slots": vault_slots(),
        "covers": covers(),
        "log": log(),
        "compact_events": compact_events(),
        "cosignature": cosignature(),
        "hand_over": hand_over(),
        "chunked_files": chunked_files(),
        "inboxes": inboxes_of_a_grant(),
        "sealed_anew": sealed_anew(),
        "packs": packs(),
    }
    FILE.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    main()
