"""What tests of the Solid door start from: agents who ask, and a client that asks in their name.

Only step 2 of the lifecycle is replaced: who asks is named by the test. tests/protocol/solid/test_real_clients.py goes
through tokens and proofs on a socket.
"""

from __future__ import annotations

from dataclasses import dataclass

from pyoxigraph import NamedNode, RdfFormat, parse

from pod_server import lifecycle
from pod_server.notifications import channel
from pod_server.queries import endpoint

ROOT = "http://localhost:8080/kari/"
KARI = ROOT + "profile/card#me"
OLA = "http://localhost:8080/ola/profile/card#me"


@dataclass(frozen=True)
class TestAgent:
    """Whom a request comes from, as step 2 would find."""

    __test__ = False
    webid: str | None
    client_id: str = ""
    origin: str | None = None
    client_name: str = ""
    modes: frozenset[str] | None = None


class Door:
    """A client of the pod; `as_` says who asks, the owner where it is not given."""

    def __init__(self, client, monkeypatch):
        self.client = client
        self._monkeypatch = monkeypatch

    def __call__(self, method, path, body=b"", *, as_=KARI, type_=None, **headers):
        agent = as_ if isinstance(as_, TestAgent) else TestAgent(as_, origin=headers.get("Origin"))
        for door in (lifecycle, endpoint, channel):
            self._monkeypatch.setattr(door, "verify_solid_request", lambda host, request: agent)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if type_ is not None:
            sent["Content-Type"] = type_
        body = body.encode() if isinstance(body, str) else body
        return self.client.open("/kari/" + path, method=method, data=body, headers=sent)

    def get(self, path, **options):
        return self("GET", path, **options)

    def put(self, path, body="", *, type_="text/turtle", **options):
        return self("PUT", path, body, type_=type_, **options)

    def triples(self, path, **options):
        response = self("GET", path, Accept="text/turtle", **options)
        assert response.status_code == 200, response.text
        return {quad.triple for quad in parse(response.data, format=RdfFormat.TURTLE)}

    def members(self, path, **options):
        contains = NamedNode("http://www.w3.org/ns/ldp#contains")
        return {
            triple.object.value.removeprefix(ROOT)
            for triple in self.triples(path, **options)
            if triple.predicate == contains
        }
