"""V11: powers of attorney against a reference in one page: who may do what for whom, from which commit on and until which.

Kari offers, Ola and Per accept (also each other's offers, which is refused), time goes on, powers end; and all the while
they act for her with powers that stand, have run out, were ended, or never were theirs. The power goes in the middle.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import pytest
from deliveries import CITIZEN, add_partner
from hypothesis import strategies as some
from hypothesis.stateful import initialize, invariant, precondition, rule
from stateful_house import PATIENCE_SECONDS, House, live

from consent.delegation import Act
from consent.errors import EventOutOfOrder
from consent.grant import GrantTerms
from pod_server import delegation, grants, own_powers
from pod_server.authentication.session import Session
from pod_server.authorization import grant_rows
from pod_server.delegation import NotRepresented
from pod_server.identifiers import Actor
from pod_server.log import ledger
from pod_server.pods import create_pod

PURPOSES = ("personal-footprint", "food-footprint")
ACTS = (Act.GIVE, Act.PAUSE, Act.RESUME, Act.WITHDRAW)
MONTH = timedelta(days=30)
FOLLOWS = {
    (Act.PAUSE, "active"): "paused",
    (Act.RESUME, "paused"): "active",
    (Act.WITHDRAW, "active"): "withdrawn",
    (Act.WITHDRAW, "paused"): "withdrawn",
    # Said again, these change nothing and are no error.
    (Act.PAUSE, "paused"): "paused",
    (Act.RESUME, "active"): "active",
    (Act.WITHDRAW, "withdrawn"): "withdrawn",
}


@dataclass
class Power:
    """The reference: a power as the law has it (avtaleloven sections 10 to 12)."""

    to: int
    acts: frozenset[Act]
    purposes: frozenset[str]
    offered: datetime
    ends: datetime
    state: str = "offered"

    def waits(self, at: datetime) -> bool:
        """Whether it can be accepted: for a month, and not beyond its own end."""
        return self.state == "offered" and at < min(self.offered + MONTH, self.ends)

    def covers(self, act: Act, purpose: str, at: datetime) -> bool:
        """Whether its attorney may do this now."""
        return self.state == "standing" and at < self.ends and act in self.acts and purpose in self.purposes


class PowersAgainstTheLaw(House):
    """Kari, and two who may come to answer for her."""

    def __init__(self) -> None:
        super().__init__()
        self.people = [create_pod(self.host, handle) for handle in ("kari", "ola", "per")]
        self.kari = self.people[0].pod_id
        self.partner = add_partner(self.host, "Kolonial AS")
        self.powers: dict[str, Power] = {}
        self.consents: dict[str, list[str]] = {}

    def _session(self, person: int) -> Session:
        made, now = self.people[person], self.clock.now()
        return Session(made.pod_id, "", now, now + timedelta(hours=1), made.vault)

    def _pick(self, number: int) -> tuple[str, Power]:
        return list(self.powers.items())[number % len(self.powers)]

    # Offering and accepting

    @initialize()
    def three_powers_of_different_reach(self):
        """Every life begins with something: a wide one and a narrow one that stand, and one that waits."""
        self._offer(1, frozenset(ACTS), frozenset(PURPOSES), 90)
        self._accept(next(iter(self.powers)), 1, None)
        self._offer(2, frozenset({Act.GIVE, Act.WITHDRAW}), frozenset(PURPOSES[:1]), 20)
        self._accept(list(self.powers)[1], 2, None)
        self._offer(2, frozenset(ACTS), frozenset(PURPOSES), 90)
        for name, purpose in zip(self.powers, (PURPOSES[1], PURPOSES[0]), strict=False):
            self._give(Actor("attorney", name, ""), purpose, allowed=True, cut=None)

    @precondition(lambda self: len(self.powers) < 5)
    @rule(
        to=some.integers(1, 2),
        acts=some.frozensets(some.sampled_from(ACTS), min_size=1),
        purposes=some.frozensets(some.sampled_from(PURPOSES), min_size=1),
        days=some.sampled_from([1, 20, 90]),
    )
    def offer(self, to, acts, purposes, days):
        self._offer(to, acts, purposes, days)

    def _offer(self, to: int, acts: frozenset[Act], purposes: frozenset[str], days: int) -> None:
        now, handle = self.clock.now(), ("", "ola", "per")[to]
        name = own_powers.offer(self.host, self._session(0), handle, acts=acts, purposes=purposes, days=days)
        self.powers[name] = Power(to, acts, purposes, now, now + timedelta(days=days))

    @rule(number=some.integers(0, 4), who=some.integers(0, 2), cut=some.none() | some.none() | some.integers(1, 8))
    def accept(self, number, who, cut):
        name, power = self._pick(number)
        if who == power.to and power.waits(self.clock.now()):
            self._accept(name, who, cut)
            return
        with pytest.raises(NotRepresented):
            own_powers.accept(self.host, self._session(who), name)

    def _accept(self, name: str, who: int, cut: int | None) -> None:
        self.cut_at = cut
        if (
            self.survives(lambda: own_powers.accept(self.host, self._session(who), name))
            or self._state(name) == "standing"
        ):
            self.powers[name].state = "standing"

    @rule(number=some.integers(0, 4), cut=some.none() | some.none() | some.integers(1, 8))
    def end(self, number, cut):
        """By the giver; again it changes nothing."""
        name, power = self._pick(number)
        self.cut_at = cut
        if (
            self.survives(lambda: delegation.end(self.host, self.kari, name, actor=CITIZEN))
            or self._state(name) == "ended"
        ):
            power.state = "ended"

    def _state(self, name: str) -> str:
        with self.host.storage.read() as tx:
            found = delegation.find(tx, self.host, self.kari, name)
        assert found is not None
        return "offered" if found.offered else "standing" if found.standing else "ended"

    @rule(hours=some.sampled_from([1, 25, 24 * 19, 24 * 40]))
    def time_goes_on(self, hours):
        self.clock.advance(timedelta(hours=hours))

    # Acting for her

    @rule(
        number=some.integers(0, 4),
        act=some.sampled_from(ACTS),
        purpose=some.sampled_from(PURPOSES),
        consent=some.integers(0, 5),
        cut=some.none() | some.none() | some.integers(1, 12),
    )
    def act_for_her(self, number, act, purpose, consent, cut):
        name, power = self._pick(number)
        actor, now = Actor("attorney", name, "Ola"), self.clock.now()
        if act is Act.GIVE:
            self._give(actor, purpose, allowed=power.covers(act, purpose, now), cut=cut)
            return
        if not self.consents:
            return
        grant, (purpose, state) = list(self.consents.items())[consent % len(self.consents)]
        change = {Act.PAUSE: grants.pause, Act.RESUME: grants.resume, Act.WITHDRAW: grants.withdraw}[act]
        after = FOLLOWS.get((act, state))
        if not power.covers(act, purpose, now):
            with pytest.raises(NotRepresented):
                change(self.host, self.kari, grant, actor=actor)
            return
        if after is None:
            with pytest.raises(EventOutOfOrder):
                change(self.host, self.kari, grant, actor=actor)
            return
        self.cut_at = cut
        done = self.survives(lambda: change(self.host, self.kari, grant, actor=actor))
        if done or grants.find_grant(self.host, self.kari, grant).state == after:
            self.consents[grant][1] = after

    def _give(self, actor: Actor, purpose: str, *, allowed: bool, cut: int | None) -> None:
        now, grant = self.clock.now(), grants.new_grant_id()
        terms = GrantTerms(
            client_id=self.partner.client_id, purpose=purpose, kinds=frozenset({"grocery-line"}), operations=frozenset({"append"}),
            granularity="event", history_from=now - timedelta(days=9), expires_at=now + timedelta(days=1800),
        )  # fmt: skip

        def give() -> None:
            grants.give(self.host, self.kari, terms, actor=actor, grant_id=grant)

        if not allowed:
            with pytest.raises(NotRepresented):
                give()
            return
        self.cut_at = cut
        if self.survives(give) or grant in self._stored():
            self.consents[grant] = [purpose, "active"]

    def _stored(self) -> dict[str, str]:
        with self.host.storage.read() as tx:
            return {each.id: each.state for each in grant_rows.grants_in_pod(tx, self.host.host_key, self.kari)}

    # What must hold

    @invariant()
    def the_house_agrees_with_the_law(self):
        now = self.clock.now()
        with self.host.storage.read() as tx:
            held = {each.id: each for each in delegation.over(tx, self.host, self.kari)}
            assert held.keys() == self.powers.keys()
            for name, power in self.powers.items():
                for act in ACTS:
                    for purpose in PURPOSES:
                        try:
                            delegation.require(
                                self.host, tx, self.kari, Actor("attorney", name, ""), act, purpose=purpose
                            )
                            may = True
                        except NotRepresented:
                            may = False
                        assert may == power.covers(act, purpose, now), (act, purpose, power)
        for name, power in self.powers.items():
            assert self._state(name) == power.state
            assert own_powers.waits(held[name], self.host) == power.waits(now)
            assert bool(held[name].receipt) or power.state == "offered" or not held[name].standing
            assert held[name].representative == self.people[power.to].pod_id
        assert self._stored() == {grant: state for grant, (_, state) in self.consents.items()}

    def teardown(self) -> None:
        """Both logs tell of every power: offered, accepted, ended, to the giver and to the attorney."""
        for person, made in enumerate(self.people):
            mine = [each for each in self.powers.values() if person in {0, each.to}]
            with self.host.storage.read() as tx:
                told = [
                    each.event.action.removesuffix("-held") for each in ledger.all_events(tx, made.vault, made.pod_id)
                ]
            assert told.count("representation-offered") == len(mine)
            assert told.count("representation-ended") == sum(each.state == "ended" for each in mine)
            assert told.count("representation-recorded") >= sum(each.state == "standing" for each in mine)
        super().teardown()


@pytest.mark.timeout(PATIENCE_SECONDS)
def test_nobody_acts_for_another_without_a_power_that_covers_it_now():
    live(PowersAgainstTheLaw, lives=8, steps=20)
