"""One citizen's pod behind the Solid door."""

from __future__ import annotations

import pytest
from flask import Flask
from solid_door import Door

from pod_server import http_problems, routes


@pytest.fixture
def app(city):
    app = Flask("pods", static_folder=None)
    http_problems.register(app, city.host)
    routes.register(app, city.host)
    return app


@pytest.fixture
def kari(city):
    return city.citizen("kari", name="Kari")


@pytest.fixture
def door(app, kari, monkeypatch):
    return Door(app.test_client(), monkeypatch)
