"""What a partner delivered, record by record, and the two buttons "not mine" and "wrong" with their own trail."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from deliveries import CITIZEN, add_partner, permit_again
from twin_activities import groceries, record

from pod_server import grants, outbox, partners, rectifications
from pod_server.activities import Delivery, append
from pod_server.authorization.enforcement import require_owner
from pod_server.opening import open_pod
from pod_server.vault.vault import unlock_with_custodian
from twin_agent.worker import run_until_idle

SAID = re.compile(r"/-/rectifications/(d-[0-9a-f]+)")


class Shopping:
    """Kari, and what Rema 1000 delivered of her."""

    def __init__(self, pages, lines=3):
        self.browsing, self.host = pages.citizen(), pages.host
        keys = add_partner(self.host, "whose keys").jwks
        self.partner = partners.add_partner(self.host, name="Rema 1000", jwks=keys, webhook="https://rema.example/hook")
        self.grant = pages.grant(self.browsing, self.partner.client_id).id
        now = self.host.clock.now()
        self.deliver(
            *(groceries(f"line/{n}", now - timedelta(hours=lines - n), 0.5, "beef-mince") for n in range(lines))
        )

    def deliver(self, *members):
        permit = permit_again(self.host, self.partner, self.grant)
        (done,) = append(self.host, [Delivery(permit, [record(each) for each in members])])
        run_until_idle(self.host)
        return [each.status for each in done.records]

    def page(self, more=""):
        answer = self.browsing.get(f"/-/delivered/{self.grant}{more}")
        assert answer.status_code == 200
        return answer.text

    def press(self, claim, record_id="line/1"):
        answer = self.browsing.post(f"/-/delivered/{self.grant}/{claim}", activity=record_id)
        assert answer.status_code == 303
        return answer.headers["Location"]

    def messages(self):
        with self.host.storage.read() as tx:
            return [
                each.kind for each in outbox.messages(tx, pod_id=self.browsing.pod_id) if "consent" not in each.kind
            ]

    def said(self):
        vault = unlock_with_custodian(self.host.host_key, self.host.key_store, self.browsing.pod_id)
        own = open_pod(self.host, require_owner(vault), vault=vault)
        with self.host.storage.read() as tx:
            return rectifications.listed(tx, own)


@pytest.fixture
def kari(pages):
    return Shopping(pages)


def test_the_page_says_when_how_much_and_what_with_two_buttons_each(kari):
    page = kari.page()
    assert page.count('action="/-/delivered/') == 6
    assert "3 opplysninger siste sju dager, 3 i alt" in page
    assert page.index("Rema 1000 får ikke vite det") < page.index('action="/-/delivered/'), (
        "what follows is said before"
    )
    assert page.count('aria-describedby="follows-not-mine"') == 3
    assert f"/-/delivered/{kari.grant}" in kari.browsing.get("/-/my-data").text


def test_not_mine_is_one_step_tells_nobody_and_is_taken_back(kari):
    said = kari.press("not-mine")
    answer = kari.browsing.get(said).text
    assert "ikke er ditt. Det er ikke med i tallene dine" in answer
    assert kari.messages() == []
    page = kari.page()
    assert page.count('action="/-/delivered/') == 4
    assert "Telles ikke" in page
    assert kari.browsing.post(f"{said}/take-back").status_code == 303
    assert "med i tallene dine igjen" in kari.browsing.get(said).text
    assert kari.page().count('action="/-/delivered/') == 6
    assert "lot en opplysning fra Rema 1000 telle igjen" in kari.browsing.get("/-/log").text


def test_the_citizen_may_have_the_partner_told_of_it_afterwards(kari):
    said = kari.press("not-mine")
    assert "Si fra til Rema 1000" in kari.browsing.get(said).text
    kari.browsing.post(f"{said}/tell")
    assert kari.messages() == ["activity-disputed"]
    answer = kari.browsing.get(said).text
    assert "Si fra til Rema 1000" not in answer
    assert "Beskjeden til Rema 1000 er på vei" in answer


def test_wrong_asks_the_partner_whose_correction_is_shown(kari):
    said = kari.press("wrong")
    assert kari.messages() == ["activity-disputed"]
    assert "før Rema 1000 har rettet det" in kari.browsing.get(said).text
    corrected = groceries("line/1", kari.host.clock.now(), 0.3, "beef-mince") | {"correction": True}
    assert kari.deliver(corrected) == ["accepted"]
    answer = kari.browsing.get(said).text
    assert "Rema 1000 har rettet det" in answer
    assert "take-back" not in answer
    assert kari.page().count('action="/-/delivered/') == 6, "it may be said again"
    assert "sa at en opplysning fra Rema 1000 er feil" in kari.browsing.get("/-/log").text


@pytest.mark.parametrize("language", ["nb", "nn", "en"])
def test_every_state_has_words_in_every_language(kari, language):
    kari.browsing.client.set_cookie("tvilling-language", language)
    addresses = [kari.press("not-mine", "line/0"), kari.press("wrong", "line/1"), kari.press("wrong", "line/2")]
    kari.browsing.post(f"{addresses[2]}/take-back")
    for address in (*addresses, f"/-/delivered/{kari.grant}", "/-/log"):
        text = kari.browsing.get(address).text
        assert not re.search(r"(dispute|delivered|action|outcome)\.[a-z-]+", re.sub(r"<[^>]*>", "", text))


def test_the_why_page_asks_whether_it_looks_right(kari):
    events = kari.browsing.get("/-/footprint/events").text
    seq = re.search(r"/-/why/(\d+)", events).group(1)
    why = kari.browsing.get(f"/-/why/{seq}").text
    assert why.count('action="/-/delivered/') == 2
    record_id = re.search(r'name="activity" value="([^"]+)"', why).group(1)
    said = kari.press("not-mine", record_id)
    assert said in kari.browsing.get(f"/-/why/{seq}").text
    assert "/not-mine" not in kari.browsing.get(f"/-/why/{seq}").text


def test_many_records_come_page_by_page_and_month_by_month(pages):
    kari = Shopping(pages, lines=60)
    assert kari.page().count('action="/-/delivered/') == 50
    assert kari.page("?page=2").count('action="/-/delivered/') == 20
    for odd in ("?page=-1", "?page=99", "?page=x", "?month=2019-13", "?month=<b>", "?page=" + "9" * 50):
        assert kari.page(odd).count('action="/-/delivered/') in {50, 20}


def test_another_citizens_consents_records_and_trails_are_not_there(pages, kari):
    ola = pages.citizen("ola", "Ola")
    said = kari.press("wrong")
    assert ola.get(f"/-/delivered/{kari.grant}").status_code == 404
    assert ola.get(said).status_code == 404
    assert ola.post(f"{said}/take-back").status_code == 404
    assert ola.post(f"/-/delivered/{kari.grant}/wrong", activity="line/0").status_code == 404
    assert kari.browsing.post(f"/-/delivered/{kari.grant}/wrong", activity="none of these").status_code == 404
    assert pages.stranger().get(said).status_code in {303, 401}
    assert [each.state for each in kari.said()] == ["open"]


def test_with_the_partner_the_trail_is_erased(kari):
    said = kari.press("wrong")
    grants.erase(kari.host, kari.browsing.pod_id, kari.grant, actor=CITIZEN)
    assert kari.browsing.get(said).status_code == 404
    assert "er slettet" in kari.page()


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("nb", "Rema 1000 svarte: kontrollert ved kilden, og riktig"),
        ("nn", "Rema 1000 svara: kontrollert ved kjelda, og rett"),
        ("en", "Rema 1000 answered: checked at the source, and right"),
    ],
)
def test_the_partners_answer_that_it_is_right_is_shown_and_the_citizen_decides(kari, language, words):
    said = kari.press("wrong")
    as_partner = open_pod(kari.host, permit_again(kari.host, kari.partner, kari.grant))
    rectifications.answer_right(kari.host, as_partner, said.rpartition("/")[2], "checked")
    kari.browsing.client.set_cookie("tvilling_language", language)
    page = kari.browsing.get(said).text
    assert words in page
    assert f"{said}/take-back" in page, "it does not count until the citizen lets it"
