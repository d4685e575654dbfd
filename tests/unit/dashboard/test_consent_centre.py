"""Each act in the consent centre (K4): one step, what follows said before and shown after, in three languages, as plain HTML."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from html.parser import HTMLParser
from urllib.parse import parse_qs, urlsplit

import pytest
from representing import attorney_of

from dashboard.wording import LANGUAGES
from pod_server import grants
from pod_server.authentication.session import end_all_sessions
from pod_server.authorization.enforcement import require_mandate
from pod_server.authorization.errors import MandateMissing

ACTS = {"pause": "paused", "resume": "active", "renew": "active", "withdraw": "withdrawn"}


class Read(HTMLParser):
    """What a keyboard, a screen reader and a browser without script get to see of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: dict[str, str] = {}
        self._open: list[str | None] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.tags.append((tag, found))
        if tag not in {"input", "link", "meta", "br", "hr", "img"}:
            self._open.append(found.get("id"))

    def handle_endtag(self, tag):
        if self._open and tag not in {"input", "link", "meta", "br", "hr", "img"}:
            self._open.pop()

    def handle_data(self, data):
        for name in self._open:
            if name:
                self.words[name] = self.words.get(name, "") + data


def held(kari):
    return {view.grant.id: view.grant for view in grants.list_grants(kari.host, kari.pod_id)}


def question(partner, datatypes=("grocery-line", "transit-trip"), **changes):
    details = json.loads(
        partner.details(datatypes=list(datatypes), purpose="food-footprint", granularity="event", **changes)
    )
    details[0]["validTo"] = (partner.host.clock.now() + timedelta(days=365)).isoformat()
    return details


def ask(partner, **parameters):
    return f"/-/consent/{partner.asked(authorization_details=json.dumps(question(partner)), **parameters)}"


@pytest.fixture
def given(pages):
    """A citizen and one consent that holds."""
    kari, partner = pages.citizen(), pages.partner()
    return kari, pages.grant(kari, partner.partner.client_id)


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_act_is_one_step_told_before_and_shown_after(given, language):
    kari, grant = given
    kari.client.set_cookie("tvilling_language", language)
    for verb, state in ACTS.items():
        page = kari.get("/-/my-data").text
        read = Read(page)
        button = next(
            attributes
            for tag, attributes in read.tags
            if tag == "button" and attributes.get("aria-describedby") == f"follows-{verb}"
        )
        assert "Rema 1000" in str(button["aria-label"])
        assert len(read.words[f"follows-{verb}"]) > 40, "what follows stands on the page before the press"
        assert "/-/grants/" + grant.id + "/" + verb in page
        done = kari.post(f"/-/grants/{grant.id}/{verb}")
        assert done.status_code == 303, "one press, and no question in between"
        after = kari.get(done.headers["Location"]).text
        assert str(held(kari)[grant.id].state) == state
        assert re.search(r'role="status"><p>[^<]{5,}', after), "what came of it stands first on the page"


@pytest.mark.parametrize("language", LANGUAGES)
def test_narrowing_and_erasing_say_what_follows_on_their_own_page(given, language):
    kari, grant = given
    kari.client.set_cookie("tvilling_language", language)
    narrow = kari.get(f"/-/grants/{grant.id}/narrow").text
    assert f'action="/-/grants/{grant.id}/narrow"' in narrow
    sure = kari.post(f"/-/grants/{grant.id}/erase")
    assert sure.status_code == 200
    assert str(held(kari)[grant.id].state) == "active", "erasing has no way back, so it asks once"
    assert 'name="sure" value="yes"' in sure.text
    done = kari.post(f"/-/grants/{grant.id}/erase", sure="yes")
    assert re.search(r'role="status"><p>[^<]{5,}', kari.get(done.headers["Location"]).text)
    assert str(held(kari)[grant.id].state) == "erased"


def test_history_stays_on_the_page_and_in_the_log(given):
    kari, grant = given
    for verb in ("pause", "resume", "withdraw"):
        kari.post(f"/-/grants/{grant.id}/{verb}")
    assert grant.id in kari.get("/-/my-data").text
    log = kari.get("/-/log").text
    for words in ("satte samtykket til Rema 1000 på pause", "startet samtykket til Rema 1000 igjen", "trakk samtykket"):
        assert words in log
    receipt = kari.get(f"/-/grants/{grant.id}/receipt").text
    assert receipt.count("<li") >= 4


def test_everything_is_reached_by_keyboard_and_works_without_script(given, pages):
    kari, grant = given
    partner = pages.partner("Kiwi")
    for address in ("/-/my-data", f"/-/grants/{grant.id}/narrow", ask(partner), f"/-/grants/{grant.id}/receipt"):
        read = Read(kari.get(address).text)
        for tag, attributes in read.tags:
            assert not any(name.startswith(("on", "hx-")) for name in attributes), (address, tag, attributes)
            assert int(attributes.get("tabindex") or 0) <= 0
            if "role" in attributes and attributes["role"] in {"button", "link", "checkbox", "radio"}:
                pytest.fail(f"{address}: a {tag} that only looks like a control")
            if tag == "a" and "data-variant" in attributes:
                assert attributes["href"]


