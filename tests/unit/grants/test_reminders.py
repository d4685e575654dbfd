"""Consents that end soon or lie unused: told once, shown until answered, and never by themselves renewed."""

from __future__ import annotations

from datetime import timedelta

import pytest
from deliveries import CITIZEN, deliver, granted, reading
from oauth_client import new_key

from consent.attention import Attention
from pod_server import grants, outbox, partners, reminders
from pod_server.authorization.errors import NoSuchGrant
from pod_server.log import ledger


@pytest.fixture
def kari(city):
    return city.citizen("kari")


@pytest.fixture
def listening(host):
    """A partner with a webhook."""
    return partners.add_partner(
        host,
        name="Lyttende AS",
        jwks={"keys": [new_key().as_dict(private=False)]},
        webhook="https://partner.example/hook",
    )


def waiting(host, kari):
    with host.storage.read() as tx:
        return reminders.waiting(tx, kari.pod_id, host.clock.now())


def actions(host, kari):
    with host.storage.read() as tx:
        return [entry.event.action for entry in ledger.all_events(tx, kari.vault, kari.pod_id)]


def test_a_consent_that_ends_soon_is_told_once_to_both_parties(city, host, kari, listening):
    given = granted(host, kari.pod_id, partner=listening)
    city.clock.advance(timedelta(days=100))
    deliver(host, given.permit, [reading(0)])
    assert reminders.remind_due(host) == 0
    city.clock.advance(timedelta(days=171))
    assert reminders.remind_due(host) == 1
    assert reminders.remind_due(host) == 0
    (told,) = waiting(host, kari)
    assert (told.grant, told.about) == (given.grant, Attention.ENDS_SOON)
    assert actions(host, kari).count("consent-ends-soon") == 1
    with host.storage.read() as tx:
        kinds = [message.kind for message in outbox.messages(tx, client_id=listening.client_id)]
    assert kinds.count("consent-ends-soon") == 1


def test_a_consent_that_has_run_out_asks_for_nothing_though_nobody_has_written_its_end_down(city, host, kari):
    """Found by the model of consents: the page went on saying that it would end soon."""
    granted(host, kari.pod_id)
    city.clock.advance(timedelta(days=290))
    assert reminders.remind_due(host) == 1
    assert len(waiting(host, kari)) == 1
    city.clock.advance(timedelta(days=11))
    assert waiting(host, kari) == []


def test_renewing_answers_it_and_the_new_end_is_told_anew(city, host, kari):
    given = granted(host, kari.pod_id)
    city.clock.advance(timedelta(days=280))
    assert reminders.remind_due(host) == 1
    grants.renew(host, kari.pod_id, given.grant, actor=CITIZEN, expires_at=host.clock.now() + timedelta(days=100))
    assert waiting(host, kari) == []
    assert reminders.remind_due(host) == 0
    city.clock.advance(timedelta(days=80))
    assert reminders.remind_due(host) == 1


def test_an_unused_consent_is_told_and_told_again_only_after_another_half_year(city, host, kari):
    given = granted(host, kari.pod_id)
    grants.renew(host, kari.pod_id, given.grant, actor=CITIZEN, expires_at=host.clock.now() + timedelta(days=1_000))
    city.clock.advance(timedelta(days=181))
    assert reminders.remind_due(host) == 1
    assert [each.about for each in waiting(host, kari)] == [Attention.UNUSED]
    reminders.keep(host, kari.pod_id, given.grant, actor=CITIZEN)
    assert waiting(host, kari) == []
    assert "consent-kept" in actions(host, kari)
    city.clock.advance(timedelta(days=179))
    assert reminders.remind_due(host) == 0
    city.clock.advance(timedelta(days=2))
    assert reminders.remind_due(host) == 1


def test_a_consent_in_use_is_looked_at_seldom_and_its_end_still_announced(city, host, kari):
    given = granted(host, kari.pod_id)
    grants.renew(host, kari.pod_id, given.grant, actor=CITIZEN, expires_at=host.clock.now() + timedelta(days=400))
    for _ in range(4):
        city.clock.advance(timedelta(days=60))
        permit = granted_permit(host, given)
        assert deliver(host, permit, [reading(int(host.clock.now().timestamp()) // 3600 % 500)]) == ["accepted"]
        assert reminders.remind_due(host) == 0
    city.clock.advance(timedelta(days=131))
    assert reminders.remind_due(host) == 1
    assert [each.about for each in waiting(host, kari)] == [Attention.ENDS_SOON]


def granted_permit(host, given):
    from pod_server.authorization import enforcement

    return enforcement.require_grant(
        host, given.partner, given.grant, {"electricity-reading"}, "append", host.clock.now()
    )


def test_a_withdrawn_consent_reminds_nobody(city, host, kari):
    given = granted(host, kari.pod_id)
    city.clock.advance(timedelta(days=280))
    reminders.remind_due(host)
    grants.withdraw(host, kari.pod_id, given.grant, actor=CITIZEN)
    assert waiting(host, kari) == []
    assert reminders.remind_due(host) == 0


def test_nobody_answers_for_another_citizen(city, host, kari):
    given = granted(host, kari.pod_id)
    city.clock.advance(timedelta(days=280))
    reminders.remind_due(host)
    ola = city.citizen("ola")
    with pytest.raises(NoSuchGrant):
        reminders.keep(host, ola.pod_id, given.grant, actor=CITIZEN)
    assert len(waiting(host, kari)) == 1
