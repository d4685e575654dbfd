"""Deliveries of any length at POST /bridge/activities (partner_bridge/bulk.py), and the client that partners may use."""

from __future__ import annotations

import hashlib
import json
from datetime import timedelta

import httpx
import pytest
from joserfc.jwk import ECKey

from partner_bridge import bulk
from partner_bridge.client import Bridge, DeliveryRefused
from partner_bridge.receipts import verify_receipt
from pod_server import activities, grants, partner_limits, partner_standing, partners
from pod_server.identifiers import Actor
from pod_server.partners import Limits
from pod_server.pods import OpenPod, find_pod
from pod_server.storage.errors import StorageFull
from pod_server.upkeep import tend

DOOR = "/bridge/activities"


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch):
    """A thousand bytes to a piece: many pieces of few items."""
    monkeypatch.setattr(bulk, "PIECE_BYTES", 1000)
    monkeypatch.setattr(bulk, "_READ_BYTES", 300)


@pytest.fixture
def street(city, door):
    client = door.partner()
    pod = city.citizen("kari")
    return client, door.grant(pod.pod_id, client), pod.pod_id


def lines(items) -> bytes:
    return b"".join(json.dumps(item).encode() + b"\n" for item in items)


def ask(door, client, method="POST", path=DOOR, body=b"", **headers):
    address = door.host.base_url + path
    token = client._access_token(None, "")
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    return client._http.request(
        method,
        address,
        content=body,
        headers={"Content-Type": "application/x-ndjson", **headers, **client._proof(method, address, token)},
    )


def statuses(answer) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [each["status"] for each in answer.json()]


def stored(city, pod_id) -> list[bytes]:
    from deliveries import owner_permit

    from pod_server.vault.vault import unlock_with_custodian

    vault = unlock_with_custodian(city.host.host_key, city.host.key_store, pod_id)
    with city.host.storage.read() as tx:
        opened = OpenPod(find_pod(tx, pod_id), owner_permit(vault), vault)
    return [each.raw for each in activities.read_activities(city.host, opened)]


def test_many_pieces_are_answered_as_one_in_order(city, door, street, reading):
    client, grant, pod_id = street
    items = [{"grant": grant, "activity": reading(-number)} for number in range(40)]
    body = lines(items[:20]) + b"{broken\n\n  \n" + lines(items[20:])
    answer = ask(door, client, body=body.rstrip(b"\n"))
    assert statuses(answer) == ["accepted"] * 20 + ["refused"] + ["accepted"] * 20
    assert [each["id"] for each in answer.json() if each["id"]] == [item["activity"]["@id"] for item in items]
    assert len(stored(city, pod_id)) == 40
    # The receipt names one for each piece; each piece of the body is checked with its own.
    address = answer.headers["Link"].split(">")[0][1:].removeprefix(door.host.base_url)
    signed = ask(door, client, "GET", address, Accept="application/json").json()
    whole = verify_receipt(signed["receipt"], signed["issuer_keys"])
    assert whole["items"] == 41
    assert len(whole["parts"]) > 5
    at = 0
    for part in whole["parts"]:
        one = ask(door, client, "GET", f"/bridge/receipts/{part['receipt']}", Accept="application/json").json()
        cut = body[at : at + part["bytes"]]
        assert hashlib.sha256(cut).hexdigest() == part["requestSha256"]
        verify_receipt(one["receipt"], one["issuer_keys"], request=cut)
        at += part["bytes"]


def test_a_line_longer_than_any_item_is_one_items_problem(door, street, reading, monkeypatch):
    client, grant, _ = street
    good = lines([{"grant": grant, "activity": reading(0)}])
    answer = ask(door, client, body=good + b"x" * 70_000 + b"\n" + lines([{"grant": grant, "activity": reading(-1)}]))
    assert statuses(answer) == ["accepted", "refused", "accepted"]
    assert answer.json()[1]["problem"]["type"].endswith("/broken-item")
    monkeypatch.setattr(bulk, "PIECE_BYTES", 1 << 20)
    assert statuses(ask(door, client, body=b"x" * 70_000 + b"\n" + good)) == ["refused", "duplicate"]