def test_two_tabs_one_answer(pages):
    """K13: a consent page in two tabs. The first answer counts; the second is told, and gives nothing."""
    kari, partner = pages.citizen(), pages.partner()
    address = ask(partner)
    token = re.search(r'name="csrf" value="([^"]+)"', kari.get(address).text).group(1)
    fields = {"csrf": token, "kind": "grocery-line", "granularity": "event", "duration": "P3M", "answer": "give"}
    first = kari.client.post(address, data=fields, headers={"Accept": "text/html"})
    second = kari.client.post(address, data=fields, headers={"Accept": "text/html"})
    assert first.status_code == 303, "a form's fields must not travel on to the partner (FAPI 2.0, point 19)"
    assert "code=" in first.headers["Location"]
    assert second.status_code == 410
    assert "code=" not in second.headers.get("Location", "")
    assert len(held(kari)) == 1


def test_a_session_that_ran_out_in_mid_form_gives_nothing_and_its_question_is_over_too(pages):
    """K13: half a day later neither the session nor the question (half an hour) holds; the partner may ask anew."""
    kari, partner = pages.citizen(), pages.partner()
    address = ask(partner)
    token = re.search(r'name="csrf" value="([^"]+)"', kari.get(address).text).group(1)
    pages.city.clock.advance(timedelta(hours=12, minutes=1))
    fields = {"csrf": token, "kind": "grocery-line", "granularity": "event", "duration": "P3M", "answer": "give"}
    late = kari.client.post(address, data=fields, headers={"Accept": "text/html"})
    assert late.status_code == 401
    pages.signed_in_again(kari)
    assert kari.get(address).status_code == 410
    assert held(kari) == {}


def test_a_session_ended_elsewhere_in_mid_form_gives_nothing_and_the_question_still_stands(pages):

    kari, partner = pages.citizen(), pages.partner()
    address = ask(partner)
    token = re.search(r'name="csrf" value="([^"]+)"', kari.get(address).text).group(1)
    end_all_sessions(pages.host, kari.pod_id)
    fields = {"csrf": token, "kind": "grocery-line", "granularity": "event", "duration": "P3M", "answer": "give"}
    assert kari.client.post(address, data=fields, headers={"Accept": "text/html"}).status_code == 401
    pages.signed_in_again(kari)
    again = kari.get(address)
    assert again.status_code == 200
    assert not re.search(r"\schecked", again.text)
    assert kari.client.post(address, data=fields, headers={"Accept": "text/html"}).status_code == 403, "the form is old"
    assert held(kari) == {}


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_question_that_changes_a_consent_says_which_and_what(pages, language):
    kari, partner = pages.citizen(), pages.partner()
    standing = pages.grant(
        kari, partner.partner.client_id, expires_at=pages.host.clock.now() + timedelta(days=30), quota_per_day=100
    )
    kari.client.set_cookie("tvilling_language", language)
    page = kari.get(ask(partner, grant_management_action="merge", grant_id=standing.id)).text
    changes = re.search(r'aria-labelledby="changes">(.*?)</section>', page, re.DOTALL).group(1)
    assert changes.count("<li>") == 3, "a kind, a later end, and no limit a day any more"
    assert changes.count("<strong>") == 3, "all of it is more, and says so"
    assert {"nb": "kommer til", "nn": "kjem til", "en": "is added"}[language] in changes
    fewer = partner.asked(
        authorization_details=json.dumps(question(partner, datatypes=["transit-trip"])),
        grant_management_action="replace",
        grant_id=standing.id,
    )
    assert {"nb": "faller bort", "nn": "fell bort", "en": "is taken away"}[language] in kari.get(
        f"/-/consent/{fewer}"
    ).text


def test_what_changed_is_part_of_the_text_that_the_consent_keeps(pages):
    kari, partner = pages.citizen(), pages.partner()
    standing = pages.grant(kari, partner.partner.client_id)
    address = ask(partner, grant_management_action="merge", grant_id=standing.id)
    token = re.search(r'name="csrf" value="([^"]+)"', kari.get(address).text).group(1)
    fields = {"csrf": token, "kind": "transit-trip", "granularity": "event", "duration": "P3M", "answer": "give"}
    assert kari.client.post(address, data=fields, headers={"Accept": "text/html"}).status_code == 303
    terms = held(kari)[standing.id].terms
    notice = kari.get(f"/vocab/consent/notices/{terms.notice_hash}").text
    assert "kommer til" in notice


