"""A partner's question on the page: nothing preselected, wishes labelled, three equal answers, never more than was asked."""

from __future__ import annotations

import hashlib
import json
import re
from datetime import timedelta
from html import unescape
from urllib.parse import parse_qs, urlsplit

import pytest

from consent.grant import shortest_interval
from dashboard.views.consent_request import after_months, granularities_of, granularity_chosen
from pod_server import grants
from pod_server.authentication.session import cookie_settings, create_session
from pod_server.log import ledger
from pod_server.opening import custodian_vault


@pytest.fixture
def asked(pages):
    """A citizen, a partner, and the partner's question about two kinds."""
    kari, partner = pages.citizen(), pages.partner()
    details = json.loads(
        partner.details(datatypes=["grocery-line", "transit-trip"], purpose="food-footprint", granularity="event")
    )
    details[0]["validTo"] = (pages.host.clock.now() + timedelta(days=365)).isoformat()
    question = partner.asked(authorization_details=json.dumps(details))
    return kari, partner, f"/-/consent/{question}"


def test_a_question_to_read_says_how_long_the_partner_keeps_it(pages, asked):
    kari, partner, address = asked
    assert "kan beholde" not in kari.get(address).text
    details = partner.details(
        actions=["read"], retention="P2M", purpose="food-footprint", datatypes=["grocery-line"], granularity="event"
    )
    question = partner.asked(authorization_details=details)
    assert "Rema 1000 kan beholde det de leser i 2 måneder." in kari.get(f"/-/consent/{question}").text


def answer(kari, address, **fields):
    return kari.client.post(address, data={"csrf": kari.token(address), **fields}, headers={"Accept": "text/html"})


def held(kari):
    return [view.grant for view in grants.list_grants(kari.host, kari.pod_id)]


def test_nothing_is_preselected_and_the_partner_s_wishes_are_labelled(asked):
    kari, _, address = asked
    page = kari.get(address).text
    assert not re.search(r"\schecked", page)
    assert len(re.findall(r'type="checkbox" name="kind"', page)) == 2
    wished = re.findall(r'<input type="radio" name="(\w+)"[^>]*data-wish', page)
    assert sorted(wished) == ["duration", "granularity"]
    assert page.count("Rema 1000 ønsker") == 2


def test_the_three_answers_are_equal_buttons(asked):
    kari, _, address = asked
    buttons = re.findall(
        r'<button class="([^"]+)" data-variant="(\w+)" name="answer" value="(\w+)"', kari.get(address).text
    )
    assert [value for _, _, value in buttons] == ["give", "narrow", "refuse"]
    assert len({look for *look_parts, _ in buttons for look in [tuple(look_parts)]}) == 1


def test_who_what_why_how_long_and_how_to_take_it_back_are_told(asked):
    kari, _, address = asked
    page = kari.get(address).text
    for words in (
        "Rema 1000",
        "Varelinjer",
        "Kollektivreiser",
        "Fotavtrykket av maten din",
        "Hvor lenge?",
        "Hvordan trekker du det?",
        "Datatilsynet",
    ):
        assert words in page


def test_who_answers_for_it_where_it_lies_and_who_sees_it_are_told(asked, pages):
    """Point 3 of the checklist: controller and contact, storage, third parties, how far back, and what a no costs."""
    kari, partner, address = asked
    about = json.dumps({"contact": "personvern@rema.example"})
    with pages.host.storage.write() as tx:
        tx.execute("UPDATE partner SET about = ? WHERE client_id = ?", (about, partner.partner.client_id))
    page = kari.get(address).text
    told = dict(re.findall(r"<dt>(.*?)</dt><dd[^>]*>(.*?)</dd>", page, re.DOTALL))
    assert "Rema 1000 for det de sender" in told["Hvem har ansvaret?"]
    assert "Kontakt: personvern@rema.example." in told["Hvem har ansvaret?"]
    assert "Kryptert i poden din, under en nøkkel for dette samtykket alene." in told["Hvor lagres det?"]
    assert "ingen andre partnere får vite om dem" in told["Hvem ser det?"]
    assert re.search(r"\b20\d\d\b", told["Hvor langt tilbake?"])
    assert "Alt annet virker som før." in told["Hva skjer om du sier nei?"]
    assert "Ett trykk" in told["Hvordan trekker du det?"]


