"""The description of the doors is the doors: what is routed is described, and what is described is routed."""

from __future__ import annotations

import re

import pytest
from flask import Flask

import dashboard.routes
import partner_bridge.routes
import pod_server.authorization_server.routes
import research_views.routes
from pod_server import http_problems, routes
from pod_server.lifecycle import METHODS

PAGES = re.compile(r"/-/(?!oauth/)|/$")


@pytest.fixture
def app(host):
    app = Flask("house", static_folder=None)
    http_problems.register(app, host)
    for door in (
        pod_server.authorization_server.routes,
        partner_bridge.routes,
        research_views.routes,
        dashboard.routes,
    ):
        door.register(app, host)
    routes.register(app, host)
    return app


@pytest.fixture
def description(app):
    answer = app.test_client().get("/openapi.json")
    assert answer.status_code == 200
    return answer.json


def routed(app):
    """(path, method) of every door that is not a page, HEAD and OPTIONS left to where they are described."""
    found = {(routes.POD_PATH, method.lower()) for method in METHODS if method not in {"HEAD", "OPTIONS"}}
    for rule in app.url_map.iter_rules():
        path = re.sub(r"<(?:[a-z_]+:)?([a-z_]+)>", r"{\1}", rule.rule)
        if not PAGES.match(path):
            found |= {(path, method.lower()) for method in rule.methods - {"HEAD", "OPTIONS"}}
    return found


def test_what_is_routed_is_described_and_what_is_described_is_routed(app, description):
    described = {
        (path, method)
        for path, operations in description["paths"].items()
        for method in operations
        if method not in {"parameters", "head", "options"}
    }
    assert described == routed(app)


def test_every_path_parameter_is_declared(description):
    for path, operations in description["paths"].items():
        shared = {one["name"] for one in operations.get("parameters", []) if one["in"] == "path"}
        for method, operation in operations.items():
            if method != "parameters":
                own = {one["name"] for one in operation.get("parameters", []) if one["in"] == "path"}
                assert shared | own == set(re.findall(r"{(\w+)}", path)), (path, method)


def test_every_reference_leads_somewhere_and_every_name_is_used_once(description):
    def references(value):
        if isinstance(value, dict):
            for name, item in value.items():
                yield from [item] if name == "$ref" else references(item)
        elif isinstance(value, list):
            for item in value:
                yield from references(item)

    for reference in references(description):
        place = description
        for part in reference.removeprefix("#/").split("/"):
            place = place[part]
    names = [
        operation["operationId"]
        for operations in description["paths"].values()
        for method, operation in operations.items()
        if method != "parameters"
    ]
    assert len(names) == len(set(names)) > 30


def test_the_description_names_this_host_and_its_body_limit(host, description):
    assert description["servers"] == [{"url": host.base_url}]
    assert f"{http_problems.MAX_BODY_BYTES // 1024 // 1024} MiB" in description["info"]["description"]
