"""The channel of sources that call: Garmin's pushes where they are signed, and its pings, which are not."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, timedelta

import pytest
from bank_house import HTML, bank_house
from whole_house import assert_is_a_clear_problem

from partner_bridge import pulling
from partner_bridge.channels.webhook import sign
from partner_bridge.sources import add_source
from pod_server import activities, grants
from pod_server.authorization.enforcement import require_owner
from pod_server.identifiers import Actor
from pod_server.opening import open_pod
from tvilling.city.simulators.sign_in_server import Answer
from tvilling.city.simulators.watches import Watches, epochs_between, ping_body, push_body, user_id

SHARED = "a-word-that-two-parties-share"


class Called:
    """Kari with a watch; the maker that calls."""

    def __init__(self, opened, webhook):
        self.opened, self.host = opened, opened.host
        now = lambda: self.host.clock.now().astimezone(UTC)  # noqa: E731
        self.watches = Watches(now=now, sign_in=opened.bank.sign_in, households=opened.bank.households, seed=7)
        opened.bank.answer = self.watches.answer
        self.api = opened.source.api.replace("/personal/banking", "/wellness-api")
        opened.source = add_source(
            self.host,
            replace(
                opened.source, connector="garmin", api=self.api, webhook=webhook, webhook_secret=SHARED, parameters={}
            ),
        )
        opened.connect()
        (self.first,) = pulling.pull_due(self.host)
        self.client = opened.house.app.test_client()

    def call(self, body, *, identifier="msg-1", at=None, secret=SHARED, **changes):
        at = at or self.host.clock.protocol_now()
        seconds = int(at.timestamp())
        headers = {
            "webhook-id": identifier,
            "webhook-timestamp": str(seconds),
            "webhook-signature": sign(secret, identifier, seconds, body),
            "Content-Type": "application/json",
        }
        headers = {name: value for name, value in (headers | changes).items() if value is not None}
        return self.client.post("/bridge/webhooks/bank", data=body, headers=headers)

    def walk(self, minutes=60):
        """The epochs of the next while, which has then passed."""
        first = self.host.clock.now()
        self.opened.pass_time(minutes=minutes)
        return epochs_between(self.opened.bank.households["kari"], first, self.host.clock.now(), 7)

    def steps(self):
        own = open_pod(self.host, require_owner(self.opened.kari.vault), vault=self.opened.kari.vault)
        return list(activities.read_activities(self.host, own))


@pytest.fixture
def signed(city):
    with bank_house(city) as opened:
        yield Called(opened, "signed")


@pytest.fixture
def pinged(city):
    with bank_house(city) as opened:
        yield Called(opened, "ping")


def test_a_signed_push_comes_in_under_the_citizens_own_grant(signed):
    assert signed.first.accepted == len(signed.steps()) > 20
    epochs = signed.walk()
    assert signed.call(push_body(epochs)).status_code == 204
    assert len(signed.steps()) == signed.first.accepted + sum(each["steps"] > 0 for each in epochs)


def test_a_summary_that_comes_again_with_more_stands_for_the_earlier_one(signed):
    (epoch, *_) = [each | {"steps": 10} for each in signed.walk()]
    signed.call(push_body([epoch]))
    before = len(signed.steps())
    signed.call(push_body([epoch | {"steps": 99}]), identifier="msg-2")
    assert len(signed.steps()) == before
    assert any(json.loads(each.raw)["quantity"] == 99 for each in signed.steps())


WRONG = (
    {"webhook-signature": None}, {"webhook-signature": "v1,AAAA"}, {"webhook-signature": "v1a,xyz v2,q"}, {"webhook-id": None},
    {"webhook-id": "another"}, {"webhook-timestamp": None}, {"webhook-timestamp": "now"}, {"webhook-timestamp": "9" * 13},
)  # fmt: skip


def test_point_41_a_call_whose_signature_does_not_hold_is_refused(signed):
    before, body = len(signed.steps()), push_body(signed.walk())
    for changes in WRONG:
        assert_is_a_clear_problem(signed.call(body, **changes), status=401, slug="webhook-not-ours")
    assert len(signed.steps()) == before


def test_point_41_another_body_or_secret_is_refused(signed):
    epochs = signed.walk()
    headers = {"webhook-signature": sign(SHARED, "msg-1", int(signed.host.clock.protocol_now().timestamp()), b"{}")}
    assert signed.call(push_body(epochs), **headers).status_code == 401
    assert signed.call(push_body(epochs), secret=SHARED[::-1]).status_code == 401


def test_point_41_five_minutes_either_way_and_no_more(signed):
    body, now = push_body(signed.walk()), signed.host.clock.protocol_now()
    for off, status in ((-301, 401), (-299, 204), (299, 204), (301, 401)):
        answer = signed.call(body, at=now + timedelta(seconds=off), identifier=f"msg{off}")
        assert answer.status_code == status, off


def test_point_41_a_call_counts_once_and_a_repeated_one_is_signed_anew(signed):
    body = push_body(signed.walk())
    assert signed.call(body).status_code == 204
    assert_is_a_clear_problem(signed.call(body), status=401, slug="webhook-not-ours")
    taken = len(signed.steps())
    signed.opened.pass_time(minutes=1)
    assert signed.call(body).status_code == 204, "the same id, a minute later: our answer was lost"
    assert len(signed.steps()) == taken


def test_nobody_learns_who_is_connected(signed):
    epochs = [each | {"userId": user_id("ola")} for each in signed.walk()]
    answer = signed.call(push_body(epochs))
    known = signed.call(push_body(signed.walk()), identifier="msg-2")
    assert (answer.status_code, answer.data) == (known.status_code, known.data)


def test_a_call_after_the_withdrawal_brings_nothing(signed):
    grant = pulling.connections(signed.host, signed.opened.kari.pod_id)["bank"].grant
    before = len(signed.steps())
    grants.withdraw(signed.host, signed.opened.kari.pod_id, grant, actor=Actor("citizen"))
    assert signed.call(push_body(signed.walk())).status_code == 204
    assert len(signed.steps()) == before


NO_CALLS = (b"", b"[]", b'{"epochs": [', b'{"epochs": [{}]}', b"\xff" * 40)


def test_a_body_that_is_none_is_a_clear_problem(signed):
    for number, body in enumerate(NO_CALLS):
        assert_is_a_clear_problem(signed.call(body, identifier=f"msg-{number}"), status=422)
    assert_is_a_clear_problem(signed.call(b" " * (1024 * 1024 + 1)), status=413)


def test_a_ping_makes_the_host_ask_the_source_itself(pinged):
    epochs = pinged.walk()
    forged = [each | {"steps": 90_000} for each in epochs]
    pinged.client.post("/bridge/webhooks/bank", data=push_body(forged), headers={"Content-Type": "application/json"})
    (done,) = pulling.pull_due(pinged.host)
    assert done.accepted == sum(each["steps"] > 0 for each in epochs)
    assert not any(json.loads(each.raw)["quantity"] == 90_000 for each in pinged.steps())


def test_a_flood_of_pings_costs_one_request_a_minute(pinged):
    pinged.walk()
    body = ping_body("kari", f"{pinged.api}/rest/epochs?uploadStartTimeInSeconds=1&uploadEndTimeInSeconds=2")
    pulls = 0
    for _ in range(20):
        assert pinged.client.post("/bridge/webhooks/bank", data=body).status_code == 204
        pulls += len(pulling.pull_due(pinged.host))
    assert pulls == 1
    pinged.opened.pass_time(minutes=1)
    pinged.client.post("/bridge/webhooks/bank", data=body)
    assert len(pulling.pull_due(pinged.host)) == 1


ELSEWHERE = (
    "http://169.254.169.254/latest/meta-data/", "http://127.0.0.1:8080/wellness-api/rest/epochs", "https://localhost/wellness-api/x",
    "http://[::ffff:169.254.169.254]/wellness-api/rest/epochs", "http://[::ffff:127.0.0.1]:1/wellness-api/rest/epochs",
    "http://2852039166/wellness-api/rest/epochs", "http://0/wellness-api/rest/epochs", "http://{host}.nip.example/wellness-api/x",
    "file:///etc/passwd", "https://[::1", "{api}/../admin", "{api}", "https://eve@{host}/wellness-api/rest/epochs",
    "http://@{host}/wellness-api/rest/epochs", "http://:x@{host}/wellness-api/rest/epochs", "http://{host}@evil.example/wellness-api/x",
    "http://127.0.0.1:1/wellness-api/rest/epochs", "http://{host}.evil.example/wellness-api/rest/epochs", "{api}/%2e%2e/admin",
    "{api}/rest\\epochs", "{api}/rest/epochs\n", "{api}/rest/epochs#x", "https://{host}/wellness-api/rest/epochs",
)  # fmt: skip


def test_point_42_a_callback_to_elsewhere_is_refused_and_asked_by_nobody(pinged):
    host = pinged.api.partition("://")[2].partition("/")[0]
    for callback in ELSEWHERE:
        body = ping_body("kari", callback.format(api=pinged.api, host=host))
        answer = pinged.client.post("/bridge/webhooks/bank", data=body)
        assert_is_a_clear_problem(answer, status=422, slug="callback-refused")
    pinged.opened.pass_time(seconds=1)
    assert pulling.pull_due(pinged.host) == []


def callback(pinged, first, last, word="CP1"):
    times = f"uploadStartTimeInSeconds={int(first.timestamp())}&uploadEndTimeInSeconds={int(last.timestamp())}"
    return ping_body("kari", f"{pinged.api}/rest/epochs?{times}&token={word}")


def ping(pinged, body):
    """A ping a minute after the last, and the pull that follows it; what of it was fetched."""
    before = len(epochs_asked(pinged))
    pinged.opened.pass_time(minutes=1)
    assert pinged.client.post("/bridge/webhooks/bank", data=body).status_code == 204
    done = pulling.pull_due(pinged.host)
    return done, len(epochs_asked(pinged)) - before


def epochs_asked(pinged):
    return [each for each in pinged.watches.asked if each.endswith("/rest/epochs")]


def test_what_a_ping_names_is_fetched_and_comes_in_once(pinged):
    long_ago = pinged.host.clock.now() - timedelta(days=9)
    body = callback(pinged, long_ago, long_ago + timedelta(hours=20))
    ((done,), asked) = ping(pinged, body)
    assert done.accepted > 10, "older than what the pull's own questions reach"
    assert (pinged.watches.fetched, asked) == ({"CP1"}, 2)
    held = len(pinged.steps())
    ((done,), asked) = ping(pinged, body)
    assert (done.accepted, asked) == (0, 1), "the same ping again: only the pull's own question is asked"
    ((done,), asked) = ping(pinged, callback(pinged, long_ago, long_ago + timedelta(hours=20), "CP2"))
    assert (done.accepted, asked, len(pinged.steps())) == (0, 2, held)


def test_what_a_ping_names_is_sealed_in_the_row(pinged):
    pinged.opened.pass_time(minutes=1)
    now = pinged.host.clock.now()
    pinged.client.post("/bridge/webhooks/bank", data=callback(pinged, now - timedelta(hours=1), now, "CPsecret"))
    held = pulling.connections(pinged.host, pinged.opened.kari.pod_id)["bank"]
    assert held.callbacks
    assert "CPsecret" not in repr(held)


def test_a_busy_source_is_waited_for_and_an_ill_one_more_and_more(pinged):
    original, now = pinged.opened.bank.answer, pinged.host.clock.now()
    for status, word in ((429, "busy"), (500, "unreachable"), (302, "unreachable")):
        told = {"Retry-After": "3600", "Location": "http://169.254.169.254/latest/meta-data/"}
        said = Answer(status, headers=told)
        pinged.opened.bank.answer = lambda *asked, said=said: said if "token" in asked[2] else original(*asked)
        ((done,), asked) = ping(pinged, callback(pinged, now - timedelta(hours=1), now, f"CP{status}"))
        assert (done.problem, done.accepted, asked) == (word, 0, 0)
        held = pulling.connections(pinged.host, pinged.opened.kari.pod_id)["bank"]
        assert held.failures == 1
        assert (held.not_before > pinged.host.clock.protocol_now() + timedelta(minutes=59)) is (status == 429)
        pinged.opened.pass_time(hours=1, minutes=1)
        ((done,), asked) = ping(pinged, callback(pinged, now - timedelta(hours=1), now, "CPnext"))
        assert (done.problem, asked) == ("", 1), "after a failure a ping's address holds up nothing"


def test_nothing_is_fetched_after_the_withdrawal(pinged):
    pinged.opened.pass_time(minutes=1)
    now, before = pinged.host.clock.now(), len(epochs_asked(pinged))
    pinged.client.post("/bridge/webhooks/bank", data=callback(pinged, now - timedelta(hours=1), now))
    grant = pulling.connections(pinged.host, pinged.opened.kari.pod_id)["bank"].grant
    grants.withdraw(pinged.host, pinged.opened.kari.pod_id, grant, actor=Actor("citizen"))
    assert pulling.pull_due(pinged.host) == []
    assert len(epochs_asked(pinged)) == before


def test_a_callback_that_the_token_does_not_open_does_not_ask_the_citizen_to_sign_in(pinged):
    original, now = pinged.opened.bank.answer, pinged.host.clock.now()
    pinged.opened.bank.answer = lambda *asked: Answer(401) if asked[2].get("token") == "CP9" else original(*asked)
    ((done,), asked) = ping(pinged, callback(pinged, now - timedelta(hours=1), now, "CP9"))
    assert (done.problem, asked) == ("", 1)


def test_a_source_that_does_not_call_has_no_door(city):
    with bank_house(city) as opened:
        answer = opened.house.app.test_client().post("/bridge/webhooks/bank", data=b"{}", headers=HTML)
        assert answer.status_code == 401
        assert opened.house.app.test_client().post("/bridge/webhooks/none", data=b"{}").status_code == 400
