"""Envelopes: what opens, what does not, what shows."""

from __future__ import annotations

import hashlib
import os
from importlib import resources

import pytest
import zstandard

from pod_server.vault import compression
from pod_server.vault.envelope import OWN, EnvelopeKey, Place, Scope, inspect
from pod_server.vault.errors import Tampered

SECRET = bytes(range(32))
PLACE = Place("segment", b"place", 3)


def key(scope=OWN, pod_id=7, secret=SECRET):
    return EnvelopeKey(secret, pod_id, scope)


def test_a_body_opens_at_its_place_and_is_77_bytes_longer():
    sealed = key().seal(PLACE, b"kWh", os.urandom)
    assert len(sealed) == 3 + 77
    assert key().open(PLACE, sealed) == b"kWh"


def test_sealing_twice_gives_different_bytes():
    assert key().seal(PLACE, b"kWh", os.urandom) != key().seal(PLACE, b"kWh", os.urandom)


def test_neither_place_nor_scope_nor_body_is_readable_in_the_envelope():
    scope = Scope("grant", "g-canary-grant", 1)
    sealed = key(scope).seal(Place("canary-type", b"canary-name", 3), b"canary-body" * 9, os.urandom)
    assert b"canary" not in sealed


@pytest.mark.parametrize(
    "place",
    [Place("segment", b"place", 4), Place("segment", b"plac", 3), Place("segmen", b"tplace", 3), Place("", b"", 0)],
)
def test_an_envelope_opens_at_no_other_place(place):
    sealed = key().seal(PLACE, b"kWh", os.urandom)
    with pytest.raises(Tampered):
        key().open(place, sealed)


@pytest.mark.parametrize(
    "other",
    [
        key(Scope("own", "", 2)),
        key(Scope("figures")),
        key(Scope("grant", "own")),
        key(pod_id=8),
        key(secret=bytes(32)),
    ],
)
def test_an_envelope_opens_in_no_other_scope_epoch_pod_or_key(other):
    with pytest.raises(Tampered):
        other.open(PLACE, key().seal(PLACE, b"kWh", os.urandom))


def test_all_failures_look_alike_from_outside():
    sealed = key().seal(PLACE, b"kWh", os.urandom)
    shown = set()
    for wrong in (
        b"",
        b"TV",
        sealed[:-1],
        sealed + b"x",
        b"XX" + sealed[2:],
        sealed[:2] + b"\x02" + sealed[3:],
        sealed[:40],
    ):
        with pytest.raises(Tampered) as failure:
            key().open(PLACE, wrong)
        shown.add((str(failure.value), failure.value.__cause__))
    with pytest.raises(Tampered) as failure:
        key().open(Place("segment", b"other"), sealed)
    shown.add((str(failure.value), failure.value.__cause__))
    assert len(shown) == 1


def test_repetitive_bodies_are_stored_small_and_random_ones_as_they_are():
    body = b'{"@type":"ElectricityReading"}' * 100
    small = key().seal(PLACE, body, os.urandom, compress=True)
    assert len(small) < 200
    assert inspect(small).compression == 1
    assert key().open(PLACE, small) == body
    noise = os.urandom(500)
    plain = key().seal(PLACE, noise, os.urandom, compress=True)
    assert inspect(plain).compression == 0
    assert len(plain) == 577
    assert key().open(PLACE, plain) == noise


def test_the_compression_byte_cannot_be_edited():
    sealed = bytearray(key().seal(PLACE, b"kWh" * 100, os.urandom))
    assert sealed[3] == 0
    sealed[3] = 1
    with pytest.raises(Tampered):
        key().open(PLACE, bytes(sealed))


def test_a_frame_that_claims_too_much_is_not_opened():
    claims_much = zstandard.ZstdCompressor().compress(bytes(1000))
    frame = bytearray(claims_much)
    assert zstandard.frame_content_size(claims_much) == 1000
    # A frame header with an eight-byte content size of 1 TiB.
    frame = b"\x28\xb5\x2f\xfd" + b"\xe0" + (2**40).to_bytes(8, "little") + claims_much[7:]
    with pytest.raises(Tampered):
        compression.decompress(frame)
    unsized = zstandard.ZstdCompressor(write_content_size=False).compress(bytes(1000))
    with pytest.raises(Tampered):
        compression.decompress(unsized)
    with pytest.raises(Tampered):
        compression.decompress(b"no frame")


def test_an_unknown_dictionary_is_refused_before_sealing_and_alike_when_opening():
    for name in ("nowhere", "../secrets", "A", ""):
        if name:
            with pytest.raises(compression.UnknownDictionary):
                key().seal(PLACE, b"kWh" * 100, os.urandom, compress=True, dictionary=name)
    with pytest.raises(Tampered):
        compression.decompress(zstandard.compress(b"kWh"), "nowhere")


def test_a_shipped_dictionary_is_never_changed():
    """Envelopes that name it could not be opened any more. A new one gets a new name (vocab/dictionaries/build.py)."""
    frozen = {"activities-1": "4fec12f46c5609b1003a080ea3791cd934b12d3218e5770532886ddc8a7dacaa"}
    folder = resources.files("vocab").joinpath("dictionaries")
    shipped = {file.name.removesuffix(".dict"): file for file in folder.iterdir() if file.name.endswith(".dict")}
    assert shipped.keys() == frozen.keys()
    for name, expected in frozen.items():
        assert hashlib.sha256(shipped[name].read_bytes()).hexdigest() == expected


def test_a_single_record_becomes_small_with_the_dictionary_named_in_its_header():
    record = (
        b'{"@id":"urn:oss:m1:1795442460","@type":"ElectricityReading","end":"2026-11-23T10:02:00Z","quantity":0.0412,'
        b'"source":"Oss, mean of input power","start":"2026-11-23T10:01:00Z","unit":"KiloW-HR"}'
    )
    without = key().seal(PLACE, record, os.urandom, compress=True)
    sealed = key().seal(PLACE, record, os.urandom, compress=True, dictionary=compression.ACTIVITIES)
    assert len(sealed) < len(without) - 100
    assert inspect(sealed).dictionary == "activities-1"
    assert key().open(PLACE, sealed) == record
