"""WebhookChannel2023: asked for, sent and signed, tried again, given up visibly, ended; and never to the inside.

The receiver is a server in a thread of its own; the sender is the live role's, on gevent, in the test's thread.
"""

from __future__ import annotations

import json
import re
import threading
import time
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import gevent
import pytest
from pyoxigraph import NamedNode, RdfFormat, parse
from solid_door import KARI, OLA, ROOT, TestAgent

from pod_server.authorization_server import jose
from pod_server.authorization_server.connections import connect, disconnect
from pod_server.authorization_server.dpop import token_hash
from pod_server.notifications import channel, live, webhook
from pod_server.notifications.channel import WEBHOOK
from pod_server.outbound import Outbound
from pod_server.signatures import thumbprint
from pod_server.signing_keys import current

DOC = "private/box/doc"
BOX = '<http://www.w3.org/ns/ldp#BasicContainer>; rel="type"'
RULES = (
    "@prefix acl: <http://www.w3.org/ns/auth/acl#> .\n"
    f"[] a acl:Authorization ; acl:agent <{OLA}> ; acl:accessTo <doc> ; acl:mode acl:Read .\n"
    f"[] a acl:Authorization ; acl:agent <{KARI}> ; acl:accessTo <doc> ; acl:mode acl:Read, acl:Write, acl:Control ."
)


class Receiver:
    """Takes what is posted and answers as it is told: a list of statuses, the last of which goes on."""

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.answers = [204]
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.got.append(({name.lower(): value for name, value in self.headers.items()}, body))
                answer = receiver.answers.pop(0) if len(receiver.answers) > 1 else receiver.answers[0]
                self.send_response(answer)
                if answer == 302:
                    self.send_header("Location", "http://127.0.0.1:1/elsewhere")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.origin = f"http://127.0.0.1:{self.server.server_port}"
        self.url = f"{self.origin}/hook?key=1"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def next(self, number: int = 1, seconds: float = 5):
        """The notification with this number, counted from 1."""
        with gevent.Timeout(seconds):
            while len(self.got) < number:
                gevent.sleep(0.01)
        return json.loads(self.got[number - 1][1])

    def stays_at(self, count: int, seconds: float = 0.25) -> bool:
        gevent.sleep(seconds)
        return len(self.got) == count


@pytest.fixture
def receiver(city):
    receiver = Receiver()
    # The operator's leave for this one loopback origin; every other rule about addresses stays.
    object.__setattr__(city.host, "outbound", Outbound(frozenset({receiver.origin})))
    yield receiver
    receiver.server.shutdown()
    receiver.server.server_close()


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(live, "POLL_SECONDS", 0.1)
    monkeypatch.setattr(live, "SHORTEST_WEBHOOK_RATE", timedelta(0))
    monkeypatch.setattr(webhook, "FIRST_PAUSE", timedelta(0))


@pytest.fixture
def sender(city):
    """The live role, at work; called again it is another process with the same rows."""
    started = []

    def start():
        channels = live.Channels(city.host)
        started.append(gevent.spawn(channels.hear, city.host.signal.listen()))
        gevent.sleep(0)
        return channels

    start()
    start.started = started
    yield start
    gevent.killall(started)


@pytest.fixture
def shared(door):
    door.put(DOC, "<> <urn:p> 1 .")
    door.put(DOC + ".acl", RULES)
    return door


def ask(door, receiver, path=DOC, *, as_=KARI, **members):
    body = {"@context": [channel.CONTEXT], "type": WEBHOOK, "topic": ROOT + path, "sendTo": receiver.url, **members}
    return door("POST", f".notifications/{WEBHOOK}", json.dumps(body), type_="application/ld+json", as_=as_)


def hook(door, receiver, path=DOC, **options):
    answer = ask(door, receiver, path, **options)
    assert answer.status_code == 200, answer.text
    gevent.sleep(0.15)  # until the sender has taken it up
    return answer.json["id"].removeprefix(ROOT)


