"""A guardian at the pages: a plain banner, consents alone, every act in one step, and both logs that say so."""

from __future__ import annotations

import json
import re
from datetime import timedelta

import pytest
from representing import attorney_of, guardian_of

from pod_server import delegation, grants
from pod_server.coming_of_age import look_after_birthdays

DAY = timedelta(days=1)


@pytest.fixture
def family(pages):
    """A guardian, a child of twelve, a partner, and the authority."""
    ola = pages.citizen("ola", "Ola Nordmann")
    nora = pages.citizen("nora", "Nora Nordmann")
    return ola, nora, pages.partner(), guardian_of(pages.host, nora.pod_id, ola.pod_id)


def question(partner, **changes):
    details = json.loads(partner.details(datatypes=["grocery-line"], purpose="food-footprint", granularity="event"))
    details[0].update(changes)
    return f"/-/consent/{partner.asked(authorization_details=json.dumps(details))}"


def answer(browsing, address, value="give", **fields):
    kind = {} if value == "refuse" else {"kind": ["grocery-line"], "granularity": "event", "duration": "P3M"}
    page = browsing.get(address).text
    token = re.search(r'name="csrf" value="([^"]+)"', page).group(1)
    return browsing.client.post(
        address, data={"csrf": token, "answer": value, **kind, **fields}, headers={"Accept": "text/html"}
    )


def held(browsing):
    return [view.grant for view in grants.list_grants(browsing.host, browsing.pod_id)]


def test_the_question_asks_for_whom_and_the_answer_is_the_childs(pages, family):
    ola, nora, partner, authority = family
    address = question(partner)
    own = ola.get(address).text
    assert "Hvem svarer du for?" in own
    assert f"{address}?for={authority.id}" in own
    assert "Du handler for nora." not in own
    theirs = f"{address}?for={authority.id}"
    assert "Du handler for nora." in ola.get(theirs).text
    assert answer(ola, theirs).status_code == 303
    assert held(ola) == []
    assert [grant.terms.kinds for grant in held(nora)] == [frozenset({"grocery-line"})]
    log = nora.get("/-/log").text
    assert "ola ga samtykke" in log or "ola ga" in log
    assert authority.id in log
    assert "Du handlet for nora" in ola.get("/-/log").text


def test_a_child_is_told_that_a_guardian_answers_and_may_say_no(pages, family):
    _, nora, partner, _ = family
    address = question(partner)
    assert "Før du er 13 år" in nora.get(address).text
    refused = answer(nora, address)
    assert refused.status_code == 403
    assert "too-young" in refused.text or "verge" in refused.text
    assert held(nora) == []
    assert answer(nora, address, "refuse").status_code == 303, (
        "the question was not used up by the answer that was none"
    )


def test_every_act_in_one_step_from_the_childs_centre_and_nothing_but_consents_shown(pages, family):
    ola, nora, partner, authority = family
    assert answer(ola, f"{question(partner)}?for={authority.id}").status_code == 303
    (grant,) = held(nora)
    centre = f"/-/for/{authority.id}"
    page = ola.get(centre).text
    assert "Du handler for nora." in page
    assert "Nora Nordmann" not in page, "the household is the pod's, and the pod is not opened"
    assert f"{centre}/grants/{grant.id}/erase" not in page
    assert "/receipt" not in page
    for verb, state in (("pause", "paused"), ("resume", "active"), ("renew", "active"), ("withdraw", "withdrawn")):
        assert f"{centre}/grants/{grant.id}/{verb}" in ola.get(centre).text
        done = ola.post(f"{centre}/grants/{grant.id}/{verb}")
        assert done.headers["Location"] == f"{centre}?done={verb}"
        assert str(held(nora)[0].state) == state
    assert 'role="status"' in ola.get(f"{centre}?done=withdraw").text


