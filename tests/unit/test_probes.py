"""The probes: alive is not the same as ready."""

from __future__ import annotations

from dataclasses import replace

from flask import Flask

from pod_server import http_problems, routes
from pod_server.storage.errors import StorageBusy


class StorageAway:
    def read(self):
        raise StorageBusy


def probes(host):
    app = Flask("probed", static_folder=None)
    http_problems.register(app, host)
    routes.register(app, host)
    return app.test_client()


def test_a_host_with_its_storage_is_ready(host):
    client = probes(host)
    assert client.get("/healthz").json == {"status": "ok"}
    assert client.get("/readyz").json == {"status": "ready"}


def test_a_host_without_its_storage_lives_but_is_not_ready(host):
    client = probes(replace(host, storage=StorageAway()))
    assert client.get("/healthz").status_code == 200
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json["type"]) == (503, f"{host.base_url}/problems/not-ready")
