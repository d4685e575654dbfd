"""Solid Notifications Protocol: channels are found, asked for like a read, and tell what becomes of a resource.

The channels are served by gevent's own server on a socket; the listeners are plain sockets.
"""

from __future__ import annotations

import base64
import json
import os
import struct
import time
from datetime import timedelta
from types import SimpleNamespace
from urllib.parse import urlsplit

import gevent
import pytest
from gevent import socket
from gevent.pywsgi import WSGIServer
from pyoxigraph import NamedNode, RdfFormat, parse
from solid_door import KARI, OLA, ROOT, TestAgent

from pod_server.authorization_server.connections import connect, disconnect
from pod_server.notifications import channel, live
from tvilling.app import create_live_role

NOTIFY = "http://www.w3.org/ns/solid/notifications#"
DOC = "private/box/doc"
PREFIXES = "@prefix acl: <http://www.w3.org/ns/auth/acl#> .\n"
RULES = (
    f"{PREFIXES}[] a acl:Authorization ; acl:agent <{OLA}> ; acl:accessTo <doc> ; acl:mode acl:Read .\n"
    f"[] a acl:Authorization ; acl:agent <{KARI}> ; acl:accessTo <doc> ; acl:mode acl:Read, acl:Write, acl:Control ."
)
BOTH = pytest.mark.parametrize("type_", [channel.WEBSOCKET, channel.STREAMING])


class Ear:
    """One listener on a socket; knows both channel types."""

    def __init__(self, port: int, address: str, **headers: str) -> None:
        parts = urlsplit(address)
        self.is_websocket = parts.scheme == "ws"
        self._socket = socket.create_connection(("127.0.0.1", port))
        sent = {"Host": parts.netloc, **headers}
        if self.is_websocket:
            key = base64.b64encode(os.urandom(16)).decode()
            sent = {
                "Upgrade": "websocket",
                "Connection": "Upgrade",
                "Sec-WebSocket-Key": key,
                "Sec-WebSocket-Version": "13",
                **sent,
            }
        lines = [f"GET {parts.path} HTTP/1.1", *(f"{name}: {value}" for name, value in sent.items() if value)]
        self._socket.sendall("\r\n".join([*lines, "", ""]).encode())
        self._file = self._socket.makefile("rb")
        with gevent.Timeout(30):
            self.status = int(self._file.readline().split()[1])
            self.headers = {}
            while line := self._file.readline().strip():
                name, _, value = line.decode().partition(":")
                self.headers[name.lower()] = value.strip()

    def next(self, seconds: float = 5):
        """The next notification; the close code where a WebSocket ends, None where a stream does."""
        with gevent.Timeout(seconds):
            return self._next_message() if self.is_websocket else self._next_line()

    def text(self, seconds: float = 5) -> bytes:
        """The next notification as it was sent, for forms other than JSON-LD."""
        with gevent.Timeout(seconds):
            return self._next_message(read=bytes) if self.is_websocket else self._next_line(read=bytes)

    def _next_message(self, read=json.loads):
        while True:
            first, size = self._file.read(2)
            if size == 126:
                (size,) = struct.unpack("!H", self._file.read(2))
            payload = self._file.read(size)
            if first == 0x81:
                return read(payload)
            if first == 0x88:
                return struct.unpack("!H", payload)[0]
            assert first in {0x89, 0x8A}

    def _next_line(self, read=json.loads):
        while (size := int(self._file.readline(), 16)) != 0:
            line = self._file.read(size + 2).strip()
            if line:
                return read(line)
        return None

    def rest(self) -> bytes:
        return self._file.read(int(self.headers["content-length"]))

    def say(self, opcode: int, payload: bytes = b"", *, masked: bool = True) -> None:
        mask = os.urandom(4) if masked else b""
        body = bytes(byte ^ mask[place % 4] for place, byte in enumerate(payload)) if masked else payload
        self._socket.sendall(struct.pack("!BB", 0x80 | opcode, (0x80 if masked else 0) | len(payload)) + mask + body)

    def close(self) -> None:
        self._file.close()
        self._socket.close()


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(live, "POLL_SECONDS", 0.2)


@pytest.fixture
def port(city):
    server = WSGIServer(("127.0.0.1", 0), create_live_role(city.host), log=None, error_log=None)
    server.start()
    yield server.server_port
    server.stop(0.2)


@pytest.fixture
def listen(port):
    ears = []

    def open_ear(address, **headers):
        ears.append(Ear(port, address, **headers))
        return ears[-1]

    yield open_ear
    for ear in ears:
        ear.close()


