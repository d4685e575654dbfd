"""The page that says whether everything in the pod is as it was written."""

from __future__ import annotations


def test_a_whole_pod_is_said_to_be_whole_and_a_damaged_one_names_what_is_damaged(pages):
    kari = pages.citizen()
    assert "/-/log/check" in kari.get("/-/log").text
    assert "Alt er som det ble skrevet" in kari.get("/-/log/check").text
    with pages.host.storage.write() as tx:
        tx.execute("UPDATE document SET sealed_body = substr(sealed_body, 1, length(sealed_body) - 1)")
    page = kari.get("/-/log/check").text
    assert "Dokumentet profile/card kan ikke leses: det er endret, avkortet eller flyttet." in page
    assert "Si fra til den som driver tjenesten" in page
    assert pages.stranger().get("/-/log/check").status_code in {302, 303, 401}
