"""Issuer, pod, partner and the machine that answers need not share a host: every name comes from the base URL alone."""

from __future__ import annotations

import ast
import json
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from hosts import City, make_host
from whole_house import House, whole_app

BASE = "https://pods.trondheim.example"
ROOT = Path(__file__).parents[3]
PACKAGES = ("dashboard", "partner_bridge", "twin_agent", "research_views", "pod_server", "consent", "vocab")
KNOWS_LOOPBACK = {
    # What is said of loopback here is how it is told from other addresses, never where something is.
    "pod_server/outbound.py",
    "pod_server/partners.py",
    "pod_server/authentication/accounts.py",
    "pod_server/authorization_server/apps.py",
    "pod_server/transfer/move.py",
}


@pytest.fixture
def far_away(tmp_path, clock):
    """A host behind a proxy: known by one name, reached by another."""
    host = make_host(tmp_path / "data", clock, base_url=BASE)
    city = City(host, clock)
    yield House(city, host, whole_app(host))
    host.storage.close()
    host.key_store.close()


def all_texts(value):
    """Every text in a JSON value."""
    if isinstance(value, dict):
        for part in value.values():
            yield from all_texts(part)
    elif isinstance(value, list):
        for part in value:
            yield from all_texts(part)
    elif isinstance(value, str):
        yield value


def test_every_address_that_is_told_begins_with_the_base_url(far_away):
    """The request's own Host header names somebody else; nothing that is answered may repeat it."""
    client = far_away.app.test_client()
    lying = {"Host": "elsewhere.example", "X-Forwarded-Host": "elsewhere.example", "Accept": "application/json"}
    far_away.city.citizen("kari")
    told = 0
    for path in (
        "/.well-known/oauth-authorization-server", "/.well-known/openid-configuration",
        "/.well-known/oauth-protected-resource", "/-/oauth/jwks", "/openapi.json", "/kari/profile/card",
        "/kari/private/x", "/bridge/receipts", "/no-such-page", "/research/sparql", "/", "/-/", "/-/home",
    ):  # fmt: skip
        answer = client.get(path, headers=lying)
        headers = [value for name, value in answer.headers if name in {"Location", "Link", "WWW-Authenticate"}]
        assert "elsewhere.example" not in answer.text + str(headers), path
        assert "localhost" not in str(headers), path
        if answer.is_json:
            addresses = [text for text in all_texts(answer.json) if text.startswith(("http://", "https://"))]
            told += len([text for text in addresses if urlsplit(text).netloc == urlsplit(BASE).netloc])
            assert not [text for text in addresses if urlsplit(text).netloc in {"localhost", "127.0.0.1"}], path
    assert told > 15


def test_a_partner_and_a_citizens_script_work_where_the_server_is_reached_by_another_name(far_away):
    kari = far_away.city.citizen("kari")
    assert kari.webid == f"{BASE}/kari/profile/card#me"
    deliverer = far_away.partner()
    grant = far_away.grant(kari, deliverer)
    start = far_away.host.clock.now() - timedelta(hours=2)
    activity = {
        "@id": "urn:test:1", "@type": "ElectricityReading", "start": start.isoformat(),
        "end": (start + timedelta(hours=1)).isoformat(), "quantity": 1, "unit": "KiloW-HR",
    }  # fmt: skip
    sent = deliverer.send("POST", "/bridge/activities", json.dumps({"grant": grant, "activity": activity}))
    assert [each["status"] for each in sent.json] == ["accepted"]
    assert sent.headers["Link"].startswith(f"<{BASE}/bridge/receipts/")
    script = far_away.script(kari)
    made = script.send("PUT", "/kari/private/x", "<#a> <#b> <#c> .", Content_Type="text/turtle")
    assert (made.status_code, made.headers["Location"]) == (201, f"{BASE}/kari/private/x")
    assert f"<{BASE}/kari/private/x#a>" in script.send("GET", "/kari/private/x", Accept="application/n-triples").text


def test_a_proof_made_for_the_name_the_server_is_reached_by_is_refused(far_away):
    deliverer = far_away.partner()
    headers = deliverer.partner.authorised("POST", "http://localhost/bridge/activities", deliverer.token)
    assert deliverer.partner.client.post("/bridge/activities", headers=headers).status_code == 401


def test_a_pod_keeps_no_name_of_its_host_inside(far_away):
    """What is stored is relative, so that a pod can move."""
    from deliveries import owner_permit

    from pod_server import documents
    from pod_server.opening import open_pod

    kari = far_away.city.citizen("kari")
    script = far_away.script(kari)
    document = f"<#a> <#b> <{BASE}/kari/private/y>, </kari/private/z> ."
    assert script.send("PUT", "/kari/private/x", document, Content_Type="text/turtle").status_code == 201
    opened = open_pod(far_away.host, owner_permit(kari.vault), vault=kari.vault)
    with far_away.host.storage.read() as tx:
        stored = documents.get(tx, opened, "private/x").content
    assert urlsplit(BASE).netloc.encode() not in stored


def test_no_code_names_a_machine():
    """Addresses come from settings; `localhost` stands in no package but where loopback is told apart."""
    found = set()
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            tree = ast.parse(path.read_text("utf-8"))
            documented = {
                id(node.body[0].value)
                for node in ast.walk(tree)
                if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
                and node.body
                and isinstance(node.body[0], ast.Expr)
            }
            for node in ast.walk(tree):
                is_text = isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documented
                if is_text and any(name in node.value for name in ("localhost", "127.0.0.1")):
                    found.add(str(path.relative_to(ROOT)))
    assert found <= KNOWS_LOOPBACK
