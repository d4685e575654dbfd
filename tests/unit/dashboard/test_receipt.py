"""The receipt as a page: what was agreed, in words, with the way to the signed file and to checking it."""

from __future__ import annotations

import json

import pytest

from dashboard.i18n.catalogue import catalogue
from dashboard.wording import LANGUAGES
from pod_server import consent_receipts, grants
from pod_server.identifiers import Actor
from pod_server.signatures import SignatureInvalid

CITIZEN = Actor("citizen")


@pytest.fixture
def given(pages):
    kari, partner = pages.citizen(), pages.partner()
    return kari, pages.grant(kari, partner.partner.client_id)


def test_the_consent_centre_leads_to_each_receipt(given):
    kari, grant = given
    assert f'href="/-/grants/{grant.id}/receipt"' in kari.get("/-/my-data").text


def test_the_receipt_says_who_what_why_how_long_and_how_to_withdraw(given):
    kari, grant = given
    page = kari.get(f"/-/grants/{grant.id}/receipt").text
    for words in (
        "Kvittering",
        "Rema 1000",
        "Varelinjer",
        "Fotavtrykket av maten din",
        "artikkel 6",
        "Mine data",
        "Gitt av deg",
    ):
        assert words in page
    assert f'href="/-/grants/{grant.id}/receipt.jsonld"' in page


def test_every_state_has_a_receipt_page_in_both_languages(pages, given):
    kari, grant = given
    for act in (grants.pause, grants.resume, grants.withdraw, grants.erase):
        act(pages.host, kari.pod_id, grant.id, actor=CITIZEN)
        for language in LANGUAGES:
            kari.client.set_cookie("tvilling_language", language)
            assert kari.get(f"/-/grants/{grant.id}/receipt").status_code == 200


def test_the_file_verifies_with_the_keys_that_the_host_publishes(given, pages):
    kari, grant = given
    file = kari.get(f"/-/grants/{grant.id}/receipt.jsonld")
    issuer = json.loads(pages.stranger().get("/vocab/consent/issuer.jsonld").text)
    assert consent_receipts.verify(file.text, issuer)["record"]["state"] == "active"
    with pytest.raises(SignatureInvalid):
        consent_receipts.verify(file.text.replace('"active"', '"withdrawn"'), issuer)


def test_another_citizen_s_receipt_is_not_there(given, pages):
    _, grant = given
    ola = pages.citizen("ola", "Ola")
    for end in ("receipt", "receipt.jsonld"):
        assert ola.get(f"/-/grants/{grant.id}/{end}").status_code == 404


def test_a_stranger_is_shown_the_door(given, pages):
    _, grant = given
    shown = pages.stranger().get(f"/-/grants/{grant.id}/receipt", headers={"Accept": "text/html"})
    assert shown.status_code == 303


def test_the_context_and_the_shape_are_served_and_an_unknown_text_is_not(pages):
    stranger = pages.stranger()
    assert "ConsentReceipt" in json.loads(stranger.get("/vocab/consent/context.jsonld").text)["@context"]
    assert b"sh:NodeShape" in stranger.get("/vocab/consent/shape.ttl").data
    assert stranger.get("/vocab/consent/notices/" + "0" * 64).status_code == 404


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_event_and_everybody_who_makes_one_has_a_word(language):
    words = catalogue(language).words
    assert {
        f"receipt.event-{kind}"
        for kind in ("requested", "given", "refused", "paused", "resumed", "renewed", "withdrawn", "expired", "erased")
    } <= set(words)
    assert {f"receipt.by-{who}" for who in ("citizen", "assistant", "partner", "host")} <= set(words)
