"""Messages go out signed, in order for each partner, again after a failure, once, and visibly."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest

from partner_bridge.outbox import (
    AT_ONCE,
    GIVE_UP_AFTER_ATTEMPTS,
    RETRIES_AT_ONCE,
    next_to_send,
    send_waiting,
    token_of,
)
from pod_server import grants, outbox
from pod_server.identifiers import Actor
from pod_server.outbound import OutboundFailed, Response
from pod_server.partners import remove_partner
from pod_server.signing_keys import published_jwks
from tvilling.city.simulators.messages import MessageRefused, read_message

WEBHOOK = "https://partner.example/webhook"


@dataclass
class Post:
    """An outside world that answers as it is told, and remembers what it was sent."""

    answers: list[int | Exception | Response] = field(default_factory=list)
    answers_to: str = WEBHOOK
    sent: list[tuple[str, bytes, dict]] = field(default_factory=list)

    def post(self, url, body, headers):
        answer = self.answers.pop(0) if self.answers and url == self.answers_to else 202
        if isinstance(answer, Exception):
            raise answer
        self.sent.append((url, body, dict(headers)))
        return answer if isinstance(answer, Response) else Response(answer, {}, b"", url)


@pytest.fixture
def post():
    return Post()


@pytest.fixture
def sender(host, post):
    return replace(host, outbound=post)


@pytest.fixture
def partner(new_partner):
    return new_partner("Oss.no", webhook=WEBHOOK)


def put(host, partner, key, pod_id=None, **body):
    with host.storage.write() as tx:
        return outbox.enqueue(
            host, tx, pod_id=pod_id, client_id=partner.client_id, kind="claim", body=body, idempotency_key=key
        )


def seen(host, partner):
    with host.storage.read() as tx:
        return [(each.state, each.attempts) for each in reversed(outbox.messages(tx, client_id=partner.client_id))]


def read(host, partner, body):
    return read_message(body.decode(), published_jwks(host), issuer=host.base_url, audience=partner.client_id)


def test_a_message_arrives_signed_and_says_what_it_is(sender, post, partner):
    message_id = put(sender, partner, "k1", programme="tram-pass")
    assert send_waiting(sender) == 1
    ((url, body, headers),) = post.sent
    assert (url, headers["Content-Type"]) == (WEBHOOK, "application/secevent+jwt")
    message = read(sender, partner, body)
    assert (message.id, message.kind, message.body["programme"]) == (message_id, "claim", "tram-pass")
    assert seen(sender, partner) == [("delivered", 1)]


def test_a_message_for_one_partner_is_refused_by_another(sender, post, partner, new_partner):
    put(sender, partner, "k1")
    send_waiting(sender)
    with pytest.raises(MessageRefused, match="somebody else"):
        read(sender, new_partner("AtB"), post.sent[0][1])


def test_the_same_key_twice_is_one_message(sender, post, partner):
    assert put(sender, partner, "k1") == put(sender, partner, "k1")
    assert send_waiting(sender) == 1
    assert put(sender, partner, "k1")
    assert send_waiting(sender) == 0


def test_messages_of_a_partner_keep_their_order_and_hold_up_nobody_else(sender, post, partner, new_partner, clock):
    other = new_partner("AtB", webhook="https://other.example/webhook")
    for number in range(3):
        put(sender, partner, f"k{number}", number=number)
    post.answers = [503]
    put(sender, other, "k", number=9)
    assert send_waiting(sender) == 1
    assert sorted(url for url, _, _ in post.sent) == ["https://other.example/webhook", WEBHOOK]
    clock.advance(timedelta(seconds=2))
    assert send_waiting(sender) == 3
    assert [read(sender, partner, body).body["number"] for _, body, _ in post.sent[2:]] == [0, 1, 2]


def test_a_retry_is_the_same_message(sender, post, partner, clock):
    put(sender, partner, "k1")
    post.answers = [500]
    send_waiting(sender)
    clock.advance(timedelta(seconds=2))
    send_waiting(sender)
    first, second = (read(sender, partner, body).id for _, body, _ in post.sent)
    assert first == second


def test_pauses_grow_and_the_end_is_visible(sender, post, partner, clock):
    put(sender, partner, "k1")
    put(sender, partner, "k2")
    post.answers = [OutboundFailed("the other host did not answer as it should")] * GIVE_UP_AFTER_ATTEMPTS
    began = clock.now()
    tries = []
    for _ in range(40):
        send_waiting(sender)
        ((state, attempts), *_) = seen(sender, partner)
        tries.append(attempts)
        if state == "given-up":
            break
        with sender.storage.read() as tx:
            (message,) = outbox.first_waiting(tx)
        clock.at = message.next_attempt
    assert tries == list(range(1, GIVE_UP_AFTER_ATTEMPTS + 1))
    assert timedelta(days=2) < clock.now() - began < timedelta(days=5)
    assert seen(sender, partner)[1][0] == "delivered"


def test_a_partner_that_left_or_named_no_address_gets_nothing(sender, post, partner, new_partner):
    mute = new_partner("AtB")
    put(sender, mute, "k1")
    put(sender, partner, "k1")
    remove_partner(sender, partner.client_id)
    assert send_waiting(sender) == 0
    assert (seen(sender, mute), seen(sender, partner), post.sent) == ([("given-up", 1)], [("given-up", 1)], [])


def test_a_body_is_not_readable_at_rest_and_gone_once_delivered(sender, partner, tmp_path):
    put(sender, partner, "k1", secret="canary-4711")
    with sender.storage.read() as tx:
        (sealed,) = tx.one("SELECT body FROM outbox")
    assert b"canary" not in bytes(sealed)
    assert sealed
    send_waiting(sender)
    with sender.storage.read() as tx:
        assert tx.one("SELECT body FROM outbox") == (b"",)
    assert not any(b"canary-4711" in file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())


def test_a_withdrawal_tells_its_partner_and_the_citizens_log_tells_of_that(
    sender, post, city, partner, terms_for, log_of
):
    pod = city.citizen("kari")
    grant = grants.give(sender, pod.pod_id, terms_for(partner), actor=Actor("citizen"))
    grants.withdraw(sender, pod.pod_id, grant.id, actor=Actor("citizen"))
    send_waiting(sender)
    told = [read(sender, partner, body) for _, body, _ in post.sent]
    assert [(each.kind, each.body["grant"]) for each in told] == [
        ("consent-given", grant.id),
        ("consent-withdrawn", grant.id),
    ]
    assert [each.event.outcome for each in log_of(pod.pod_id) if each.event.action == "receive-message"] == ["done"] * 2


def test_a_rolled_back_change_leaves_no_message(sender, partner):
    def change_that_fails():
        with sender.storage.write() as tx:
            outbox.enqueue(
                sender, tx, pod_id=None, client_id=partner.client_id, kind="claim", body={}, idempotency_key="k"
            )
            raise RuntimeError

    with pytest.raises(RuntimeError):
        change_that_fails()
    assert seen(sender, partner) == []


def test_a_token_is_signed_anew_at_each_try(sender, partner, clock):
    put(sender, partner, "k1")
    with sender.storage.read() as tx:
        (message,) = outbox.first_waiting(tx)
    first = token_of(sender, message)
    clock.advance(timedelta(minutes=10))
    assert token_of(sender, message) != first


def test_what_a_partner_asks_to_wait_is_waited(sender, post, partner, clock):
    put(sender, partner, "k1")
    post.answers = [Response(429, {"retry-after": "90"}, b"", WEBHOOK)]
    assert send_waiting(sender) == 0
    clock.advance(timedelta(seconds=89))
    assert send_waiting(sender) == 0
    assert len(post.sent) == 1
    clock.advance(timedelta(seconds=1))
    assert send_waiting(sender) == 1


def test_a_page_at_the_partners_address_is_no_receipt(sender, post, partner, clock):
    """A captive portal, a parked domain: they say 200 to everything."""
    put(sender, partner, "k1")
    post.answers = [Response(200, {}, b"<h1>Welcome</h1>", WEBHOOK)]
    assert send_waiting(sender) == 0
    assert seen(sender, partner) == [("waiting", 1)]
    clock.advance(timedelta(seconds=2))
    assert send_waiting(sender) == 1


def test_however_many_partners_are_away_what_waits_for_another_is_found(sender, post, new_partner, clock, monkeypatch):
    away = [new_partner(f"Borte {number}", webhook=f"https://away.example/{number}") for number in range(6)]
    for each in away:
        put(sender, each, "k")
    monkeypatch.setattr(post, "post", lambda *_: Response(503, {}, b"", ""))
    assert send_waiting(sender) == 0
    there = new_partner("Her", webhook=WEBHOOK)
    put(sender, there, "k")
    with sender.storage.read() as tx:
        assert [each.client_id for each in outbox.first_waiting(tx, clock.protocol_now(), limit=2)] == [there.client_id]
        clock.advance(timedelta(seconds=5))
        first, _ = outbox.first_waiting(tx, clock.protocol_now(), limit=2)
        waiting = outbox.first_waiting(tx, clock.protocol_now())
    assert first.client_id == there.client_id, "what was never tried comes before what was"
    chosen = next_to_send(waiting, {})
    assert [each.attempts for each in chosen] == [0, *[1] * RETRIES_AT_ONCE], (
        "half of the senders are kept for the others"
    )
    assert next_to_send(waiting, {each.client_id: True for each in away[:RETRIES_AT_ONCE]}) == [first]
    assert next_to_send(waiting, {f"p-{number}": False for number in range(AT_ONCE)}) == []
