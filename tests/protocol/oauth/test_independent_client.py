"""A client library we did not write goes the whole way over a real socket: PAR, RAR, PKCE, DPoP, private_key_jwt."""

from __future__ import annotations

import json
import threading
from datetime import timedelta
from urllib.parse import urlsplit

import pytest
import requests
from flask import Flask, jsonify, request
from hosts import make_host
from oauth_client import CITIZEN, REDIRECT, new_key
from requests_oauth2client import DPoPKey, OAuth2Client, PrivateKeyJwt
from werkzeug.serving import make_server

from pod_server import http_problems, partners
from pod_server.authorization.enforcement import require_owner
from pod_server.authorization_server import interactions, routes, scripts, tokens
from pod_server.clock import SystemClock
from pod_server.pods import create_pod


@pytest.fixture
def served(tmp_path):
    """A host behind a real socket, in real time."""
    app = Flask("served")
    server = make_server("127.0.0.1", 0, app, threaded=True)
    host = make_host(tmp_path / "data", SystemClock(), base_url=f"http://127.0.0.1:{server.port}")
    http_problems.register(app, host)
    routes.register(app, host)

    @app.post("/bridge/probe")
    def bridge():
        partner = tokens.verify_partner_request(host, request)
        return jsonify({"client_id": partner.client_id, "grant": partner.grant})

    @app.get("/kari/probe")
    def solid():
        return jsonify({"webid": tokens.verify_solid_request(host, request).webid})

    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield host
    server.shutdown()
    thread.join(timeout=30)
    server.server_close()
    host.storage.close()
    host.key_store.close()


def client_of(host, partner, key):
    server = requests.get(f"{host.base_url}/.well-known/oauth-authorization-server", timeout=30).json()
    return OAuth2Client(
        token_endpoint=server["token_endpoint"],
        pushed_authorization_request_endpoint=server["pushed_authorization_request_endpoint"],
        authorization_endpoint=server["authorization_endpoint"],
        revocation_endpoint=server["revocation_endpoint"],
        introspection_endpoint=server["introspection_endpoint"],
        issuer=server["issuer"],
        redirect_uri=REDIRECT,
        auth=PrivateKeyJwt(partner.client_id, key.as_dict(private=True), alg="ES256", aud=server["issuer"]),
        authorization_response_iss_parameter_supported=server["authorization_response_iss_parameter_supported"],
        dpop_bound_access_tokens=True,
        testing=True,
    )


def test_an_independent_client_gets_a_consent_and_uses_it(served):
    kari = create_pod(served, "kari")
    key = new_key("strom-1")
    partner = partners.add_partner(
        served, name="Strømmen AS", jwks={"keys": [key.as_dict(private=False)]}, redirect_uris=[REDIRECT]
    )
    client = client_of(served, partner, key)
    asked = client.authorization_request(
        scope=None,
        dpop=True,
        authorization_details=json.dumps(
            [
                {
                    "type": f"{served.base_url}/vocab/rar#pod-append",
                    "actions": ["append"],
                    "datatypes": ["ElectricityReading"],
                    "purpose": "live-electricity",
                    "granularity": "PT1M",
                    "validTo": (served.clock.now() + timedelta(days=90)).isoformat(),
                }
            ]
        ),
    )
    pushed = client.pushed_authorization_request(asked)
    arrived = requests.get(str(pushed), allow_redirects=False, timeout=30)
    assert arrived.status_code == 303
    interaction_id = urlsplit(arrived.headers["Location"]).path.rsplit("/", 1)[1]
    back = interactions.answer_interaction(
        served,
        interaction_id,
        kari.pod_id,
        interactions.Answer(refused=False, kinds=frozenset({"electricity-reading"})),
        CITIZEN,
    )
    token = client.authorization_code(asked.validate_callback(back))
    probe = requests.post(f"{served.base_url}/bridge/probe", auth=token, json={}, timeout=30)
    assert probe.json() == {"client_id": partner.client_id, "grant": token.grant_id}
    again = client.refresh_token(token)
    assert requests.post(f"{served.base_url}/bridge/probe", auth=again, json={}, timeout=30).status_code == 200
    bulk = client.client_credentials(scope=None, dpop=True)
    assert requests.post(f"{served.base_url}/bridge/probe", auth=bulk, json={}, timeout=30).json()["grant"] is None


def test_a_citizens_script_signs_in_with_a_secret_and_a_proof(served):
    kari = create_pod(served, "kari")
    credentials = scripts.create_credentials(served, require_owner(kari.vault), kari.webid)
    client = OAuth2Client(
        token_endpoint=credentials.token_endpoint,
        auth=requests.auth.HTTPBasicAuth(credentials.client_id, credentials.client_secret),
        testing=True,
    )
    token = client.client_credentials(scope="webid", dpop=True, dpop_key=DPoPKey.generate("ES256"))
    door = requests.get(f"{served.base_url}/kari/probe", auth=token, timeout=30)
    assert door.json() == {"webid": kari.webid}
