"""Which partners can be registered."""

from __future__ import annotations

import pytest
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey
from oauth_client import new_key

from pod_server import partners


def public(key, **members):
    return key.as_dict(private=False) | members


@pytest.mark.parametrize(
    "key",
    [ECKey.generate_key("P-256"), OKPKey.generate_key("Ed25519"), RSAKey.generate_key(2048)],
    ids=["EC", "OKP", "RSA"],
)
def test_strong_public_keys_are_taken(host, key):
    partner = partners.add_partner(host, name="A", jwks={"keys": [public(key)]})
    with host.storage.read() as tx:
        assert partners.find_partner(tx, partner.client_id) == partner


@pytest.mark.parametrize(
    "jwks",
    [
        {},
        {"keys": []},
        {"keys": "x"},
        {"keys": [7]},
        {"keys": [{"kty": "EC"}]},
        {"keys": [{"kty": ["EC"], "crv": {}}]},
        {"keys": [{"kty": "EC", "crv": ["P-256"], "x": 1, "y": None}]},
        {"keys": [new_key().as_dict(private=True)]},
        {"keys": [OctKey.generate_key(256).as_dict()]},
        {"keys": [public(ECKey.generate_key("P-384"))]},
        {"keys": [public(RSAKey.generate_key(2048)) | {"n": "u" * 171}]},
        {"keys": [{"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}]},
        {"keys": [public(ECKey.generate_key("P-256")), public(ECKey.generate_key("P-256"))]},
    ],
)
def test_weak_private_and_nameless_keys_are_not(host, jwks):
    with pytest.raises(partners.PartnerInvalid):
        partners.add_partner(host, name="A", jwks=jwks)


def test_two_partners_do_not_share_a_name(host):
    jwks = {"keys": [public(new_key())]}
    first = partners.add_partner(host, name="Strømmen  AS ", jwks=jwks)
    with pytest.raises(partners.PartnerInvalid, match="another partner"):
        partners.add_partner(host, name="Strømmen AS", jwks=jwks)
    partners.remove_partner(host, first.client_id)
    assert partners.add_partner(host, name="Strømmen AS", jwks=jwks).client_id != first.client_id
    with pytest.raises(partners.NoSuchPartner):
        partners.remove_partner(host, first.client_id)


def test_the_houses_own_clients_are_found_and_cannot_sign_in(host):
    with host.storage.read() as tx:
        assert partners.find_partner(tx, "self") is partners.SELF
    assert partners.RESEARCH.jwks == {"keys": []}
