"""T4: a partner goes on writing after withdrawal, pause, expiry or erasure, with a Permit that was good a moment ago.

The race between processes is walked in tests/faults/test_withdrawal_race.py; here each step of one write meets the
citizen's change of mind.
"""

from __future__ import annotations

import pytest
from deliveries import CITIZEN, deliver, granted, owner_permit, permit_again, reading

from pod_server import grants
from pod_server.activities import read_segments
from pod_server.authorization.errors import ConsentErased, ConsentPaused, ConsentWithdrawn
from pod_server.opening import open_pod


@pytest.fixture
def kari(city):
    return city.citizen("kari")


def count(host, kari) -> int:
    opened = open_pod(host, owner_permit(kari.vault))
    return sum(len(segment.records) for segment in read_segments(host, opened))


@pytest.mark.parametrize("change", ["withdraw", "pause", "erase"])
def test_a_change_of_mind_after_sealing_and_before_the_turn_stops_the_write(host, kari, change):
    """The delivery is sealed already and only waits for its turn when the citizen's transaction commits."""
    partner = granted(host, kari.pod_id)
    changed: list[str] = []

    def change_her_mind(step: str) -> None:
        if step == "sealed":
            getattr(grants, change)(host, kari.pod_id, partner.grant, actor=CITIZEN)
            changed.append(step)

    assert deliver(host, partner.permit, [reading(0)], at_step=change_her_mind) == ["refused"]
    assert changed == ["sealed"]
    assert count(host, kari) == 0


@pytest.mark.parametrize(
    ("change", "error"), [("withdraw", ConsentWithdrawn), ("pause", ConsentPaused), ("erase", ConsentErased)]
)
def test_the_old_permit_and_a_new_request_are_both_refused_by_name(host, kari, change, error):
    partner = granted(host, kari.pod_id)
    assert deliver(host, partner.permit, [reading(0)]) == ["accepted"]
    getattr(grants, change)(host, kari.pod_id, partner.grant, actor=CITIZEN)
    assert deliver(host, partner.permit, [reading(1)]) == ["refused"]
    with pytest.raises(error):
        permit_again(host, partner.partner, partner.grant)


def test_a_duplicate_is_refused_too_so_that_a_withdrawn_partner_learns_nothing_more(host, kari):
    partner = granted(host, kari.pod_id)
    deliver(host, partner.permit, [reading(0)])
    grants.withdraw(host, kari.pod_id, partner.grant, actor=CITIZEN)
    assert deliver(host, partner.permit, [reading(0), reading(1)]) == ["refused", "refused"]


def test_after_a_pause_and_its_end_the_grant_takes_in_again(host, kari):
    partner = granted(host, kari.pod_id)
    grants.pause(host, kari.pod_id, partner.grant, actor=CITIZEN)
    assert deliver(host, partner.permit, [reading(0)]) == ["refused"]
    grants.resume(host, kari.pod_id, partner.grant, actor=CITIZEN)
    assert deliver(host, permit_again(host, partner.partner, partner.grant), [reading(0)]) == ["accepted"]
