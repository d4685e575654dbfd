"""T57: a calculation service that is curious or hostile: it looks for whom a sum is of, links what it sees over time, answers
with poison, floods, redirects to the inside, or thinks until the citizen has changed their mind."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
from bank_house import listening
from reckoner_house import AT, BANK, MONTH, bought, reckoner_house
from twin_citizen import Citizen

from partner_bridge import calculating
from partner_bridge.errors import SourceBusy, SourceUnreachable, UnusablePayload
from partner_bridge.sources import add_source
from pod_server import calculations, grants
from pod_server.authorization.errors import GrantRefused
from pod_server.identifiers import Actor
from pod_server.outbound import Outbound
from tvilling.city.simulators.faults import Switch
from tvilling.city.simulators.sign_in_server import Answer, json_answer
from vocab.calculations import triples


@pytest.fixture
def opened(city):
    with reckoner_house(city) as opened:
        yield opened


def another_citizen(opened, handle):
    other = Citizen(opened.city, opened.city.citizen(handle, household_size=1))
    other.grants = {}
    other.deliver("Banken til " + handle, bought("shoes", 3, 1249.0, "clothing"), bought("coat", 9, 812.5, "clothing"))
    calculating.agree(opened.host, other.made.vault, opened.source, notice=("1", "0" * 64))
    shown = calculating.preview(opened.host, other.own(), opened.source, MONTH)
    calculating.calculate(opened.host, other.own(), opened.source, MONTH, shown.digest)


def test_nothing_that_reaches_it_says_whose_a_sum_is_or_when_or_where(opened):
    """Every byte of every request, against everything that names Kari, her consents, her days, her shops and her exact sums."""
    consent = opened.agree()
    opened.send()
    with opened.host.storage.read() as tx:
        (kept,) = calculations.listed(tx, opened.kari.own())
    # The token is random, and any letters may stand in it; that it follows nobody is the next test's.
    told = json.dumps([(way, path, sorted(headers), body) for way, path, headers, body in opened.service.seen])
    names = ["kari", "localhost:8080", consent, kept.calculation_id, str(opened.source.client_id), "2026", "okt", "oct"]
    names += [str(each.grant) for each in opened.kari.grants.values()]
    names += ["boots", "coat", "dinner", "lamp", "Skobutikken", "Klesbutikken", "Sentral", "REMA", BANK, "SpareBank"]
    names += ["1249", "812", "437", "1960", "983", "2061", "Cookie", "Referer", "Forwarded", "traceparent"]
    assert not [name for name in names if name.lower() in told.lower()]
    headers = [sorted(headers) for _, _, headers, _ in opened.service.seen]
    assert headers == [["Accept", "Authorization", "Content-Type"]] * 2


def test_it_cannot_tell_one_citizen_twice_from_two_citizens_once(opened):
    opened.agree()
    opened.send()
    first = list(opened.service.seen)
    opened.kari.deliver(BANK, bought("again", 21, 240.0, "eating-out"))
    opened.send()
    again = opened.service.seen[len(first) :]
    another_citizen(opened, "ola")
    others = opened.service.seen[len(first) + len(again) :]

    def shape(requests):
        return [(method, path, sorted(headers)) for method, path, headers, _ in requests]

    assert shape(first) == shape(again) == shape(others)
    bearers = [each[2]["Authorization"] for each in opened.service.seen if each[1].endswith("/finance")]
    assert len(set(bearers)) == 3, "a token for each request: none follows anybody"
    numbers = [[line["id"] for line in json.loads(json.loads(body)["json"])] for body in opened.bodies()]
    assert numbers == [["1", "2", "3"], ["1", "2", "3"], ["1"]], "counted anew in each request"


def test_a_second_look_tells_no_single_payment_finer_than_a_step(opened):
    """What was bought between two requests shows as whole steps, and as nothing where it moves no sum over one."""
    opened.agree()
    opened.send()
    opened.kari.deliver(BANK, bought("socks", 21, 30.0, "clothing"))
    with pytest.raises(Exception, match="answered already"):
        opened.send()
    assert len(opened.bodies()) == 1


def test_a_withdrawal_while_the_token_is_fetched_keeps_the_sums_at_home(opened):
    grant = opened.agree()
    original = opened.service.answer

    def slow_token(method, path, *rest):
        said = original(method, path, *rest)
        if path == "/oauth/token":
            opened.withdraw(grant)
        return said

    opened.service.answer = slow_token
    with pytest.raises(GrantRefused):
        opened.send()
    assert opened.bodies() == []
    assert opened.kept() == []


def test_an_answer_to_somebody_who_withdrew_meanwhile_is_thrown_away(opened):
    grant = opened.agree()
    original = opened.service.answer

    def thinking(method, path, *rest):
        if path.endswith("/finance"):
            opened.withdraw(grant)
        return original(method, path, *rest)

    opened.service.answer = thinking
    with pytest.raises(GrantRefused):
        opened.send()
    assert opened.kept() == []


def test_after_a_withdrawal_no_press_old_page_or_erased_consent_sends_anything(opened):
    grant = opened.agree()
    shown = opened.preview().digest
    opened.withdraw(grant)
    for _ in range(2):
        with pytest.raises(GrantRefused):
            opened.send(shown=shown)
        assert opened.press("ducky/send", month=MONTH, shown=shown).status_code == 403
        grants.erase(opened.host, opened.kari.pod_id, grant, actor=Actor("citizen"))
    assert opened.service.seen == []


def test_its_words_become_no_statement_of_the_pods(opened):
    """The only free word of an answer is its version; everything else is ours, or a number within bounds."""
    opened.agree()
    for version in (
        '1" ; a <urn:owned> . <urn:a> <urn:b> "',
        "1\n<urn:a> <urn:b> <urn:c> .",
        "{}",
        '","@id":"urn:x',
        "1" * 41,
    ):
        opened.service.tell = telling(
            opened, {"version": version, "@context": "https://evil.example/c", "@id": "urn:x"}
        )
        with pytest.raises(UnusablePayload):
            opened.send()
    opened.service.tell = telling(opened, {"version": "1", "@id": "urn:x", "@graph": [{"@id": "urn:y"}], "webid": "x"})
    opened.send()
    with opened.host.storage.read() as tx:
        (stored,) = calculations.listed(tx, opened.kari.own())
    found = triples(stored.content, "https://pod.example/kari/")
    known = ("https://pod.example/kari/calculations/", "https://pod.example/kari/activities/")
    assert {str(each.subject.value).startswith(known) for each in found} == {True}
    assert not [each for each in found if "urn:" in str(each) or "evil" in str(each)]


def telling(opened, more):
    honest = type(opened.service).tell

    def tell(method, path, query, headers, form):
        said = honest(opened.service, method, path, query, headers, form)
        if not path.endswith("/finance"):
            return said
        return json_answer(200, json.loads(said.body) | more)

    return tell


WRONG = (
    Switch.ILL,
    Switch.NONSENSE,
    Switch.HALF,
    Switch.SLOW,
    Switch.UNIT,
    Switch.BOUNDS,
    Switch.DUPLICATES,
    Switch.EXPIRED,
)


def test_whatever_goes_wrong_there_nothing_is_kept_and_it_can_be_tried_again(opened):
    opened.agree()
    for switch in WRONG:
        opened.service.faults.turn(switch, "on")
        with pytest.raises((SourceUnreachable, UnusablePayload)):
            opened.send()
        assert opened.kept() == [], switch
        opened.service.faults.turn(switch, "off")
    assert len(opened.send().lines) == 3


def test_it_redirects_nobody_to_the_inside_and_its_name_may_not_come_to_lead_there(opened):
    opened.agree()
    original = opened.service.answer
    for place in ("http://169.254.169.254/latest/meta-data/", "http://10.0.0.7/", f"{AT}/v3/elsewhere"):
        opened.service.answer = lambda method, path, *rest, place=place: (
            Answer(307, headers={"Location": place}) if path.endswith("/finance") else original(method, path, *rest)
        )
        with pytest.raises(SourceUnreachable, match="307"):
            opened.send()
    opened.service.answer = original
    asked = len(opened.service.seen)
    add_source(
        opened.host, replace(opened.source, api="https://ducky.example/v3", token_endpoint="https://ducky.example/t")
    )
    for address in ("127.0.0.1", "::ffff:127.0.0.1", "169.254.169.254", "10.0.0.7", "fd00::7"):
        wire = replace(opened.host.outbound, resolver=lambda _name, _port, address=address: ["93.184.216.34", address])
        host = replace(opened.host, outbound=wire)
        service = calculating.find_service(host, "ducky")
        with pytest.raises(SourceUnreachable):
            calculating.calculate(host, opened.kari.own(), service, MONTH, opened.preview().digest)
    assert len(opened.service.seen) == asked


def test_an_answer_without_end_is_cut_over_a_real_socket(opened):
    """64 KiB and no more are read, packed or not."""
    flood = json.dumps({"results": [], "version": "1", "note": "x" * 70_000}).encode()

    def answer(method, path, *_):
        del method
        if path == "/oauth/token":
            return json_answer(200, {"access_token": "t", "token_type": "Bearer"})
        return Answer(200, flood, headers=packed)

    with listening(SimpleNamespace(answer=answer)) as origin:
        host = replace(opened.host, outbound=Outbound(frozenset({origin})))
        add_source(host, replace(opened.source, api=f"{origin}/v3", token_endpoint=f"{origin}/oauth/token"))
        opened.agree()
        service, digest = calculating.find_service(host, "ducky"), opened.preview().digest
        packed = {}
        with pytest.raises(SourceUnreachable, match="longer than 64 KiB"):
            calculating.calculate(host, opened.kari.own(), service, MONTH, digest)
        packed, flood = {"Content-Encoding": "gzip"}, b"\x1f\x8b"
        with pytest.raises(UnusablePayload):
            calculating.calculate(host, opened.kari.own(), service, MONTH, digest)
    assert opened.kept() == []


def test_it_gets_no_token_of_the_houses_to_hand_on_and_no_wait_without_end(opened):
    """A token with a line break, or of another type, goes into no header; a wait of years ends after a day."""
    opened.agree()
    for wrong in ({"access_token": "a\r\nX: y"}, {"token_type": "DPoP"}, {"access_token": "å"}):
        opened.service.tell = lambda *_, wrong=wrong: json_answer(
            200, {"access_token": "t", "token_type": "Bearer"} | wrong
        )
        with pytest.raises(SourceUnreachable):
            opened.send()
    opened.service.tell = lambda *_: json_answer(429, {}, **{"Retry-After": "999999999"})
    with pytest.raises(SourceBusy) as left:
        opened.send()
    assert left.value.wait.days == 1
    assert opened.bodies() == []


def test_nobody_sends_consents_or_deletes_without_their_own_form(opened):
    opened.agree()
    opened.send()
    with opened.host.storage.read() as tx:
        (stored,) = calculations.listed(tx, opened.kari.own())
    for verb in ("ducky/agree", "ducky/send", "ducky/withdraw", f"answers/{stored.calculation_id}/drop"):
        assert opened.browser.post(f"/-/calculations/{verb}").status_code == 403
        assert opened.house.browser().post(f"/-/calculations/{verb}").status_code in {303, 401, 403}
    stranger = opened.house.browser(opened.city.citizen("ola"))
    form = {"csrf": opened.house.form_token(stranger)}
    stranger.post(f"/-/calculations/answers/{stored.calculation_id}/drop", data=form)
    shown = opened.preview().digest
    assert stranger.post("/-/calculations/ducky/send", data=form | {"month": MONTH, "shown": shown}).status_code == 403
    assert len(opened.kept()) == 1
    assert len(opened.bodies()) == 1
