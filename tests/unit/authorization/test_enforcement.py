"""What each authority permits, and how refusals are told and logged."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from deliveries import CITIZEN, add_partner, granted

from consent.reasons import Reason
from pod_server import grants, partners, problems
from pod_server.authorization import enforcement, mandates
from pod_server.authorization.errors import (
    ConsentPaused,
    ConsentWithdrawn,
    GrantRefused,
    KindNotGranted,
    MandateMissing,
    NoSuchGrant,
    NotConsentedToResearch,
    NotTheOwner,
)
from pod_server.authorization_server.tokens import AuthenticatedPartner
from pod_server.identifiers import GrantId
from pod_server.log import ledger
from pod_server.vault.vault import public_vault


@pytest.fixture
def kari(city):
    return city.citizen("kari")


def ask(host, partner, grant, kinds=("electricity-reading",), operation="append"):
    return enforcement.require_grant(host, partner, grant, kinds, operation, host.clock.now())


def last_event(host, kari):
    with host.storage.read() as tx:
        return next(iter(ledger.all_events(tx, kari.vault, kari.pod_id)))


def answer(host, error):
    return problems.problem_details(error, host.base_url)


def test_a_grants_permit_names_the_pod_the_grant_and_nothing_more(host, kari):
    given = granted(host, kari.pod_id)
    permit = ask(host, given.partner, given.grant)
    assert (permit.authority, permit.pod_id, permit.grant) == ("grant", kari.pod_id, given.grant)
    assert permit.actor.id == given.partner.client_id
    assert not permit.allows("write")
    assert permit.webid is None


def test_unknown_foreign_and_misdirected_grants_get_one_identical_answer(city, host, kari):
    given = granted(host, kari.pod_id)
    ola = city.citizen("ola")
    stranger = add_partner(host, "En annen AS")
    other_token = AuthenticatedPartner(given.partner.client_id, "x", GrantId("g-other"), "jkt")
    answers = []
    for client, grant, options in (
        (stranger, given.grant, {}),
        (stranger, "g-aaaaaaaaaaaaaaaaaaaaaaaaaa", {}),
        (stranger, "'; DROP TABLE consent; --", {}),
        (stranger, "x" * 5000, {}),
        (given.partner, given.grant, {"pod_id": ola.pod_id}),
        (other_token, given.grant, {}),
    ):
        with pytest.raises(NoSuchGrant) as refused:
            enforcement.require_grant(host, client, grant, (), "append", host.clock.now(), **options)
        answers.append(answer(host, refused.value))
    assert all(each == answers[0] for each in answers)


def test_a_stranger_at_a_grant_is_in_the_citizens_log_with_the_true_reason(host, kari):
    given = granted(host, kari.pod_id)
    stranger = add_partner(host, "En annen AS")
    with pytest.raises(NoSuchGrant):
        ask(host, stranger, given.grant)
    event = last_event(host, kari).event
    assert (event.outcome, event.actor.id, event.grant) == ("not-your-grant", stranger.client_id, given.grant)


def test_a_refusal_after_withdrawal_is_named_logged_and_counted(host, kari):
    given = granted(host, kari.pod_id)
    grants.withdraw(host, kari.pod_id, given.grant, actor=CITIZEN)
    with pytest.raises(ConsentWithdrawn) as refused:
        enforcement.require_grant(
            host, given.partner, given.grant, ("electricity-reading",), "append", host.clock.now(), count=24
        )
    details = answer(host, refused.value)
    assert details["type"].endswith("/problems/consent-withdrawn")
    assert details["reasons"] == ["consent-withdrawn"]
    event = last_event(host, kari).event
    assert (event.action, event.outcome, event.count) == ("deliver", "consent-withdrawn", 24)
    (view,) = grants.list_grants(host, kari.pod_id)
    assert view.refused == 24


def test_a_grant_that_covers_none_of_the_kinds_refuses(host, kari):
    given = granted(host, kari.pod_id, kinds=frozenset({"grocery-line"}))
    with pytest.raises(KindNotGranted):
        ask(host, given.partner, given.grant)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (grants.withdraw, Reason.CONSENT_WITHDRAWN),
        (grants.pause, Reason.CONSENT_PAUSED),
        (grants.erase, Reason.CONSENT_ERASED),
    ],
)
def test_an_old_permit_is_worth_nothing_after_the_citizens_change_of_mind(host, kari, change, reason):
    given = granted(host, kari.pod_id)
    change(host, kari.pod_id, given.grant, actor=CITIZEN)
    with host.storage.write() as tx:
        refused = enforcement.recheck_grant(tx, given.permit, host.clock.now(), adding=1)
    assert refused.reasons == (reason,)


def test_an_old_permit_ends_with_the_grants_time_and_quota(city, host, kari):
    given = granted(host, kari.pod_id, quota_per_day=10)
    with host.storage.write() as tx:
        enforcement.record_use(tx, given.permit, host.clock.now(), accepted=8)
        assert enforcement.recheck_grant(tx, given.permit, host.clock.now(), adding=2) is None
        over = enforcement.recheck_grant(tx, given.permit, host.clock.now(), adding=3)
        assert over.reasons == (Reason.QUOTA_EXCEEDED,)
    city.clock.advance(timedelta(days=1))
    with host.storage.write() as tx:
        assert enforcement.recheck_grant(tx, given.permit, host.clock.now(), adding=10) is None
    city.clock.advance(timedelta(days=400))
    with host.storage.write() as tx:
        late = enforcement.recheck_grant(tx, given.permit, host.clock.now(), adding=1)
    assert late.reasons == (Reason.CONSENT_EXPIRED,)


def test_a_pause_can_be_undone_and_a_withdrawal_cannot(host, kari):
    given = granted(host, kari.pod_id)
    grants.pause(host, kari.pod_id, given.grant, actor=CITIZEN)
    with pytest.raises(ConsentPaused):
        ask(host, given.partner, given.grant)
    grants.resume(host, kari.pod_id, given.grant, actor=CITIZEN)
    assert ask(host, given.partner, given.grant).state_version == 3


def test_the_owners_permit_is_for_the_proved_pod_alone(city, host, kari):
    ola = city.citizen("ola")
    assert enforcement.require_owner(kari.vault).pod_id == kari.pod_id
    assert enforcement.require_owner(kari.vault, assisted=True).actor.kind == "operator-assisted"
    with pytest.raises(NotTheOwner):
        enforcement.require_owner(kari.vault, pod_id=ola.pod_id)


def test_naming_a_pod_or_opening_its_public_part_proves_nothing(host, kari):
    for no_proof in (kari.pod, public_vault(host.host_key, host.key_store, kari.pod_id), None):
        with pytest.raises(NotTheOwner):
            enforcement.require_owner(no_proof)


def test_the_twin_observes_by_standing_mandate_and_sends_nothing_without_a_yes(host, kari):
    assert enforcement.require_mandate(host, kari.pod_id, "observe").authority == "mandate"
    with pytest.raises(MandateMissing):
        enforcement.require_mandate(host, kari.pod_id, "send-claim")
    now = host.clock.now()
    with host.storage.write() as tx, pytest.raises(MandateMissing):
        enforcement.require_single_mandate(tx, kari.pod_id, act="send-claim", about="plan-1", at=now)


def test_a_single_mandate_is_for_one_plan_once_and_not_for_long(city, host, kari):
    now = host.clock.now()

    def use(about):
        with host.storage.write() as tx:
            return enforcement.require_single_mandate(
                tx, kari.pod_id, act="send-claim", about=about, at=host.clock.now()
            )

    for mandate_id, about in (("m-1", "plan-1"), ("m-1", "plan-9"), ("m-2", "plan-2")):
        with host.storage.write() as tx:
            mandates.give_single_mandate(
                tx,
                kari.pod_id,
                mandate_id=mandate_id,
                act="send-claim",
                about=about,
                at=now,
                expires_at=now + timedelta(days=1),
            )
    with pytest.raises(MandateMissing):
        use("plan-9")
    assert use("plan-1").allows("send-claim")
    with pytest.raises(MandateMissing):
        use("plan-1")
    city.clock.advance(timedelta(days=2))
    with pytest.raises(MandateMissing):
        use("plan-2")


def test_a_twin_that_was_turned_off_may_do_nothing(host, kari):
    with host.storage.write() as tx:
        mandates.end_standing_mandate(tx, kari.pod_id)
    with pytest.raises(MandateMissing):
        enforcement.require_mandate(host, kari.pod_id, "compute")


def test_research_reads_under_a_consent_that_holds_now(host, kari):
    now = host.clock.now()
    with pytest.raises(NotConsentedToResearch):
        enforcement.require_release(host, kari.pod_id, now)
    given = granted(host, kari.pod_id)
    terms = replace(
        given.permit.terms,
        client_id=partners.RESEARCH.client_id,
        operations=frozenset({"read"}),
        purpose="research-statistics",
    )
    consent = grants.give(host, kari.pod_id, terms, actor=CITIZEN)
    assert enforcement.require_release(host, kari.pod_id, now).grant == consent.id
    grants.withdraw(host, kari.pod_id, consent.id, actor=CITIZEN)
    with pytest.raises(NotConsentedToResearch):
        enforcement.require_release(host, kari.pod_id, now)


def test_every_reason_has_an_exception_a_problem_and_a_page():
    from pathlib import Path

    from consent.decision import Refused
    from pod_server.authorization.errors import refusal_error

    pages = Path(__file__).parents[3] / "docs" / "problems"
    for reason in Reason:
        error = refusal_error(Refused((reason,)))
        assert isinstance(error, GrantRefused)
        slug = problems.problem_type_of(error).slug
        assert slug == ("no-such-grant" if reason is Reason.NOT_YOUR_GRANT else str(reason))
        assert (pages / f"{slug}.md").is_file()
