"""A citizen sees who brought a partner's data: on the consent's card and in the log, in three languages."""

from __future__ import annotations

import pytest

from partner_bridge.batch_files import Bringer
from partner_bridge.delivery import Item, deliver
from pod_server import acting
from pod_server.partner_standing import By


@pytest.mark.parametrize(
    ("language", "card", "line"),
    [
        ("nb", "Evry, på vegne av", ", levert av Evry"),
        ("nn", "Evry, på vegner av", ", levert av Evry"),
        ("en", "Evry, on behalf of", ", delivered by Evry"),
    ],
)
def test_card_and_log_name_both(pages, language, card, line):
    kari = pages.citizen()
    bank = pages.partner("SpareBank 1 SMN").partner
    evry = pages.partner("Evry").partner
    grant = pages.grant(kari, bank.client_id, "electricity-reading").id
    acting.authorise(pages.host, bank.client_id, evry.client_id, by=By("operator", "byrådet"))
    bringer = Bringer(bank.client_id, "SpareBank 1 SMN", None, evry.client_id, "Evry")
    raw = b'{"@id":"x:1","@type":"ElectricityReading","start":"2026-11-20T10:00:00Z","end":"2026-11-20T11:00:00Z","quantity":1,"unit":"KiloW-HR"}'
    (answer,) = deliver(pages.host, bringer, [Item(grant, raw)])
    assert answer.status == "accepted"
    assert card in kari.get("/-/my-data", **{"Accept-Language": language}).text
    assert f"SpareBank 1 SMN{line}" in kari.get("/-/log", **{"Accept-Language": language}).text
    acting.end(pages.host, bank.client_id, evry.client_id, by=By("operator", "byrådet"))
    assert card not in kari.get("/-/my-data", **{"Accept-Language": language}).text
