"""Appending, whatever the batches: once or twice, split or whole, the pod is the same."""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path

import pytest
from deliveries import granted, owner_permit, reading
from hosts import NOON, make_host
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pod_server import activities
from pod_server.activities import Delivery, append, read_activities
from pod_server.clock import SetClock
from pod_server.known_records import KnownOfGrant, marks_of, pack
from pod_server.opening import open_pod
from pod_server.pods import create_pod

# Few ids and few contents, so that duplicates, conflicts and corrections are common.
RECORD = st.builds(
    lambda number, quantity, correction: reading(number, quantity, correction=correction),
    st.integers(0, 5),
    st.sampled_from([1.0, 2.0, 3.0]),
    st.booleans(),
)
STREAM = st.lists(RECORD, max_size=25)
SLOW = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.fixture(scope="module")
def host():
    with tempfile.TemporaryDirectory() as folder:
        host = make_host(Path(folder), SetClock(NOON))
        yield host
        host.storage.close()
        host.key_store.close()


_numbers = itertools.count()


class FreshPod:
    """A pod and a grant of its own for one example."""

    def __init__(self, host) -> None:
        number = next(_numbers)
        self.host = host
        self.pod = create_pod(host, f"example-{number}")
        self.permit = granted(host, self.pod.pod_id, name=f"Partner {number}").permit

    def deliver(self, *batches, forget: bool = False) -> list[str]:
        statuses: list[str] = []
        for batch in batches:
            if forget:  # as if another process took each batch in
                activities._known_of.clear()
            (outcome,) = append(self.host, [Delivery(self.permit, batch)])
            statuses += [record.status for record in outcome.records]
        return statuses

    def contents(self) -> list[bytes]:
        opened = open_pod(self.host, owner_permit(self.pod.vault), vault=self.pod.vault)
        return [activity.raw for activity in read_activities(self.host, opened)]


def split(stream: list, cuts: list[int]) -> list[list]:
    places = sorted({min(cut, len(stream)) for cut in cuts} | {0, len(stream)})
    return [stream[start:end] for start, end in itertools.pairwise(places)]


@SLOW
@given(stream=STREAM)
def test_delivering_twice_is_delivering_once(host, stream):
    pod = FreshPod(host)
    first = pod.deliver(stream)
    contents = pod.contents()
    second = pod.deliver(stream)
    assert pod.contents() == contents
    assert second == ["duplicate" if status == "accepted" else status for status in first]


@SLOW
@given(stream=STREAM, cuts=st.lists(st.integers(0, 25), max_size=5), forget=st.booleans())
def test_any_split_into_batches_gives_the_same_pod_and_the_same_answers(host, stream, cuts, forget):
    whole, parts = FreshPod(host), FreshPod(host)
    assert whole.deliver(stream) == parts.deliver(*split(stream, cuts), forget=forget)
    assert whole.contents() == parts.contents()


@SLOW
@given(stream=STREAM)
def test_the_pod_is_what_a_plain_dictionary_would_hold(host, stream):
    """The reference: by id, the first content accepted, or the last declared correction not seen before."""
    latest: dict[str, bytes] = {}
    seen: set[tuple[str, bytes]] = set()
    for record in stream:
        is_new = record.id not in latest or (record.correction and (record.id, record.raw) not in seen)
        if is_new:
            latest[record.id] = record.raw
            seen.add((record.id, record.raw))
    pod = FreshPod(host)
    pod.deliver(stream)
    assert sorted(pod.contents()) == sorted(latest.values())


@settings(max_examples=200, deadline=None)
@given(stream=STREAM, cuts=st.lists(st.integers(0, 25), max_size=5))
def test_marks_learned_in_parts_are_marks_learned_at_once(stream, cuts):
    marks = marks_of(bytes(32), [(record.id, record.raw) for record in stream])
    whole, parts = KnownOfGrant(), KnownOfGrant()
    whole.add(marks)
    for part in split(marks, cuts):
        parts.add(part)
    assert whole.marks() == parts.marks()
    assert whole.superseded == parts.superseded
    assert len(pack(marks)) == 12 * len(stream)