@pytest.fixture
def shared(door):
    door.put(DOC, "<> <urn:p> 1 .")
    door.put(DOC + ".acl", RULES)
    return door


def ask(door, type_, path=DOC, *, as_=KARI, **members):
    body = {"@context": [channel.CONTEXT], "type": type_, "topic": ROOT + path, **members}
    return door("POST", f".notifications/{type_}", json.dumps(body), type_="application/ld+json", as_=as_)


def address(door, type_, path=DOC, **options):
    answer = ask(door, type_, path, **options)
    assert answer.status_code == 200, answer.text
    assert answer.json["topic"] == ROOT + path
    return answer.json["receiveFrom"]


def test_the_services_are_found_from_any_resource(shared):
    links = ", ".join(shared("HEAD", DOC, as_=OLA).headers.getlist("Link"))
    assert f'<{ROOT}.well-known/solid>; rel="http://www.w3.org/ns/solid/terms#storageDescription"' in links
    description = shared.triples(".well-known/solid", as_=None)
    services = {triple.object for triple in description if triple.predicate == NamedNode(NOTIFY + "subscription")}
    types = {
        triple.object.value
        for triple in description
        if triple.subject in services and triple.predicate == NamedNode(NOTIFY + "channelType")
    }
    assert types == {NOTIFY + name for name in channel.CHANNEL_TYPES}
    for service in services:
        path = service.value.removeprefix(ROOT)
        assert any(triple.subject == service for triple in shared.triples(path, as_=None))


@BOTH
def test_a_change_reaches_the_listener(shared, listen, type_):
    ear = listen(address(shared, type_, as_=OLA))
    assert ear.status == (101 if ear.is_websocket else 200)
    shared.put(DOC, "<> <urn:p> 2 .")
    said = ear.next()
    assert (said["type"], said["object"], said["published"]) == ("Update", ROOT + DOC, "2026-11-23T12:00:00Z")
    assert said["id"].startswith("urn:uuid:")
    first = said["state"]
    shared("PATCH", DOC, "INSERT DATA { <> <urn:q> 1 }", type_="application/sparql-update")
    assert ear.next()["state"] != first
    shared("DELETE", DOC)
    assert ear.next() in {1008, None}, "with the document went the rule that let Ola read it"


@BOTH
def test_making_and_deleting_are_told(door, listen, type_):
    door.put("private/box/", "", Link='<http://www.w3.org/ns/ldp#BasicContainer>; rel="type"')
    ear = listen(address(door, type_))
    door.put(DOC, "<> <urn:p> 1 .")
    assert ear.next()["type"] == "Create"
    door("DELETE", DOC)
    said = ear.next()
    assert (said["type"], said["object"]) == ("Delete", ROOT + DOC)
    assert "state" not in said


@BOTH
def test_a_container_tells_of_its_members_coming_and_going(shared, listen, type_):
    ear = listen(address(shared, type_, "private/box/"))
    made = shared("POST", "private/box/", "<> <urn:p> 1 .", type_="text/turtle", Slug="new")
    said = ear.next()
    assert (said["type"], said["object"], said["target"]) == ("Add", made.headers["Location"], ROOT + "private/box/")
    shared("DELETE", "private/box/new")
    said = ear.next()
    assert (said["type"], said["object"], said["target"]) == ("Remove", made.headers["Location"], ROOT + "private/box/")


@BOTH
def test_reading_and_other_resources_tell_nothing(shared, listen, type_):
    ear = listen(address(shared, type_))
    shared.get(DOC)
    shared.put("private/box/other", "<> <urn:p> 1 .")
    with pytest.raises(gevent.Timeout):
        ear.next(0.6)


@BOTH
def test_nothing_is_told_after_the_right_to_read_has_ended(shared, listen, type_):
    ear = listen(address(shared, type_, as_=OLA))
    shared("DELETE", DOC + ".acl")
    shared.put(DOC, "<> <urn:p> 'secret' .")
    assert ear.next() in {1008, None}


@BOTH
def test_a_lost_signal_delays_a_notification_and_never_loses_it(shared, listen, type_, monkeypatch, city):
    ear = listen(address(shared, type_))
    monkeypatch.setattr(type(city.host.signal), "notify", lambda self, pod_ids: None)
    shared.put(DOC, "<> <urn:p> 2 .")
    assert ear.next()["type"] == "Update"


@BOTH
def test_locking_the_pod_ends_its_channels(shared, listen, type_, city, kari):
    ear = listen(address(shared, type_))
    with city.host.storage.write() as tx:
        tx.execute("UPDATE pod SET state = 'locked' WHERE pod_id = ?", (kari.pod_id,))
    city.host.key_store.remove_slot(kari.pod_id, "custodian")
    assert ear.next() in {1008, None}
    assert ask(shared, type_).json["type"].endswith("/problems/pod-locked")
    assert ask(shared, type_, as_=None).status_code == 401