def test_a_change_is_sent_to_the_receiver(shared, sender, receiver):
    answer = ask(shared, receiver, as_=OLA)
    assert answer.json["id"].startswith(f"{ROOT}.notifications/{WEBHOOK}/")
    assert (answer.json["type"], answer.json["topic"]) == (WEBHOOK, ROOT + DOC)
    assert answer.json["endAt"] == "2026-12-07T12:00:00Z"
    gevent.sleep(0.15)
    shared.put(DOC, "<> <urn:p> 2 .")
    said = receiver.next()
    assert (said["type"], said["object"], said["published"]) == ("Update", ROOT + DOC, "2026-11-23T12:00:00Z")
    assert receiver.got[0][0]["content-type"] == "application/ld+json"
    shared.put(DOC, "<> <urn:p> 3 .")
    assert receiver.next(2)["id"] != said["id"]
    assert receiver.stays_at(2)


def test_the_receiver_can_tell_who_sends(shared, sender, receiver, city):
    answer = ask(shared, receiver)
    gevent.sleep(0.15)
    shared.put(DOC, "<> <urn:p> 2 .")
    receiver.next()
    headers, _ = receiver.got[0]
    scheme, _, text = headers["authorization"].partition(" ")
    assert scheme == "DPoP"
    token = jose.verify(jose.read(text), dict(current(city.host).public_jwk))
    name = answer.json["sender"]
    assert (token["webid"], token["iss"], token["azp"]) == (name, "http://localhost:8080", name)
    assert "solid" in token["aud"]
    proof = jose.read(headers["dpop"])
    claims = jose.verify(proof, proof.header["jwk"])
    assert thumbprint(proof.header["jwk"]) == token["cnf"]["jkt"]
    assert (claims["htm"], claims["htu"], claims["ath"]) == ("POST", f"{receiver.origin}/hook", token_hash(text))
    profile = shared.client.get("/.well-known/solid", headers={"Accept": "text/turtle"})
    issuer = NamedNode("http://www.w3.org/ns/solid/terms#oidcIssuer")
    found = [quad for quad in parse(profile.data, format=RdfFormat.TURTLE) if quad.subject == NamedNode(name)]
    assert NamedNode("http://localhost:8080") in {quad.object for quad in found if quad.predicate == issuer}


def test_the_senders_token_opens_no_door_of_ours(shared, sender, receiver, monkeypatch):
    ask(shared, receiver)
    gevent.sleep(0.15)
    shared.put(DOC, "<> <urn:p> 2 .")
    receiver.next()
    headers, _ = receiver.got[0]
    monkeypatch.undo()
    stolen = {"Authorization": headers["authorization"], "DPoP": headers["dpop"]}
    assert shared.client.get(f"/kari/{DOC}", headers=stolen).status_code == 401


def test_what_fails_is_sent_again_as_the_same_notification(shared, sender, receiver):
    receiver.answers = [500, 302, 404, 200]
    hook(shared, receiver)
    shared.put(DOC, "<> <urn:p> 2 .")
    ids = {receiver.next(number)["id"] for number in range(1, 5)}
    assert len(ids) == 1
    assert receiver.stays_at(4)


def test_the_pauses_grow(monkeypatch):
    monkeypatch.undo()
    pauses = [webhook.pause_after(attempts).total_seconds() for attempts in range(1, 27)]
    assert pauses[:4] == [1, 2, 4, 8]
    assert pauses[-1] == timedelta(hours=6).total_seconds()
    assert timedelta(days=2) < timedelta(seconds=sum(pauses)) < timedelta(days=5)


def test_a_receiver_that_never_answers_is_given_up_visibly(shared, sender, receiver, monkeypatch, city, kari):
    monkeypatch.setattr(webhook, "GIVE_UP_AFTER_ATTEMPTS", 3)
    receiver.answers = [503]
    place = hook(shared, receiver)
    shared.put(DOC, "<> <urn:p> 2 .")
    receiver.next(3)
    gevent.sleep(0.2)
    assert receiver.stays_at(3)
    told = shared.get(place).json
    assert (told["status"], told["lastAnswer"]) == ("given-up", "answered 503")
    assert "give-up-webhook" in actions(city, kari)
    shared.put(DOC, "<> <urn:p> 3 .")
    assert receiver.stays_at(3)


def actions(city, kari):
    from pod_server.log.ledger import export

    with city.host.storage.read() as tx:
        return json.dumps(export(tx, city.host, kari.vault, kari.pod_id), default=str)


