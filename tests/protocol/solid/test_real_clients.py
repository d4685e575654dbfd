"""A citizen's script over a socket: it signs in with its credentials; tests/clients/ holds other people's programs.

Nothing is replaced here: tokens come from the token endpoint, each request carries a proof of its own.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

import httpx
import pytest
from flask import Flask
from hosts import make_host
from oauth_client import Prover
from werkzeug.serving import make_server

from pod_server import http_problems, routes
from pod_server.authorization.enforcement import require_owner
from pod_server.authorization_server import routes as authorization_routes
from pod_server.authorization_server.scripts import create_credentials
from pod_server.pods import create_pod


class ProofOfPossession(httpx.Auth):
    """Adds a script's token and a fresh DPoP proof to each request, as Solid clients do."""

    def __init__(self, prover, token):
        self._prover = prover
        self._token = token

    def auth_flow(self, request):
        address = str(request.url.copy_with(query=None, fragment=None))
        request.headers["Authorization"] = f"DPoP {self._token}"
        request.headers["DPoP"] = self._prover.proof(request.method, address, without=("ath",))
        yield request


@dataclass(frozen=True)
class Town:
    """A server on a socket, and the two citizens who live there."""

    host: object
    base: str

    def script_of(self, handle):
        """A signed-in script of the citizen's: an httpx client."""
        new = create_pod(self.host, handle, name=handle.capitalize())
        made = create_credentials(self.host, require_owner(new.vault), new.webid)
        issuer = httpx.get(f"{self.base}/.well-known/openid-configuration").json()
        assert issuer["issuer"] == self.base
        assert issuer["token_endpoint"] == made.token_endpoint
        prover = Prover(self.host)
        answer = httpx.post(
            issuer["token_endpoint"],
            data={"grant_type": "client_credentials", "scope": "webid"},
            auth=(made.client_id, made.client_secret),
            headers={"DPoP": prover.proof("POST", issuer["token_endpoint"])},
        )
        assert answer.status_code == 200, answer.text
        assert answer.json()["token_type"] == "DPoP"
        return httpx.Client(auth=ProofOfPossession(prover, answer.json()["access_token"]))


@pytest.fixture
def town(tmp_path, clock):
    app = Flask("town", static_folder=None)
    server = make_server("127.0.0.1", 0, app, threaded=True)
    base = f"http://127.0.0.1:{server.server_port}"
    host = make_host(tmp_path / "data", clock, base_url=base)
    http_problems.register(app, host)
    authorization_routes.register(app, host)
    routes.register(app, host)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield Town(host, base)
    server.shutdown()
    thread.join()
    server.server_close()
    host.storage.close()
    host.key_store.close()


def test_a_script_of_the_citizen_reads_and_writes_her_pod_and_no_other(town):
    with town.script_of("kari") as kari, town.script_of("ola") as ola:
        place = f"{town.base}/kari/private/diary.ttl"
        assert kari.put(place, content="<> <urn:p> 1 .", headers={"Content-Type": "text/turtle"}).status_code == 201
        assert (
            kari.get(place, headers={"Accept": "application/ld+json"}).headers["Content-Type"] == "application/ld+json"
        )
        refused = ola.get(place)
        assert (refused.status_code, refused.json()["type"]) == (403, f"{town.base}/problems/access-denied")
        assert httpx.get(place).status_code == 401
        assert ola.get(f"{town.base}/kari/profile/card").status_code == 200
        assert kari.delete(place).status_code == 204


def test_a_token_without_its_proof_opens_nothing(town):
    with town.script_of("kari") as kari:
        request = kari.build_request("GET", f"{town.base}/kari/private/")
        token = next(kari.auth.auth_flow(request)).headers["Authorization"]
    for headers in ({"Authorization": token}, {"Authorization": token.replace("DPoP", "Bearer")}):
        answer = httpx.get(f"{town.base}/kari/private/", headers=headers)
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"].startswith("DPoP")


def test_a_path_with_escapes_is_proved_and_served_on_the_wire(town):
    with town.script_of("kari") as kari:
        place = f"{town.base}/kari/private/bl%C3%A5%20b%C3%A6r.txt"
        assert kari.put(place, content=b"mums", headers={"Content-Type": "text/plain"}).status_code == 201
        assert kari.get(place).content == b"mums"