@BOTH
def test_who_may_not_read_may_not_subscribe(shared, type_):
    assert ask(shared, type_, as_=None).status_code == 401
    assert ask(shared, type_, as_="https://elsewhere.example/eva#me").status_code == 403
    assert ask(shared, type_, "private/box/", as_=OLA).status_code == 403
    assert ask(shared, type_, "private/none", as_=OLA).status_code == 403
    assert ask(shared, type_, DOC + ".acl", as_=OLA).status_code == 403
    assert ask(shared, type_, "profile/card", as_=None).status_code == 200


@BOTH
def test_the_right_is_asked_again_when_the_channel_opens(shared, listen, type_):
    where = address(shared, type_, as_=OLA)
    shared("DELETE", DOC + ".acl")
    assert listen(where).status == 403


@BOTH
def test_an_address_is_good_until_its_end(shared, listen, type_, clock):
    where = address(shared, type_, endAt="2026-11-23T12:01:00Z")
    ear = listen(where)
    clock.advance(timedelta(minutes=2))
    assert ear.next() in {1001, None}
    again = listen(where)
    assert again.status == 404
    assert json.loads(again.rest())["type"].endswith("/problems/channel-gone")


@BOTH
def test_nothing_is_told_before_the_start(shared, listen, type_, clock):
    ear = listen(address(shared, type_, startAt="2026-11-23T12:01:00Z"))
    shared.put(DOC, "<> <urn:p> 2 .")
    with pytest.raises(gevent.Timeout):
        ear.next(0.6)
    clock.advance(timedelta(minutes=2))
    shared.put(DOC, "<> <urn:p> 3 .")
    assert ear.next()["type"] == "Update"
    with pytest.raises(gevent.Timeout):
        ear.next(0.4)


@BOTH
def test_a_rate_keeps_notifications_apart_and_loses_none(shared, listen, type_):
    ear = listen(address(shared, type_, rate="PT0.5S"))
    began = time.monotonic()
    for number in range(5):
        shared.put(DOC, f"<> <urn:p> {number} .")
        gevent.sleep(0.05)
    first, second = ear.next(), ear.next()
    assert time.monotonic() - began >= 0.5
    assert first["type"] == second["type"] == "Update"
    assert second["state"] == shared.get(DOC).headers["ETag"].strip('"').partition(".")[0]
    with pytest.raises(gevent.Timeout):
        ear.next(0.7)


@BOTH
@pytest.mark.parametrize("form", [str, lambda state: f'"{state}.ttl"'], ids=["as notified", "as an ETag"])
def test_a_state_that_is_no_longer_so_is_told_at_once(shared, listen, type_, form):
    ear = listen(address(shared, type_))
    shared.put(DOC, "<> <urn:p> 2 .")
    known = ear.next()["state"]
    same = listen(address(shared, type_, state=form(known)))
    shared.put(DOC, "<> <urn:p> 3 .")
    now = same.next()["state"]
    late = listen(address(shared, type_, state=form(known)))
    said = late.next()
    assert (said["type"], said["object"], said["state"]) == ("Update", ROOT + DOC, now)


@BOTH
@pytest.mark.parametrize(
    ("accept", "given"),
    [("text/turtle", "text/turtle"), ("text/html, application/n-triples;q=0.5", "application/n-triples")],
)
def test_notifications_come_in_the_form_that_was_asked_for(shared, listen, type_, accept, given):
    answer = ask(shared, type_, accept=accept)
    assert answer.json["accept"] == given
    ear = listen(answer.json["receiveFrom"])
    shared.put(DOC, "<> <urn:p> 2 .")
    said = parse(ear.text(), format=RdfFormat.from_media_type(given))
    assert ("https://www.w3.org/ns/activitystreams#object", ROOT + DOC) in {
        (quad.predicate.value, quad.object.value) for quad in said
    }


@BOTH
def test_what_was_agreed_on_is_said(shared, type_):
    said = ask(
        shared, type_, startAt="2026-11-23T12:01:00+00:00", rate="PT1M30S", state="4", endAt="2026-11-23T14:00:00+01:00"
    ).json
    assert (said["startAt"], said["endAt"], said["rate"], said["state"]) == (
        "2026-11-23T12:01:00Z",
        "2026-11-23T13:00:00Z",
        "PT90S",
        "4",
    )
    assert said["@context"] == [channel.CONTEXT]
    assert (said["type"], said["topic"]) == (type_, ROOT + DOC)
    assert said["id"].startswith("urn:uuid:")


