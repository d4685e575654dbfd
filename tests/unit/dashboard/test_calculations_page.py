"""The page of second opinions: what would leave, item by item; consent and sending apart; both figures, never added."""

from __future__ import annotations

import pytest
from reckoner_house import HTML, MONTH, reckoner_house


@pytest.fixture
def opened(city):
    with reckoner_house(city) as opened:
        yield opened


def test_the_whole_way_by_its_forms(opened):
    page = opened.page()
    for seen in ("Clothing and shoes", "2\u202f100", "<code>clothes-and-shoes</code>", "Nothing is sent", "2 payments"):
        assert seen in page
    assert "&#34;amount&#34;:2100" in page, "the very bytes can be looked at"
    assert "/-/calculations/ducky/send" not in page
    assert opened.press("ducky/agree").status_code == 303
    page = opened.page("?done=agreed")
    assert "Nothing has been sent yet" in page
    assert opened.service.seen == []
    shown = page.partition('name="shown" value="')[2].partition('"')[0]
    changed = opened.press("ducky/send", month=MONTH, shown="0" * 64)
    assert changed.status_code == 409
    assert "not those you saw" in changed.text
    opened.service.faults.turn("out-of-bounds", "on")
    assert opened.press("ducky/send", month=MONTH, shown=shown).status_code == 502
    opened.service.faults.turn("out-of-bounds", "off")
    answer = opened.press("ducky/send", month=MONTH, shown=shown)
    assert (answer.status_code, answer.headers["Location"]) == (303, f"/-/calculations?done=calculated&month={MONTH}")
    page = opened.page()
    for seen in ("65 kg", "39–91 kg", "These sums have been answered"):
        assert seen in page
    assert "/-/calculations/ducky/send" not in page
    assert "never added" in page
    assert "Version 2026.2." in page
    log = opened.browser.get("/-/log", headers={**HTML, "Accept-Language": "en"}).text
    # Twice: what came of the first sending was out of bounds, and it went out all the same.
    assert "6 coarse sums went to Ducky: clothing and shoes, cafés and restaurants and furniture and furnishings" in log
    assert "Ducky answered with 3 figures" in log
    again = opened.press("ducky/send", month=MONTH, shown=shown)
    assert again.status_code == 409
    opened.service.faults.turn("429", "1")
    opened.press(f"answers/{opened.page().partition('/answers/')[2].partition('/')[0]}/drop")
    assert opened.kept() == []
    busy = opened.press("ducky/send", month=MONTH, shown=shown)
    assert (busy.status_code, "Try again in 1" in busy.text) == (503, True)
    assert opened.press("ducky/withdraw").status_code == 303
    assert "/-/calculations/ducky/agree" in opened.page("?done=withdrawn")
    assert opened.press("ducky/send", month=MONTH, shown=shown).status_code == 403


def test_it_speaks_both_forms_of_norwegian_and_stands_beside_no_source(opened):
    for language, words in (("nb", "Dette ville forlate podden for"), ("nn", "Kroner, heile hundre")):
        page = opened.browser.get("/-/calculations", headers={**HTML, "Accept-Language": language}).text
        assert words in page
    assert "ducky" not in opened.browser.get("/-/sources", headers=HTML).text.lower()
    form = {"csrf": opened.house.form_token(opened.browser)}
    assert opened.browser.post("/-/sources/ducky/connect", data=form, headers=HTML).status_code == 400
    assert opened.press("nobody/agree").status_code == 400
    assert opened.press("ducky/send", month="2020-01", shown="x").status_code in {400, 403}