def test_a_receiver_that_is_gone_for_good_is_asked_once(shared, sender, receiver):
    receiver.answers = [410]
    place = hook(shared, receiver)
    shared.put(DOC, "<> <urn:p> 2 .")
    receiver.next()
    assert receiver.stays_at(1)
    assert shared.get(place).json["status"] == "given-up"


def test_what_happens_while_a_receiver_is_away_travels_as_one(shared, sender, receiver, monkeypatch):
    monkeypatch.setattr(webhook, "FIRST_PAUSE", timedelta(milliseconds=1))
    hook(shared, receiver, "private/box/")
    receiver.answers = [503, 503, 503, 200]
    for number in range(3):
        shared.put(f"private/box/new{number}", "<> <urn:p> 1 .")
    with gevent.Timeout(30):
        while len({json.loads(body)["object"] for _, body in receiver.got[3:]}) < 3:
            city_clock_ticks(shared)
    assert {json.loads(body)["type"] for _, body in receiver.got} == {"Add"}


def city_clock_ticks(door):
    gevent.sleep(0.02)
    door.clock.advance(timedelta(seconds=1))


@pytest.fixture(autouse=True)
def clock_of_the_door(door, clock):
    door.clock = clock


def test_a_webhook_outlives_the_process_and_hears_what_happened_meanwhile(shared, sender, receiver):
    hook(shared, receiver)
    gevent.killall(sender.started)
    shared.put(DOC, "<> <urn:p> 2 .")
    assert receiver.stays_at(0)
    sender()
    assert receiver.next()["type"] == "Update"
    gevent.killall(sender.started)
    sender()
    assert receiver.stays_at(1), "what was delivered is not sent again after another start"


def test_two_processes_send_each_notification_once(shared, sender, receiver):
    hook(shared, receiver)
    sender()
    gevent.sleep(0.2)
    for number in range(2, 5):
        shared.put(DOC, f"<> <urn:p> {number} .")
        gevent.sleep(0.3)
    assert receiver.stays_at(3)
    assert len({json.loads(body)["state"] for _, body in receiver.got}) == 3


def test_nothing_is_sent_after_unsubscribing(shared, sender, receiver):
    place = hook(shared, receiver, as_=OLA)
    assert shared("DELETE", place, as_="https://elsewhere.example/eva#me").status_code == 404
    assert shared("DELETE", place, as_=TestAgent(OLA, "another-app")).status_code == 404
    assert shared("DELETE", place, as_=None).status_code == 401
    assert shared("DELETE", place, as_=OLA).status_code == 204
    shared.put(DOC, "<> <urn:p> 2 .")
    assert receiver.stays_at(0)
    assert shared("DELETE", place, as_=OLA).status_code == 404
    assert shared.get(place, as_=OLA).status_code == 404


def test_the_owner_sees_and_ends_what_others_asked_for(shared, sender, receiver):
    place = hook(shared, receiver, as_=OLA)
    said = shared.get(place).json
    assert (said["status"], said["sendTo"]) == ("open", receiver.url)
    assert shared("DELETE", place).status_code == 204
    shared.put(DOC, "<> <urn:p> 2 .")
    assert receiver.stays_at(0)


def test_nothing_is_sent_after_the_right_to_read_has_ended(shared, sender, receiver):
    place = hook(shared, receiver, as_=OLA)
    shared("DELETE", DOC + ".acl")
    shared.put(DOC, "<> <urn:p> 'secret' .")
    assert receiver.stays_at(0)
    assert shared.get(place).status_code == 404


def test_nothing_is_sent_after_the_app_was_ended(shared, sender, receiver, city, kari):
    from types import SimpleNamespace

    app = "https://app.example/id"
    with city.host.storage.write() as tx:
        connection = connect(city.host, tx, kari.pod_id, SimpleNamespace(client_id=app, name="App"), "read")
    hook(shared, receiver, as_=TestAgent(KARI, app, modes=frozenset({"read"})))
    disconnect(city.host, kari.pod_id, connection)
    shared.put(DOC, "<> <urn:p> 2 .")
    assert receiver.stays_at(0)


