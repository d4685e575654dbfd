"""The house's keys and the pairwise names that follow from the host key."""

from __future__ import annotations

import re

import pytest

from pod_server.signatures import SigningKey, issuer_key, log_checkpoint_key, pairwise_subject
from pod_server.vault.host_key import HostKey

FIRST, SECOND = HostKey(bytes(32)), HostKey(bytes(31) + b"\x01")


def test_a_host_key_always_gives_the_same_issuer_and_another_gives_another():
    assert issuer_key(FIRST).kid == issuer_key(HostKey(bytes(32))).kid
    assert issuer_key(FIRST).kid != issuer_key(SECOND).kid
    assert issuer_key(FIRST).kid != log_checkpoint_key(FIRST).kid


def test_the_published_keys_hold_nothing_private():
    key = issuer_key(FIRST).public_jwk
    assert key.keys() == {"kty", "crv", "x", "y", "kid", "alg", "use"}


def test_a_citizen_has_another_name_for_each_partner_and_on_each_host():
    names = {pairwise_subject(host, client, pod) for host in (FIRST, SECOND) for client in ("a", "b") for pod in (1, 2)}
    assert len(names) == 8
    assert pairwise_subject(FIRST, "a", 1) == pairwise_subject(HostKey(bytes(32)), "a", 1)
    assert all(re.fullmatch(r"s-[a-z2-7]{32}", name) for name in names)


def test_seeds_of_the_wrong_length_are_refused():
    with pytest.raises(ValueError, match="48"):
        SigningKey.es256(bytes(32))
