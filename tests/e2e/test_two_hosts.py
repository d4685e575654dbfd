"""A partner that was told no host meets citizens of two, over real sockets; nothing is mocked.

Two municipalities run a host each, on a port each. Neither knows the other; both take the admissions of a third. The
partner's site holds the published page; the citizens' browsers find issuer and pod, and bring the partner the issuer's
name and no more (tests/browser/test_connecting.py runs the published script itself).
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urljoin, urlsplit

import httpx
import pytest
from pyoxigraph import NamedNode, RdfFormat, parse
from stranger_partner import Customer, Refused, StrangerPartner
from two_municipalities import SCRIPT, municipality, two_municipalities

from pod_server import grants
from tvilling.city.visitor import Visitor


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    with two_municipalities(tmp_path_factory.mktemp("world")) as world:
        yield world


def found_in_the_browser(webid: str) -> str:
    """What connect.js does: from the WebID to whoever answers for the pod's place; nobody else hears of the WebID."""
    http = httpx.Client(trust_env=False, headers={"Origin": "http://partner.example"})
    document = http.get(webid.partition("#")[0], headers={"Accept": "application/ld+json"})
    assert document.headers["Access-Control-Allow-Origin"] in {"*", "http://partner.example"}
    triples = list(parse(document.content, format=RdfFormat.JSON_LD, base_iri=webid))
    (storage,) = (
        quad.object.value
        for quad in triples
        if (quad.subject, quad.predicate) == (NamedNode(webid), NamedNode("http://www.w3.org/ns/pim/space#storage"))
    )
    place = urlsplit(storage)
    keeper = http.get(f"{place.scheme}://{place.netloc}/.well-known/oauth-protected-resource").json()
    (issuer,) = keeper["authorization_servers"]
    told = http.get(f"{issuer}/.well-known/oauth-authorization-server")
    assert told.headers["Access-Control-Allow-Origin"] in {"*", "http://partner.example"}
    assert told.json()["issuer"] == issuer
    return str(issuer)


def connected(partner: StrangerPartner, made: Any, browser: Visitor) -> Customer:
    """The citizen presses the button on the partner's site, says yes at home, and comes back."""
    page = httpx.get(partner.origin, trust_env=False)
    assert "data-connect" in page.text
    issuer = found_in_the_browser(made.webid)
    sent = httpx.get(f"{partner.origin}/start", params={"iss": issuer}, trust_env=False)
    assert sent.status_code == 303, sent.text
    back = browser.give_consent(sent.headers["location"])
    assert httpx.get(back, trust_env=False).status_code == 200
    return partner.customers[-1]


def reading(number: int) -> dict[str, Any]:
    start = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=3 + number)
    return {
        "@id": f"reading:{number}", "@type": "ElectricityReading", "quantity": 1.5, "unit": "KiloW-HR",
        "start": start.isoformat(), "end": (start + timedelta(hours=1)).isoformat(),
    }  # fmt: skip


def test_citizens_of_two_hosts_one_withdraws_and_the_other_goes_on(world):
    one, two, partner = world
    (kari, karis_browser), (ola, olas_browser) = one.citizen("kari"), two.citizen("ola")
    at_one, at_two = connected(partner, kari, karis_browser), connected(partner, ola, olas_browser)
    assert (at_one.issuer, at_two.issuer) == (one.host.base_url, two.host.base_url)
    assert at_one.subject != at_two.subject
    assert partner.client_id(at_one.issuer) != partner.client_id(at_two.issuer)
    assert [partner.deliver(each, reading(1)) for each in (at_one, at_two)] == [["accepted"], ["accepted"]]

    karis_browser.withdraw(at_one.grant)
    assert partner.deliver(at_one, reading(2)) == ["consent-withdrawn"]
    assert partner.deliver(at_two, reading(2)) == ["accepted"]
    assert [view.grant.state for view in grants.list_grants(two.host, ola.pod_id)] == ["active"]

    # What the partner ever saw of the two: no WebID, no handle, no pod.
    seen = " ".join([*partner.requests, json.dumps([each.__dict__ for each in (at_one, at_two)])])
    for private in ("kari", "ola", "profile/card", kari.webid, ola.webid):
        assert private not in seen


