"""A delivery of many pieces over real sockets, by the client that partners may use; connections that break in it."""

from __future__ import annotations

import json
import socket
import time
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from urllib.parse import urlsplit

import httpx
import pytest
from deliveries import granted
from joserfc.jwk import ECKey
from running_host import running_host

from partner_bridge.client import Bridge
from pod_server import partners
from pod_server.pods import create_pod

ITEMS = 12_000


class BreaksOnce(httpx.BaseTransport):
    """Breaks the first delivery in its middle, as a cable that is pulled does."""

    def __init__(self) -> None:
        self._inner = httpx.HTTPTransport()
        self.offsets: list[str] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/bridge/activities":
            self.offsets.append(request.headers["Upload-Offset"])
            if len(self.offsets) == 1:
                request.stream = _CutStream(request.stream)
        return self._inner.handle_request(request)


class Patient(Bridge):
    """Asks until the host has taken the first piece in, so that the test does not hang on who is faster."""

    def _taken(self, name: str) -> int:
        for _ in range(200):
            if taken := super()._taken(name):
                return taken
            time.sleep(0.1)
        return 0


class _CutStream(httpx.SyncByteStream):
    def __init__(self, stream) -> None:
        self._stream = stream

    def __iter__(self):
        for number, part in enumerate(self._stream):
            if number == 6:
                message = "cut"
                raise httpx.WriteError(message)
            yield part


@pytest.fixture(scope="module")
def street(tmp_path_factory):
    """A host as it is run, a partner, and twenty citizens who let it deliver."""
    with running_host(tmp_path_factory.mktemp("bulk") / "data") as running:
        key = ECKey.generate_key("P-256", parameters={"kid": "k1", "use": "sig", "alg": "ES256"})
        partner = partners.add_partner(running.host, name="Strømmen AS", jwks={"keys": [key.as_dict(private=False)]})
        grants = [
            granted(running.host, create_pod(running.host, f"citizen-{number}").pod_id, partner=partner).grant
            for number in range(20)
        ]
        yield SimpleNamespace(running=running, partner=partner, key=key, grants=grants)


def bridge(street, transport=None) -> Bridge:
    return Patient(
        street.running.base_url,
        client_id=street.partner.client_id,
        key=street.key.as_dict(private=True),
        http=httpx.Client(transport=transport, timeout=60),
    )


def items(street, run: str, count: int):
    start = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(days=40)
    for number in range(count):
        at = start + timedelta(hours=number // 20 % 900)
        yield {
            "grant": street.grants[number % 20],
            "activity": {
                "@id": f"{run}:{number}",
                "@type": "ElectricityReading",
                "start": at.isoformat(),
                "end": (at + timedelta(hours=1)).isoformat(),
                "quantity": 0.5,
                "unit": "KiloW-HR",
            },
        }


def test_a_connection_that_breaks_costs_nothing(street):
    transport = BreaksOnce()
    answers = list(bridge(street, transport).deliver(items(street, "broken", ITEMS), name="broken"))
    assert [each["status"] for each in answers] == ["accepted"] * ITEMS
    assert [each["id"] for each in answers] == [f"broken:{number}" for number in range(ITEMS)]
    first, second = map(int, transport.offsets)
    assert first == 0
    assert 1024 * 1024 // 2 < second < 6 * 256 * 1024


class KillsOnce(BreaksOnce):
    """Kills the host, all of its web role at once, when the first piece is in the database and nothing was answered."""

    def __init__(self, street) -> None:
        super().__init__()
        self.street = street

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/bridge/activities":
            self.offsets.append(request.headers["Upload-Offset"])
            if len(self.offsets) == 1:
                request.stream = _DeadlyStream(request.stream, self.street)
        return self._inner.handle_request(request)


class _DeadlyStream(_CutStream):
    def __init__(self, stream, street) -> None:
        super().__init__(stream)
        self.street = street

    def __iter__(self):
        for number, part in enumerate(self._stream):
            if number == 6:
                assert bridge(self.street)._taken("killed") > 0
                self.street.running.kill_web()
                message = "the other end is gone"
                raise httpx.WriteError(message)
            yield part


def test_kill_9_between_commit_and_answer_loses_nothing_and_counts_nothing_twice(street):
    transport = KillsOnce(street)
    answers = list(bridge(street, transport).deliver(items(street, "killed", ITEMS), name="killed"))
    assert [each["id"] for each in answers] == [f"killed:{number}" for number in range(ITEMS)]
    assert {each["status"] for each in answers} <= {"accepted", "duplicate"}
    assert len(transport.offsets) == 2
    again = list(bridge(street).deliver(items(street, "killed", 40), name="killed-again"))
    assert [each["status"] for each in again] == ["duplicate"] * 40


def test_a_sender_who_closes_early_is_not_taken_for_one_who_is_done(street):
    """What came whole stands; nothing is complete, and half a line is nobody's broken item."""
    client, name = bridge(street), "early"
    whole = b"".join(json.dumps(item).encode() + b"\n" for item in items(street, name, 30))
    sent = whole[: len(whole) // 2 + 7]
    address = f"{street.running.base_url}/bridge/activities"
    token = client._access_token()
    head = [
        "POST /bridge/activities HTTP/1.1", f"Host: {urlsplit(address).netloc}", f"Authorization: DPoP {token}",
        f"DPoP: {client._proof('POST', address, token)}", "Content-Type: application/x-ndjson",
        f"Idempotency-Key: {name}",
    ]  # fmt: skip
    head.append(f"Content-Length: {len(whole)}")
    parts = urlsplit(address)
    with socket.create_connection((parts.hostname, parts.port), timeout=20) as connection:
        connection.sendall("\r\n".join(head).encode() + b"\r\n\r\n" + sent)
        time.sleep(0.3)  # the other end is reading when the connection ends
    answers = list(client.deliver(items(street, name, 30), name=name))
    assert [each["status"] for each in answers] == ["accepted"] * 30


def test_a_named_delivery_says_its_length(street):
    """Sent in chunks, a body that breaks off looks like one that ends."""
    client = bridge(street)
    address, token = f"{street.running.base_url}/bridge/activities", client._access_token()
    headers = {
        "Authorization": f"DPoP {token}", "DPoP": client._proof("POST", address, token), "Idempotency-Key": "chunked",
        "Content-Type": "application/x-ndjson",
    }  # fmt: skip
    answer = httpx.post(address, headers=headers, content=iter([b"{}\n"]))
    assert (answer.status_code, answer.json()["type"].rpartition("/")[2]) == (411, "length-required")
