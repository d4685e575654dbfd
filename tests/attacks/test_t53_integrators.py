"""T53: an integrator delivers for a partner that never let it, after the leave ended, or hands on what it may."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from flask import Flask
from joserfc.jwk import ECKey

import partner_bridge.routes
from consent.grant import GrantTerms
from partner_bridge.batch_files import SIGNATURE_TYPE, Bringer, take_in_batch, write_batch
from partner_bridge.errors import BatchRefused
from partner_bridge.receipts import list_receipts
from pod_server import acting, grants, http_problems, partner_standing
from pod_server.activities import Delivery, Record, append, count_records
from pod_server.authorization.enforcement import require_grant
from pod_server.authorization_server import routes as oauth_routes
from pod_server.identifiers import Actor
from pod_server.log.ledger import all_events
from pod_server.partner_standing import By
from pod_server.partners import add_partner
from tvilling.city.simulators.oauth_client import JWT_TYPE, TOKEN_EXCHANGE, JourneyFailed, OAuthClient

MUNICIPALITY = By("operator", "byrådet")
PATH = "/bridge/connectors/berlin-group"


class House:
    """A bank with a customer's consent, its integrator, and a stranger among the partners."""

    def __init__(self, host, city) -> None:
        self.host = host
        app = Flask("bridge")
        http_problems.register(app, host)
        oauth_routes.register(app, host)
        partner_bridge.routes.register(app, host)
        self.app = app
        self.bank = self._partner("SpareBank 1 SMN")
        self.evry = self._partner("Evry")
        self.other = self._partner("Annen bank")
        self.kari = city.citizen("kari")
        self.grant = grants.give(host, self.kari.pod_id, self.terms(self.bank), actor=Actor("citizen")).id

    def _partner(self, name: str) -> OAuthClient:
        key = ECKey.generate_key("P-256", parameters={"kid": f"{name[0].lower()}-1", "use": "sig", "alg": "ES256"})
        made = add_partner(
            self.host,
            name=name,
            jwks={"keys": [key.as_dict(private=False)]},
            redirect_uris=["https://partner.example/callback"],
        )
        client = OAuthClient(
            self.host.base_url, made.client_id, key, "https://partner.example/callback", self.host.clock.protocol_now
        )
        client._http = httpx.Client(transport=httpx.WSGITransport(app=self.app))
        return client

    def terms(self, client: OAuthClient) -> GrantTerms:
        now = self.host.clock.now()
        return GrantTerms(
            client_id=client.client_id,
            purpose="personal-footprint",
            kinds=frozenset({"payment"}),
            operations=frozenset({"append", "read"}),
            granularity="event",
            history_from=now - timedelta(days=90),
            expires_at=now + timedelta(days=90),
        )

    def let_act(self) -> None:
        acting.authorise(self.host, self.bank.client_id, self.evry.client_id, by=MUNICIPALITY)
        self.evry.word = lambda: self.bank.may_act(self.evry.client_id)

    def exchange(self, client: OAuthClient, word: str, **more: str) -> dict:
        form = {"grant_type": TOKEN_EXCHANGE, "subject_token_type": JWT_TYPE, "subject_token": word, **more}
        return client._post(client.metadata()["token_endpoint"], form)

    def report(self, day: int = 20, amount: str = "-412.90") -> dict:
        entry = {
            "bookingDate": f"2026-11-{day:02d}",
            "transactionAmount": {"currency": "NOK", "amount": amount},
            "creditorName": "CUBUS",
            "merchantCategoryCode": "5651",
        }
        return {"account": {"iban": "NO9386011117947"}, "transactions": {"booked": [entry]}}

    def bring(self, client: OAuthClient, grant: str | None = None, **report):
        return client.deliver(PATH, [{"grant": grant or self.grant, "payload": self.report(**report)}])

    def stored(self) -> int:
        with self.host.storage.read() as tx:
            return count_records(tx, self.kari.pod_id)

    def batch(self, path, items, *, signer: OAuthClient | None = None, **claims):
        signer = signer or self.evry

        def sign(told):
            return signer.signed(SIGNATURE_TYPE, told | claims, timedelta(days=1))

        write_batch(path, principal=self.bank.client_id, connector="berlin-group", items=items, sign=sign)
        return path


