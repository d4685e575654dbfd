"""A citizen gives another a power of attorney from their own page, without any desk (ADR 0093)."""

from __future__ import annotations

import json
import re
from datetime import timedelta

import pytest
from representing import guardian_of

from consent.delegation import Act
from pod_server import delegation, own_powers, power_receipts, signing_keys
from pod_server.authorization.sealed_for_host import seal
from pod_server.delegation import NotRepresented
from pod_server.identifiers import Actor
from pod_server.own_powers import MOST_OFFERS
from pod_server.sign_in.answers import subject_hash
from pod_server.sign_in.links import LINK_LABEL
from pod_server.sign_in.providers import Provider
from pod_server.signatures import SignatureInvalid

CHOSEN = {"act": ["give", "refuse", "withdraw"], "purpose": ["food-footprint"], "months": "3"}


@pytest.fixture
def two(pages):
    return pages.citizen("kari", "Kari Nordmann"), pages.citizen("ola", "Ola Nordmann")


def offered(giver, to, **fields):
    return giver.post("/-/representation", to=to, **(CHOSEN | fields))


def ids(page):
    return re.findall(r'article class="ds-card card" id="(r-[a-z2-7]+)"', page)


def may(host, giver, act, representative_id, purpose="food-footprint"):
    with host.storage.read() as tx:
        try:
            delegation.require(host, tx, giver.pod_id, Actor("attorney", representative_id, ""), act, purpose=purpose)
        except NotRepresented:
            return False
    return True


def webid(pages, handle):
    return f"{pages.host.base_url}/{handle}/profile/card#me"


def test_offered_accepted_used_and_withdrawn_each_with_one_press(pages, two):
    kari, ola = two
    assert offered(kari, webid(pages, "ola")).status_code == 303
    (power,) = ids(ola.get("/-/representation").text)
    assert not may(pages.host, kari, Act.GIVE, power), "an offer opens nothing"
    assert ola.get(f"/-/for/{power}").status_code == 403
    assert ola.post(f"/-/representation/{power}/accept").status_code == 303
    assert may(pages.host, kari, Act.GIVE, power)
    assert not may(pages.host, kari, Act.ERASE, power), "not among what was chosen"
    assert not may(pages.host, kari, Act.GIVE, power, "personal-footprint"), "another purpose"
    assert ola.get(f"/-/for/{power}").status_code == 200
    assert kari.post(f"/-/representation/{power}/end").status_code == 303
    assert not may(pages.host, kari, Act.WITHDRAW, power)
    for browsing, words in ((kari, "Du tilbød ola fullmakt"), (ola, "kari tilbyr deg fullmakt")):
        assert words in browsing.get("/-/log").text


def test_both_have_a_signed_receipt_of_the_acceptance_and_of_the_end(pages, two):
    kari, ola = two
    offered(kari, "ola")
    (power,) = ids(ola.get("/-/representation").text)
    assert kari.get(f"/-/representation/{power}/receipt").status_code == 403, "nothing was agreed yet"
    ola.post(f"/-/representation/{power}/accept")
    receipts = [each.get(f"/-/representation/{power}/receipt").text for each in two]
    assert receipts[0] == receipts[1]
    keys = signing_keys.historical_jwks(pages.host)
    told = power_receipts.verify(receipts[0], keys)
    assert (told["event"], told["principal"], told["attorney"]) == (
        "accepted", webid(pages, "kari"), webid(pages, "ola"),
    )  # fmt: skip
    assert told["acts"] == sorted(CHOSEN["act"])
    kari.post(f"/-/representation/{power}/end")
    assert power_receipts.verify(ola.get(f"/-/representation/{power}/receipt").text, keys)["event"] == "ended"
    header, payload, signature = receipts[0].split(".")
    with pytest.raises(SignatureInvalid):
        power_receipts.verify(f"{header}.{payload[:-2]}AA.{signature}", keys)


def test_the_other_may_say_no_and_the_giver_may_take_the_offer_back(pages, two):
    kari, ola = two
    for who in two:
        offered(kari, "ola")
        waiting = [each.id for each in offers_of(pages.host, kari)]
        assert who.post(f"/-/representation/{waiting[0]}/end").status_code == 303
        assert ola.post(f"/-/representation/{waiting[0]}/accept").status_code == 403
        assert offers_of(pages.host, kari) == []


def offers_of(host, giver):
    with host.storage.read() as tx:
        return [each for each in delegation.over(tx, host, giver.pod_id) if each.offered]


