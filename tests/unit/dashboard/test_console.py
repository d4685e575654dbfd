"""Partners' console and the operator's pages: what a newcomer and the municipality see and do."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from datetime import timedelta

import pytest
from console import CONSOLE, TEXTS, Desk, a_partner, an_operator, application
from oauth_client import PartnerClient, doors, new_key
from solid_app import Elsewhere, house

from partner_bridge.delivery import Item, ItemAnswer
from partner_bridge.outbox import send_waiting
from partner_bridge.receipts import issue_receipt
from pod_server import grants
from pod_server.authorization.errors import refusal_error
from pod_server.console_sessions import create_link
from pod_server.partner_key_sets import with_keys_for
from pod_server.partner_standing import acts
from pod_server.partners import find_partner

PLACES = ("", "/keys", "/purposes", "/deliveries", "/messages", "/sandbox")


@pytest.fixture
def partner(pages):
    return a_partner(pages.host, pages.app)


@pytest.fixture
def operator(pages):
    return an_operator(pages.host, pages.app)


def standing(desk):
    with desk.host.storage.read() as tx:
        return find_partner(tx, desk.client_id)


def test_a_newcomer_reads_applies_and_is_in_its_console(pages):
    newcomer = Desk(pages.host, pages.app.test_client())
    assert "/-/partners/register" in newcomer.get("/-/partners").text
    answer = newcomer.apply()
    assert answer.headers["Location"] == f"{CONSOLE}?done=applied"
    cookie = next(each for each in answer.headers.getlist("Set-Cookie") if "console" in each)
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert standing(newcomer).state == "applied"
    assert standing(newcomer).about["organisation_number"] == "974760673"


@pytest.mark.parametrize("language", ["nb", "nn", "en"])
def test_every_page_renders_in_each_language_under_the_strict_policy(pages, partner, operator, language):
    addresses = [(partner, f"{CONSOLE}{place}") for place in PLACES]
    addresses += [(partner, "/-/partners"), (partner, "/-/partners/register"), (operator, "/-/operator")]
    addresses += [(operator, f"/-/operator/partners/{partner.client_id}")]
    addresses += [(Desk(pages.host, pages.stranger()), f"/-/{role}/sign-in") for role in ("partners", "operator")]
    for desk, address in addresses:
        answer = desk.get(address, language)
        assert answer.status_code == 200, address
        assert f'lang="{language}"' in answer.text
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"number": "974760674"}, "The organisation number does not check."), ({"name": "Bysykkel \u202eSA"}, "U+202E"),
        ({"purpose": "alt vi vil"}, "Choose a purpose from the list."), ({"kind": ["heartbeats"]}, "Choose at least one kind"),
        ({"kind": []}, "Choose at least one kind"), ({"purpose": "research-statistics"}, "Choose a purpose"),
        ({"jwks": "{"}, "The keys cannot be used"), ({"jwks": ""}, "one of the three"),
        ({"jwks": "", "jwks_uri": "http://127.0.0.1:1/keys"}, "could not be fetched"), ({"notice_nn": "kort"}, "nynorsk"),
        ({"redirect_uri": "javascript:alert(1)"}, "An address cannot be used"),
    ],
)  # fmt: skip
def test_what_cannot_stand_is_named_and_what_was_written_stays(pages, changed, said):
    newcomer = Desk(pages.host, pages.app.test_client())
    answer = newcomer.apply(**changed)
    assert answer.status_code == 422
    assert said in answer.text
    assert TEXTS["notice_nb"] in answer.text
    assert "javascript:alert(1)</a>" not in answer.text


def test_keys_come_as_a_file_too_and_a_private_one_is_refused(pages):
    newcomer = Desk(pages.host, pages.app.test_client())
    for private, status in ((True, 422), (False, 303)):
        content = json.dumps({"keys": [new_key().as_dict(private=private)]}).encode()
        assert newcomer.apply(jwks="", jwks_file=(io.BytesIO(content), "keys.json")).status_code == status


def test_the_municipality_admits_limits_stops_and_lets_on_and_it_is_written_down(partner, operator):
    page = f"/-/operator/partners/{partner.client_id}"
    assert "waits for an answer" in operator.get("/-/operator").text
    assert operator.post(f"{page}/admit", page, records_per_day="100", kind=["transit-trip"]).status_code == 303
    assert (standing(partner).state, standing(partner).limits.records_per_day) == ("active", 100)
    assert "0 of 100 used" in partner.get(CONSOLE).text
    assert operator.post(f"{page}/limit", page, records_per_day="many").status_code == 422
    assert operator.post(f"{page}/suspend", page, reason="").status_code == 422
    operator.post(f"{page}/suspend", page, reason="Mistanke om <b>lekkasje</b>")
    told = partner.get(CONSOLE).text
    assert "The municipality has stopped you" in told
    assert "Mistanke om &lt;b&gt;lekkasje&lt;/b&gt;." in told
    operator.post(f"{page}/resume", page)
    assert standing(partner).state == "active"
    assert operator.post(f"{page}/remove", page).status_code == 422
    assert operator.post(f"{page}/remove", page, sure="yes").status_code == 303
    assert partner.get(CONSOLE).headers["Location"] == "/-/partners/sign-in"
    done = {act.act: act.by.name for act in acts(partner.host, partner.client_id)}
    assert {name: done[name] for name in ("admit", "suspend", "resume", "remove")} == dict.fromkeys(
        ("admit", "suspend", "resume", "remove"), "Kari Saksbehandler"
    )


def test_a_refused_application_tells_why_and_is_sent_again(partner, operator):
    page = f"/-/operator/partners/{partner.client_id}"
    operator.post(f"{page}/refuse", page, reason="Formålet er uklart")
    assert "Formålet er uklart." in partner.get(CONSOLE).text
    partner.post(f"{CONSOLE}/apply-again", CONSOLE)
    assert standing(partner).state == "applied"


def test_keys_at_an_address_are_shown_with_how_it_stands(city, pages):
    elsewhere, address = Elsewhere(), "https://keys.example/jwks"
    elsewhere.put(address, {"keys": [new_key().as_dict(private=False)]})
    host = replace(pages.host, outbound=elsewhere)
    app = house(host)
    desk = a_partner(host, app, jwks="", jwks_uri=address)
    page = f"{CONSOLE}/keys"
    shown = desk.get(page).text
    assert address in shown
    assert f"{page}/add" not in shown
    assert "again when you next sign something" in shown
    for after, said in ((0, "Last fetched"), (2, "hold until"), (25, "no longer hold")):
        city.clock.advance(timedelta(hours=after))
        with_keys_for(host, standing(desk), "k1")
        desk.enter(create_link(host, "partner", client_id=desk.client_id, name="Kari"))
        assert said in desk.get(page).text
        elsewhere.documents.clear()


def test_keys_overlap_while_they_are_changed(partner):
    page = f"{CONSOLE}/keys"
    following = new_key("k2")
    assert partner.post(f"{page}/add", page, jwks=json.dumps(following.as_dict(private=False))).status_code == 303
    shown = partner.get(page).text
    assert partner.key.thumbprint() in shown
    assert following.thumbprint() in shown
    assert partner.link().status_code == 201
    partner.post(f"{page}/retire", page, thumbprint=partner.key.thumbprint())
    assert partner.link().json["error"] == "invalid_client"
    last = partner.post(f"{page}/retire", page, thumbprint=following.thumbprint())
    assert (last.status_code, "the last key stays" in last.text) == (422, True)


def test_lasting_changes_need_a_young_session_and_end_the_others(pages, partner):
    other = Desk(pages.host, pages.app.test_client(), partner.key, partner.client_id)
    other.enter(partner.link().json["link"].removeprefix(pages.host.base_url))
    page = f"{CONSOLE}/keys"
    assert partner.post(f"{page[:-5]}/addresses", page, redirect_uri="https://ny.example/back").status_code == 303
    assert other.get(CONSOLE).status_code == 303
    pages.city.clock.advance(timedelta(minutes=16))
    old = partner.post(f"{page}/add", page, jwks=json.dumps(new_key("k3").as_dict(private=False)))
    assert old.status_code == 403
    assert len(standing(partner).jwks["keys"]) == 1


def test_a_new_text_waits_is_read_and_takes_the_old_ones_place(partner, operator):
    page, theirs = f"{CONSOLE}/purposes", f"/-/operator/partners/{partner.client_id}"
    operator.post(f"{theirs}/admit", theirs)
    anew = application(partner.key, notice_en="We add your trips by city bike, and nothing else.")
    fields = {name: anew[name] for name in ("purpose", "kind", *TEXTS)}
    assert partner.post(f"{page}/propose", page, **fields).status_code == 303
    assert "waits for the municipality" in partner.get(page).text
    operator.post(f"{theirs}/refuse-notice", theirs, purpose="travel-footprint", version="2", reason="Uklart")
    assert "Reason: Uklart" in partner.get(page).text
    assert (
        partner.post(f"{page}/propose", page, **{**fields, "notice_en": "We add trips by city bike."}).status_code
        == 303
    )
    operator.post(f"{theirs}/admit-notice", theirs, purpose="travel-footprint", version="3")
    assert re.findall(r"version (\d)", partner.get(page).text)[:3] == ["3", "2", "1"]
    assert "replaced" in partner.get(page).text


def test_deliveries_show_counts_and_places_and_nothing_that_was_delivered(pages, partner):
    from consent.decision import Refused
    from consent.reasons import Reason
    from vocab.errors import NotAnActivity

    grant, secret = "g-" + "a" * 26, "01010112345"
    items = [Item(grant, b"{}"), Item(secret, b"{}"), Item(grant, b"{}")]
    answers = [
        ItemAnswer("accepted", id=secret, log_index=1),
        ItemAnswer("refused", secret, NotAnActivity("$.quantity", f"not {secret}")),
        ItemAnswer("refused", secret, refusal_error(Refused((Reason.OUTSIDE_WINDOW,)))),
    ]
    receipt = issue_receipt(pages.host, partner.client_id, items, answers, request_sha256="", response_sha256="")
    listed, one = partner.get(f"{CONSOLE}/deliveries").text, partner.get(f"{CONSOLE}/deliveries/{receipt}").text
    assert receipt in listed
    assert "$.quantity" in one
    assert "/problems/outside-window" in one
    assert grant in one
    assert secret not in listed + one
    assert partner.get(f"{CONSOLE}/deliveries/{receipt}/receipt").text.count(".") == 2


def test_a_message_that_gets_no_answer_is_shown_as_that(partner):
    page = f"{CONSOLE}/messages"
    assert "You have named no address" in partner.post(f"{page}/test", CONSOLE).text
    partner.post(
        f"{CONSOLE}/addresses",
        f"{CONSOLE}/keys",
        redirect_uri="https://x.example/back",
        webhook="http://127.0.0.1:1/hook",
    )
    for done in ("test", "test-waits"):
        assert partner.post(f"{page}/test", CONSOLE).headers["Location"] == f"{page}?done={done}"
    assert send_waiting(partner.host) == 0
    shown = partner.get(page).text
    assert "1 tries without an answer" in shown
    assert "1 of the latest messages got no answer" in shown


def test_the_partner_becomes_its_sandbox_citizen_and_sees_that_it_is_one(pages, partner):
    page = f"{CONSOLE}/sandbox"
    assert partner.post(f"{page}/open", page).headers["Location"] == "/-/my-data"
    mine = partner.get("/-/my-data").text
    assert "This is a sandbox citizen" in mine
    assert "This is a sandbox citizen" not in partner.get(page).text
    handle = re.search(r"sandbox-[0-9a-f]{16}", partner.get(page).text)[0]
    given = partner.client.post("/-/research/give", data={"csrf": partner.token("/-/my-data")})
    assert given.status_code == 403
    partner.post(f"{page}/reset", page)
    assert handle not in partner.get(page).text


def test_the_own_switch_stops_and_starts(partner):
    partner.post(f"{CONSOLE}/stop", CONSOLE)
    assert "You have stopped everything" in partner.get(CONSOLE).text
    assert partner.link().status_code == 201
    partner.post(f"{CONSOLE}/restart", CONSOLE)
    assert standing(partner).stopped is None


def test_a_name_from_right_to_left_keeps_its_direction_to_itself(pages):
    partner = a_partner(pages.host, pages.app, name="شركة الدراجات")
    assert "<bdi>شركة الدراجات</bdi>" in partner.get(CONSOLE).text


def question_of(pages, client_id, key):
    """A question that the partner has pushed, as its citizen's browser meets it."""
    asking = PartnerClient.__new__(PartnerClient)
    for name, value in {"host": pages.host, "key": key, "proof_key": key, "verifier": "v" * 43}.items():
        setattr(asking, name, value)
    asking.partner, asking.client = standing(Desk(pages.host, pages.stranger(), key, client_id)), doors(pages.host)
    details = asking.details(purpose="travel-footprint", datatypes=["TransitTrip"], granularity="event")
    return asking.asked(authorization_details=details)