def test_the_service_says_in_the_protocols_words_what_it_offers(shared):
    service = shared.get(f".notifications/{channel.WEBHOOK}", as_=None, Accept="application/ld+json")
    assert service.headers["Content-Type"] == "application/ld+json"
    assert service.json["id"] == f"{ROOT}.notifications/{channel.WEBHOOK}"
    assert service.json["channelType"] == NOTIFY + channel.WEBHOOK
    assert set(service.json["feature"]) == {"startAt", "endAt", "rate", "accept", "state"}
    for method in ("HEAD", "OPTIONS"):
        answer = shared(method, f".notifications/{channel.WEBHOOK}", as_=None)
        assert answer.status_code in {200, 204}
        assert answer.headers["Accept-Post"] == "application/ld+json"


@BOTH
def test_an_app_that_was_ended_hears_nothing_more(shared, listen, type_, city, kari):
    """However long its channel would have lasted, and although Kari herself may still read."""
    app_id = "https://app.example/id"
    with city.host.storage.write() as tx:
        connection = connect(city.host, tx, kari.pod_id, SimpleNamespace(client_id=app_id, name="App"), "read")
    ear = listen(address(shared, type_, as_=TestAgent(KARI, app_id, modes=frozenset({"read"}))))
    shared.put(DOC, "<> <urn:p> 2 .")
    assert ear.next()["type"] == "Update"
    disconnect(city.host, kari.pod_id, connection)
    assert ear.next() in {1008, None}
    again = listen(address(shared, type_, as_=TestAgent(KARI, app_id, modes=frozenset({"read"}))))
    assert again.status == 403


def test_no_channel_lasts_longer_than_a_day(shared):
    assert ask(shared, channel.WEBSOCKET, endAt="2027-11-23T12:00:00Z").json["endAt"] == "2026-11-24T12:00:00Z"


@pytest.mark.parametrize(
    "change", [lambda sealed: sealed[:-4] + "AAAA", lambda _: "", lambda _: "x", lambda _: "a" * 5000]
)
def test_a_forged_address_opens_nothing(shared, listen, change):
    base, _, sealed = address(shared, channel.STREAMING).rpartition("/")
    assert listen(f"{base}/{change(sealed)}").status == 404


@pytest.mark.parametrize(
    "body",
    [
        b'{"type": "WebSocketChannel2023"}',
        b'{"type": "WebSocketChannel2023", "topic": 1}',
        b'{"type": "WebhookChannel2023", "topic": "http://localhost:8080/kari/"}',
        b'{"type": "WebSocketChannel2023", "topic": "http://localhost:8080/ola/x"}',
        b'{"type": "WebSocketChannel2023", "topic": "http://localhost:8080/kari/../ola/x"}',
        b'{"type": "WebSocketChannel2023", "topic": "http://localhost:8080/kari/a%2Fb"}',
        b'{"type": "WebSocketChannel2023", "topic": "http://localhost:8080/kari/%ff"}',
        b'{"type": "WebSocketChannel2023", "topic": "http://localhost:8080/kari/activities/"}',
        b'{"type": "WebSocketChannel2023", "topic": "http://localhost:8080/kari/", "@context": "https://example.org/c"}',
        b'{"type": "WebSocketChannel2023", "topic": "http://localhost:8080/kari/", "@context": [{"a": "b"}]}',
        b'{"type": "WebSocketChannel2023", "topic": ["http://localhost:8080/kari/", "http://localhost:8080/kari/x"]}',
        b'{"type": "WebSocketChannel2023", "topic": "http://localhost:8080/kari/", "rate": "10"}',
        b'{"type": "WebSocketChannel2023", "topic": "http://localhost:8080/kari/", "rate": "P1Y"}',
        b'{"type": "WebSocketChannel2023", "topic": "http://localhost:8080/kari/", "rate": "P9999D"}',
        b'{"type": "WebSocketChannel2023", "topic": "http://localhost:8080/kari/", "accept": "image/png"}',
        b'{"type": "WebSocketChannel2023", "topic": "http://localhost:8080/kari/", "state": 7}',
        b'{"type": "WebSocketChannel2023", "topic": "http://localhost:8080/kari/", "startAt": "0001-01-01T00:00:00+23:00"}',
        b'{"type": "WebSocketChannel2023", "topic": "http://localhost:8080/kari/", "startAt": "2026-11-25T00:00:00Z"}',
        b'{"type": "WebSocketChannel2023", "topic": "http://localhost:8080/kari/", "endAt": "soon"}',
        b'{"type": "WebSocketChannel2023", "topic": "http://localhost:8080/kari/", "endAt": "2020-01-01T00:00:00Z"}',
    ],
)  # fmt: skip
def test_a_subscription_that_cannot_be_had_is_a_problem(door, body):
    answer = door("POST", ".notifications/WebSocketChannel2023", body, type_="application/ld+json")
    assert answer.status_code == 422, answer.text
    assert answer.json["type"].endswith("/problems/subscription-not-processable")


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'"x"', b"[" * 10_000])
def test_what_is_no_json_object_is_malformed(door, body):
    answer = door("POST", ".notifications/WebSocketChannel2023", body, type_="application/ld+json")
    assert answer.status_code == 400
    assert answer.json["type"].endswith("/problems/subscription-malformed")


