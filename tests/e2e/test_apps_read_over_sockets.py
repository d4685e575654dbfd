"""An app that nobody admitted reads under a consent, over real sockets: its own document, a browser, the token, the end.

Nothing is mocked: the app's document is fetched from a server of its own, and `tvilling serve` runs the host.
"""

from __future__ import annotations

import json
import secrets
import threading
from base64 import urlsafe_b64encode
from contextlib import contextmanager
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import pytest
from joserfc.jwk import ECKey
from reading_app import described, details
from running_host import proof, running_host

from pod_server import grants
from pod_server.identifiers import Actor


class _Site(BaseHTTPRequestHandler):
    """The app's own site: its client identifier document, and nothing else."""

    def do_GET(self) -> None:
        origin = f"http://127.0.0.1:{self.server.server_port}"
        document = described(f"{origin}/id.jsonld", back=f"{origin}/back")
        body = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/ld+json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quietly."""


@contextmanager
def site():
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Site)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    with site() as origin, running_host(tmp_path_factory.mktemp("readers"), allow_outbound=(origin,)) as running:
        yield running, origin


def test_from_the_apps_own_document_to_a_reading_that_ends_with_the_withdrawal(world):
    running, origin = world
    citizen, app, key = running.citizen("kari"), f"{origin}/id.jsonld", ECKey.generate_key("P-256")
    verifier = secrets.token_urlsafe(40)
    asked = {
        "response_type": "code",
        "client_id": app,
        "redirect_uri": f"{origin}/back",
        "state": "s",
        "code_challenge_method": "S256",
        "code_challenge": urlsafe_b64encode(sha256(verifier.encode()).digest()).rstrip(b"=").decode(),
        "authorization_details": details(running.host, figures=None, datatypes=["ElectricityReading"]),
    }
    with running.browser(citizen) as browser:
        back = browser.give_consent(f"{running.base_url}/-/oauth/authorize?{urlencode(asked)}")
    answer = {name: values[0] for name, values in parse_qs(urlsplit(back).query).items()}
    assert back.startswith(f"{origin}/back?")
    assert (answer["state"], answer["iss"]) == ("s", running.base_url)
    token_endpoint = f"{running.base_url}/-/oauth/token"
    with httpx.Client(timeout=30) as http:
        form = {"grant_type": "authorization_code", "code": answer["code"], "client_id": app}
        form |= {"redirect_uri": f"{origin}/back", "code_verifier": verifier}
        given = http.post(token_endpoint, data=form, headers={"DPoP": proof(key, "POST", token_endpoint)}).json()
        (told,) = given["authorization_details"]
        token = given["access_token"]

        def read():
            address = f"{told['location']}/graph"
            headers = {"Authorization": f"DPoP {token}", "DPoP": proof(key, "GET", address, token)}
            return http.get(address, headers=headers | {"Accept": "text/turtle"})

        assert read().status_code == 200
        pod = http.get(f"{running.base_url}/kari/private/", headers={"Authorization": f"DPoP {token}"})
        assert pod.status_code == 401
        with running.host.storage.read() as tx:
            (pod_id,) = tx.one("SELECT pod_id FROM pod WHERE handle = ?", ("kari",))
        (view,) = grants.list_grants(running.host, pod_id)
        assert (view.partner_name, view.reads) == (f"Strømvenn ({urlsplit(origin).netloc})", 1)
        grants.withdraw(running.host, pod_id, view.grant.id, actor=Actor("citizen"))
        assert read().json()["type"].endswith("/consent-withdrawn")