def test_what_one_host_gave_opens_nothing_at_the_other(world):
    one, two, partner = world
    (lise, browser), (per, other_browser) = one.citizen("lise"), two.citizen("per")
    at_one, at_two = connected(partner, lise, browser), connected(partner, per, other_browser)
    elsewhere = f"{at_two.issuer}/bridge/activities"
    item = [{"grant": at_two.grant, "activity": reading(3)}]
    stolen = partner.send(at_one, "POST", elsewhere, json=item)
    assert (stolen.status_code, stolen.json()["type"].rpartition("/")[2]) == (401, "invalid-token")
    own_token_foreign_grant = partner.send(
        at_two, "POST", elsewhere, json=[{"grant": at_one.grant, "activity": reading(3)}]
    )
    assert own_token_foreign_grant.json()[0]["problem"]["type"].endswith("/no-such-grant")
    with pytest.raises(Refused, match="invalid_client"):
        # An assertion that was made for one host signs nobody in at the other.
        partner._post(
            at_two.issuer, "token_endpoint", {"grant_type": "client_credentials"},
            assertion=partner.assertion(at_one.issuer),
        )  # fmt: skip


def test_an_answer_under_another_issuers_name_is_not_taken_and_its_code_is_worth_nothing_there(world):
    """Mix-up (RFC 9207): the browser is made to bring one host's answer as the other's."""
    one, two, partner = world
    _, browser = one.citizen("nils")
    sent = httpx.get(f"{partner.origin}/start", params={"iss": one.host.base_url}, trust_env=False)
    back = browser.give_consent(sent.headers["location"])
    query = {name: values[0] for name, values in parse_qs(urlsplit(back).query).items()}
    assert query["iss"] == one.host.base_url
    before = len(partner.customers)
    waiting = dict(partner._waiting[query["state"]])
    mixed = httpx.get(f"{partner.origin}/back", params=query | {"iss": two.host.base_url}, trust_env=False)
    assert (mixed.status_code, len(partner.customers)) == (400, before)
    with pytest.raises(Refused, match="invalid_grant"):
        partner.redeem(two.host.base_url, query["code"], waiting["verifier"])


def test_a_host_that_takes_nobodys_admissions_and_one_that_lies_are_left(world, tmp_path):
    one, _, partner = world
    closed = municipality(tmp_path / "closed", frozenset())
    try:
        refused = httpx.get(f"{partner.origin}/start", params={"iss": closed.host.base_url}, trust_env=False)
        assert (refused.status_code, "unapproved_software_statement" in refused.text) == (400, True)
        # An issuer whose metadata names another: the other's address with a path is nobody's.
        lying = httpx.get(f"{partner.origin}/start", params={"iss": f"{one.host.base_url}/"}, trust_env=False)
        assert lying.status_code == 400
    finally:
        closed.close()


def test_the_citizens_own_host_shows_the_way_and_sends_nobody_by_itself(world):
    one, _, partner = world
    page = httpx.get(
        f"{one.host.base_url}/-/connect",
        params={"start": f"{partner.origin}/start?campaign=a&iss=evil"},
        trust_env=False,
    )
    assert page.status_code == 200
    assert "location" not in page.headers
    (link,) = {
        part.split('"')[0].replace("&amp;", "&")
        for part in page.text.split('href="')[1:]
        if part.startswith(partner.origin)
    }
    assert parse_qs(urlsplit(link).query) == {"campaign": ["a"], "iss": [one.host.base_url]}
    sent = httpx.get(link, trust_env=False)
    assert (
        urljoin(one.host.base_url, urlsplit(sent.headers["location"]).path) == f"{one.host.base_url}/-/oauth/authorize"
    )
    for start in ("javascript:alert(1)", "http://evil.example/start", "//evil.example", "https://a@b.example/"):
        assert httpx.get(
            f"{one.host.base_url}/-/connect", params={"start": start}, trust_env=False
        ).status_code == 422  # fmt: skip
    script = httpx.get(f"{one.host.base_url}/vocab/connect.js", trust_env=False)
    assert script.text == SCRIPT.read_text("utf-8")
    assert script.headers["Content-Type"].startswith("text/javascript")
