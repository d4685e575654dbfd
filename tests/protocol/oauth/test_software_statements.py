"""A partner that another municipality admitted: taken in by a signed statement, of a trusted host alone, and no older one."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from hosts import City, make_host
from joserfc.jwk import ECKey
from oauth_client import PartnerClient, doors, signed

from pod_server import partner_standing, partners, signing_keys
from pod_server.authorization_server import software_statements
from pod_server.outbound import Response
from pod_server.partner_standing import By

ME = By("operator", "Ola ved skranken")
ADMITTER = "https://one.example"


class Elsewhere:
    """What the admitting host answers: its configuration and its keys."""

    def __init__(self, other):
        self.other, self.asked = other, []

    def get(self, url, headers=None):
        self.asked.append(url)
        body = (
            {"issuer": ADMITTER, "jwks_uri": f"{ADMITTER}/-/oauth/jwks"}
            if url.endswith("openid-configuration")
            else signing_keys.published_jwks(self.other)
        )
        return Response(200, {"content-type": "application/json"}, json.dumps(body).encode(), url)


@pytest.fixture
def two(city, tmp_path, clock):
    """A host that admitted a partner, and one that never met it, with its doors."""
    other = make_host(tmp_path / "other", clock, base_url=ADMITTER)
    there = PartnerClient(other, name="Strømmen AS").partner
    elsewhere = Elsewhere(other)
    city.host = here = replace(city.host, outbound=elsewhere)
    yield City(other, clock), there, here, doors(here), elsewhere
    other.storage.close()
    other.key_store.close()


def register(client, statement):
    return client.post("/-/oauth/register", json={"software_statement": statement})


def test_who_was_admitted_elsewhere_registers_here_and_asks_at_once(two):
    other, there, here, client, _ = two
    statement = software_statements.issue(other.host, there.client_id)
    software_statements.trust(here, ADMITTER, by=ME)
    answer = register(client, statement)
    assert answer.status_code == 201, answer.text
    assert answer.json["client_id"] != there.client_id
    assert (answer.json["client_name"], answer.json["software_statement"]) == ("Strømmen AS", statement)
    assert "client_secret" not in answer.json
    partner = partner_standing.find(here, answer.json["client_id"])
    assert partner.active
    assert partner.about["admitted_by"] == ADMITTER
    assert register(client, statement).json["client_id"] == answer.json["client_id"], "once more is the same partner"
    assert partner_standing.acts(here, partner.client_id)[0].by.name == f"admitted by {ADMITTER}"
    assert client.get("/.well-known/oauth-authorization-server").json["software_statement_issuers"] == [ADMITTER]


def test_an_issuer_that_is_not_trusted_is_refused_before_anybody_is_asked(two):
    other, there, here, client, elsewhere = two
    answer = register(client, software_statements.issue(other.host, there.client_id))
    assert (answer.status_code, answer.json["error"]) == (400, "unapproved_software_statement")
    assert elsewhere.asked == []
    assert partners.list_partners(here) == []


@pytest.mark.parametrize(
    "change",
    [
        {"key": "another"}, {"typ": "at+jwt"}, {"alg": "none"}, {"exp": -1}, {"iat": 600}, {"exp": 91 * 86_400},
        {"software_id": 7}, {"software_id": ""},
    ],
    ids=str,
)  # fmt: skip
def test_a_statement_that_does_not_hold_makes_nobody_a_partner(two, change):
    other, there, here, client, _ = two
    software_statements.trust(here, ADMITTER, by=ME)
    now = int(here.clock.protocol_now().timestamp())
    key = signing_keys.current(other.host)
    private = ECKey.import_key(key.private_jwk() if hasattr(key, "private_jwk") else key.as_joserfc())
    if "key" in change:
        private = ECKey.generate_key("P-256")
    claims = {
        "iss": ADMITTER, "software_id": there.client_id, "iat": now + change.get("iat", 0),
        "exp": now + change.get("exp", 3600), "client_name": there.name, "redirect_uris": list(there.redirect_uris),
        "jwks": there.jwks,
    } | {name: value for name, value in change.items() if name == "software_id"}  # fmt: skip
    header = {"alg": "ES256", "kid": key.kid, "typ": change.get("typ", "admission+jwt")}
    statement = signed(claims, private, header)
    if change.get("alg") == "none":
        statement = signed(claims, private, header).rpartition(".")[0] + "."
    answer = register(client, statement)
    assert (answer.status_code, answer.json["error"]) == (400, "invalid_software_statement"), answer.text
    assert partners.list_partners(here) == []


def test_a_newer_statement_brings_new_keys_and_an_older_one_does_not_bring_them_back(two, clock):
    other, there, here, client, _ = two
    software_statements.trust(here, ADMITTER, by=ME)
    older = software_statements.issue(other.host, there.client_id)
    client_id = register(client, older).json["client_id"]
    clock.advance(timedelta(hours=1))
    new = ECKey.generate_key("P-256", parameters={"kid": "k2", "use": "sig", "alg": "ES256"}).as_dict(private=False)
    with other.host.storage.write() as tx:
        tx.execute("UPDATE partner SET jwks = ?", (json.dumps({"keys": [new]}),))
    assert register(client, software_statements.issue(other.host, there.client_id)).status_code == 201
    assert [key["kid"] for key in partner_standing.find(here, client_id).jwks["keys"]] == ["k2"]
    refused = register(client, older)
    assert refused.json["error"] == "invalid_software_statement"
    assert [key["kid"] for key in partner_standing.find(here, client_id).jwks["keys"]] == ["k2"]


def test_an_admission_that_ran_out_stops_the_partner_and_a_newer_one_lets_it_on(two, clock):
    other, there, here, client, _ = two
    software_statements.trust(here, ADMITTER, by=ME)
    client_id = register(client, software_statements.issue(other.host, there.client_id, days=2)).json["client_id"]
    assert software_statements.suspend_lapsed(here) == 0
    clock.advance(timedelta(days=3))
    assert software_statements.suspend_lapsed(here) == 1
    assert not partner_standing.find(here, client_id).active
    assert register(client, software_statements.issue(other.host, there.client_id)).status_code == 201
    assert partner_standing.find(here, client_id).active


def test_the_end_of_trust_stops_who_came_by_it_and_a_removed_partner_stays_out(two, clock):
    other, there, here, client, _ = two
    software_statements.trust(here, ADMITTER, by=ME)
    client_id = register(client, software_statements.issue(other.host, there.client_id)).json["client_id"]
    assert software_statements.end_trust(here, ADMITTER, by=ME) == 1
    assert not partner_standing.find(here, client_id).active
    software_statements.trust(here, ADMITTER, by=ME)
    clock.advance(timedelta(hours=1))
    assert register(client, software_statements.issue(other.host, there.client_id)).status_code == 201
    assert not partner_standing.find(here, client_id).active, "only the operator lets it on again"
    partner_standing.remove(here, client_id, by=ME)
    assert register(client, software_statements.issue(other.host, there.client_id)).json["error"] == (
        "invalid_software_statement"
    )


def test_what_one_municipality_lets_it_ask_for_is_all_that_the_other_does(two, clock):
    other, there, here, client, _ = two
    partner_standing.limit(other.host, there.client_id, partners.Limits(kinds=frozenset({"waste-collection"})), by=ME)
    software_statements.trust(here, ADMITTER, by=ME)
    client_id = register(client, software_statements.issue(other.host, there.client_id)).json["client_id"]
    assert partner_standing.find(here, client_id).limits.kinds == {"waste-collection"}
    # A newer statement narrows and never widens what this host lets it do.
    both = partners.Limits(kinds=frozenset({"waste-collection", "transit-trip"}))
    partner_standing.limit(other.host, there.client_id, both, by=ME)
    clock.advance(timedelta(hours=1))
    assert register(client, software_statements.issue(other.host, there.client_id)).status_code == 201
    assert partner_standing.find(here, client_id).limits.kinds == {"waste-collection"}


def test_a_registration_that_was_cut_off_is_finished_and_unknown_kinds_make_nobody_a_partner(two, monkeypatch):
    other, there, here, client, _ = two
    software_statements.trust(here, ADMITTER, by=ME)
    statement = software_statements.issue(other.host, there.client_id)
    with monkeypatch.context() as broken:
        broken.setattr(software_statements.partner_standing, "note", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            software_statements.register_partner(here, statement)
    (begun,) = partners.list_partners(here)
    assert register(client, statement).json["client_id"] == begun.client_id
    monkeypatch.setattr(software_statements, "load_kinds", lambda: type("Kinds", (), {"by_slug": {}}))
    partner_standing.limit(other.host, there.client_id, partners.Limits(kinds=frozenset({"transit-trip"})), by=ME)
    assert register(client, software_statements.issue(other.host, there.client_id)).json["error"] == (
        "invalid_client_metadata"
    )


def test_nobody_vouches_for_a_partner_that_others_vouched_for_or_that_is_stopped(two):
    other, there, here, client, _ = two
    software_statements.trust(here, ADMITTER, by=ME)
    client_id = register(client, software_statements.issue(other.host, there.client_id)).json["client_id"]
    with pytest.raises(partners.PartnerInvalid):
        software_statements.issue(here, client_id)
    partner_standing.suspend(other.host, there.client_id, "en grunn", by=ME)
    with pytest.raises(partner_standing.StandingChanged):
        software_statements.issue(other.host, there.client_id)
    with pytest.raises(partners.PartnerInvalid):
        software_statements.trust(here, here.base_url, by=ME)