@pytest.mark.parametrize(
    ("type_", "status"),
    [
        ("application/ld+json", 200),
        ('application/ld+json; profile="http://www.w3.org/ns/json-ld#compacted"', 200),
        ('application/ld+json; profile="https://example.org/other"', 415),
        ("text/plain", 415),
        ("text/turtle", 415),
    ],
)
def test_a_profile_that_is_not_known_is_an_unsupported_media_type(shared, type_, status):
    body = json.dumps({"type": channel.WEBSOCKET, "topic": ROOT + DOC})
    assert shared("POST", f".notifications/{channel.WEBSOCKET}", body, type_=type_).status_code == status


def test_other_types_and_other_media_types_are_refused(door):
    assert door("POST", ".notifications/EventSourceChannel2023", "{}", type_="application/ld+json").status_code == 404
    assert door("POST", ".notifications/WebSocketChannel2023", "x", type_="text/plain").status_code == 415
    assert door.put(".notifications/x", "").status_code == 405


def test_a_websocket_is_opened_by_its_handshake_only(shared, listen):
    where = address(shared, channel.WEBSOCKET)
    for wrong in ({"Upgrade": ""}, {"Sec_WebSocket_Key": ""}):
        headers = {name.replace("_", "-"): value for name, value in wrong.items()}
        ear = listen(where, **headers)
        assert ear.status == 426
    assert listen(where, **{"Sec-WebSocket-Version": "8"}).status == 426


def test_a_websocket_answers_pings_and_closes_in_order(shared, listen):
    ear = listen(address(shared, channel.WEBSOCKET))
    ear.say(0x9, b"are you there")
    with gevent.Timeout(30):
        frames = [ear._file.read(2) for _ in range(1)]
        assert frames == [b"\x89\x00"]
        assert ear._file.read(15) == b"\x8a\x0d" + b"are you there"
    ear.say(0x1, b"nobody reads this")
    ear.say(0x8, struct.pack("!H", 1000))
    assert ear.next() == 1000


def test_a_websocket_without_mask_is_closed(shared, listen):
    ear = listen(address(shared, channel.WEBSOCKET))
    ear.say(0x1, b"plain", masked=False)
    assert ear.next() == 1001


def test_channels_are_bounded(shared, listen, monkeypatch):
    monkeypatch.setattr(live, "CHANNELS_PER_POD", 2)
    where = address(shared, channel.STREAMING)
    first = listen(where)
    listen(where)
    refused = listen(where)
    assert refused.status == 429
    first.close()
    with gevent.Timeout(30):
        while True:
            shared.put(DOC, "<> <urn:p> 3 .")  # the server notices a listener that left when it has something to say
            gevent.sleep(0.1)
            again = listen(where)
            if again.status == 200:
                break
            again.close()


def test_hundreds_of_listeners_hear_the_same_change(shared, listen):
    where = address(shared, channel.WEBSOCKET)
    ears = [listen(where) for _ in range(200)]
    shared.put(DOC, "<> <urn:p> 2 .")
    assert {ear.next(20)["type"] for ear in ears} == {"Update"}


def test_a_browsers_page_may_ask_before_it_listens(port):
    """Fetch, section 4.8: a preflight carries no token, and its answer lets one be sent."""
    with gevent.socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(
            b"OPTIONS /notifications/whatever HTTP/1.1\r\nHost: localhost\r\nOrigin: https://app.example\r\n"
            b"Access-Control-Request-Method: GET\r\nAccess-Control-Request-Headers: authorization, dpop\r\n"
            b"Connection: close\r\n\r\n"
        )
        answer = b""
        while piece := connection.recv(4096):
            answer += piece
    assert answer.startswith(b"HTTP/1.1 204")
    assert b"Access-Control-Allow-Origin: *" in answer
    assert b"DPoP" in answer
