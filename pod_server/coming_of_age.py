"""The day a child is old enough: the guardian's power ends by itself, and what was given for the child is asked anew.

    1. tell       both logs say what changed hands, at each age that the host's rules name
    2. ask        each consent that stands on a guardian's word waits on the young person's page, to confirm or to withdraw
    3. pause      what is not confirmed within the time set goes no further; nothing of it is lost, and one press resumes it

A guardian's consent would stay valid by law (EDPB Guidelines 05/2020, section 7.1.5). That a young person must find and
withdraw what others gave is a burden on the wrong side, so here silence pauses (docs/adr/0072).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from consent.attention import Attention
from consent.delegation import is_of_age, stands_on_a_guardians_word
from consent.errors import EventOutOfOrder
from consent.grant import GrantState
from pod_server import delegation, grants, reminders
from pod_server.authorization import grant_rows
from pod_server.clock import moment
from pod_server.identifiers import Actor, GrantId, PodId

if TYPE_CHECKING:
    from datetime import date

    from consent.grant import Grant
    from pod_server.delegation import Recorded
    from pod_server.host import Host


def look_after_birthdays(host: Host) -> int:
    """Hand over what birthdays hand over; returns how many consents were asked about or paused. Calling again is harmless."""
    return sum(_hand_over(host, each) for each in delegation.unsettled(host))


def _hand_over(host: Host, recorded: Recorded) -> int:
    born = recorded.terms.born
    assert born is not None
    now, rules = host.clock.now(), host.age_rules
    reached = [age for age in rules.steps if is_of_age(born, age, now)]
    if not reached:
        return 0
    with host.storage.read() as tx:
        if delegation.handle_of(tx, recorded.pod_id) is None:
            return 0
    done = waiting = 0
    for grant in _given_for(host, recorded, born):
        done += _ask_or_pause(host, grant)
        waiting += 1
    settled = not waiting and len(reached) == len(rules.steps)
    if reached[-1] > recorded.told_age or settled:
        with host.storage.write() as tx:
            if recorded.standing and reached[-1] > recorded.told_age:
                delegation.tell_both(tx, recorded, "guardian-power-ended", now, actor=Actor("operator"))
            delegation.note_told(tx, recorded, reached[-1], settled=settled)
        host.signal.notify([recorded.pod_id, recorded.representative])
    return done


def _given_for(host: Host, recorded: Recorded, born: date) -> list[Grant]:
    """The consents that a guardian gave and the young person may now decide about."""
    now = host.clock.now()
    with host.storage.read() as tx:
        return [
            grant
            for grant in grant_rows.grants_in_pod(tx, host.host_key, recorded.pod_id)
            if grant.state_at(now) is GrantState.ACTIVE
            and is_of_age(born, host.age_rules.age_for(grant.terms.purpose), now)
            and stands_on_a_guardians_word(grant_rows.events_of(tx, recorded.pod_id, grant.id))
        ]


def _ask_or_pause(host: Host, grant: Grant) -> bool:
    """Put the question once; pause what was not answered in time."""
    pod_id = PodId(grant.pod_id)
    with host.storage.read() as tx:
        asked = tx.one(
            "SELECT told_at FROM consent_reminder WHERE pod_id = ? AND grant_id = ? AND about = ? AND state_version = ?",
            (pod_id, grant.id, str(Attention.CONFIRM), grant.state_version),
        )
    if asked is None:
        return reminders.ask_to_confirm(host, pod_id, GrantId(grant.id))
    if host.clock.now() - moment(int(asked[0])) < host.age_rules.confirm_within:
        return False
    try:
        grants.pause(host, pod_id, grant.id, actor=Actor("operator", "", "not confirmed"))
    except EventOutOfOrder:
        return False  # ended at the same moment
    return True
