"""T22: what was drawn from an erased partner's data goes with it: the figures that proposals rest on, decided ones too.

The thief is the one of test_t22_old_copies_of_keys.py: copies of the whole folder from before and after, passphrase,
recovery code, host key. What the citizen decided, and when, is the citizen's own and stays; what it was decided on does not.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace

import pytest
from deliveries import CITIZEN
from hosts import key_store_in, make_host
from thief import Thief
from twin_activities import MIDNIGHT, payment
from twin_citizen import Citizen
from twin_proposals import actions, add_municipality, stored, two_years_of_waste

from pod_server import calculations, grants, pods, proposals, resealing, upkeep
from pod_server.clock import SetClock
from pod_server.log import ledger
from pod_server.pods import create_pod
from pod_server.storage.schema_version import SCHEMA_VERSION, columns_of, tables_of_pods
from pod_server.vault.epoch_keys import EpochKeys
from pod_server.vault.errors import PodLocked
from pod_server.vault.host_key import HostKeyFile
from pod_server.vault.key_derivation import Argon2Cost, Passphrase
from twin_agent.act import approve, decline
from twin_agent.errors import PlanChanged

WORDS = "fire ord om katten"
DAYS = 30
CHEAP = Argon2Cost(64, 1, 1)


@pytest.fixture
def house(tmp_path):
    clock = SetClock(MIDNIGHT)
    host = make_host(tmp_path / "data", clock)
    host.key_store.close()
    (tmp_path / "apart").mkdir()
    (tmp_path / "data" / "keys" / "host.key").rename(tmp_path / "apart" / "host.key")
    host = replace(host, key_store=key_store_in(tmp_path / "data" / "keys", clock=clock, beside=tmp_path / "apart"))
    add_municipality(host)
    yield host, clock
    host.storage.close()
    host.key_store.close()


def citizen_of(host, handle: str, decision: str) -> Citizen:
    """A citizen to whom the tram pass was offered, and what they said."""
    made = create_pod(host, handle, passphrase=Passphrase(WORDS))
    kari = Citizen(SimpleNamespace(host=host), made)
    kari.deliver("TRV", *two_years_of_waste(9.3, 10.0))
    kari.think()
    (offer,) = stored(kari)
    if decision == "sent":
        approve(host, kari.own(), offer["id"], offer["plan_hash"])
    elif decision == "declined":
        decline(host, kari.own(), offer["id"])
    return kari


@pytest.mark.parametrize("decision", ["sent", "declined", "waiting"])
def test_no_copy_tells_what_a_decision_rested_on_after_the_erasure(house, tmp_path, decision):
    host, clock = house
    kari = citizen_of(host, "kari", decision)
    (before,) = stored(kari)
    assert before["_state"] == decision
    assert before["facts"]["before"] == pytest.approx(520.0)
    copies, file = tmp_path / "copies", HostKeyFile.load(tmp_path / "apart" / "host.key")
    shutil.copytree(tmp_path / "data", copies / "before", ignore=shutil.ignore_patterns("run"))

    grants.erase(host, kari.pod_id, kari.grants["TRV"].grant, actor=CITIZEN)
    (now,) = stored(kari)
    assert not {"facts", "salt", "plan_hash"} & now.keys()
    assert (now["_state"], now["programme"], now["letter"]) == (decision, before["programme"], before["letter"])
    kari.think()
    (now,) = stored(kari)
    assert now["_state"] == ("withdrawn" if decision == "waiting" else decision)
    assert now["created"] == before["created"]
    shutil.copytree(tmp_path / "data", copies / "after", ignore=shutil.ignore_patterns("run"))

    def search():
        epochs = EpochKeys(tmp_path / "apart" / "epochs", file, clock)
        thief = Thief(sorted(copies.iterdir()), file, epochs, WORDS, kari.made.recovery_code)
        return thief.read()[0], thief

    for day in range(1, DAYS + 1):
        clock.advance(timedelta(days=1))
        upkeep.tend(host)
        if day == DAYS - 1:
            opened, thief = search()
            # The thief's tools work: one day earlier the copies tell what it rested on.
            assert any(table == "proposal-figures" for table, _, _ in opened)
            assert any(b"520.0" in plain for plain in thief.plain.values())
    shutil.copytree(tmp_path / "data", copies / "last", ignore=shutil.ignore_patterns("run"))
    opened, thief = search()
    assert any(table == "proposal" for table, _, _ in opened), "that and what was decided is still the citizen's"
    assert not any(table == "proposal-figures" for table, _, _ in opened)
    told = b"".join(thief.plain.values())
    for drawn in (
        b"520.0",
        b"483.6",
        b"494.0",
        b"coverage_days",
        before["salt"].encode(),
        before["plan_hash"].encode(),
    ):
        assert drawn not in told
    # Nor does the hash beside the yes help: without the salt, which no copy gives, nobody can try weights on it.
    with closing(sqlite3.connect(copies / "last" / "tvilling.sqlite")) as database:
        about = {row[0] for row in database.execute("SELECT about FROM mandate")}
    assert about == {""}
    assert ("send-claim" in actions(kari)) == (decision == "sent"), "the log tells of the answer as before"


def test_an_offer_that_still_holds_without_the_erased_partner_gets_the_facts_that_are_left(house):
    host, _ = house
    kari = citizen_of(host, "kari", "waiting")
    kari.deliver("Strømmen AS", *two_years_of_waste(9.3, 10.0)[:1])
    kari.think()
    (shown,) = stored(kari)
    grants.erase(host, kari.pod_id, kari.grants["Strømmen AS"].grant, actor=CITIZEN)
    with pytest.raises(PlanChanged):
        approve(host, kari.own(), shown["id"], shown["plan_hash"])
    kari.think()
    (now,) = stored(kari)
    assert (now["id"], now["_state"], now["facts"]["after"]) == (shown["id"], "waiting", pytest.approx(483.6))
    assert now["salt"] != shown["salt"]
    approve(host, kari.own(), now["id"], now["plan_hash"])


def test_a_locked_pods_decisions_lose_their_figures_too_and_new_keys_take_them_along(house):
    host, _ = house
    kari = citizen_of(host, "kari", "declined")
    (before,) = stored(kari)
    vault = pods.lock_pod(host, kari.made.vault, Passphrase(WORDS), cost=CHEAP).vault
    kari.made = SimpleNamespace(vault=vault)
    assert resealing.reseal(host, vault, rest=lambda _: None)
    assert stored(kari) == [before], "sealed anew, and the same"
    with host.storage.read() as tx:
        assert tx.one("SELECT figures_epoch FROM proposal") == (2,)
    with pytest.raises(PodLocked):
        Citizen(SimpleNamespace(host=host), kari.made).as_twin()
    grants.erase(host, kari.pod_id, kari.grants["TRV"].grant, actor=CITIZEN)
    with host.storage.read() as tx:
        assert tx.one("SELECT figures_epoch, figures FROM proposal") == (0, None)
    assert stored(kari)[0]["_state"] == "declined"


def test_a_proposal_from_before_the_figures_lay_apart_is_parted_by_the_twin_or_goes_wholly(house):
    """Rows of an older version hold both in one value, under the citizen's own key."""
    host, _ = house
    assert SCHEMA_VERSION >= 28
    for handle, thinks in (("kari", True), ("per", False)):
        kari = citizen_of(host, handle, "declined")
        (before,) = stored(kari)
        with host.storage.write() as tx:
            (each,) = proposals.list_proposals(tx, kari.own())
            whole = json.dumps({name: value for name, value in before.items() if name != "_state"}).encode()
            proposals.save(tx, kari.own(), each.id, whole, state="declined", at=MIDNIGHT, if_version=each.version)
            tx.execute("UPDATE proposal SET figures_epoch = NULL, figures = NULL WHERE pod_id = ?", (kari.pod_id,))
        assert stored(kari) == [before]
        if thinks:
            kari.deliver("TRV", two_years_of_waste(9.3, 10.0)[0] | {"@id": "urn:one-more"})
            kari.think()
            assert stored(kari) == [before]
        grants.erase(host, kari.pod_id, kari.grants["TRV"].grant, actor=CITIZEN)
        assert [each["_state"] for each in stored(kari)] == (["declined"] if thinks else [])
        assert not [each for each in stored(kari) if "facts" in each]