def test_narrowing_for_a_child_keeps_the_banner(pages, family):
    ola, nora, partner, authority = family
    details = json.loads(
        partner.details(datatypes=["grocery-line", "transit-trip"], purpose="food-footprint", granularity="event")
    )
    address = f"/-/consent/{partner.asked(authorization_details=json.dumps(details))}?for={authority.id}"
    assert answer(ola, address, kind=["grocery-line", "transit-trip"]).status_code == 303
    (grant,) = held(nora)
    narrow = f"/-/for/{authority.id}/grants/{grant.id}/narrow"
    assert "Du handler for nora." in ola.get(narrow).text
    assert ola.post(narrow, kind="grocery-line").status_code == 303
    assert held(nora)[0].terms.kinds == frozenset({"grocery-line"})


def test_a_stranger_to_the_authority_gets_one_answer_for_another_s_and_for_none(pages, family):
    _, nora, partner, authority = family
    eve = pages.citizen("eve", "Eve")
    answers = {
        re.sub(r"r-[a-z0-9]+", "", eve.get(address).text)
        for address in (f"/-/for/{authority.id}", f"/-/for/{delegation.new_id()}")
    }
    assert len(answers) == 1
    assert eve.get(f"/-/for/{authority.id}").status_code == 403
    assert nora.get(f"/-/for/{authority.id}").status_code == 403
    assert eve.get(f"{question(partner)}?for={authority.id}").status_code == 403
    assert eve.post(f"/-/representation/{authority.id}/end").status_code == 403


def test_a_power_of_attorney_is_withdrawn_in_one_step_and_a_guardianship_is_the_desks(pages, family):
    ola, nora, _, guardianship = family
    kari = pages.citizen("kari", "Kari Nordmann")
    power = attorney_of(pages.host, kari.pod_id, ola.pod_id)
    assert "case 26/1234" in kari.get("/-/representation").text
    assert ola.get(f"/-/for/{power.id}").status_code == 200
    assert kari.post(f"/-/representation/{power.id}/end").status_code == 303
    assert ola.get(f"/-/for/{power.id}").status_code == 403
    assert f"/-/representation/{guardianship.id}/end" not in nora.get("/-/representation").text
    assert nora.post(f"/-/representation/{guardianship.id}/end").status_code == 403
    assert ola.post(f"/-/representation/{guardianship.id}/end").status_code == 303, "who may act may lay it down"
    assert ola.get(f"/-/for/{guardianship.id}").status_code == 403


def test_the_young_person_confirms_in_one_step_on_their_own_page(pages, family):
    ola, nora, partner, authority = family
    assert answer(ola, f"{question(partner)}?for={authority.id}", duration="P3M").status_code == 303
    (grant,) = held(nora)
    grants.renew(
        pages.host, nora.pod_id, grant.id, actor=authority.actor("ola"), expires_at=pages.host.clock.now() + 400 * DAY
    )
    pages.city.clock.advance(98 * DAY)
    look_after_birthdays(pages.host)
    nora = pages.signed_in_again(nora)
    ola = pages.signed_in_again(ola)
    page = nora.get("/-/my-data").text
    assert "gammel nok til å svare selv" in page
    assert nora.post(f"/-/grants/{grant.id}/confirm").status_code == 303
    assert "gammel nok til å svare selv" not in nora.get("/-/my-data").text
    assert ola.post(f"/-/for/{authority.id}/grants/{grant.id}/withdraw").status_code == 403
    assert str(held(nora)[0].state) == "active"


@pytest.mark.parametrize("language", ["nb", "nn", "en"])
def test_the_pages_are_there_in_each_language(pages, family, language):
    ola, _, partner, authority = family
    ola.client.set_cookie("tvilling_language", language)
    for address in ("/-/representation", f"/-/for/{authority.id}", f"{question(partner)}?for={authority.id}"):
        page = ola.get(address)
        assert page.status_code == 200
        assert f'lang="{language}"' in page.text
        assert "style=" not in page.text
