"""V11: consents against a reference in one page: what may happen when, what is then let in, what the receipt says.

Time goes on by rules; Permits are kept from long ago and used late; the power goes in the middle of a withdrawal. No
delivery is ever accepted that the reference refuses, and after a withdrawal none at all.
"""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest
from deliveries import CITIZEN, add_partner, reading
from hypothesis import strategies as some
from hypothesis.stateful import initialize, invariant, precondition, rule
from stateful_house import PATIENCE_SECONDS, House, live

from consent.errors import EventOutOfOrder, TermsInvalid
from consent.grant import GrantTerms
from consent.ledger import fold
from pod_server import consent_receipts, grants, reminders
from pod_server.activities import Delivery, append, read_activities
from pod_server.authorization import grant_rows
from pod_server.authorization.enforcement import require_grant, require_owner
from pod_server.authorization.errors import GrantRefused
from pod_server.errors import PermitExceeded
from pod_server.log import ledger
from pod_server.opening import open_pod
from pod_server.pods import create_pod

KINDS = ("electricity-reading", "grocery-line")

CAN = {
    "paused": ("active",),
    "resumed": ("paused",),
    "renewed": ("active", "paused", "expired"),
    "narrowed": ("active", "paused"),
    "withdrawn": ("active", "paused", "expired"),
    "erased": ("active", "paused", "expired", "withdrawn"),
}
BECOMES = {"resumed": "active", "renewed": "active"}
AGAIN_IS_NOTHING = {"paused": "paused", "resumed": "active", "withdrawn": "withdrawn", "erased": "erased"}
REFUSAL = {
    "paused": "consent-paused",
    "withdrawn": "consent-withdrawn",
    "expired": "consent-expired",
    "erased": "consent-erased",
    "refused": "no-such-grant",
}


@dataclass
class Consent:
    """The reference: a consent as the law has it."""

    client_id: str
    kinds: frozenset[str]
    given_at: datetime
    ends: datetime
    state: str = "active"
    events: list[tuple[str, datetime, str]] = field(default_factory=list)
    records: set[bytes] = field(default_factory=set)

    def state_at(self, at: datetime) -> str:
        """A consent that nobody ended ends by itself."""
        return "expired" if self.state in {"active", "paused"} and at >= self.ends else self.state

    def happen(self, kind: str, at: datetime, by: str = "citizen") -> bool | None:
        """An event: True where it happened, False where it was so already, None where it cannot be."""
        if AGAIN_IS_NOTHING.get(kind) == self.state:
            return False
        told = [("expired", self.ends, "host")] if self.state_at(at) == "expired" != self.state else []
        if self.state_at(at) not in CAN[kind]:
            return None
        self.events += [*told, (kind, at, by)]
        self.state = BECOMES.get(kind, self.state_at(at) if kind == "narrowed" else kind)
        return True


