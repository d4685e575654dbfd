"""The page on which a citizen deletes the pod."""

from __future__ import annotations

import html
import re

from pod_server import removal
from pod_server.signing_keys import historical_jwks
from pod_server.vault.key_derivation import Passphrase

WORDS = "fire ord om katten"


def test_the_pod_goes_after_the_handle_and_the_passphrase_and_the_receipt_is_shown_once(pages):
    kari = pages.citizen(passphrase=Passphrase(WORDS))
    assert 'type="password"' in kari.get("/-/remove").text
    assert kari.post("/-/remove", handle="ola", passphrase=WORDS).status_code == 422
    assert kari.post("/-/remove", handle="kari", passphrase="not this one").status_code == 403
    assert kari.get("/-/my-data").status_code == 200, "nothing was deleted"
    answer = kari.post("/-/remove", handle="kari", passphrase=WORDS)
    assert answer.status_code == 200
    receipt = html.unescape(re.search(r"<textarea[^>]*>([^<]+)</textarea>", answer.text).group(1))
    assert removal.verify_receipt(receipt, historical_jwks(pages.host))["sub"].endswith("/kari/profile/card#me")
    assert answer.headers["Cache-Control"] == "no-store"
    assert kari.get("/-/my-data").status_code in {302, 303, 401}


def test_a_pod_without_a_passphrase_asks_for_the_handle_alone(pages):
    kari = pages.citizen()
    assert 'type="password"' not in kari.get("/-/remove").text
    assert "slettet" in kari.post("/-/remove", handle="kari").text
