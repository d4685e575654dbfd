"""Two web workers on one port, as `tvilling serve` runs them: a proof, a code and a challenge count once, whoever is asked (S5)."""

from __future__ import annotations

import base64
import json
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import psutil
import pytest
from joserfc.jwk import ECKey
from running_host import proof, running_host

TRIES = 24


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    """A host whose web role has two workers."""
    with running_host(tmp_path_factory.mktemp("two-workers"), workers=2) as town:
        yield town


def at_once(ask):
    """The same request over many connections at the same moment."""
    with ThreadPoolExecutor(TRIES) as pool:
        return [each.result() for each in [pool.submit(ask) for _ in range(TRIES)]]


def test_there_are_two_workers(running):
    port = int(running.base_url.rpartition(":")[2])
    listening = {
        each.pid
        for each in psutil.Process().children(recursive=True)
        for one in each.net_connections("tcp")
        if one.status == psutil.CONN_LISTEN and one.laddr.port == port
    }
    assert len(listening) >= 2


def test_a_proof_is_good_once_whichever_worker_it_reaches(running):
    town = running
    kari = town.citizen("kari")
    key = ECKey.generate_key("P-256")
    made = httpx.post(
        kari.token_endpoint,
        data={"grant_type": "client_credentials"},
        auth=(kari.client_id, kari.client_secret),
        headers={"DPoP": proof(key, "POST", kari.token_endpoint)},
    )
    token = made.json()["access_token"]
    headers = {"Authorization": f"DPoP {token}", "DPoP": proof(key, "GET", kari.pod, token)}
    statuses = sorted(answer.status_code for answer in at_once(lambda: httpx.get(kari.pod, headers=headers)))
    assert statuses == [200] + [401] * (TRIES - 1)


def test_a_proof_at_the_token_endpoint_is_good_once_too(running):
    town = running
    ola = town.citizen("ola")
    headers = {"DPoP": proof(ECKey.generate_key("P-256"), "POST", ola.token_endpoint)}

    def ask():
        form = {"grant_type": "client_credentials"}
        return httpx.post(ola.token_endpoint, data=form, auth=(ola.client_id, ola.client_secret), headers=headers)

    statuses = sorted(answer.status_code for answer in at_once(ask))
    assert statuses == [200] + [400] * (TRIES - 1)


def test_new_signing_keys_are_known_to_both_workers_without_a_restart(running):
    """A rotation by command: tokens signed by either worker open the doors of both."""
    from pod_server import signing_keys

    town = running
    anna = town.citizen("anna")
    (new,) = signing_keys.rotate(town.host, at_once=True)
    time.sleep(5.5)  # as long as a worker believes what it has read
    for _ in range(8):
        key = ECKey.generate_key("P-256")
        made = httpx.post(
            anna.token_endpoint,
            data={"grant_type": "client_credentials"},
            auth=(anna.client_id, anna.client_secret),
            headers={"DPoP": proof(key, "POST", anna.token_endpoint)},
        )
        token = made.json()["access_token"]
        assert json.loads(base64.urlsafe_b64decode(token.partition(".")[0] + "=="))["kid"] == new.kid
        headers = {"Authorization": f"DPoP {token}", "DPoP": proof(key, "GET", anna.pod, token)}
        assert httpx.get(anna.pod, headers=headers).status_code == 200
