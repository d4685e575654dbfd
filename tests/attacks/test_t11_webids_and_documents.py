"""T11: addresses that a token or an app brings, fetched by the real outbound rules, lead nowhere private."""

from __future__ import annotations

from dataclasses import replace

import pytest
from other_issuer import ISSUER, OtherIssuer
from solid_app import SolidApp, house, make_town

from pod_server.outbound import Outbound

PRIVATE = ["127.0.0.1", "10.0.0.1", "169.254.169.254", "192.168.1.1", "::1", "fd00::1", "::ffff:127.0.0.1"]


@pytest.fixture
def town(city):
    """A town whose outside world is the real one's rules, with made-up names."""
    return make_town(city)


def under_real_rules(town, address, *, allowed=frozenset()):
    host = replace(town.host, outbound=Outbound(frozenset(allowed), resolver=lambda _name, _port: [address]))
    return host, house(host).test_client()


@pytest.mark.parametrize("address", PRIVATE)
def test_a_webid_in_a_private_range_is_not_fetched(town, address):
    host, client = under_real_rules(town, address)
    town.citizen("kari")
    anna = OtherIssuer(host, elsewhere=town.elsewhere)
    headers = anna.authorised("GET", f"{host.base_url}/kari/", anna.token(), without=("ath",))
    answer = client.get("/kari/", headers=headers)
    assert answer.status_code == 401
    assert "range" in answer.json["detail"]


@pytest.mark.parametrize("address", PRIVATE)
def test_a_client_document_in_a_private_range_is_not_fetched(town, address):
    host, client = under_real_rules(town, address)
    app = SolidApp(host, client=client, client_id="https://app.example/id")
    answer = app.arrive(client)
    assert answer.status_code == 400
    assert "range" in answer.json["detail"]


@pytest.mark.parametrize("webid", ["http://pods.example/anna#me", "file:///etc/passwd#me", "gopher://x/#me", "//x/#me"])
def test_only_https_is_fetched(town, webid):
    host, client = under_real_rules(town, "93.184.216.34")
    anna = OtherIssuer(host, elsewhere=town.elsewhere)
    headers = anna.authorised("GET", f"{host.base_url}/kari/", anna.token(webid=webid), without=("ath",))
    town.citizen("kari")
    assert client.get("/kari/", headers=headers).status_code == 401


def test_loopback_is_fetched_for_named_origins_alone(town):
    """The operator's --allow-outbound; another port of the same machine is another origin."""
    town.citizen("kari")
    for allowed, word in ((set(), "https"), ({"http://localhost:9"}, "https"), ({"http://localhost:1"}, "answer")):
        host, client = under_real_rules(town, "127.0.0.1", allowed=allowed)
        host.lookups.forget("webid", "http://localhost:1/anna#me")
        anna = OtherIssuer(host, elsewhere=town.elsewhere)
        token = anna.token(webid="http://localhost:1/anna#me", iss=ISSUER)
        headers = anna.authorised("GET", f"{host.base_url}/kari/", token, without=("ath",))
        answer = client.get("/kari/", headers=headers)
        assert answer.status_code == 401
        assert word in answer.json["detail"], answer.json["detail"]
