"""The recovery drill: the code is tried before a locked pod takes in anything that nobody else could open again."""

from __future__ import annotations

import re

import pytest

from dashboard import unlocking
from pod_server import grants, pods, recovery_drill
from pod_server.vault.key_derivation import Argon2Cost, Passphrase
from pod_server.vault.vault import unlock_with_custodian

WORDS, CHEAP = Passphrase("tolv små katter"), Argon2Cost(64, 1, 1)


def vault_of(kari):
    return unlock_with_custodian(kari.host.host_key, kari.host.key_store, kari.pod_id)


def new_code(kari):
    return pods.renew_recovery_code(kari.host, vault_of(kari))


def tried(kari, code):
    return kari.client.post(
        "/-/lock/drill", data={"csrf": kari.token("/-/lock"), "code": code}, headers={"Accept": "text/html"}
    )


def test_a_code_that_was_tried_works_changes_nothing_and_is_in_the_log(pages):
    kari = pages.citizen()
    code = new_code(kari)
    assert "Du har ikke prøvd" in kari.get("/-/my-data").text
    assert "Ikke prøvd" in kari.get("/-/lock").text
    before = kari.host.key_store.slot_mark(kari.pod_id, "recovery")
    answer = tried(kari, f" {code.lower()} ")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/-/lock?done=drill")
    assert kari.host.key_store.slot_mark(kari.pod_id, "recovery") == before
    assert "Du har ikke prøvd" not in kari.get("/-/my-data").text
    assert "Du prøvde gjenopprettingskoden" in kari.get("/-/log").text
    assert tried(kari, code).status_code == 303, "the code is not used up"


def test_a_wrong_a_mistyped_and_anothers_code_are_told_apart_and_pass_nothing(pages):
    kari, ola = pages.citizen(), pages.citizen("ola", "Ola Nordmann")
    code, others = new_code(kari), new_code(ola)
    wrong = code[:-1] + ("A" if code[-1] != "A" else "B")
    assert "åpner ikke denne poden" in tried(kari, others).text
    for text in (wrong, "", "hei", "x" * 5000):
        answer = tried(kari, text)
        assert answer.status_code == 422, text[:20]
    assert not recovery_drill.was_tried(kari.host, kari.pod_id)


def test_a_new_code_has_not_been_tried(pages):
    kari = pages.citizen()
    tried(kari, new_code(kari))
    assert recovery_drill.was_tried(kari.host, kari.pod_id)
    new_code(kari)
    assert not recovery_drill.was_tried(kari.host, kari.pod_id)
    tried(kari, new_code(kari))
    pods.renew_keys(kari.host, vault_of(kari), WORDS, cost=CHEAP)
    assert not recovery_drill.was_tried(kari.host, kari.pod_id)


@pytest.fixture
def locked(pages, monkeypatch):
    """A citizen signed in to a pod that was just locked, its code, and a partner's question."""
    monkeypatch.setattr(unlocking, "begin", lambda *_: None)  # nothing waits to be merged
    kari = pages.citizen()
    renewed = pods.lock_pod(kari.host, vault_of(kari), WORDS, cost=CHEAP)
    pages.sign_in_with(kari, renewed.vault)
    return kari, renewed.recovery_code, f"/-/consent/{pages.partner().asked()}"


def test_nobody_new_may_deliver_to_a_locked_pod_before_its_code_was_tried(locked):
    kari, code, question = locked
    kind = re.search(r'name="kind" value="([^"]+)"', kari.get(question).text).group(1)
    yes = {"answer": "give", "kind": [kind], "granularity": "PT1H", "duration": "P3M"}
    for answer in ("give", "narrow"):
        refused = kari.post(question, **(yes | {"answer": answer}))
        assert refused.status_code == 422
        assert "Prøv gjenopprettingskoden din før du sier ja" in refused.text
    assert grants.list_grants(kari.host, kari.pod_id) == []
    assert tried(kari, code).status_code == 303
    assert kari.post(question, **(yes | {"answer": "narrow"})).status_code == 303
    assert len(grants.list_grants(kari.host, kari.pod_id)) == 1


def test_saying_no_needs_no_drill(locked):
    kari, _, question = locked
    assert kari.post(question, answer="refuse").status_code == 303
