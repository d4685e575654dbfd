"""/metrics: the host's counts, for callers on this machine, with nothing of any one citizen in them."""

from __future__ import annotations

import re

import pytest


@pytest.fixture
def client(city):
    from tvilling.app import create_web_app
    from tvilling.settings import Listen, Settings

    settings = Settings(
        data_folder=str(city.host.data_folder),
        base_url=city.host.base_url,
        live_url=city.host.live_url,
        listen=Listen("127.0.0.1", 8080),
        live_listen=Listen("127.0.0.1", 8081),
    )
    return create_web_app(city.host, settings).test_client()


def test_the_counts_follow_what_is_there(city, client):
    before = client.get("/metrics")
    assert before.status_code == 200
    assert before.content_type.startswith("text/plain; version=0.0.4")
    city.citizen("kari")
    city.citizen("ola", simulated=True)
    after = client.get("/metrics").text
    assert 'tvilling_pods{state="open",simulated="False"} 1' in after
    assert 'tvilling_pods{state="open",simulated="True"} 1' in after
    assert "kari" not in after
    for line in after.splitlines():
        assert line.startswith("# ") or re.fullmatch(r'[a-z_]+(\{[a-z]+="\w+"(,[a-z]+="\w+")*\})? \d+', line), line


@pytest.mark.parametrize("address", ["203.0.113.7", "10.0.0.4", "", "not an address"])
def test_callers_elsewhere_are_refused(client, address):
    answer = client.get("/metrics", environ_base={"REMOTE_ADDR": address})
    assert answer.status_code == 403
    assert answer.json["type"].endswith("/problems/metrics-elsewhere")