def test_no_copy_tells_a_services_answer_after_either_side_was_erased(house, tmp_path):
    """Kari erases the service, which delivers nothing; Per the bank whose payments its answer was drawn from."""
    host, clock = house
    copies, file = tmp_path / "copies", HostKeyFile.load(tmp_path / "apart" / "host.key")
    erased = []
    for handle, answer in (("kari", b"65.1 kg"), ("per", b"71.9 kg")):
        made = create_pod(host, handle, passphrase=Passphrase(WORDS))
        citizen = Citizen(SimpleNamespace(host=host), made)
        for number in range(3):
            citizen.deliver("Banken", payment(f"coat-{number}", MIDNIGHT, 2099.0, spendClass="clothing"))
        terms = replace(citizen.grants["Banken"].permit.terms, operations=frozenset({"read"}))
        service = grants.give(host, citizen.pod_id, terms, actor=CITIZEN).id
        with host.storage.write() as tx:
            calculations.keep(tx, citizen.own(), calculations.new_id(), service, answer, MIDNIGHT)
        erased.append((citizen.pod_id, service if handle == "kari" else citizen.grants["Banken"].grant))
    shutil.copytree(tmp_path / "data", copies / "before", ignore=shutil.ignore_patterns("run"))

    def told():
        epochs = EpochKeys(tmp_path / "apart" / "epochs", file, clock)
        thief = Thief(sorted(copies.iterdir()), file, epochs, WORDS, made.recovery_code)
        thief.read()
        return [answer in b"".join(thief.plain.values()) for answer in (b"65.1 kg", b"71.9 kg")]

    assert told() == [True, True], "the thief's tools work"
    for pod_id, grant in erased:
        grants.erase(host, pod_id, grant, actor=CITIZEN)
    for _ in range(DAYS):
        clock.advance(timedelta(days=1))
        upkeep.tend(host)
    shutil.copytree(tmp_path / "data", copies / "last", ignore=shutil.ignore_patterns("run"))
    assert told() == [False, False]


