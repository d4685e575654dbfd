"""A question to read: what would be seen now stands on the page, each thing is chosen alone, and readings show after."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from html import unescape

import pytest
from twin_activities import electricity, trip
from twin_citizen import Citizen

from consent.grant import GrantTerms
from partner_bridge.reading import read_figures
from pod_server import grants
from pod_server.vault.vault import unlock_with_custodian

FIGURES = ["footprint-month", "electricity-day", "travel-month"]


class Made:
    """What twin_citizen needs of a citizen who exists already."""

    def __init__(self, vault):
        self.vault = vault


@pytest.fixture
def asked(pages):
    """A citizen with two days of electricity and a trip, and a partner's question to read three figures and a kind."""
    kari = pages.citizen()
    vault = unlock_with_custodian(kari.host.host_key, kari.host.key_store, kari.pod_id)
    life, at = Citizen(pages.city, Made(vault)), kari.host.clock.now()
    life.deliver(
        "TrønderEnergi",
        *(electricity(f"e{hour}", at - timedelta(hours=48 - hour), 60, 1.5, meter="m-77") for hour in range(48)),
    )
    life.deliver("AtB", trip("t1", datetime(2026, 10, 10, 12, tzinfo=UTC), 12.0))
    life.think()
    partner = pages.partner("Sparebank AS")
    (details,) = json.loads(partner.details())
    details |= {
        "type": f"{pages.host.base_url}/vocab/rar#pod-read",
        "actions": ["read"],
        "figures": FIGURES,
        "datatypes": ["transit-trip"],
        "granularity": "event",
        "history_from": datetime(2026, 9, 30, 22, tzinfo=UTC).isoformat(),
        "max_reads_per_day": 4,
        "retention": "P2M",
    }
    question = partner.asked(authorization_details=json.dumps([details]))
    return kari, partner, f"/-/consent/{question}", life


def answer(kari, address, **fields):
    return kari.client.post(address, data={"csrf": kari.token(address), **fields}, headers={"Accept": "text/html"})


def held(kari):
    return [view.grant for view in grants.list_grants(kari.host, kari.pod_id) if view.partner_name == "Sparebank AS"]


def words_of(page: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", page)).split())


def test_the_page_says_what_how_often_how_long_and_shows_todays_values(asked):
    kari, _, address, life = asked
    page = kari.get(address).text
    assert not re.search(r"\schecked", page)
    assert len(re.findall(r'type="checkbox" name="figure"', page)) == 3
    assert len(re.findall(r'type="checkbox" name="kind"', page)) == 1
    words = words_of(page)
    assert words.count("Dette ville Sparebank AS sett nå") == 4
    assert "22. november: 12" in words
    assert "Oktober 2026: 12" in words
    assert "høyst 4 ganger om dagen" in words
    assert "kan beholde det de leser i 2 måneder" in words
    assert "Eldre tall vises ikke" in words
    assert "nye leveringer" not in words
    best = sum(each[1] for each in life.figures()["months"]["2026-10"].values())
    assert f"{best:.1f}".replace(".", ",") in words


def test_the_values_are_no_part_of_the_text_that_is_kept(asked):
    kari, _, address, _ = asked
    answer(kari, address, figure="electricity-day", duration="P3M", answer="give")
    (grant,) = held(kari)
    with kari.host.storage.read() as tx:
        (text,) = tx.one("SELECT notice FROM consent_notice WHERE notice_hash = ?", (grant.terms.notice_hash,))
    assert "Strømforbruket per dag" in text
    assert "12" not in text.replace("2026", "")
    assert grant.terms.notice_version == "read-1 nb"


def test_what_is_dropped_is_not_given_and_what_is_given_is_what_was_shown(asked):
    kari, partner, address, _ = asked
    shown = words_of(kari.get(address).text)
    given = answer(kari, address, figure=["footprint-month", "electricity-day"], duration="P3M", answer="give")
    assert given.status_code == 303, given.text
    (grant,) = held(kari)
    assert grant.terms.figures == {"footprint-month", "electricity-day"}
    assert grant.terms.kinds == frozenset()
    assert grant.terms.operations == {"read"}
    read = read_figures(kari.host, partner.partner, grant.id)
    (day,) = (part for part in read["part"] if part.get("day") == "2026-11-22")
    assert f"22. november: {day['value']:.0f}" in shown


def test_no_choice_or_a_figure_that_was_not_asked_for_gives_nothing(asked):
    kari, _, address, _ = asked
    for fields in (
        {"answer": "give"},
        {"answer": "narrow"},
        {"answer": "give", "figure": "footprint-month"},
        {"answer": "give", "figure": "waste-month", "duration": "P3M"},
    ):
        assert answer(kari, address, **fields).status_code == 422
    assert not held(kari)


def test_the_consent_centre_and_the_log_tell_of_each_reading(asked):
    kari, partner, address, _ = asked
    answer(kari, address, figure="electricity-day", duration="P3M", answer="give")
    (grant,) = held(kari)
    assert "Aldri lest" in words_of(kari.get("/-/my-data").text)
    for _ in range(2):
        read_figures(kari.host, partner.partner, grant.id)
    centre = words_of(kari.get("/-/my-data").text)
    assert "Får lese" in centre or "Leser" in centre
    assert "Strømforbruket per dag" in centre
    assert "Sist lest kl. 13.00" in centre
    assert "2 ganger siste 30 dager, 2 i alt. Høyst 4 ganger om dagen." in centre
    log = words_of(kari.get("/-/log").text)
    assert "Sparebank AS leste" in log
    receipt = words_of(kari.get(f"/-/grants/{grant.id}/receipt").text)
    assert "Strømforbruket per dag" in receipt


def test_one_figure_is_taken_away_and_the_rest_stays(asked):
    kari, _, address, _ = asked
    answer(kari, address, figure=FIGURES, duration="P3M", answer="give")
    (grant,) = held(kari)
    narrow = f"/-/grants/{grant.id}/narrow"
    assert len(re.findall(r'name="figure" value="[a-z-]+" checked', kari.get(narrow).text)) == 3
    token = kari.token(narrow)
    nothing = kari.client.post(narrow, data={"csrf": token}, headers={"Accept": "text/html"})
    assert nothing.status_code == 422
    done = kari.client.post(narrow, data={"csrf": token, "figure": FIGURES[:1]}, headers={"Accept": "text/html"})
    assert done.status_code == 303
    (grant,) = held(kari)
    assert grant.terms.figures == {FIGURES[0]}


def test_each_language_has_its_own_words(asked):
    kari, _, address, _ = asked
    for language, said in (
        ("nb", "Dette ville Sparebank AS sett nå"),
        ("nn", "Dette ville Sparebank AS ha sett no"),
        ("en", "This is what Sparebank AS would see now"),
    ):
        kari.client.set_cookie("tvilling_language", language)
        assert said in words_of(kari.client.get(address, headers={"Accept": "text/html"}).text)


def test_a_consent_to_read_has_no_figures_to_deliver():
    with pytest.raises(ValueError, match="nobody delivers them"):
        GrantTerms(
            client_id="p-1", purpose="personal-footprint", kinds=frozenset(), figures=frozenset({"footprint-month"}),
            operations=frozenset({"append", "read"}), granularity="event", history_from=datetime(2026, 1, 1, tzinfo=UTC),
            expires_at=datetime(2027, 1, 1, tzinfo=UTC),
        )  # fmt: skip