def test_a_webhook_ends_when_it_was_said_to(shared, sender, receiver, clock):
    hook(shared, receiver, endAt="2026-11-23T12:01:00Z")
    clock.advance(timedelta(minutes=2))
    gevent.sleep(0.2)
    shared.put(DOC, "<> <urn:p> 2 .")
    assert receiver.stays_at(0)


def test_a_state_that_is_no_longer_so_is_sent_at_once(shared, sender, receiver):
    hook(shared, receiver, state="1")
    assert receiver.next()["type"] == "Update"


def test_a_rate_keeps_notifications_apart(shared, sender, receiver):
    hook(shared, receiver, rate="PT0.5S")
    began = time.monotonic()
    for number in range(5):
        shared.put(DOC, f"<> <urn:p> {number} .")
        gevent.sleep(0.05)
    receiver.next(2)
    assert time.monotonic() - began >= 0.5
    assert receiver.stays_at(2, 0.7)


def test_the_form_is_the_one_asked_for(shared, sender, receiver):
    hook(shared, receiver, accept="text/turtle")
    shared.put(DOC, "<> <urn:p> 2 .")
    with gevent.Timeout(30):
        while not receiver.got:
            gevent.sleep(0.01)
    assert receiver.got[0][0]["content-type"] == "text/turtle"
    assert any(quad.object == NamedNode(ROOT + DOC) for quad in parse(receiver.got[0][1], format=RdfFormat.TURTLE))


INSIDE = [
    "https://127.0.0.1/hook",
    "https://10.1.2.3/hook",
    "https://169.254.169.254/latest/meta-data/",
    "https://[::1]/hook",
    "https://[::ffff:192.168.0.1]/",
    "https://0.0.0.0/",
    "https://user:pass@example.org/",
    "http://example.org/hook",
    "ftp://example.org/",
    "file:///etc/passwd",
    "javascript:alert(1)",
    "",
    None,
    7,
    "https://" + "a" * 3000,
]


def test_nothing_is_sent_to_the_inside(shared, receiver, city):
    answers = {str(send_to)[:60]: ask(shared, receiver, sendTo=send_to).status_code for send_to in INSIDE}
    assert set(answers.values()) == {422}, answers
    with city.host.storage.read() as tx:
        assert tx.one("SELECT COUNT(*) FROM webhook_channel") == (0,)


def test_a_name_that_leads_inside_later_is_not_followed(shared, sender, receiver, city):
    """Judged when it was asked for, and again each time: rebinding."""
    hook(shared, receiver)
    object.__setattr__(city.host, "outbound", Outbound(frozenset()))
    shared.put(DOC, "<> <urn:p> 2 .")
    assert receiver.stays_at(0)


def test_a_webhook_is_asked_for_in_somebodys_name(shared, receiver):
    assert ask(shared, receiver, "profile/card", as_=None).status_code == 401
    assert ask(shared, receiver, as_="https://elsewhere.example/eva#me").status_code == 403


def test_webhooks_are_bounded(shared, receiver, monkeypatch):
    monkeypatch.setattr(webhook, "WEBHOOKS_PER_POD", 2)
    assert [ask(shared, receiver).status_code for _ in range(3)] == [200, 200, 429]


def test_what_is_stored_of_a_webhook_is_sealed(shared, sender, receiver, city):
    hook(shared, receiver, as_=OLA)
    shared.put(DOC, "<> <urn:p> 2 .")
    receiver.next()
    with city.host.storage.read() as tx:
        stored = repr(tx.all("SELECT * FROM webhook_channel"))
    for secret in ("doc", "private", "ola", receiver.origin, "kari"):
        # As a word: three letters may stand in any key.
        assert re.search(rf"(?<![\w-]){re.escape(secret)}(?![\w-])", stored) is None
    moved = stored.count("eyJ")
    assert moved == 2


def test_locking_the_pod_ends_its_webhooks(shared, sender, receiver, city, kari):
    hook(shared, receiver)
    with city.host.storage.write() as tx:
        tx.execute("UPDATE pod SET state = 'locked' WHERE pod_id = ?", (kari.pod_id,))
    city.host.key_store.remove_slot(kari.pod_id, "custodian")
    city.host.signal.notify([kari.pod_id])
    gevent.sleep(0.3)
    with city.host.storage.read() as tx:
        assert tx.one("SELECT COUNT(*) FROM webhook_channel") == (0,)