def test_an_offer_is_over_after_a_month(pages, two, clock):
    kari, ola = two
    offered(kari, "ola")
    (power,) = [each.id for each in offers_of(pages.host, kari)]
    clock.advance(timedelta(days=31))
    ola = pages.signed_in_again(ola)
    assert ola.post(f"/-/representation/{power}/accept").status_code == 403


def test_nothing_is_chosen_beforehand_and_what_is_missing_is_told(pages, two):
    kari, _ = two
    page = kari.get("/-/representation").text
    assert " checked" not in page
    for without in ("act", "purpose", "months"):
        answer = kari.post("/-/representation", to="ola", **{k: v for k, v in CHOSEN.items() if k != without})
        assert answer.status_code == 422
        assert "Skriv hvem" in answer.text
    assert offered(kari, "nobody-here").status_code == 422
    assert offered(kari, "kari").status_code == 422
    assert offers_of(pages.host, kari) == []


def test_a_number_that_nobody_has_looks_like_one_that_somebody_has(pages, two, monkeypatch):
    """Whether somebody here has a national number is not to be found out by offering."""
    kari, ola = two
    known = {"01019012345": ola.pod_id}
    monkeypatch.setattr(own_powers, "_by_number", lambda _, number: known.get(number, own_powers._NOBODY))
    shown = []
    for number in ("010190 12345", "02029012345"):
        answer = offered(kari, number)
        page = kari.get("/-/representation").text
        (power,) = ids(page)
        shown.append((answer.status_code, page.replace(power, "").replace(kari.token("/-/representation"), "")))
        assert "Den som har fødselsnummeret" in page
        if number.startswith("0101"):
            assert ids(ola.get("/-/representation").text) == [power]
        kari.post(f"/-/representation/{power}/end")
        with pages.host.storage.write() as tx:
            tx.execute("DELETE FROM representation WHERE pod_id = ?", (kari.pod_id,))
    assert shown[0] == shown[1]
    log = kari.get("/-/log").text
    assert not re.search(r"\bola\b", log), "the giver's own log names nobody either"
    assert log.count("Du tilbød ••• fullmakt") >= 1


def test_a_number_reaches_whoever_signs_in_with_it(pages, two, monkeypatch):
    kari, ola = two
    provider = Provider("id-porten", "ID-porten", "https://id.example", "tvilling", subject_claim="pid")
    monkeypatch.setattr(own_powers, "list_providers", lambda _: [provider])
    named = subject_hash(pages.host, provider, {"pid": "01019012345"})
    sealed = seal(pages.host.host_key, LINK_LABEL, (named,), json.dumps(ola.pod_id).encode())
    with pages.host.storage.write() as tx:
        tx.execute(
            "INSERT INTO upstream_link (pod_id, subject_hash, slug, sealed, made_at) VALUES (?, ?, ?, ?, ?)",
            (ola.pod_id, named, "id-porten", sealed, 0),
        )
    assert offered(kari, "010190 12345").status_code == 303
    (power,) = ids(ola.get("/-/representation").text)
    assert ola.post(f"/-/representation/{power}/accept").status_code == 303
    assert "Den som har" not in kari.get("/-/representation").text
    assert may(pages.host, kari, Act.GIVE, power)


def test_nobody_accepts_for_another_and_no_child_gives_or_takes(pages, two):
    kari, ola = two
    nora = pages.citizen("nora", "Nora Nordmann")
    guardian_of(pages.host, nora.pod_id, ola.pod_id)
    offered(kari, "ola")
    (power,) = [each.id for each in offers_of(pages.host, kari)]
    for who in (kari, nora):
        assert who.post(f"/-/representation/{power}/accept").status_code == 403
    assert offered(nora, "ola").status_code == 403
    offered(kari, "nora")
    theirs = next(each.id for each in offers_of(pages.host, kari) if each.representative == nora.pod_id)
    assert nora.post(f"/-/representation/{theirs}/accept").status_code == 403


def test_an_old_session_gives_no_power_and_offers_do_not_pile_up(pages, two, clock):
    kari, _ = two
    for _ in range(MOST_OFFERS):
        assert offered(kari, "ola").status_code == 303
    assert offered(kari, "ola").status_code == 422
    clock.advance(timedelta(hours=1))
    assert offered(kari, "ola").status_code == 403


def test_a_row_that_was_edited_to_stand_stands_for_nothing(pages, two):
    kari, ola = two
    offered(kari, "ola")
    (power,) = [each.id for each in offers_of(pages.host, kari)]
    with pages.host.storage.write() as tx:
        tx.execute("UPDATE representation SET state = 'standing' WHERE pod_id = ?", (kari.pod_id,))
    assert not may(pages.host, kari, Act.GIVE, power)
    assert ola.get(f"/-/for/{power}").status_code == 403