def test_anothers_consent_is_shown_to_nobody_and_the_partner_hears_no(pages):
    """A change of Kari's consent, opened by somebody else: no page, no terms, and the answer that a refusal gets."""
    kari, partner = pages.citizen(), pages.partner()
    standing = pages.grant(kari, partner.partner.client_id)
    ola = pages.citizen("ola", "Ola")
    away = ola.get(ask(partner, grant_management_action="merge", grant_id=standing.id))
    assert away.status_code == 303
    assert "Varelinjer" not in away.text
    assert parse_qs(urlsplit(away.headers["Location"]).query)["error"] == ["access_denied"]
    assert held(kari)[standing.id] == standing
    assert held(ola) == {}


def test_refusing_leaves_every_page_as_it_was(pages):
    """Point 4 of the checklist: two citizens alike, one of whom said no; every page is the same but for the no itself."""
    partner = pages.partner()
    shown = {}
    for handle, answer in (("sier-nei", "refuse"), ("blir-ikke-spurt", "")):
        citizen = pages.citizen(handle, "Kari Nordmann")
        address = ask(partner)
        token = re.search(r'name="csrf" value="([^"]+)"', citizen.get(address).text).group(1)
        if answer:
            refused = citizen.client.post(
                address, data={"csrf": token, "answer": answer}, headers={"Accept": "text/html"}
            )
            assert refused.status_code == 303
        shown[handle] = {
            page: _without_names(citizen.get(page).text, handle)
            for page in (
                "/-/home", "/-/footprint", "/-/footprint/events", "/-/neighbourhood", "/-/twin", "/-/download", "/-/lock",
                "/-/security", "/-/representation",
            )
        }  # fmt: skip
    assert shown["sier-nei"] == shown["blir-ikke-spurt"]


def _without_names(page, handle):
    """What differs between any two citizens: their names, tokens and random ids."""
    page = re.sub(r'(name="csrf" value|nonce|data-ticket)="[^"]+"', "", page)
    return re.sub(r"[0-9a-f]{64}", "", page.replace(handle, "HANDLE"))


def test_refusing_is_as_easy_as_giving(pages):
    """The no needs no tick, stands beside the yes in the same form, and is one press."""
    kari, partner = pages.citizen(), pages.partner()
    read = Read(kari.get(ask(partner)).text)
    answers = [attributes for tag, attributes in read.tags if tag == "button" and attributes.get("name") == "answer"]
    assert {each["value"] for each in answers} == {"give", "narrow", "refuse"}
    assert len({(each["class"], each["data-variant"]) for each in answers}) == 1
    assert not any("required" in attributes for _, attributes in read.tags)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_complaint_is_drafted_from_the_receipt_and_nothing_is_sent(given, language, pages):
    kari, grant = given
    kari.client.set_cookie("tvilling_language", language)
    assert f"/-/grants/{grant.id}/complaint" in kari.get(f"/-/grants/{grant.id}/receipt").text
    page = kari.get(f"/-/grants/{grant.id}/complaint").text
    for words in ("Rema 1000", grant.id, "datatilsynet.no", "77", "/receipt.jsonld"):
        assert words in page
    with pages.host.storage.read() as tx:
        assert tx.one("SELECT COUNT(*) FROM outbox")[0] == 0
    stranger = pages.citizen("ola", "Ola")
    assert stranger.get(f"/-/grants/{grant.id}/complaint").status_code == 404


def test_a_receipt_is_read_and_printed_whoever_answered(pages):
    kari, ola = pages.citizen(), pages.citizen("ola", "Ola")
    power = attorney_of(pages.host, kari.pod_id, ola.pod_id)
    given = pages.grant(kari, pages.partner().partner.client_id)
    grants.pause(pages.host, kari.pod_id, given.id, actor=power.actor("ola"))
    for language, words in (("nb", "av en fullmektig"), ("nn", "av ein fullmektig"), ("en", "by an attorney")):
        kari.client.set_cookie("tvilling_language", language)
        page = kari.get(f"/-/grants/{given.id}/receipt")
        assert words in page.text
    sheet = re.search(r"/-/static/own/tvilling\.css[^\"]*", page.text).group(0)
    printed = kari.get(sheet).text.partition("@media print")[2]
    assert ".no-print" in printed
    assert "break-inside: avoid" in printed


def test_the_twin_is_turned_off_and_on_in_one_step_and_computes_nothing_meanwhile(pages):
    """Point 29 of the checklist: the standing mandate is the citizen's to end."""
    kari = pages.citizen()
    assert 'action="/-/twin/off"' in kari.get("/-/twin").text
    assert kari.post("/-/twin/off").status_code == 303
    with pytest.raises(MandateMissing):
        require_mandate(pages.host, kari.pod_id, "compute")
    page = kari.get("/-/twin?done=off").text
    assert 'role="status"' in page
    assert 'action="/-/twin/on"' in page
    assert kari.post("/-/twin/off").status_code == 303, "twice is as once"
    assert kari.post("/-/twin/on").status_code == 303
    assert require_mandate(pages.host, kari.pod_id, "compute").authority == "mandate"
    log = kari.get("/-/log").text
    assert log.count("slo av tvillingen") == 1
    assert log.count("slo på tvillingen") == 1
