"""The live stream: one ticket opens one stream, for our own pages only, as long as the citizen is signed in."""

from __future__ import annotations

import json
from datetime import timedelta
from urllib.parse import urlsplit

import gevent
import pytest

from dashboard import live
from dashboard.live import create_live_app
from pod_server import figures
from pod_server.authentication.session import cookie_settings, end_all_sessions, end_session_of, load_session
from pod_server.authorization.enforcement import require_mandate
from pod_server.opening import open_pod

ORIGIN = "http://localhost:8080"


class Stream:
    """One open stream, read event by event."""

    def __init__(self, app, query: str, origin: str | None = ORIGIN) -> None:
        self.status, self.headers = "", {}
        environ = {"PATH_INFO": "/stream", "REQUEST_METHOD": "GET", "QUERY_STRING": query}
        if origin is not None:
            environ["HTTP_ORIGIN"] = origin
        self.body = app(environ, self._begin)
        self._lines = iter(self.body)

    def _begin(self, status, headers):
        self.status, self.headers = status, dict(headers)

    def next(self) -> bytes:
        with gevent.Timeout(30):
            return next(self._lines)

    def close(self) -> None:
        if hasattr(self.body, "close"):
            self.body.close()


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Poll quickly, so that a test need not wait for a signal."""
    monkeypatch.setattr(live, "POLL_SECONDS", 0.02)
    monkeypatch.setattr(live, "RECHECK_SECONDS", 0.0)
    monkeypatch.setattr(live, "SHORTEST_GAP_SECONDS", 0.0)


@pytest.fixture
def kari(pages):
    return pages.citizen()


@pytest.fixture
def app(pages):
    return create_live_app(pages.host)


def ticket(kari) -> str:
    answer = kari.client.post("/-/live/ticket", headers={"X-CSRF-Token": kari.token()})
    assert answer.status_code == 200
    return urlsplit(answer.get_json()["url"]).query


def notice(kari, grams: float) -> None:
    """The twin writes down an event and figures."""
    own = open_pod(kari.host, require_mandate(kari.host, kari.pod_id, "compute"))
    event = {
        "at": kari.host.clock.now().isoformat(),
        "category": "food",
        "title": {"nb": "Ost"},
        "kg": [0, grams, grams],
    }
    with kari.host.storage.write() as tx:
        figures.append_event(tx, own, json.dumps(event).encode())
        figures.save_figures(tx, own, json.dumps({"months": {"2026-11": {"food": [0, grams, grams, 1]}}}).encode())


def test_a_ticket_needs_a_session_and_its_token(kari, pages):
    assert pages.stranger().post("/-/live/ticket").status_code == 401
    assert kari.client.post("/-/live/ticket").status_code == 403


def test_what_the_twin_notices_arrives_with_its_number(kari, app):
    notice(kari, 1.0)
    stream = Stream(app, ticket(kari))
    assert stream.status == "200 OK"
    assert stream.headers["Content-Type"].startswith("text/event-stream")
    assert stream.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert stream.next() == b"retry: 3000\n\n"
    notice(kari, 2.0)
    burst = stream.next().decode()
    stream.close()
    twin, combined = burst.strip().split("\n\n")
    assert twin.startswith("id: 2\nevent: twin\ndata: ")
    assert json.loads(twin.partition("data: ")[2])["seq"] == 2
    assert combined.startswith("event: figures\n")
    assert "Ost" in twin


def test_a_page_that_lost_its_stream_goes_on_from_the_last_event_it_saw(kari, app):
    for grams in (1.0, 2.0, 3.0):
        notice(kari, grams)
    stream = Stream(app, f"{ticket(kari)}&after=1")
    stream.next()
    burst = stream.next().decode()
    stream.close()
    assert [line for line in burst.splitlines() if line.startswith("id:")] == ["id: 2", "id: 3"]


def test_a_ticket_opens_one_stream(kari, app):
    query = ticket(kari)
    Stream(app, query).close()
    assert Stream(app, query).status.startswith("401")


@pytest.mark.parametrize("query", ["", "ticket=", "ticket=nonsense", "ticket=" + "a" * 300, "ticket=abc." + "00" * 32])
def test_without_a_ticket_there_is_no_stream(app, query):
    refused = Stream(app, query)
    assert refused.status.startswith("401")
    assert json.loads(b"".join(refused.body))["type"].endswith("/problems/ticket-invalid")


def test_an_old_ticket_opens_nothing(kari, app, pages):
    query = ticket(kari)
    pages.city.clock.advance(timedelta(seconds=31))
    assert Stream(app, query).status.startswith("401")


def test_another_site_s_page_gets_no_stream_and_no_permission(kari, app):
    refused = Stream(app, ticket(kari), origin="https://evil.example")
    assert refused.status.startswith("403")
    assert "Access-Control-Allow-Origin" not in refused.headers


def test_signing_out_ends_the_stream(kari, app):
    stream = Stream(app, ticket(kari))
    stream.next()
    end_all_sessions(kari.host, kari.pod_id)
    assert stream.next() == b"event: ended\ndata: {}\n\n"
    with pytest.raises(StopIteration):
        stream.next()


def test_a_stream_ends_with_its_own_session_though_another_browser_goes_on(kari, app, pages):
    """Ended on the page that lists sessions, a stolen browser sees nothing more, not even what came at that moment."""
    stolen = Stream(app, ticket(kari))
    stolen.next()
    session = load_session(kari.host, kari.client.get_cookie(cookie_settings(kari.host).key).value)
    pages.signed_in_again(kari)
    other = Stream(app, ticket(kari))
    other.next()
    own = load_session(kari.host, kari.client.get_cookie(cookie_settings(kari.host).key).value)
    assert end_session_of(kari.host, own, session.id)
    notice(kari, 1.0)
    assert stolen.next() == b"event: ended\ndata: {}\n\n"
    assert b"event: twin" in other.next()
    other.close()


def test_a_ticket_cannot_be_made_another_sessions(kari, app, pages):
    """The session is sealed in: a ticket that names another one opens nothing."""
    query = ticket(kari)
    identifier, _, key = query.removeprefix("ticket=").partition(".")
    moved = f"ticket={identifier.partition('~')[0]}~{'0' * 64}.{key}"
    assert Stream(app, moved).status.startswith("401")


def test_locking_the_pod_ends_the_stream(kari, app):
    stream = Stream(app, ticket(kari))
    stream.next()
    kari.post("/-/lock", passphrase="tolv grønne katter", again="tolv grønne katter")
    assert stream.next() == b"event: ended\ndata: {}\n\n"


def test_a_stream_asks_for_a_new_ticket_after_a_while(kari, app, monkeypatch):
    monkeypatch.setattr(live, "LIFETIME_SECONDS", 0.0)
    stream = Stream(app, ticket(kari))
    stream.next()
    assert stream.next() == b"event: renew\ndata: {}\n\n"


def test_one_citizen_cannot_hold_every_stream(kari, app, monkeypatch):
    monkeypatch.setattr(live, "STREAMS_PER_POD", 2)
    streams = [Stream(app, ticket(kari)) for _ in range(2)]
    for stream in streams:
        stream.next()
    assert Stream(app, ticket(kari)).status.startswith("429")
    streams[0].close()
    assert Stream(app, ticket(kari)).status == "200 OK"


def test_a_stream_that_was_never_read_gives_its_place_back(kari, app, monkeypatch):
    monkeypatch.setattr(live, "STREAMS_PER_POD", 1)
    Stream(app, ticket(kari)).close()
    assert Stream(app, ticket(kari)).status == "200 OK"


def test_another_citizen_s_events_do_not_arrive(pages, app):
    kari, ola = pages.citizen("kari"), pages.citizen("ola", "Ola")
    stream = Stream(app, ticket(kari))
    stream.next()
    notice(ola, 5.0)
    notice(kari, 1.0)
    burst = stream.next().decode()
    stream.close()
    assert burst.count("event: twin") == 1
    assert '"kg":[0,1.0,1.0]' in burst


def test_nothing_else_is_served(app):
    answer = Stream(app, "")
    assert answer.status.startswith("401")
    environ = {"PATH_INFO": "/anything", "REQUEST_METHOD": "POST", "QUERY_STRING": ""}
    told = []
    app(environ, lambda status, _: told.append(status))
    assert told == ["404 Not Found"]
