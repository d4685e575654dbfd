"""How a partner cuts and repeats its deliveries never changes what the pod holds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import count, pairwise

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from consent.grant import EVENT, GrantTerms
from partner_bridge.delivery import Item, deliver
from pod_server import grants
from pod_server.activities import count_records
from pod_server.identifiers import Actor
from pod_server.partners import SELF

_numbers = count()


@pytest.fixture
def new_grant(city):
    """A pod of its own with a grant, as often as one asks."""

    def make():
        pod = city.citizen(f"citizen-{next(_numbers)}")
        terms = GrantTerms(
            client_id=SELF.client_id,
            purpose="personal-footprint",
            kinds=frozenset({"electricity-reading"}),
            operations=frozenset({"append"}),
            granularity=EVENT,
            history_from=datetime(2020, 1, 1, tzinfo=UTC),
            expires_at=city.host.clock.now() + timedelta(days=30),
        )
        return pod.pod_id, grants.give(city.host, pod.pod_id, terms, actor=Actor("citizen")).id

    return make


def activity(number: int) -> bytes:
    start = datetime(2026, 11, 1, tzinfo=UTC) + timedelta(hours=number)
    return msgspec.json.encode(
        {
            "@id": f"r:{number}",
            "@type": "ElectricityReading",
            "start": start.isoformat(),
            "end": (start + timedelta(hours=1)).isoformat(),
            "quantity": number / 10,
            "unit": "KiloW-HR",
        }
    )


@given(
    sent=st.lists(st.integers(0, 30), min_size=1, max_size=60),
    cuts=st.sets(st.integers(1, 59), max_size=6),
)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_each_record_is_accepted_exactly_once_however_it_is_cut_and_repeated(host, new_grant, sent, cuts):
    pod_id, grant = new_grant()
    edges = [0, *sorted(cut for cut in cuts if cut < len(sent)), len(sent)]
    statuses = []
    for begin, end in pairwise(edges):
        items = [Item(grant, activity(number)) for number in sent[begin:end]]
        statuses += [answer.status for answer in deliver(host, SELF, items)]
    assert len(statuses) == len(sent)
    seen: set[int] = set()
    for number, status in zip(sent, statuses, strict=True):
        assert status == ("duplicate" if number in seen else "accepted")
        seen.add(number)
    with host.storage.read() as tx:
        assert count_records(tx, pod_id) == len(seen)


@given(noise=st.binary(max_size=200))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_in_place_of_an_activity_are_refused_and_harm_nothing(host, new_grant, noise):
    _, grant = new_grant()
    answers = deliver(host, SELF, [Item(grant, noise), Item(grant, activity(1))])
    assert [answer.status for answer in answers] == ["refused", "accepted"]
    assert "problem" in answers[0].to_json(host.base_url)
