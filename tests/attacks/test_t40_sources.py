"""T40: somebody slips an account under a citizen's pod; a source that lies, stalls or redirects; a pull after the withdrawal."""

from __future__ import annotations

from dataclasses import replace

import pytest
from bank_house import HTML, bank_house
from hosts import NOON

from partner_bridge import pulling
from partner_bridge.channels import oauth_pull
from partner_bridge.errors import SourceInvalid
from partner_bridge.sources import add_source
from pod_server.identifiers import ClientId
from pod_server.lookups import Lookups
from pod_server.outbound import Outbound
from tvilling.city.simulators.sign_in_server import Answer


@pytest.fixture
def opened(city):
    with bank_house(city) as opened:
        yield opened


def test_an_attackers_own_code_is_not_taken_into_a_victims_pod(opened):
    """The attacker signs in at the bank as themselves and leads the victim's browser to the answer."""
    attacker = opened.house.browser(opened.house.city.citizen("eve"))
    answer = opened.at_the_bank(opened.leave(attacker), person="ola")
    assert opened.browser.get(answer, headers=HTML).status_code == 403
    assert not any("token" in each for each in opened.bank.asked)
    assert pulling.connections(opened.host, opened.kari.pod_id) == {}


def test_a_source_that_redirects_to_the_inside_is_not_followed(opened):
    opened.connect()
    original = opened.bank.answer

    def redirecting(method, path, query, headers, form):
        if "accounts" in path:
            return Answer(302, headers={"Location": "http://169.254.169.254/latest/meta-data/"})
        return original(method, path, query, headers, form)

    opened.bank.answer = redirecting
    (done,) = pulling.pull_due(opened.host)
    assert (done.problem, done.accepted) == ("unreachable", 0)


REBOUND = ("127.0.0.1", "::ffff:127.0.0.1", "169.254.169.254", "::ffff:a9fe:a9fe", "10.0.0.7", "fd00::7", "0.0.0.0")


def test_a_source_whose_name_comes_to_lead_inside_is_not_spoken_to(opened):
    """The name was good when the operator wrote it down; later it resolves to the inside, alone or beside a good address."""
    opened.connect()
    add_source(opened.host, replace(opened.source, api="https://bank.example/personal/banking"))
    for address in REBOUND:
        for found in ([address], ["93.184.216.34", address]):
            names = {"bank.example": found}
            outbound = Outbound(
                opened.host.outbound.allowed_loopback_origins,
                resolver=lambda name, _, names=names: names.get(name, [name]),
            )
            before = [each for each in opened.bank.asked if "/personal" in each]
            opened.pass_time(hours=15)  # longer than the longest pause, and what is added to it by chance
            (done,) = pulling.pull_due(replace(opened.host, outbound=outbound, lookups=Lookups()))
            assert (done.problem, done.accepted) == ("unreachable", 0), address
            assert [each for each in opened.bank.asked if "/personal" in each] == before


def test_an_answer_without_end_is_cut(opened, monkeypatch):
    from partner_bridge import outbound_adapter

    opened.connect()
    monkeypatch.setattr(outbound_adapter, "ANSWER_LIMIT_BYTES", 1000)
    original = opened.bank.answer
    opened.bank.answer = lambda *asked: Answer(200, b" " * 2000) if "/personal" in asked[1] else original(*asked)
    (done,) = pulling.pull_due(opened.host)
    assert done.problem == "unreachable"


def test_metadata_cannot_lead_the_hosts_secret_to_the_inside(opened):
    for endpoint in (
        "http://169.254.169.254/token",
        "https://127.0.0.1/token",
        "http://other.example/token",
        "ftp://x/",
    ):
        opened.bank.sign_in.wrong["metadata"] = {"token_endpoint": endpoint}
        opened.pass_time(minutes=6)  # what was said before is forgotten
        address = opened.at_the_bank(opened.leave())
        assert opened.browser.get(address, headers=HTML).status_code == 502, endpoint
    assert pulling.connections(opened.host, opened.kari.pod_id) == {}


def test_nobody_connects_pulls_or_disconnects_without_their_own_form(opened):
    opened.connect()
    for verb in ("connect", "pull", "disconnect"):
        assert opened.browser.post(f"/-/sources/bank/{verb}", headers=HTML).status_code == 403
        assert opened.house.browser().post(f"/-/sources/bank/{verb}", headers=HTML).status_code in {303, 401, 403}
    stranger = opened.house.browser(opened.house.city.citizen("ola"))
    answer = stranger.post("/-/sources/bank/disconnect", data={"csrf": opened.house.form_token(stranger)}, headers=HTML)
    assert answer.status_code == 400
    assert "bank" in pulling.connections(opened.host, opened.kari.pod_id)


HALF_DESCRIBED = (
    {"slug": "../x"}, {"api": ""}, {"api": "file:///etc/passwd"}, {"issuer": ""}, {"scopes": ("a b",)}, {"secret": "a\nb"},
    {"authorization_endpoint": "https://bank.example/a"}, {"oauth_client": ""}, {"api": "https://bank.example/?x=1"},
    {"webhook": "signed", "webhook_secret": "short"},
)  # fmt: skip


def test_a_source_is_described_wholly_or_not_at_all(opened):
    for wrong in HALF_DESCRIBED:
        with pytest.raises(SourceInvalid):
            add_source(opened.host, replace(opened.source, client_id=ClientId(""), **wrong))


def test_a_wait_without_end_ends_after_a_day():
    assert oauth_pull.retry_after("9" * 9, NOON).days == 1
    assert oauth_pull.retry_after("9" * 40, NOON).total_seconds() == 60