@pytest.fixture
def house(host, city):
    return House(host, city)


# What is meant to happen


def test_with_leave_it_delivers_and_log_and_receipt_name_both(house):
    house.let_act()
    delivered = house.bring(house.evry)
    assert (delivered.http_status, delivered.count("accepted"), house.stored()) == (200, 1, 1)
    (receipt_id,) = list_receipts(house.host, house.bank.client_id)
    receipt = house.bank.fetch(f"{house.host.base_url}/bridge/receipts/{receipt_id}").json()["receipt"]
    told = json.loads(base64.urlsafe_b64decode(receipt.split(".")[1] + "=="))
    assert told["aud"] == house.bank.client_id
    assert told["deliveredBy"] == {"client_id": house.evry.client_id, "name": "Evry"}
    with house.host.storage.read() as tx:
        events = [entry.event for entry in all_events(tx, house.kari.vault, house.kari.pod_id)]
    (appended,) = [event for event in events if event.action == "append"]
    assert (appended.actor.id, appended.actor.name, appended.actor.through) == (
        house.bank.client_id,
        "SpareBank 1 SMN",
        "Evry",
    )


def test_the_token_says_for_whom_and_by_whom(house):
    house.let_act()
    answer = house.exchange(house.evry, house.evry.word())
    claims = json.loads(base64.urlsafe_b64decode(answer["access_token"].split(".")[1] + "=="))
    assert (claims["sub"], claims["act"]) == (house.bank.client_id, {"sub": house.evry.client_id})
    assert answer["issued_token_type"] == "urn:ietf:params:oauth:token-type:access_token"


# Nobody let it


def test_a_partner_that_never_let_it_gives_no_token_even_with_its_own_word(house):
    """The signed word alone is not enough, nor is the standing leave alone."""
    with pytest.raises(JourneyFailed, match="unauthorized_client"):
        house.exchange(house.evry, house.bank.may_act(house.evry.client_id))
    acting.authorise(house.host, house.bank.client_id, house.evry.client_id, by=MUNICIPALITY)
    with pytest.raises(JourneyFailed, match="invalid_grant"):
        house.exchange(house.evry, house.evry.may_act(house.evry.client_id, iss=house.bank.client_id))
    assert house.bring(house.evry).answers[0]["problem"]["type"].endswith("/no-such-grant")
    assert house.stored() == 0


def test_leave_for_one_partner_is_none_for_another(house):
    house.let_act()
    house.evry.word = lambda: house.other.may_act(house.evry.client_id)
    assert house.bring(house.evry).http_status == 0
    assert house.stored() == 0


def test_leave_for_a_partner_is_none_to_another_partners_consents(house):
    house.let_act()
    others = grants.give(house.host, house.kari.pod_id, house.terms(house.other), actor=Actor("citizen")).id
    (answer,) = house.bring(house.evry, others).answers
    assert answer["problem"]["type"].endswith("/no-such-grant")
    assert house.stored() == 0


# Words that are not good


@pytest.mark.parametrize(
    "spoil",
    [
        lambda house: house.bank.may_act(house.other.client_id),
        lambda house: house.bank.may_act(house.bank.client_id),
        lambda house: house.evry.may_act(house.evry.client_id),
        lambda house: house.bank.may_act(house.evry.client_id, aud="https://elsewhere.example"),
        lambda house: house.bank.may_act(house.evry.client_id, may_act={"sub": [house.evry.client_id]}),
        lambda house: house.bank.may_act(house.evry.client_id, may_act=[{"sub": house.evry.client_id}]),
        lambda house: house.bank.may_act(house.evry.client_id, sub=house.other.client_id),
        lambda house: house.bank.may_act(house.evry.client_id, exp=int(house.bank.clock().timestamp()) - 1),
        lambda house: house.bank.may_act(house.evry.client_id, exp=int(house.bank.clock().timestamp()) + 90_000),
        lambda house: house.bank.signed("client-authentication+jwt", {"may_act": {"sub": house.evry.client_id}}, timedelta(minutes=1)),
        lambda house: house.bank._assertion(),
        lambda house: "",
        lambda house: "e30.e30.e30",
    ],
)  # fmt: skip
def test_a_word_that_is_not_exactly_the_partners_for_this_client_is_refused(house, spoil):
    house.let_act()
    with pytest.raises(JourneyFailed, match="invalid_grant"):
        house.exchange(house.evry, spoil(house))


