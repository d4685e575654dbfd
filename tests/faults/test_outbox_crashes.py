"""The sender of messages dies by kill -9 before, during and after a message goes out: none is lost, none counts twice."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest
from deliveries import CITIZEN, granted
from ending import forked, outcome_of
from joserfc.jwk import ECKey

import partner_bridge.outbox as sending
from partner_bridge.outbox import send_waiting
from pod_server import grants, outbox
from pod_server.log.ledger import read_events
from pod_server.opening import custodian_vault
from pod_server.outbound import Response
from pod_server.partners import add_partner
from pod_server.signing_keys import published_jwks
from tvilling.city.simulators.messages import read_message

WEBHOOK = "https://partner.example/webhook"


@dataclass
class Inbox:
    """The partner, who writes down durably what it got; it outlives the sender."""

    kept: Path
    die: str = ""

    def post(self, url, body, headers):
        assert url == WEBHOOK
        if self.die == "before it is sent":
            os.kill(os.getpid(), signal.SIGKILL)
        with self.kept.open("ab") as file:
            file.write(body + b"\n")
        if self.die == "after it arrived":
            os.kill(os.getpid(), signal.SIGKILL)
        return Response(202, {}, b"", url)

    def tokens(self) -> list[str]:
        return self.kept.read_text().split() if self.kept.exists() else []


def killed(host, inbox) -> None:
    """Send in a process of its own, which dies."""

    def child() -> None:
        if inbox.die == "before it is written down":
            sending.outbox.mark_delivered = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
        send_waiting(replace(host, outbound=inbox))

    host.storage.close()  # connections are not carried over a fork
    with forked(child) as sender:
        assert outcome_of(sender) == -signal.SIGKILL


@pytest.mark.parametrize("step", ["before it is sent", "after it arrived", "before it is written down"])
def test_a_message_survives_the_death_of_its_sender_and_counts_once(city, host, clock, tmp_path, step):
    kari = city.citizen("kari")
    key = ECKey.generate_key("P-256", parameters={"kid": "k1", "use": "sig", "alg": "ES256"})
    partner = add_partner(host, name="Oss.no", jwks={"keys": [key.as_dict(private=False)]}, webhook=WEBHOOK)
    grant = granted(host, kari.pod_id, partner=partner).grant
    grants.withdraw(host, kari.pod_id, grant, actor=CITIZEN)
    with host.storage.read() as tx:
        expected = {message.message_id for message in outbox.messages(tx, client_id=partner.client_id)}
    assert len(expected) == 2, "the consent was given, and withdrawn"

    inbox = Inbox(tmp_path / "inbox", step)
    killed(host, inbox)
    alive = replace(host, outbound=Inbox(tmp_path / "inbox"))
    assert send_waiting(alive) == 0, "what a dead sender took is its own until its lease runs out"
    clock.advance(timedelta(seconds=31))
    assert send_waiting(alive) == 2

    seen = [
        read_message(token, published_jwks(host), issuer=host.base_url, audience=partner.client_id)
        for token in alive.outbound.tokens()
    ]
    times = Counter(message.id for message in seen)
    assert set(times) == expected
    assert sorted(times.values()) == ([1, 1] if step == "before it is sent" else [1, 2])
    with host.storage.read() as tx:
        assert {message.state for message in outbox.messages(tx, client_id=partner.client_id)} == {"delivered"}
        leaves = [entry.event for entry in read_events(tx, custodian_vault(host, kari.pod_id), kari.pod_id)]
    told = [json.dumps(event.detail, default=str) for event in leaves if "message" in event.action]
    assert len(told) == 2, [event.action for event in leaves]
