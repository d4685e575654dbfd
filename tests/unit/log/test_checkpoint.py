"""Checkpoints: one text for one statement, signed by a key that is known."""

from __future__ import annotations

import pytest

from pod_server.log.checkpoint import (
    Checkpoint,
    VerifierKey,
    parse_unverified,
    sign_checkpoint,
    verifier_key,
    verify_checkpoint,
)
from pod_server.log.errors import LogBroken
from pod_server.signatures import SigningKey

KEY, OTHER = SigningKey.ed25519(bytes(32)), SigningKey.ed25519(bytes(31) + b"\x01")
STATE = Checkpoint("pods.example/-/logs/1", 3, bytes(32))
NOTE = sign_checkpoint(STATE, KEY)
KNOWN = verifier_key(STATE.origin, KEY)


def test_signatures_of_unknown_keys_are_passed_over():
    witnessed = NOTE + sign_checkpoint(STATE, OTHER).splitlines(keepends=True)[-1]
    assert verify_checkpoint(witnessed, [KNOWN]) == STATE


def test_a_note_without_a_known_signature_is_refused():
    with pytest.raises(LogBroken, match="known here"):
        verify_checkpoint(NOTE, [verifier_key(STATE.origin, OTHER)])
    with pytest.raises(LogBroken, match="known here"):
        verify_checkpoint(NOTE, [verifier_key("another.example", KEY)])


def test_a_known_key_with_a_false_signature_spoils_the_whole_note():
    witnessed = sign_checkpoint(STATE._replace(size=4), KEY).splitlines(keepends=True)[-1]
    with pytest.raises(LogBroken, match="does not verify"):
        verify_checkpoint(NOTE + witnessed, [KNOWN])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("\n3\n", "\n03\n"),
        ("\n3\n", "\n+3\n"),
        ("\n3\n", "\n-3\n"),
        ("\n3\n", "\n3 \n"),
        ("\n3\n", "\n3\r\n"),
        ("AAA=\n", "AAB=\n"),
        ("AAA=\n", "AAA\n"),
        ("— ", "- "),
        ("\n\n", "\n"),
        ("pods.example/-/logs/1\n3", "3"),
        (NOTE[-4:], NOTE[-4:-1]),
    ],
)
def test_other_ways_of_writing_a_checkpoint_are_refused(old, new):
    assert old in NOTE
    with pytest.raises(LogBroken):
        verify_checkpoint(NOTE.replace(old, new, 1), [KNOWN])


def test_base64_has_one_text_for_one_signature():
    """68 bytes leave two unused bits in the last character: the three other texts of the same bytes are refused."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    end = NOTE.index("=\n", NOTE.index("— "))
    last = alphabet.index(NOTE[end - 1])
    for step in (1, 2, 3):
        changed = NOTE[: end - 1] + alphabet[(last & ~3) | ((last + step) & 3)] + NOTE[end:]
        with pytest.raises(LogBroken):
            verify_checkpoint(changed, [KNOWN])


def test_too_many_signatures_are_refused():
    line = NOTE.splitlines(keepends=True)[-1]
    parse_unverified(NOTE + line * 15)
    with pytest.raises(LogBroken):
        parse_unverified(NOTE + line * 16)


def test_only_whole_verifier_keys_are_read():
    assert VerifierKey.decode(KNOWN.encoded()) == KNOWN
    for text in ("", "a+b", KNOWN.encoded()[:-4], "x" + KNOWN.encoded(), KNOWN.encoded().replace("+", " ", 1)):
        with pytest.raises(LogBroken):
            VerifierKey.decode(text)


def test_a_checkpoint_needs_a_name_that_can_sign():
    for origin in ("", "two words", "a+b"):
        with pytest.raises(ValueError, match="origin"):
            sign_checkpoint(STATE._replace(origin=origin), KEY)
    with pytest.raises(ValueError, match="Ed25519"):
        sign_checkpoint(STATE, SigningKey.es256(bytes(range(48))))
