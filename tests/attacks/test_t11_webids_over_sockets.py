"""T11 over real sockets: WebIDs that redirect to the metadata address or to themselves, and documents that are bombs."""

from __future__ import annotations

import gzip
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from oauth_client import new_key
from other_issuer import OtherIssuer
from solid_app import house, make_town

from pod_server.lookups import Lookups
from pod_server.outbound import Outbound

METADATA = "http://169.254.169.254/latest/meta-data/"


@pytest.fixture
def world():
    """Another host, on a socket: what each of its paths answers, and what was asked."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            server.asked.append(self.path)
            status, headers, body = server.answers.get(self.path, (404, {}, b""))
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments):
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.asked, server.answers = [], {}
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def visit(city, world):
    """Anna, whose WebID and issuer are in that world, at Kari's pod."""
    town = make_town(city)
    town.citizen("kari")
    there = f"http://127.0.0.1:{world.server_port}"
    key = new_key("other-1")

    def visit(card, media_type="text/turtle", *, headers=None, status=200):
        host = replace(town.host, outbound=Outbound(frozenset({there})), lookups=Lookups())
        anna = OtherIssuer(host, elsewhere=town.elsewhere, key=key)
        import json

        config = {"issuer": there, "jwks_uri": f"{there}/keys"}
        as_json = {"Content-Type": "application/json"}
        world.answers |= {
            "/card": (status, {"Content-Type": media_type} | (headers or {}), card),
            "/.well-known/openid-configuration": (200, as_json, json.dumps(config).encode()),
            "/keys": (200, as_json, json.dumps({"keys": [key.as_dict(private=False)]}).encode()),
        }
        token = anna.token(webid=f"{there}/card#me", sub=f"{there}/card#me", iss=there)
        sent = anna.authorised("GET", f"{host.base_url}/kari/profile/card", token, without=("ath",))
        return house(host).test_client().get("/kari/profile/card", headers=sent)

    visit.there = there
    visit.good = f"<{there}/card#me> <http://www.w3.org/ns/solid/terms#oidcIssuer> <{there}> .".encode()
    return visit


def refused(answer):
    assert answer.status_code == 401, answer.text
    assert answer.json["type"].endswith("/invalid-token")
    return answer.json["detail"]


def test_a_webid_that_holds_is_taken(visit):
    assert visit(visit.good).status_code == 200


def test_a_webid_that_redirects_to_the_metadata_address_leads_nowhere(visit):
    detail = refused(visit(b"", status=302, headers={"Location": METADATA}))
    assert "169.254" not in detail


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_webid_that_redirects_to_itself_is_left(visit, world, status):
    refused(visit(b"", status=status, headers={"Location": f"{visit.there}/card"}))
    assert world.asked.count("/card") == 4


@pytest.mark.parametrize(
    "location",
    [
        "file:///etc/passwd",
        "gopher://127.0.0.1/",
        "http://localhost:1/",
        "//10.0.0.1/",
        "http://[::1]:1/",
        "https://user@x/",
    ],
)
def test_redirects_to_other_places_are_judged_like_the_first_address(visit, location):
    refused(visit(b"", status=302, headers={"Location": location}))


def test_a_redirect_within_the_webids_own_host_is_followed(visit, world):
    world.answers["/elsewhere"] = (200, {"Content-Type": "text/turtle"}, visit.good)
    assert visit(b"", status=302, headers={"Location": "/elsewhere"}).status_code == 200


BOMBS = {
    "a long document": (b"# " + b"x" * 70_000, "text/turtle"),
    "many triples": (b"".join(b"<#a> <#b> <#%d> ." % number for number in range(20_000)), "text/turtle"),
    "nested collections": (b"<#a> <#b> " + b"(" * 20_000 + b")" * 20_000 + b" .", "text/turtle"),
    "nested blank nodes": (b"<#a> <#b> " + b"[ <#b> " * 8_000 + b"]" * 8_000 + b" .", "text/turtle"),
    "nested JSON": (b'{"a":' * 9_000 + b"1" + b"}" * 9_000, "application/ld+json"),
    "nested JSON lists": (b'{"@list":[' * 3_000 + b"1" + b"]}" * 3_000, "application/ld+json"),
    "nested triple terms": (b"<#a> <#b> " + b"<<( <#a> <#b> " * 2_500 + b"1 " + b")>>" * 2_500 + b" .", "text/turtle"),
    "JSON with a remote context": (b'{"@context": "http://169.254.169.254/", "@id": "#me"}', "application/ld+json"),
    "a context of its own": (b'{"@context": "card", "@id": "#me"}', "application/ld+json"),
    "HTML": (b"<html>", "text/html"),
    "N3 rules": (b"{ <#a> <#b> <#c> } => { <#a> <#b> <#d> } .", "text/n3"),
    "bytes": (bytes(range(256)) * 100, "text/turtle"),
    "no bytes": (b"", "text/turtle"),
    "a relative issuer": (b"<#me> <http://www.w3.org/ns/solid/terms#oidcIssuer> </> .", "text/turtle"),
    "an issuer as a text": (b'<#me> <http://www.w3.org/ns/solid/terms#oidcIssuer> "x" .', "text/turtle"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_document_that_is_a_bomb_or_no_profile_lets_nobody_in(visit, name):
    body, media_type = BOMBS[name]
    refused(visit(body, media_type))


def test_a_packed_document_is_not_unpacked(visit):
    """Nothing is asked for in a packed form, so ten megabytes in ten kilobytes are ten kilobytes that are no Turtle."""
    packed = gzip.compress(visit.good + b"\n#" + b" " * 10_000_000)
    assert len(packed) < 64 * 1024
    refused(visit(packed, headers={"Content-Encoding": "gzip"}))


def test_more_than_twenty_issuers_are_none(visit):
    predicate = b"<http://www.w3.org/ns/solid/terms#oidcIssuer>"
    many = b"".join(b"<#me> %s <https://i%d.example> ." % (predicate, number) for number in range(20))
    refused(visit(many + b"<#me> " + predicate + f" <{visit.there}> .".encode()))