def test_an_actors_token_is_nobodys_subject_and_acts_do_not_nest(house):
    """Evry hands its token on to another; or asks for one more of it; or has the bank sign a chain."""
    house.let_act()
    acting.authorise(house.host, house.bank.client_id, house.other.client_id, by=MUNICIPALITY)
    acting.authorise(house.host, house.evry.client_id, house.other.client_id, by=MUNICIPALITY)
    token = house.exchange(house.evry, house.evry.word())["access_token"]
    for client in (house.evry, house.other):
        with pytest.raises(JourneyFailed, match="invalid_grant"):
            house.exchange(client, token)
    chain = {"act": {"sub": house.evry.client_id}}
    with pytest.raises(JourneyFailed, match="invalid_grant"):
        house.exchange(house.other, house.bank.may_act(house.other.client_id, **chain))
    # Who may act for the one who acts may not act for the bank: here through leave for Evry, and Evry's own word.
    acting.end(house.host, house.bank.client_id, house.other.client_id, by=MUNICIPALITY)
    house.other.word = lambda: house.evry.may_act(house.other.client_id)
    (answer,) = house.bring(house.other).answers
    assert answer["problem"]["type"].endswith("/no-such-grant")
    assert house.stored() == 0


@pytest.mark.parametrize(
    "more",
    [
        {"actor_token": "x", "actor_token_type": JWT_TYPE},
        {"subject_token_type": "urn:ietf:params:oauth:token-type:access_token"},
        {"requested_token_type": "urn:ietf:params:oauth:token-type:refresh_token"},
        {"audience": "solid"},
        {"resource": "https://elsewhere.example/bridge"},
    ],
)
def test_nothing_but_a_token_for_the_bridge_is_exchanged(house, more):
    house.let_act()
    with pytest.raises(JourneyFailed, match=r"invalid_(request|target)"):
        house.exchange(house.evry, house.evry.word(), **more)


def test_the_token_is_bound_to_the_actors_own_key(house):
    house.let_act()
    token = house.exchange(house.evry, house.evry.word())["access_token"]
    body = json.dumps({"grant": house.grant, "payload": house.report()}).encode()
    assert house.other._send(house.host.base_url + PATH, body, token).status_code == 401
    assert house.evry._send(house.host.base_url + PATH, body, token).status_code == 200


def test_who_acts_reads_nothing_and_lets_nobody_else_act(house):
    house.let_act()
    token = house.exchange(house.evry, house.evry.word())["access_token"]
    base = house.host.base_url
    for method, path in (
        ("GET", f"/bridge/grants/{house.grant}/graph"),
        ("GET", f"/bridge/grants/{house.grant}/figures"),
        ("GET", f"/bridge/grants/{house.grant}/inbox"),
        ("GET", "/bridge/receipts"),
        ("GET", "/bridge/acting"),
        ("PUT", f"/bridge/acting/{house.other.client_id}"),
    ):
        answer = house.evry._http.request(method, base + path, headers=house.evry._proof(method, base + path, token))
        assert answer.status_code == 401, path
    house.bring(house.bank)
    (receipt_id,) = list_receipts(house.host, house.bank.client_id)
    address = f"{base}/bridge/receipts/{receipt_id}"
    assert house.evry._http.get(address, headers=house.evry._proof("GET", address, token)).status_code == 404


# Leave that ends


@pytest.mark.parametrize("by", ["partner", "municipality", "actor-stopped", "principal-stopped"])
def test_a_fresh_token_is_worth_nothing_once_either_has_ended_it(house, by):
    house.let_act()
    assert house.bring(house.evry).count("accepted") == 1
    if by == "partner":
        address = f"{house.host.base_url}/bridge/acting/{house.evry.client_id}"
        token = house.bank._access_token(None, "")
        answer = house.bank._http.delete(address, headers=house.bank._proof("DELETE", address, token))
        assert answer.json() == {"acting": []}
    elif by == "municipality":
        acting.end(house.host, house.bank.client_id, house.evry.client_id, by=MUNICIPALITY)
    else:
        stopped = house.evry if by == "actor-stopped" else house.bank
        partner_standing.suspend(house.host, stopped.client_id, "Brudd på avtalen.", by=MUNICIPALITY)
    delivered = house.bring(house.evry, day=21)
    assert delivered.http_status in {0, 401, 403}
    assert house.stored() == 1


