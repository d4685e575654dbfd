"""The frozen vectors of the vault: sealed again byte for byte, opened, refused when changed, read by another language."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import generate_vault_vectors as generator
import pytest
from faults.harness.decoder import canonical_event, words_of_events

from partner_bridge.sealing import read_inbox
from pod_server import inboxes
from pod_server.activities import segment_place
from pod_server.clock import SystemClock
from pod_server.log import ledger, tree
from pod_server.log.checkpoint import VerifierKey, verify_checkpoint
from pod_server.log.cosignature import verify_cosignatures
from pod_server.log.event import LogEvent, canonical
from pod_server.log.hand_over import read_hand_over
from pod_server.log.stored_event import WORDS, members_of
from pod_server.signatures import SigningKey, base64url, pairwise_subject
from pod_server.vault import recovery_code, slots
from pod_server.vault.chunks import PREFIX, ChunkedFile, ChunkKey
from pod_server.vault.compression import decompress
from pod_server.vault.envelope import IDENTITY, EnvelopeKey, Place, Scope, expand
from pod_server.vault.epoch_keys import EpochKeys
from pod_server.vault.errors import Tampered
from pod_server.vault.host_key import HostKey, HostKeyFile
from pod_server.vault.key_derivation import Argon2Cost, KeyDerivation, Passphrase
from pod_server.vault.key_store import secret_place, slot_place
from pod_server.vault.scope_keys import ScopeKeys, mark_with, unwrap_secret

FOLDER = Path(__file__).with_name("vault")
VECTORS = json.loads((FOLDER / "vectors.json").read_text("utf-8"))
ENVELOPES = VECTORS["envelopes"]
assert len(ENVELOPES) >= 5


def opened(vector, sealed, **changes):
    changed = vector | changes
    key = EnvelopeKey(
        bytes.fromhex(changed["secret"]),
        int(changed["pod"]),
        Scope(changed["scope"], changed["grant"], changed["epoch"]),
    )
    return key.open(Place(changed["object_type"], bytes.fromhex(changed["place"]), int(changed["version"])), sealed)


@pytest.mark.parametrize("vector", ENVELOPES, ids=lambda vector: vector["name"])
def test_every_frozen_envelope_opens(vector):
    assert opened(vector, bytes.fromhex(vector["sealed"])).hex() == vector["plaintext"]


def test_the_generator_makes_the_frozen_envelopes_again():
    """All but the compressed one, whose frame may become smaller with a newer zstd."""
    again = generator.envelopes()
    assert [made for made in again if not made["compressed"]] == [made for made in ENVELOPES if not made["compressed"]]


@pytest.mark.parametrize(
    "changes",
    [
        {"pod": "1"},
        {"scope": "log"},
        {"grant": "g-another"},
        {"epoch": 4},
        {"object_type": "document"},
        {"place": "00"},
        {"version": "8"},
        {"secret": "00" * 32},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_frozen_envelope_opens_nowhere_else(changes):
    vector = ENVELOPES[1]
    with pytest.raises(Tampered):
        opened(vector, bytes.fromhex(vector["sealed"]), **changes)


def test_every_byte_of_a_frozen_envelope_counts():
    for vector in ENVELOPES:
        sealed = bytearray.fromhex(vector["sealed"])
        for at in range(len(sealed)):
            sealed[at] ^= 1
            with pytest.raises(Tampered):
                opened(vector, bytes(sealed))
            sealed[at] ^= 1


def test_key_schedule_is_frozen():
    assert generator.key_schedule() == VECTORS["key_schedule"]


def test_slots_open_to_the_frozen_root_key():
    frozen = VECTORS["slots"]
    pod, root_key, host_key = int(frozen["pod"]), bytes.fromhex(frozen["root_key"]), bytes.fromhex(frozen["host_key"])
    by_kind = {
        entry["kind"]: slots.Slot(
            entry["kind"], entry["parameters"], bytes.fromhex(entry["salt"]), bytes.fromhex(entry["sealed"])
        )
        for entry in frozen["slots"]
    }
    derivation = KeyDerivation()
    try:
        passphrase = Passphrase(frozen["passphrase"])
        assert slots.open_passphrase_slot(pod, by_kind["passphrase"], passphrase, derivation) == root_key
        derived = derivation.derive(passphrase, by_kind["passphrase"].salt, Argon2Cost(64, 1, 1))
        assert derived.hex() == frozen["passphrase_key"]
    finally:
        derivation.close()
    assert slots.open_recovery_slot(pod, by_kind["recovery"], frozen["recovery_code"]) == root_key
    assert slots.open_custodian_slot(pod, by_kind["custodian"], HostKey(host_key)) == root_key
    assert recovery_code.read(frozen["recovery_code"]).hex() == frozen["recovery_entropy"]
    entry = frozen["keyring"]
    key = EnvelopeKey(expand(root_key, "keyring"), pod, Scope("grant", entry["grant"], entry["epoch"]))
    assert unwrap_secret(key, bytes.fromhex(entry["wrapped"])).hex() == entry["secret"]
    assert pairwise_subject(HostKey(host_key), "c-oss", pod) == frozen["subject"]


def test_covers_epoch_keys_and_the_host_keys_file_are_frozen(tmp_path):
    frozen = VECTORS["covers"]
    assert generator.covers() == frozen
    (tmp_path / "epoch-00000007.key").write_text(frozen["epoch_key_file"])
    file = HostKeyFile(tmp_path / "host.key", bytes.fromhex(frozen["file_secret"]))
    assert file.open_host_key(bytes.fromhex(frozen["host_key_sealed"])).fingerprint == frozen["host_fingerprint"]
    key = EpochKeys(tmp_path, file, SystemClock()).key(7)
    pod = int(frozen["pod"])
    cover = EnvelopeKey(key, pod, Scope("cover", "", 7)).open(Place("cover-key", b""), bytes.fromhex(frozen["cover"]))
    covered, slot, secret = EnvelopeKey(cover, pod, Scope("cover")), frozen["slot"], frozen["secret"]
    assert covered.open(slot_place(slot["kind"]), bytes.fromhex(slot["sealed"])).hex() == slot["inside"]
    place = secret_place(Scope("grant", secret["grant"], secret["epoch"]))
    assert covered.open(place, bytes.fromhex(secret["sealed"])).hex() == secret["inside"]
    with pytest.raises(Tampered):
        covered.open(slot_place("passphrase"), bytes.fromhex(slot["sealed"]))


def test_a_cosignature_is_frozen():
    frozen = VECTORS["cosignature"]
    assert generator.cosignature() == frozen
    key = VerifierKey.decode(frozen["witness_key"])
    (said,) = verify_cosignatures(f"{frozen['checkpoint_body']}\n{frozen['line']}", [key])
    assert (said.witness, said.at, said.checkpoint.size) == ("auditor.example/1", 1_795_435_200, 3)


def test_a_hand_over_between_keys_is_frozen():
    frozen = VECTORS["hand_over"]
    assert generator.hand_over() == frozen
    old, new = (SigningKey.ed25519(bytes.fromhex(seed)) for seed in frozen["seeds"])
    read = read_hand_over(frozen["note"])
    assert (read.name, read.number) == ("pods.example/-/logs/", 2)
    assert [base64url.write(key) for key in (read.old, read.new)] == [old.public_jwk["x"], new.public_jwk["x"]]


def test_names_and_marks_are_frozen():
    frozen = VECTORS["key_schedule"]
    keys = ScopeKeys(bytes.fromhex(frozen["secret"]), generator.POD, Scope("grant", generator.GRANT, 1))
    assert keys.index_name(frozen["text"]).hex() == frozen["index_name"]
    assert mark_with(keys.mark_key, frozen["text"]).hex() == frozen["mark_of_text"]


def test_compact_events_are_frozen():
    assert VECTORS["compact_events"]
    assert generator.compact_events() == VECTORS["compact_events"]
    for frozen in VECTORS["compact_events"]:
        assert canonical(members_of(bytes.fromhex(frozen["compact"]))) == frozen["event"].encode()
        assert canonical_event(bytes.fromhex(frozen["compact"])) == frozen["event"].encode()
    assert words_of_events() == list(WORDS)


def test_log_leaves_and_checkpoint_are_frozen():
    frozen = VECTORS["log"]
    keys = ScopeKeys(bytes.fromhex(frozen["log_secret"]), int(frozen["pod"]), Scope("log"))
    hashes = []
    for leaf in frozen["leaves"]:
        context = b"tvilling log v1\x00" + int(frozen["pod"]).to_bytes(8, "big") + leaf["index"].to_bytes(8, "big")
        plain = keys.inbox.open(bytes.fromhex(leaf["sealed"]), context)
        assert plain == bytes.fromhex(leaf["salt"]) + leaf["event"].encode()
        assert LogEvent.decode(plain[32:]).encoded() == plain[32:]
        opening = ledger.event_commitment(plain[:32], plain[32:])
        sealed_hash = tree.hashlib.sha256(bytes.fromhex(leaf["sealed"])).digest()
        hashes.append(tree.leaf_hash(ledger.leaf_data(leaf["index"], opening, sealed_hash)))
    assert [leaf.hex() for leaf in hashes] == [leaf["leaf_hash"] for leaf in frozen["leaves"]]
    assert tree.root_of(hashes).hex() == frozen["root"]
    stated = verify_checkpoint(frozen["checkpoint"], [VerifierKey.decode(frozen["verifier_key"])])
    assert (stated.size, stated.root.hex()) == (len(hashes), frozen["root"])
    key = SigningKey.ed25519(bytes.fromhex(frozen["checkpoint_seed"]))
    assert generator.sign_checkpoint(stated, key) == frozen["checkpoint"]


def test_chunked_files_are_frozen():
    assert generator.chunked_files() == VECTORS["chunked_files"]
    assert len(VECTORS["chunked_files"]) >= 5


def test_a_frozen_chunked_file_opens_and_every_byte_of_it_counts():
    for vector in (one for one in VECTORS["chunked_files"] if one["sealed"]):
        file = ChunkedFile.decode(bytes.fromhex(vector["reference"]))
        sealed = bytes.fromhex(vector["sealed"])
        chunk = sealed[len(PREFIX) :]
        key = ChunkKey(file.name, file.secret, int(vector["pod"]))
        assert sealed.startswith(PREFIX)
        assert key.open(0, chunk, last=True) == bytes([vector["byte"]]) * vector["bytes"]
        for place in range(len(chunk)):
            changed = chunk[:place] + bytes([chunk[place] ^ 1]) + chunk[place + 1 :]
            with pytest.raises(Tampered):
                key.open(0, changed, last=True)


def test_inboxes_and_their_statement_are_frozen():
    frozen = VECTORS["inboxes"]
    pod, grant, epoch = int(frozen["pod"]), frozen["grant"], frozen["epoch"]
    seed = ScopeKeys(bytes.fromhex(frozen["identity_secret"]), pod, IDENTITY).signing_seed(grant)
    assert seed.hex() == frozen["signing_seed"]
    inbox = ScopeKeys(bytes.fromhex(frozen["grant_secret"]), pod, Scope("grant", grant, epoch)).inbox
    assert inbox.public_key.hex() == frozen["inbox_public_key"]
    assert inboxes.sign_statement(seed, grant, epoch, inbox.public_key) == frozen["statement"]
    assert read_inbox(frozen["statement"], pinned=None).public_key == inbox.public_key
    for form, plain in (("host", "body"), ("partner", "lines")):
        vector = frozen[form]
        sealed = bytes.fromhex(vector["sealed"])
        opened = inbox.open(sealed, inboxes.context(form, grant, epoch, vector["number"]))
        assert (decompress(opened) if form == "host" else opened).hex() == vector[plain]
        for other in (
            inboxes.context("host" if form == "partner" else "partner", grant, epoch, vector["number"]),
            inboxes.context(form, "g-another", epoch, vector["number"]),
            inboxes.context(form, grant, epoch + 1, vector["number"]),
            inboxes.context(form, grant, epoch, vector["number"] + 1),
        ):
            with pytest.raises(Tampered):
                inbox.open(sealed, other)
    marks = frozen["marks"]
    key = HostKey(bytes.fromhex(marks["host_key"])).envelope_key(pod, Scope("marks", grant))
    assert unwrap_secret(key, bytes.fromhex(marks["wrapped"])).hex() == marks["mark_key"]


def test_a_pack_of_deliveries_is_frozen():
    frozen = VECTORS["packs"]
    assert generator.packs() == frozen
    key = EnvelopeKey(bytes.fromhex(frozen["secret"]), int(frozen["pod"]), Scope("grant", frozen["grant"], 2))
    sealed = bytes.fromhex(frozen["sealed"])
    assert key.open(segment_place(35, 33), sealed).hex() == frozen["body"]
    for other in (segment_place(35), segment_place(35, 32), segment_place(36, 33)):
        with pytest.raises(Tampered):
            key.open(other, sealed)


def test_what_is_sealed_anew_is_frozen():
    frozen = VECTORS["sealed_anew"]
    assert generator.sealed_anew() == frozen
    key = EnvelopeKey(bytes.fromhex(frozen["log_secret"]), int(frozen["pod"]), Scope("log", "", frozen["epoch"]))
    opened = key.open(Place("log-event", b"", frozen["index"]), bytes.fromhex(frozen["sealed"]))
    assert opened == bytes.fromhex(frozen["salt"]) + frozen["event"].encode()


@pytest.mark.skipif(shutil.which("node") is None, reason="the second reading of the format needs Node")
def test_another_language_reads_every_vector_from_the_words_of_the_page():
    node = shutil.which("node")
    done = subprocess.run(
        [node, FOLDER / "verify.mjs", FOLDER / "vectors.json"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[0]) >= 80