def test_the_partners_own_words_stand_where_the_citizen_answers_and_are_part_of_the_notice(pages, partner, operator):
    page = f"/-/operator/partners/{partner.client_id}"
    kari = pages.citizen()
    refused = kari.get(f"/-/consent/{question_of(pages, partner.client_id, partner.key)}")
    assert refused.status_code == 403
    assert "Bysykkel" not in refused.text
    operator.post(f"{page}/admit", page)
    question = question_of(pages, partner.client_id, partner.key)
    asked = kari.get(f"/-/consent/{question}")
    assert TEXTS["notice_nb"] in asked.text
    answered = kari.client.post(
        f"/-/consent/{question}",
        data={
            "csrf": kari.token(),
            "answer": "give",
            "kind": "transit-trip",
            "granularity": "event",
            "duration": "P6M",
        },
    )
    assert answered.status_code == 303
    (grant,) = grants.list_grants(pages.host, kari.pod_id)
    assert grant.grant.terms.notice_version == "1.1 nb"
    notice = kari.get(f"/vocab/consent/notices/{grant.grant.terms.notice_hash}").text
    assert TEXTS["notice_nb"] in notice
    # The next version takes the place of the first: a renewal shows it before it takes a yes.
    anew = application(partner.key, notice_nb="Vi legger til turene dine, og ingenting annet.")
    partner.post(f"{CONSOLE}/purposes/propose", CONSOLE, **{name: anew[name] for name in ("purpose", "kind", *TEXTS)})
    operator.post(f"{page}/admit-notice", page, purpose="travel-footprint", version="2")
    shown = kari.post(f"/-/grants/{grant.grant.id}/renew")
    assert (shown.status_code, "og ingenting annet." in shown.text) == (200, True)
    assert kari.post(f"/-/grants/{grant.grant.id}/renew", read="1.2").status_code == 303
    assert grants.list_grants(pages.host, kari.pod_id)[0].grant.terms.notice_version == "1.2 nb"


def test_citizens_of_a_stopped_partner_are_told_in_words(pages, partner, operator):
    page = f"/-/operator/partners/{partner.client_id}"
    operator.post(f"{page}/admit", page)
    kari = pages.citizen()
    pages.grant(kari, partner.client_id, "transit-trip", purpose="travel-footprint")
    operator.post(f"{page}/suspend", page, reason="Mistanke om lekkasje")
    told = kari.get("/-/my-data").text
    assert "Kommunen har stanset Bysykkel AS inntil videre" in told
    assert "Mistanke om lekkasje." in told