def test_leave_that_ends_between_the_decision_and_the_writing_lets_nothing_in(house):
    house.let_act()
    bringer = Bringer(house.bank.client_id, "SpareBank 1 SMN", None, house.evry.client_id, "Evry")
    permit = require_grant(house.host, bringer, house.grant, (), "append", house.host.clock.now())
    acting.end(house.host, house.bank.client_id, house.evry.client_id, by=MUNICIPALITY)
    start = datetime(2026, 11, 20, tzinfo=UTC)
    (outcome,) = append(house.host, [Delivery(permit, [Record("x:1", b'{"@id":"x:1"}', "payment", start, start)])])
    assert [record.status for record in outcome.records] == ["refused"]
    assert house.stored() == 0


def test_leave_that_ends_in_the_middle_of_a_batch_ends_it_there_and_each_item_is_told(house, tmp_path):
    house.let_act()
    items = [(house.grant, house.report(day=1 + number)) for number in range(6)]
    path = house.batch(tmp_path / "b.jsonl", items)

    def after(report):
        if report.accepted == 2:
            acting.end(house.host, house.bank.client_id, house.evry.client_id, by=MUNICIPALITY)

    report = take_in_batch(house.host, path, piece_items=2, after_piece=after)
    assert (report.accepted, report.refused, house.stored()) == (2, 4, 2)
    assert [each["line"] for each in report.problems] == [4, 5, 6, 7]
    assert {each["type"].rpartition("/")[2] for each in report.problems} == {"acting-ended"}
    with pytest.raises(BatchRefused, match="lets whoever signed"):
        take_in_batch(house.host, path)


# Batch files


def test_a_batch_is_taken_in_once_however_often_it_comes(house, tmp_path):
    house.let_act()
    path = house.batch(tmp_path / "b.jsonl", [(house.grant, house.report(day=number)) for number in (1, 2, 3)])
    first, again = (take_in_batch(house.host, path) for _ in range(2))
    assert (first.accepted, first.duplicates, first.items, len(first.receipts)) == (3, 0, 3, 1)
    assert (again.accepted, again.duplicates, house.stored()) == (0, 3, 3)


def test_a_bad_item_is_told_with_its_line_and_spoils_nothing_else(house, tmp_path):
    house.let_act()
    items = [
        (house.grant, house.report(day=1)),
        (house.grant, {"account": {}}),
        ("g-none", house.report(day=2)),
        (house.grant, house.report(day=3, amount="mye")),
        (house.grant, house.report(day=4)),
    ]
    report = take_in_batch(house.host, house.batch(tmp_path / "b.jsonl", items))
    assert (report.accepted, report.refused) == (2, 3)
    assert [(each["line"], each["type"].rpartition("/")[2]) for each in report.problems] == [
        (3, "unusable-payload"),
        (4, "no-such-grant"),
        (5, "unusable-payload"),
    ]


def lines_of(path):
    return path.read_bytes().splitlines(keepends=True)


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda lines: lines[:-1], "without a trailer"),
        (lambda lines: [*lines[:-1], lines[-1][:20]], "without a trailer"),
        (lambda lines: lines[:2] + lines[3:], "counts 3 items, the file holds 2"),
        (lambda lines: [*lines[:-1], lines[1], lines[-1]], "counts 3 items, the file holds 4"),
        (lambda lines: [lines[0], lines[2], lines[1], *lines[3:]], "another sha256"),
        (lambda lines: [lines[0], lines[1].replace(b"412.90", b"912.90"), *lines[2:]], "another sha256"),
        (lambda lines: [*lines, lines[-1]], "after the trailer"),
        (lambda lines: lines[1:], "begins with"),
        (lambda lines: [lines[0], *lines], "begins with"),
        (lambda lines: [line.decode().encode("utf-16") for line in lines], "UTF-8"),
        (lambda lines: [], "empty"),
        (lambda lines: [lines[0], b"x" * 1_100_000, *lines[1:]], "longer than"),
    ],
)
def test_a_file_that_is_not_whole_is_refused_whole(house, tmp_path, spoil, why):
    house.let_act()
    path = house.batch(tmp_path / "b.jsonl", [(house.grant, house.report(day=number)) for number in (1, 2, 3)])
    path.write_bytes(b"".join(spoil(lines_of(path))))
    with pytest.raises(BatchRefused, match=why):
        take_in_batch(house.host, path)
    assert house.stored() == 0