def test_giving_gives_what_was_ticked_and_nothing_more(asked, pages):
    kari, _, address = asked
    given = answer(kari, address, kind=["grocery-line"], granularity="event", duration="P3M", answer="give")
    assert given.status_code == 303
    back = urlsplit(given.headers["Location"])
    assert f"{back.scheme}://{back.netloc}" == "https://partner.example"
    assert "code" in parse_qs(back.query)
    (grant,) = held(kari)
    assert grant.terms.kinds == {"grocery-line"}
    assert grant.terms.expires_at == after_months(pages.host.clock.now(), 3)
    assert grant.terms.granularity_of("grocery-line") == "event"
    assert len(grant.terms.notice_hash) == 64
    assert grant.terms.notice_version == "1 nb"


def test_the_smaller_yes_is_the_coarsest_and_shortest(asked, pages):
    kari, _, address = asked
    given = answer(kari, address, kind=["grocery-line", "transit-trip"], answer="narrow")
    assert given.status_code == 303
    (grant,) = held(kari)
    assert grant.terms.granularity_of("grocery-line") == "P1D"
    assert grant.terms.expires_at <= after_months(pages.host.clock.now(), 3)


def test_no_means_no_grant_and_the_partner_learns_only_that(asked):
    kari, _, address = asked
    refused = answer(kari, address, answer="refuse")
    query = parse_qs(urlsplit(refused.headers["Location"]).query)
    assert query["error"] == ["access_denied"]
    assert [grant.state for grant in held(kari)] == ["refused"]


@pytest.mark.parametrize(
    "fields",
    [
        {"answer": "give"},
        {"answer": "narrow"},
        {"answer": "give", "kind": "grocery-line"},
        {"answer": "give", "kind": "grocery-line", "granularity": "event"},
        {"answer": "give", "kind": "grocery-line", "duration": "P3M"},
        {"answer": "give", "kind": "grocery-line", "duration": "P600M", "granularity": "event"},
        {"answer": "give", "kind": "grocery-line", "duration": "P3M", "granularity": "PT1S"},
        {"answer": "give", "kind": "electricity-reading", "duration": "P3M", "granularity": "event"},
        {"answer": "anything"},
        {},
    ],
)
def test_an_answer_that_is_none_gives_nothing_and_the_question_stands(asked, fields):
    kari, _, address = asked
    answered = answer(kari, address, **fields)
    assert answered.status_code == 422
    assert 'role="alert"' in answered.text
    assert not held(kari)
    assert kari.get(address).status_code == 200


def test_an_answer_without_the_page_s_token_gives_nothing(asked):
    kari, _, address = asked
    forged = kari.client.post(
        address, data={"kind": "grocery-line", "granularity": "event", "duration": "P3M", "answer": "give"}
    )
    assert forged.status_code == 403
    assert not held(kari)


def test_a_question_is_answered_once(asked):
    kari, _, address = asked
    token = kari.token(address)
    assert answer(kari, address, answer="refuse").status_code == 303
    again = kari.client.post(address, data={"csrf": token, "answer": "refuse"}, headers={"Accept": "text/html"})
    assert again.status_code == 410
    assert kari.get(address).status_code == 410


def test_a_partner_that_was_refused_lately_cannot_press(asked, pages):
    kari, partner, address = asked
    answer(kari, address, answer="refuse")
    details = json.loads(partner.details(datatypes=["grocery-line"], purpose="food-footprint", granularity="event"))
    again = f"/-/consent/{partner.asked(authorization_details=json.dumps(details))}"
    turned_away = kari.get(again)
    assert turned_away.status_code == 303
    back = parse_qs(urlsplit(turned_away.headers["Location"]).query)
    assert (back["error"], "code" in back) == (["access_denied"], False)
    assert [grant.state for grant in held(kari)] == ["refused"], "no second refusal, which would prolong the first"
    assert kari.get(again).status_code == 410


def test_a_partner_that_asks_a_hundred_times_is_heard_once(asked, pages):
    """K13: nobody is worn down: the page is never shown again, the no is not prolonged, and the log tells of each try."""
    kari, partner, address = asked
    answer(kari, address, answer="refuse")
    (no,) = held(kari)
    details = json.loads(partner.details(datatypes=["grocery-line"], purpose="food-footprint", granularity="event"))
    for _ in range(100):
        again = kari.get(f"/-/consent/{partner.asked(authorization_details=json.dumps(details))}")
        assert (again.status_code, "error=access_denied" in again.headers["Location"]) == (303, True)
    assert [(grant.id, grant.given_at) for grant in held(kari)] == [(no.id, no.given_at)]
    with pages.host.storage.read() as tx:
        events = ledger.read_events(tx, custodian_vault(pages.host, kari.pod_id), kari.pod_id, limit=200)
    tries = [each.event for each in events if each.event.action == "consent-requested"]
    assert [each.outcome for each in tries] == ["refused-lately"] * 100


