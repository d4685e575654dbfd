"""What opens was sealed with exactly this header; any changed byte fails alike; names and marks are functions."""

from __future__ import annotations

import os

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pod_server.vault.envelope import EnvelopeKey, Place, Scope, inspect
from pod_server.vault.errors import Tampered
from pod_server.vault.scope_keys import ScopeKeys

SECRET = bytes(range(32))

scopes = st.builds(
    Scope,
    st.sampled_from(["public", "own", "grant", "figures", "log"]),
    st.text("abcdefg-234", max_size=28),
    st.integers(1, 2**32 - 1),
)
places = st.builds(
    Place,
    st.text("abcdefghijklmnopqrstuvwxyz-", max_size=20),
    st.binary(max_size=60),
    st.integers(0, 2**63 - 1),
)
pods = st.integers(0, 2**63 - 1)
bodies = st.one_of(st.binary(max_size=400), st.binary(max_size=8).map(lambda part: part * 40))


def outcome(key, place, sealed):
    """What someone outside sees: the body, or the one failure."""
    try:
        return key.open(place, sealed)
    except Tampered as failure:
        return ("tampered", str(failure), failure.__cause__)


@given(scopes, pods, places, bodies, st.booleans())
def test_what_was_sealed_opens(scope, pod, place, body, compress):
    sealed = EnvelopeKey(SECRET, pod, scope).seal(place, body, os.urandom, compress=compress)
    assert EnvelopeKey(SECRET, pod, scope).open(place, sealed) == body
    assert len(sealed) <= len(body) + 77


@given(st.tuples(scopes, pods, places), st.tuples(scopes, pods, places), bodies)
@settings(max_examples=200)
def test_it_opens_with_exactly_the_header_it_was_sealed_with(header, other_header, body):
    assume(header != other_header)
    (scope, pod, place), (other_scope, other_pod, other_place) = header, other_header
    sealed = EnvelopeKey(SECRET, pod, scope).seal(place, body, os.urandom)
    assert outcome(EnvelopeKey(SECRET, other_pod, other_scope), other_place, sealed) == (
        "tampered",
        str(Tampered()),
        None,
    )


@given(scopes, places, st.data())
def test_moving_bytes_between_neighbouring_fields_does_not_help(scope, place, data):
    """The fields are length-prefixed: the same bytes cut elsewhere are another header."""
    cut = data.draw(st.integers(0, len(place.name)))
    moved = Place(place.object_type + "a" * cut, place.name[cut:], place.version)
    original = Place(place.object_type, b"a" * cut + place.name[cut:], place.version)
    assume(moved != original)
    key = EnvelopeKey(SECRET, 7, scope)
    assert outcome(key, moved, key.seal(original, b"x", os.urandom)) == ("tampered", str(Tampered()), None)


@given(places, bodies, st.booleans(), st.data())
@settings(max_examples=300)
def test_any_changed_byte_fails_alike(place, body, compress, data):
    key = EnvelopeKey(SECRET, 7, Scope("own"))
    sealed = bytearray(key.seal(place, body, os.urandom, compress=compress))
    at = data.draw(st.integers(0, len(sealed) - 1))
    sealed[at] ^= data.draw(st.integers(1, 255))
    assert outcome(key, place, bytes(sealed)) == ("tampered", str(Tampered()), None)


@given(st.binary(max_size=300))
@settings(max_examples=300)
def test_whatever_is_read_as_an_envelope_is_opened_or_fails_alike(garbage):
    key = EnvelopeKey(SECRET, 7, Scope("own"))
    for text in (garbage, b"TV\x01\x00\x00" + garbage, b"TV\x01\x01" + garbage):
        assert outcome(key, Place("x", b""), text) == ("tampered", str(Tampered()), None)


@given(places, bodies, st.binary(min_size=32, max_size=32))
def test_an_envelope_commits_to_its_key(place, body, other_secret):
    """No other key passes even the commitment, so nobody can be shown two bodies in one envelope."""
    assume(other_secret != SECRET)
    sealed = EnvelopeKey(SECRET, 7, Scope("own")).seal(place, body, os.urandom)
    other = EnvelopeKey(other_secret, 7, Scope("own")).seal(place, body, lambda _: inspect(sealed).nonce)
    assert inspect(other).commitment != inspect(sealed).commitment
    spliced = sealed[:29] + inspect(other).commitment + inspect(other).ciphertext
    for secret in (SECRET, other_secret):
        opened = outcome(EnvelopeKey(secret, 7, Scope("own")), place, spliced)
        assert opened == (body if secret == other_secret else ("tampered", str(Tampered()), None))


@given(st.text(max_size=60), st.text(max_size=60))
def test_index_names_are_equal_for_equal_names_alone(first, second):
    keys = ScopeKeys(SECRET, 7, Scope("own"))
    assert (keys.index_name(first) == keys.index_name(second)) == (first == second)