def test_a_delivery_that_was_cut_goes_on_where_it_was(city, door, street, reading):
    client, grant, pod_id = street
    body = lines({"grant": grant, "activity": reading(-number)} for number in range(30))
    first = lines({"grant": grant, "activity": reading(-number)} for number in range(14))

    class Cut:
        left = first

        def read(self, size=-1):
            if not self.left:
                raise ConnectionError
            data, self.left = self.left[:size], self.left[size:]
            return data

    who = _authenticated(door, client)
    with pytest.raises(ConnectionError):
        bulk.take_in_lines(door.host, who, Cut(), key="night/1")
    told = ask(door, client, "HEAD", "/bridge/deliveries/night/1")
    offset = int(told.headers["Upload-Offset"])
    assert told.headers["Upload-Complete"] == "?0"
    assert 0 < offset < len(first)
    taken = len(stored(city, pod_id))
    wrong = ask(door, client, body=body[10:], Idempotency_Key="night/1", Upload_Offset="10")
    assert (wrong.status_code, wrong.headers["Upload-Offset"]) == (409, str(offset))
    answer = ask(door, client, body=body[offset:], Idempotency_Key="night/1", Upload_Offset=str(offset))
    assert statuses(answer) == ["accepted"] * 30, "none twice, and the first part's answers are as they were"
    assert taken < 14 < len(stored(city, pod_id)) == 30
    again = ask(door, client, body=body, Idempotency_Key="night/1")
    assert again.content == answer.content
    assert again.headers["Link"] == answer.headers["Link"]
    kept = ask(door, client, "GET", "/bridge/deliveries/night/1")
    assert (kept.content, kept.headers["Upload-Complete"]) == (answer.content, "?1")


def _authenticated(door, client):
    from pod_server.authorization_server.tokens import AuthenticatedPartner

    return AuthenticatedPartner(client.client_id, "TrønderEnergi", None, "")


def test_a_crash_between_commit_and_answer_answers_duplicate(door, street, reading, monkeypatch):
    client, grant, _ = street
    body = lines({"grant": grant, "activity": reading(-number)} for number in range(3))
    with monkeypatch.context() as patch:
        patch.setattr(bulk.KeptDelivery, "keep", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            bulk.take_in_lines(door.host, _authenticated(door, client), _Bytes(body), key="k")
    assert statuses(ask(door, client, body=body, Idempotency_Key="k")) == ["duplicate"] * 3


class _Bytes:
    def __init__(self, data: bytes) -> None:
        self._left = data

    def read(self, size=-1):
        data, self._left = self._left[:size], self._left[size:]
        return data


def test_one_key_with_two_contents_is_refused_and_takes_nothing(city, door, street, reading):
    client, grant, pod_id = street
    one = lines({"grant": grant, "activity": reading(-number)} for number in range(12))
    assert statuses(ask(door, client, body=one, Idempotency_Key="k")) == ["accepted"] * 12
    for other in (
        lines([{"grant": grant, "activity": reading(-99)}]),
        one.replace(b"1.5", b"1.6"),
        one + lines([{"grant": grant, "activity": reading(-99)}]),
        one[:-40],
    ):
        refused = ask(door, client, body=other, Idempotency_Key="k")
        assert (refused.status_code, refused.json()["type"].rpartition("/")[2]) == (422, "idempotency-key-reused")
    assert len(stored(city, pod_id)) == 12
    # Another partner's key of the same name is another key.
    other = door.partner("Ducky")
    assert ask(door, other, "HEAD", "/bridge/deliveries/k").status_code == 404
    assert statuses(ask(door, other, body=one, Idempotency_Key="k")) == ["refused"] * 12


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Idempotency_Key": "a b"}, 400),
        ({"Idempotency_Key": "x" * 129}, 400),
        ({"Upload_Offset": "7"}, 400),
        ({"Idempotency_Key": "k", "Upload_Offset": "-1"}, 400),
        ({"Idempotency_Key": "k", "Upload_Offset": "many"}, 400),
        ({"Idempotency_Key": "k", "Upload_Offset": "9"}, 409),
        ({"Content_Encoding": "gzip"}, 415),
    ],
)
def test_headers_that_cannot_be_are_refused(door, street, reading, headers, status):
    client, grant, _ = street
    assert ask(door, client, body=lines([{"grant": grant, "activity": reading(0)}]), **headers).status_code == status