def test_after_a_month_the_partner_may_ask_again(asked, pages):
    kari, partner, address = asked
    answer(kari, address, answer="refuse")
    details = json.loads(partner.details(datatypes=["grocery-line"], purpose="food-footprint", granularity="event"))
    pages.host.clock.advance(grants.REPROMPT_AFTER)
    cookie = create_session(pages.host, kari.pod_id, custodian_vault(pages.host, kari.pod_id))
    kari.client.set_cookie(cookie_settings(pages.host).key, cookie)
    again = f"/-/consent/{partner.asked(authorization_details=json.dumps(details))}"
    shown = kari.get(again)
    assert 'value="give"' in shown.text


def test_a_question_open_in_another_tab_takes_no_yes_after_a_no(asked, pages):
    kari, partner, address = asked
    details = json.loads(partner.details(datatypes=["grocery-line"], purpose="food-footprint", granularity="event"))
    other = f"/-/consent/{partner.asked(authorization_details=json.dumps(details))}"
    token = kari.token(other)
    answer(kari, address, answer="refuse")
    fields = {"csrf": token, "kind": "grocery-line", "granularity": "event", "duration": "P3M", "answer": "give"}
    pressed = kari.client.post(other, data=fields, headers={"Accept": "text/html"})
    assert "error=access_denied" in pressed.headers["Location"]
    assert [grant.state for grant in held(kari)] == ["refused"]


def test_a_stranger_signs_in_before_the_question_is_shown(asked, pages):
    _, _, address = asked
    shown = pages.stranger().get(address, headers={"Accept": "text/html"})
    assert shown.headers["Location"] == f"/-/sign-in?next={address}"


def test_the_answer_may_lead_to_the_partner_and_nowhere_else(asked):
    kari, _, address = asked
    policy = kari.get(address).headers["Content-Security-Policy"]
    assert "form-action 'self' https://partner.example;" in policy


def test_a_kind_is_never_offered_finer_than_asked():
    for asked_for in ("PT1M", "PT1H", "P1D"):
        offered = granularities_of("electricity-reading", asked_for)
        assert offered[0] == asked_for
        assert all(shortest_interval(each) >= shortest_interval(asked_for) for each in offered)


def test_each_kind_gets_the_finest_of_its_own_that_is_no_finer_than_chosen(asked, pages):
    kari, partner, _ = asked
    terms = pages.grant(kari, partner.partner.client_id, kinds=frozenset({"grocery-line", "waste-collection"})).terms
    assert granularity_chosen(terms, terms.kinds, "P1D") == {"grocery-line": "P1D", "waste-collection": "P1M"}
    assert granularity_chosen(terms, terms.kinds, "event") == {"grocery-line": "event", "waste-collection": "event"}
    assert granularity_chosen(terms, terms.kinds, None) == {"grocery-line": "P1D", "waste-collection": "P1M"}


def test_the_text_that_the_consent_keeps_the_hash_of_is_the_text_on_the_page(asked, pages):
    kari, _, address = asked
    page = unescape(re.sub(r"<[^>]*>", "\n", kari.get(address).text))
    shown = " ".join(page.split())
    answer(kari, address, kind=["grocery-line"], granularity="event", duration="P3M", answer="give")
    (grant,) = held(kari)
    address = f"/vocab/consent/notices/{grant.terms.notice_hash}"
    text = pages.stranger().get(address).get_data()
    assert hashlib.sha256(text).hexdigest() == grant.terms.notice_hash
    at = 0
    lines = text.decode().splitlines()
    assert len(lines) > 20
    for line in lines:
        found = shown.find(" ".join(line.split()), at)
        assert found >= 0, f"{line!r} does not stand on the page after what comes before it"
        at = found


def test_a_refusal_keeps_the_text_that_was_refused(asked):
    kari, _, address = asked
    answer(kari, address, answer="refuse")
    (grant,) = held(kari)
    assert (grant.terms.notice_version, len(grant.terms.notice_hash)) == ("1 nb", 64)