def test_a_file_that_somebody_else_signed_or_nobody_is_refused_whole(house, tmp_path):
    house.let_act()
    items = [(house.grant, house.report())]
    with pytest.raises(BatchRefused, match="lets whoever signed"):
        take_in_batch(house.host, house.batch(tmp_path / "1", items, signer=house.other))
    with pytest.raises(BatchRefused, match="does not hold"):
        take_in_batch(
            house.host, house.batch(tmp_path / "2", items, iss=house.bank.client_id, sub=house.bank.client_id)
        )
    with pytest.raises(BatchRefused, match="another principal"):
        take_in_batch(house.host, house.batch(tmp_path / "3", items, principal=house.other.client_id))
    with pytest.raises(BatchRefused, match="does not hold"):
        take_in_batch(house.host, house.batch(tmp_path / "4", items, aud="https://elsewhere.example"))
    assert house.stored() == 0


def test_a_file_that_is_changed_between_the_two_readings_brings_nothing_that_was_not_signed(house, tmp_path):
    house.let_act()
    path = house.batch(tmp_path / "b", [(house.grant, house.report(day=number)) for number in (1, 2, 3, 4)])

    def swap(report):
        path.write_bytes(path.read_bytes().replace(b"412.90", b"912.90"))

    # The file is read in blocks, so a change behind the reader needs one larger than those; here it is opened anew.
    with pytest.raises(BatchRefused, match="changed while"):
        _read_again(house, path, swap)
    assert house.stored() == 0


def _read_again(house, path, swap):
    from partner_bridge import batch_files

    whole = batch_files._check(house.host, path, 2)
    swap(None)
    piece = []
    for number, line in batch_files._lines(path):
        record = batch_files._record(line)
        if isinstance(record, batch_files._Item):
            piece.append((number, batch_files.PushedItem(record.grant, bytes(record.payload)), line))
    batch_files._deliver(house.host, whole, piece[:2], batch_files.BatchReport())


def test_a_bank_brings_its_own_files_without_anybodys_leave(house, tmp_path):
    report = take_in_batch(house.host, house.batch(tmp_path / "b", [(house.grant, house.report())], signer=house.bank))
    assert (report.accepted, report.delivered_by) == (1, house.bank.client_id)


# Leave that cannot be


def test_nobody_acts_for_itself_for_strangers_or_without_being_admitted(house):
    bank = house.bank.client_id
    for principal, actor in ((bank, bank), (bank, "self"), ("self", bank), (bank, "p-none")):
        with pytest.raises((acting.ActingInvalid, acting.partners.NoSuchPartner)):
            acting.authorise(house.host, principal, actor, by=MUNICIPALITY)
    partner_standing.suspend(house.host, house.evry.client_id, "Brudd på avtalen.", by=MUNICIPALITY)
    with pytest.raises(acting.ActingInvalid):
        acting.authorise(house.host, bank, house.evry.client_id, by=MUNICIPALITY)


def test_the_partner_itself_may_let_another_act_at_its_own_door(house):
    address = f"{house.host.base_url}/bridge/acting/{house.evry.client_id}"
    token = house.bank._access_token(None, "")
    answer = house.bank._http.put(address, headers=house.bank._proof("PUT", address, token))
    assert [each["client_id"] for each in answer.json()["acting"]] == [house.evry.client_id]
    assert [each.act for each in partner_standing.acts(house.host, house.bank.client_id)] == ["let-act"]
    house.evry.word = lambda: house.bank.may_act(house.evry.client_id)
    assert house.bring(house.evry).count("accepted") == 1
