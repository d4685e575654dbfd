"""The page of a municipality's offers: what fits and why in the citizen's own figures, and what became of a claim."""

from __future__ import annotations

import json

import pytest
from twin_citizen import Citizen
from twin_proposals import SAMPLE, add_municipality, messages, stored, two_years_of_waste

from partner_bridge.claim_answers import answer_claim
from pod_server.offers import publish


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("nb", ("Hva kommunen tilbyr", "Passer for deg", "minst 5 % mindre", "Ikke nå", "Les vedtaket")),
        ("nn", ("Kva kommunen tilbyr", "Passar for deg", "minst 5 % mindre", "Ikkje no", "Les vedtaket")),
        ("en", ("What the municipality offers", "Fits you", "at least 5 % less", "Not now", "Read the decision")),
    ],
)
def test_the_whole_way_by_its_forms(pages, language, words) -> None:
    browser = pages.citizen()
    kari = Citizen(pages.city, browser.made)
    kari.deliver("TRV", *two_years_of_waste(9.0, 10.0))
    kari.think()
    hall = add_municipality(pages.host)
    publish(pages.host, hall.client_id, "more", json.dumps({**json.loads(SAMPLE), "lessPercent": 30}).encode())
    told = {"Accept-Language": language}
    page = browser.get("/-/offers", **told).text
    for each in words:
        assert each in page
    assert stored(kari) == []
    assert browser.post("/-/offers/look").status_code == 303
    (proposal,) = stored(kari)
    assert f'href="/-/twin#{proposal["id"]}"' in browser.get("/-/offers?done=looked", **told).text
    assert browser.post(f"/-/twin/{proposal['id']}/approve", plan_hash=proposal["plan_hash"]).status_code == 303
    (claim,) = messages(kari)
    answer_claim(pages.host, hall, claim.message_id, b'{"answer": "granted", "reference": "TK-1042"}')
    for address in ("/-/offers", "/-/twin"):
        assert "TK-1042" in browser.get(address, **told).text


def test_a_fixed_bound_is_told_as_one(pages) -> None:
    browser = pages.citizen()
    kari = Citizen(pages.city, browser.made)
    kari.deliver("TRV", *two_years_of_waste(9.0, 10.0))
    said = {key: value for key, value in json.loads(SAMPLE).items() if key != "lessPercent"} | {"atMost": 160}
    add_municipality(pages.host, offering=json.dumps(said).encode())
    kari.think()
    page = browser.get("/-/twin", **{"Accept-Language": "en"}).text
    assert "at most 160 kg" in page
    assert "the limit is 160 kg" in page
    assert "% less" not in page


def test_without_offers_the_page_says_so(pages) -> None:
    assert "No offers now" in pages.citizen().get("/-/offers", **{"Accept-Language": "en"}).text
