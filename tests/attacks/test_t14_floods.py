"""T14: huge and endless bodies at the partners' door."""

from __future__ import annotations

import io
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from flask import Flask
from werkzeug.test import EnvironBuilder, run_wsgi_app

from partner_bridge.channels.push import BODY_LIMIT_BYTES, ITEM_LIMIT
from pod_server import bodies


class Endless(io.RawIOBase):
    """A body that never ends, and counts what was read of it."""

    def __init__(self) -> None:
        self.taken = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        self.taken += len(buffer)
        buffer[:] = b"x" * len(buffer)
        return len(buffer)


@pytest.fixture
def client(host, monkeypatch):
    """The door, past the doorkeeper: who comes is another test's affair."""
    import partner_bridge.routes
    from pod_server import http_problems
    from pod_server.authorization_server.tokens import AuthenticatedPartner

    app = Flask("flood")
    http_problems.register(app, host)
    monkeypatch.setattr(
        partner_bridge.routes, "verify_partner_request", lambda *_, **__: AuthenticatedPartner("p-1", "Flood", None, "")
    )
    partner_bridge.routes.register(app, host)
    return app.test_client()


def post_endless(client, path, **environ):
    """A request whose body is read straight from the socket, as a server hands it over."""
    body = Endless()
    built = EnvironBuilder(path=path, method="POST", content_type="application/x-ndjson").get_environ()
    built.pop("CONTENT_LENGTH", None)
    content, status, _ = run_wsgi_app(client.application, {**built, "wsgi.input": body, **environ})
    return status, b"".join(content), body


@pytest.mark.parametrize(
    ("path", "length", "slug"),
    [
        ("/bridge/activities", "2000000000", "delivery-too-large"),
        ("/bridge/connectors/oss", "50000000", "body-too-large"),
        ("/bridge/connectors/oss", "20000000", "delivery-too-large"),
    ],
)
def test_what_is_too_large_is_refused_before_it_is_read(client, path, length, slug):
    status, content, body = post_endless(client, path, CONTENT_LENGTH=length)
    assert status.startswith("413")
    assert json.loads(content)["type"].endswith(f"/problems/{slug}")
    assert body.taken < BODY_LIMIT_BYTES


@pytest.mark.parametrize("path", ["/bridge/activities", "/bridge/connectors/oss"])
def test_a_body_that_does_not_say_its_length_is_read_no_further_than_the_limit(client, path):
    status, _, body = post_endless(client, path, HTTP_TRANSFER_ENCODING="chunked", **{"wsgi.input_terminated": True})
    assert status.startswith("413")
    assert BODY_LIMIT_BYTES / 2 < body.taken <= BODY_LIMIT_BYTES + 2 * 1024 * 1024


def test_too_many_items_are_refused_as_a_whole(client):
    array = b"[" + b",".join([b"{}"] * (ITEM_LIMIT + 1)) + b"]"
    answer = client.post("/bridge/activities", data=array, content_type="application/json")
    assert (answer.status_code, answer.json["type"].rpartition("/")[2]) == (413, "delivery-too-large")


def test_one_enormous_line_is_one_items_problem(client):
    line = json.dumps({"grant": "g", "activity": {"@id": "x" * 5_000_000}}).encode()
    answer = client.post("/bridge/activities", data=line, content_type="application/x-ndjson")
    assert answer.status_code == 200
    assert [each["status"] for each in answer.json] == ["refused"]
    assert len(answer.data) < 2000


def test_deeply_nested_json_is_one_items_problem(client):
    answer = client.post(
        "/bridge/activities", data=b'{"grant":"g","activity":' + b"[" * 1_000_000, content_type="application/x-ndjson"
    )
    assert [each["status"] for each in answer.json] == ["refused"]


def test_a_file_that_unpacks_without_end_is_refused(tmp_path, monkeypatch):
    import gzip

    from partner_bridge.channels import file_drop
    from partner_bridge.connectors import find_connector
    from partner_bridge.errors import BodyTooLarge

    monkeypatch.setattr(file_drop, "FILE_LIMIT_BYTES", 1_000_000)
    bomb = tmp_path / "bomb.csv.gz"
    bomb.write_bytes(gzip.compress(b"\0" * 50_000_000))
    with pytest.raises(BodyTooLarge):
        list(file_drop.read_file(bomb, find_connector("hourly-csv")))


class Trickle:
    """A body whose rest never comes, until the test lets go."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.let_go = threading.Event()

    def read(self, _size: int) -> bytes:
        self.reached.set()
        self.let_go.wait(30)
        return b""


def test_bodies_that_do_not_come_leave_threads_free_and_the_next_is_turned_away_at_once(client):
    slow = [Trickle() for _ in range(bodies.BODIES_AT_ONCE)]
    with ThreadPoolExecutor(len(slow)) as callers:
        held = [callers.submit(bodies.LimitedBody(stream, None).read) for stream in slow]
        for stream in slow:
            assert stream.reached.wait(30)
        began = time.monotonic()
        answer = client.post("/bridge/activities", data=b"{}", content_type="application/x-ndjson")
        assert time.monotonic() - began < 20
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
        assert answer.json["type"].endswith("/problems/too-many-bodies")
        for stream in slow:
            stream.let_go.set()
        assert [each.result() for each in held] == [b""] * len(held)
    assert client.post("/bridge/activities", data=b"{}", content_type="application/x-ndjson").status_code == 200


def test_every_worker_has_threads_that_never_wait_for_a_body(monkeypatch):
    import granian

    from tvilling import roles
    from tvilling.settings import Listen, Settings

    started = {}

    class Server:
        def __init__(self, *_arguments, **options) -> None:
            started.update(options)

        def serve(self) -> None:
            pass

    monkeypatch.setattr(granian, "Granian", Server)
    # What a role does to its own process is not to be done to the one that runs the tests.
    monkeypatch.setattr(roles, "_keep_from_the_collector", lambda: None)
    monkeypatch.setattr(roles, "raise_limit_of_open_files", lambda: None)
    here = Listen.parse("127.0.0.1:8080")
    roles.run_web(Settings("data", here.origin, here.origin, here, here))
    assert started["blocking_threads"] >= bodies.BODIES_AT_ONCE + 4


def test_a_body_that_was_cut_off_is_not_taken_for_whole(client):
    """Servers hand over what came before the connection ended, without a word."""
    built = EnvironBuilder(path="/bridge/activities", method="POST", content_type="application/x-ndjson").get_environ()
    line = b'{"grant":"g","activity":{}}\n'
    content, status, _ = run_wsgi_app(
        client.application,
        {**built, "wsgi.input": io.BytesIO(line), "wsgi.input_terminated": True, "CONTENT_LENGTH": str(2 * len(line))},
    )
    assert status.startswith("400")
    assert json.loads(b"".join(content))["type"].endswith("/problems/body-incomplete")
