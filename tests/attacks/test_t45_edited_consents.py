"""T45: whoever can write in the database edits a consent, so that a withdrawn one holds again or one that holds allows more."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from deliveries import CITIZEN, granted, permit_again

from pod_server import grants
from pod_server.authorization.errors import GrantRefused
from pod_server.clock import microseconds
from pod_server.vault.errors import Tampered


@pytest.fixture
def given(city, host):
    return granted(host, city.citizen("kari").pod_id, quota_per_day=100)


def edit(host, given, column, value):
    with host.storage.write() as tx:
        tx.execute(
            f"UPDATE consent SET {column} = ? WHERE pod_id = ? AND grant_id = ?",
            (value, given.permit.pod_id, given.grant),
        )


def test_a_withdrawn_consent_does_not_hold_again_because_its_row_says_so(host, given):
    grants.withdraw(host, given.permit.pod_id, given.grant, actor=CITIZEN)
    edit(host, given, "state", "active")
    with pytest.raises(Tampered):
        permit_again(host, given.partner, given.grant)


def test_an_edited_version_end_quota_or_holder_opens_nothing(city, host, given):
    later = microseconds(host.clock.now() + timedelta(days=4000))
    for column, value in (
        ("state_version", 7),
        ("expires_at", later),
        ("quota_per_day", 10**6),
        ("client_id", "c-other"),
    ):
        with host.storage.read() as tx:
            before = tx.one(
                f"SELECT {column} FROM consent WHERE pod_id = ? AND grant_id = ?", (given.permit.pod_id, given.grant)
            )[0]
        edit(host, given, column, value)
        with pytest.raises((Tampered, GrantRefused)):
            permit_again(host, given.partner, given.grant)
        edit(host, given, column, before)
    assert permit_again(host, given.partner, given.grant)


def test_more_kinds_in_the_row_allow_nothing_more(host, given):
    edit(host, given, "kinds", json.dumps({"vehicle-trip": "event"}))
    terms = grants.find_grant(host, given.permit.pod_id, given.grant).terms
    assert terms.kinds == {"electricity-reading", "grocery-line"}, "what was agreed is what is sealed"


def test_terms_of_another_consent_do_not_open_in_its_place(city, host, given):
    other = granted(host, given.permit.pod_id, name="En annen AS")
    with host.storage.write() as tx:
        (sealed,) = tx.one(
            "SELECT terms FROM consent WHERE pod_id = ? AND grant_id = ?", (given.permit.pod_id, other.grant)
        )
    edit(host, given, "terms", bytes(sealed))
    with pytest.raises(Tampered):
        permit_again(host, given.partner, given.grant)


def test_a_clock_set_back_brings_no_consent_back_that_ran_out(city, host, given):
    """K13: once the ledger says that it expired, an earlier clock does not make it hold; before, the clock decides."""
    city.clock.advance(timedelta(days=301))
    with pytest.raises(GrantRefused):
        permit_again(host, given.partner, given.grant)
    assert grants.expire_due(host) == 1
    city.clock.advance(timedelta(days=-200))
    with pytest.raises(GrantRefused):
        permit_again(host, given.partner, given.grant)
    assert str(grants.find_grant(host, given.permit.pod_id, given.grant).state) == "expired"