GOES = {*grants.SEALED_UNDER_A_GRANT}
"""Rows of the grant: their keys are destroyed and they are deleted."""
UNDER_THE_FIGURES_KEY = {"figures"}
ANSWERS_WITHOUT_FIGURES = {"proposal", "mandate"}
SAYS_THAT_AND_WHEN = {
    "consent", "consent_event", "consent_receipt", "consent_reminder", "consent_use", "feed", "feed_change", "grant_route", "log_leaf",
    "log_tree", "log_cosignature", "outbox", "authorization_code", "refresh_token", "twin_event_counter", "representation",
}  # fmt: skip
"""What docs/threat-model.md says stays of a consent."""
NOT_OF_PARTNERS = {
    "app_code", "app_connection", "app_refresh_token", "arriving_pod", "document", "document_part", "household", "live_ticket", "passkey", "pod",
    "resealing", "script_credential", "session", "sign_in_link", "storage_use", "unsettled_pod", "upload", "upstream_link", "webhook_channel",
}  # fmt: skip
"""The citizen's own and the host's, which no partner's data goes into."""


def test_every_table_is_known_to_go_or_to_hold_nothing_of_a_partners_data():
    """Whoever adds a table says here, and in the threat model, what an erasure does to it."""
    known = [GOES, UNDER_THE_FIGURES_KEY, ANSWERS_WITHOUT_FIGURES, SAYS_THAT_AND_WHEN, NOT_OF_PARTNERS]
    assert set(tables_of_pods()) == set().union(*known)
    assert sum(map(len, known)) == len(set().union(*known))


def test_nothing_of_a_grant_is_left_but_that_and_when(house):
    host, _ = house
    kari = citizen_of(host, "kari", "declined")
    kari.deliver("Strømmen AS", *two_years_of_waste(9.3, 10.0)[:1])
    kari.think()
    erased, left = kari.grants["TRV"].grant, kari.grants["Strømmen AS"].grant

    def rows_of(grant):
        with host.storage.read() as tx:
            return {
                table
                for table in tables_of_pods()
                if "grant_id" in {column.name for column in columns_of(table)}
                and tx.one(f"SELECT 1 FROM {table} WHERE pod_id = ? AND grant_id = ?", (kari.pod_id, grant))
            }

    assert {"segment", "partial", "twin_event"} <= rows_of(erased)
    grants.erase(host, kari.pod_id, erased, actor=CITIZEN)
    kari.think()
    assert rows_of(erased) <= SAYS_THAT_AND_WHEN
    assert {"segment", "partial"} <= rows_of(left)
    with host.storage.read() as tx:
        bodies = tx.all("SELECT kind, body FROM outbox WHERE client_id = ?", (kari.grants["TRV"].partner.client_id,))
        assert {kind for kind, _ in bodies} <= {"consent-given", "consent-erased"}, "it is told that, and nothing else"
        told = b"".join(each.event.encoded() for each in ledger.read_events(tx, kari.made.vault, kari.pod_id))
    assert b"erasure-finished" in told
    for drawn in (b"520.0", b"483.6", b"9.3", b"after/", b"before/"):
        assert drawn not in told