def test_a_disk_that_fills_in_the_middle_keeps_what_was_taken_and_the_rest_may_be_sent_again(
    city, door, street, reading, monkeypatch
):
    client, grant, pod_id = street
    body = lines({"grant": grant, "activity": reading(-number)} for number in range(30))
    real, calls = bulk.deliver, []

    def until_full(*arguments, **options):
        calls.append(1)
        if len(calls) > 2:
            raise StorageFull
        return real(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(bulk, "deliver", until_full)
        answer = ask(door, client, body=body, Idempotency_Key="k")
    found = statuses(answer)
    taken = found.count("accepted")
    assert found == ["accepted"] * taken + ["refused"] * (30 - taken)
    assert 0 < taken < 30
    assert answer.json()[-1]["problem"]["type"].endswith("/storage-full")
    assert len(calls) == 3, "what follows is not tried"
    assert statuses(ask(door, client, body=body, Idempotency_Key="k")) == ["accepted"] * 30
    assert len(stored(city, pod_id)) == 30


def test_a_limit_that_ends_in_the_middle_refuses_the_rest(city, door, street, reading):
    client, grant, pod_id = street
    partner_standing.limit(
        city.host, client.client_id, Limits(records_per_day=12), by=partner_standing.By("operator", "")
    )
    body = lines({"grant": grant, "activity": reading(-number)} for number in range(30))
    answer = ask(door, client, body=body)
    taken = statuses(answer).count("accepted")
    assert 0 < taken <= 12
    assert len(stored(city, pod_id)) == taken
    assert answer.json()[-1]["problem"]["type"].endswith("/partner-limited")
    assert partner_limits.used(city.host, client.client_id)["day"] == taken


def test_a_withdrawal_in_the_middle_refuses_what_comes_after(city, door, street, reading, monkeypatch):
    client, grant, pod_id = street
    body = lines({"grant": grant, "activity": reading(-number)} for number in range(30))
    real, calls = bulk.deliver, []

    def withdrawn_meanwhile(*arguments, **options):
        calls.append(1)
        if len(calls) == 3:
            grants.withdraw(city.host, pod_id, grant, actor=Actor("citizen"))
        return real(*arguments, **options)

    monkeypatch.setattr(bulk, "deliver", withdrawn_meanwhile)
    found = statuses(ask(door, client, body=body))
    taken = found.count("accepted")
    assert found == ["accepted"] * taken + ["refused"] * (30 - taken)
    assert 0 < taken < 30


def test_kept_answers_lie_sealed_and_go_after_a_week(city, door, street, reading):
    client, grant, _ = street
    body = lines([{"grant": grant, "activity": reading(0, **{"@id": "kanarifugl:1"})}])
    assert statuses(ask(door, client, body=body, Idempotency_Key="k")) == ["accepted"]
    assert b"kanarifugl" not in b"".join(
        each.read_bytes() for each in city.host.data_folder.rglob("*") if each.is_file()
    )
    city.clock.advance(timedelta(days=6))
    tend(city.host)
    client._bulk = None  # its token has ended
    assert ask(door, client, "HEAD", "/bridge/deliveries/k").status_code == 200
    city.clock.advance(timedelta(days=1, minutes=1))
    tend(city.host)
    client._bulk = None
    assert ask(door, client, "HEAD", "/bridge/deliveries/k").status_code == 404


def test_more_items_than_a_delivery_may_hold(door, street, reading, monkeypatch):
    client, grant, _ = street
    monkeypatch.setattr(bulk, "MOST_ITEMS", 10)
    body = lines({"grant": grant, "activity": reading(-number)} for number in range(30))
    answer = ask(door, client, body=body)
    found = statuses(answer)
    assert found.count("accepted") <= 10
    assert found[-1] == "refused"
    assert answer.json()[-1]["problem"]["type"].endswith("/delivery-too-large")


@pytest.mark.parametrize("nonces", [False, True])
def test_the_partners_client_delivers_and_is_answered_the_same_again(city, door, reading, monkeypatch, nonces):
    key = ECKey.generate_key("P-256", parameters={"kid": "k1", "use": "sig", "alg": "ES256"})
    made = partners.add_partner(
        door.host,
        name="Strømmen",
        jwks={"keys": [key.as_dict(private=False)]},
        about={"dpop_nonces": "required"} if nonces else {},
    )
    client = Bridge(
        door.host.base_url,
        client_id=made.client_id,
        key=key.as_dict(private=True),
        http=httpx.Client(transport=WithLength(httpx.WSGITransport(app=door.app))),
        now=lambda: door.host.clock.protocol_now().timestamp(),
    )
    pod = city.citizen("kari")
    grant = door.grant(pod.pod_id, made)
    items = [{"grant": grant, "activity": reading(-number)} for number in range(30)]
    assert [each["status"] for each in client.deliver(items[:3], name="small")] == ["accepted"] * 3
    found = list(client.deliver(items, name="large"))
    assert [each["status"] for each in found] == ["duplicate"] * 3 + ["accepted"] * 27
    assert list(client.deliver(items, name="large")) == found
    with pytest.raises(DeliveryRefused, match="another delivery"):
        list(client.deliver(items[:2], name="large"))
    assert len(stored(city, pod.pod_id)) == 30


class WithLength(httpx.BaseTransport):
    """As a server does that ends a body sent in chunks by itself."""

    def __init__(self, inner: httpx.BaseTransport) -> None:
        self._inner = inner

    def handle_request(self, request):
        content = request.read()
        headers = {**request.headers, "content-length": str(len(content))}
        headers.pop("transfer-encoding", None)
        return self._inner.handle_request(httpx.Request(request.method, request.url, headers=headers, content=content))
