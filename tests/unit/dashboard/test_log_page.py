"""The page of the log: narrowed by partner and by days, and what witnesses say."""

from __future__ import annotations

from datetime import timedelta

from pod_server.identifiers import Actor
from pod_server.log import ledger
from pod_server.log.event import LogEvent


def test_the_log_is_narrowed_by_partner_and_by_days_without_a_script(pages):
    kari = pages.citizen()
    shop, bank = pages.partner("Rema 1000"), pages.partner("Sparebank 1")
    first = pages.grant(kari, shop.partner.client_id)
    pages.city.clock.advance(timedelta(hours=11, minutes=30))
    pages.grant(kari, bank.partner.client_id, kind="transit-trip")
    page = kari.get("/-/log").text
    assert page.count("Rema 1000") >= 2
    assert page.count("Sparebank 1") >= 2

    def lines(query):
        text = kari.get(f"/-/log?{query}").text
        return text[text.index('<section class="ds-card card" aria-label') :]

    assert "Rema 1000" in lines(f"partner={shop.partner.client_id}")
    assert "Sparebank 1" not in lines(f"partner={shop.partner.client_id}")
    assert "Rema 1000" not in lines("from=2026-11-24")
    assert "Sparebank 1" in lines("from=2026-11-24&to=2026-11-26")
    assert "Sparebank 1" not in lines("to=2026-11-23")
    assert kari.get("/-/log?partner=nobody&from=then&to=2026-13-45").status_code == 200
    assert "partner=" in lines(f"partner={shop.partner.client_id}&before=9999") or first.id


def test_the_page_says_what_witnesses_cosigned_and_what_they_refuse(pages):
    kari = pages.citizen()
    assert "Vitner" not in kari.get("/-/log").text
    with pages.host.storage.write() as tx:
        ledger.append(tx, kari.pod_id, LogEvent(pages.host.clock.now(), Actor("operator"), "breach-notice"))
        for witness, refused in (("auditor.example/1", ""), ("university.example/1", "shorter")):
            tx.execute(
                "INSERT INTO log_cosignature (pod_id, witness, size, root, cosigned_at, line, asked_at, refused, refused_size) "
                "VALUES (?, ?, 2, ?, 1795435200000000, ?, 0, ?, 17)",
                (kari.pod_id, witness, bytes(32), "" if refused else "— auditor.example/1 AAAA\n", refused),
            )
    page = kari.get("/-/log").text
    assert "auditor.example/1 skrev under på de 2 første hendelsene" in page
    assert "university.example/1 skriver ikke under: det har sett 17 hendelser" in page