class ConsentsAgainstTheLaw(House):
    """One pod, two partners, a few consents each."""

    def __init__(self) -> None:
        super().__init__()
        self.made = create_pod(self.host, "kari")
        self.pod_id = self.made.pod_id
        self.partners = [add_partner(self.host, name) for name in ("Strømmen AS", "Kolonial AS")]
        self.consents: dict[str, Consent] = {}
        self.permits: list[tuple[str, int, object]] = []
        self.number = 0
        self.refusals: list[tuple[str, datetime]] = []

    def _terms(self, partner: int, kinds: frozenset[str], days: int) -> GrantTerms:
        now = self.clock.now()
        return GrantTerms(
            client_id=self.partners[partner].client_id,
            purpose="personal-footprint",
            kinds=kinds,
            operations=frozenset({"append", "read"}),
            granularity="event",
            history_from=now - timedelta(days=800),
            expires_at=now + timedelta(days=days),
        )

    def _pick(self, number: int) -> tuple[str, Consent]:
        return list(self.consents.items())[number % len(self.consents)]

    # What the citizen does

    @precondition(lambda self: len(self.consents) < 5)
    @rule(
        partner=some.integers(0, 1),
        kinds=some.frozensets(some.sampled_from(KINDS), min_size=1),
        days=some.sampled_from([1, 20, 90, 400]),
        yes=some.integers(0, 3),
    )
    def answer(self, partner, kinds, days, yes):
        self._answer(partner, kinds, days, yes)

    @initialize(days=some.sampled_from([20, 90, 400]))
    def two_consents_and_a_no(self, days):
        """Every life begins with something."""
        for partner, yes in ((0, 1), (1, 1), (1, 0)):
            self._answer(partner, frozenset(KINDS), days, yes)
            self._ask(partner, partner)

    def _answer(self, partner: int, kinds: frozenset[str], days: int, yes: int) -> None:
        terms, now = self._terms(partner, kinds, days), self.clock.now()
        if yes:
            grant = grants.give(self.host, self.pod_id, terms, actor=CITIZEN)
            events = [("given", now, "citizen")]
        else:
            grant = grants.refuse(self.host, self.pod_id, terms, actor=CITIZEN)
            events = [("refused", now, "citizen")]
            self.refusals.append((terms.client_id, now))
        state = "active" if yes else "refused"
        self.consents[grant.id] = Consent(terms.client_id, kinds, now, terms.expires_at, state, events)

    @rule(
        number=some.integers(0, 4),
        late=some.booleans(),
        kind=some.sampled_from(["paused", "resumed", "renewed", "narrowed", "withdrawn", "erased"]),
        days=some.sampled_from([-1, 5, 200]),
        cut=some.none() | some.none() | some.integers(1, 25),
    )
    def change(self, number, kind, days, cut, late):
        """And at once somebody comes late, with a Permit from before."""
        grant_id = self._change(number, kind, days, cut)
        held = [place for place, permit in enumerate(self.permits) if permit[0] == grant_id]
        for place in held[:1] if late else []:
            self._deliver(place, 1, None)

    def _change(self, number: int, kind: str, days: int, cut: int | None) -> str:
        grant_id, consent = self._pick(number)
        now, before = self.clock.now(), copy.deepcopy(consent)
        end = now + timedelta(days=days)
        act = {
            "paused": lambda: grants.pause(self.host, self.pod_id, grant_id, actor=CITIZEN),
            "resumed": lambda: grants.resume(self.host, self.pod_id, grant_id, actor=CITIZEN),
            "renewed": lambda: grants.renew(self.host, self.pod_id, grant_id, actor=CITIZEN, expires_at=end),
            "narrowed": lambda: grants.narrow(
                self.host, self.pod_id, grant_id, actor=CITIZEN, kinds=frozenset(sorted(consent.kinds)[:1])
            ),
            "withdrawn": lambda: grants.withdraw(self.host, self.pod_id, grant_id, actor=CITIZEN),
            "erased": lambda: grants.erase(self.host, self.pod_id, grant_id, actor=CITIZEN),
        }[kind]
        happened = consent.happen(kind, now)
        if happened is None:
            with pytest.raises(EventOutOfOrder):
                act()
            return grant_id
        if kind == "renewed" and days < 0:
            self.consents[grant_id] = before
            with pytest.raises(TermsInvalid):
                act()
            return grant_id
        if happened and kind == "renewed":
            consent.ends = end
        if happened and kind == "narrowed":
            consent.kinds = frozenset(sorted(consent.kinds)[:1])
        if kind == "erased":
            consent.records = set()
        self.cut_at = cut
        if self.survives(act):
            return grant_id
        # The machine stopped: it happened or it did not, and what began is finished by the start of the agent.
        grants.resume_erasures(self.host)
        consent_receipts.resume_filing(self.host)
        if grants.find_grant(self.host, self.pod_id, grant_id).state_version == len(before.events):
            self.consents[grant_id] = before
        return grant_id

    # What time does

    @rule(hours=some.sampled_from([1, 20, 24 * 6, 24 * 31, 24 * 190]))
    def time_goes_on(self, hours):
        self.clock.advance(timedelta(hours=hours))

    @rule()
    def the_agent_writes_down_what_ran_out(self):
        now = self.clock.now()
        due = [each for each in self.consents.values() if each.state_at(now) == "expired" != each.state]
        assert grants.expire_due(self.host) == len(due)
        for consent in due:
            consent.events.append(("expired", now, "host"))
            consent.state = "expired"

    def the_citizen_is_reminded_of_what_ends_or_lies_idle(self):
        reminders.remind_due(self.host)
        now = self.clock.now()
        with self.host.storage.read() as tx:
            told = {each.grant: str(each.about) for each in reminders.waiting(tx, self.pod_id, now)}
        for grant_id, consent in self.consents.items():
            length = consent.ends - consent.given_at
            soon = consent.ends - min(timedelta(days=30), length / 4)
            active = consent.state_at(now) == "active"
            assert (told.get(grant_id) == "ends-soon") == (active and now >= soon), (grant_id, consent)
        assert told.keys() <= self.consents.keys()
        assert reminders.remind_due(self.host) == 0, "each is told once"

    def a_partner_that_was_refused_may_not_ask_at_once(self):
        since = self.clock.now() - timedelta(days=30)
        for partner in self.partners:
            lately = any(client == partner.client_id and at > since for client, at in self.refusals)
            asked = grants.refused_lately(self.host, self.pod_id, partner.client_id, "personal-footprint")
            assert asked == lately

    @rule(restart=some.booleans())
    def look_at_everything(self, restart):
        """Also after all that a process remembers is gone."""
        if restart:
            self.reopen()
        self.the_citizen_is_reminded_of_what_ends_or_lies_idle()
        self.a_partner_that_was_refused_may_not_ask_at_once()
        self.every_receipt_tells_all_that_happened_and_nothing_else()
        self.the_log_tells_every_act()

    # What partners try

    @rule(number=some.integers(0, 4), partner=some.integers(0, 1))
    def ask_for_a_permit(self, number, partner):
        self._ask(number, partner)

    def _ask(self, number: int, partner: int) -> None:
        grant_id, consent = self._pick(number)
        state, asker = consent.state_at(self.clock.now()), self.partners[partner]
        expected = "" if state == "active" else REFUSAL[state]
        if asker.client_id != consent.client_id:
            expected = "no-such-grant"
        if expected:
            with pytest.raises(GrantRefused) as refused:
                require_grant(self.host, asker, grant_id, (), "append", self.clock.now())
            assert refused.value.reasons[0] == expected
            return
        permit = require_grant(self.host, asker, grant_id, (), "append", self.clock.now())
        assert permit.kinds == consent.kinds
        self.permits.append((grant_id, len(consent.events), permit))

    @rule(
        number=some.integers(0, 50),
        count=some.integers(1, 3),
        cut=some.none() | some.none() | some.integers(1, 12),
        fresh=some.booleans(),
    )
    def deliver_under_a_permit_however_old(self, number, count, cut, fresh):
        if fresh:
            for partner in (0, 1):
                self._ask(number, partner)
        if self.permits:
            self._deliver(number % len(self.permits), count, cut)

    def _deliver(self, number: int, count: int, cut: int | None) -> None:
        grant_id, version, permit = self.permits[number]
        consent, now = self.consents[grant_id], self.clock.now()
        records = [reading(self.number + each) for each in range(count)]
        self.number += count
        state = consent.state_at(now)
        expected = "" if state == "active" else REFUSAL[state]
        if not expected and version != len(consent.events):
            expected = "consent-changed"
        outcomes: list[object] = []
        if "electricity-reading" not in permit.kinds:
            with pytest.raises(PermitExceeded):
                append(self.host, [Delivery(permit, records)])
            return
        self.cut_at = cut
        if not self.survives(lambda: outcomes.extend(append(self.host, [Delivery(permit, records)]))):
            there = self._stored(grant_id) - consent.records
            assert there in (set(), {each.raw for each in records}), "a delivery is whole or not at all"
            assert not there or not expected
            consent.records |= there
            return
        (outcome,) = outcomes
        if expected:
            assert outcome.refusal is not None
            assert outcome.refusal.reasons[0] == expected
        else:
            assert [each.status for each in outcome.records] == ["accepted"] * count
            consent.records |= {each.raw for each in records}

    def _stored(self, grant_id: str) -> set[bytes]:
        opened = open_pod(self.host, require_owner(self.made.vault))
        return {one.raw for one in read_activities(self.host, opened, grant=grant_id)}

    # What must hold

    def every_receipt_tells_all_that_happened_and_nothing_else(self):
        issuer = consent_receipts.issuer_document(self.host)
        for grant_id, consent in self.consents.items():
            with self.host.storage.read() as tx:
                receipt = consent_receipts.latest(self.host, tx, self.pod_id, grant_id)
            told = consent_receipts.verify(json.dumps(receipt), issuer)
            assert told["id"].endswith(f"#receipt-{len(consent.events)}") or "record" in told
            times = [each["indicatedAtTime"] for each in told["record"]["consentStatus"]]
            assert times == [at.isoformat().replace("+00:00", "Z") for _, at, _ in consent.events]

    def the_log_tells_every_act(self):
        with self.host.storage.read() as tx:
            entries = list(ledger.all_events(tx, self.made.vault, self.pod_id))[::-1]
        for grant_id, consent in self.consents.items():
            acts = [
                each.event.action.removeprefix("consent-")
                for each in entries
                if each.event.grant == grant_id
                and each.event.action.removeprefix("consent-") in {*CAN, "given", "refused"}
            ]
            assert acts == [kind for kind, _, _ in consent.events if kind != "expired"]

    @invariant()
    def the_house_agrees_with_the_law(self):
        now = self.clock.now()
        with self.host.storage.read() as tx:
            for grant_id, consent in self.consents.items():
                row = grant_rows.grant_in_pod(tx, self.host.host_key, self.pod_id, grant_id)
                events = grant_rows.events_of(tx, self.pod_id, grant_id)
                assert row is not None
                assert [(each.kind, each.at, each.by) for each in events] == consent.events
                assert (row.state, row.state_version) == (consent.state, len(consent.events))
                assert fold(events).state == consent.state
                assert row.state_at(now) == consent.state_at(now)
                assert (row.terms.kinds, row.terms.expires_at) == (consent.kinds, consent.ends)
        found = {one.raw for one in read_activities(self.host, open_pod(self.host, require_owner(self.made.vault)))}
        assert found == set().union(*(each.records for each in self.consents.values()))

    def teardown(self) -> None:
        """A last look at what is signed and logged, whatever the life was."""
        if self.consents:
            self.every_receipt_tells_all_that_happened_and_nothing_else()
            self.the_log_tells_every_act()
        super().teardown()


@pytest.mark.timeout(PATIENCE_SECONDS)
def test_no_write_is_let_in_that_the_law_refuses_and_every_act_has_its_receipt():
    live(ConsentsAgainstTheLaw, lives=20, steps=30)
