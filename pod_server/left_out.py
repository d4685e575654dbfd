"""Which of a pod's activities the figures leave out, and why: said by the citizen, or another record of the same event.

The citizen's own words are in rectifications.py. Which of several records of one event counts is the twin's to decide;
the host is given its answer as a function of the records alone (`Host.told_twice`), so that nothing is stored about it
and an erasure of one side lets the other count at the next look (ADR 0107).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from pod_server import household, rectifications
from vocab.kinds import load_kinds

if TYPE_CHECKING:
    from pod_server.activities import StoredActivity
    from pod_server.host import Host
    from pod_server.opening import OpenPod
    from pod_server.rectifications import Rectification

REASONS = "https://w3id.org/tvilling/counting-rule/"
"""Where the reasons are named: the slugs of vocab/counting-rules.ttl follow."""


@dataclass(frozen=True)
class CountedInstead:
    """Another record of the same event counts.

    Attributes:
        rule: The counting rule's slug.
        grant: Under which grant that other one came; "" where none does.
        by: What it is there: a record's name, a receipt or ticket, a device.
    """

    rule: str
    grant: str = ""
    by: str = ""


ToldTwice = Callable[[Iterable[tuple[str, bytes]]], Mapping[tuple[str, str], CountedInstead]]
"""Of records (grant and canonical content) those that another one stands for, by grant and id."""


@dataclass(frozen=True)
class LeftOut:
    """Why one record is left out.

    Attributes:
        reason: The IRI of a reason of vocab/counting-rules.ttl.
        instead: What counts instead; None where the citizen said that it is not theirs, or wrong.
        rectification: In which the citizen said so; None where another record counts.
    """

    reason: str
    instead: CountedInstead | None = None
    rectification: Rectification | None = None


@dataclass(frozen=True)
class Counting:
    """How the records of a pod stand, at one moment.

    Attributes:
        members: Among how many what is the household's is divided.
        left_out: Grant and id → why.
        said: Grant and id → what the citizen said of it, whatever became of that.
    """

    members: int
    left_out: Mapping[tuple[str, str], LeftOut]
    said: Mapping[tuple[str, str], Rectification] = field(default_factory=dict)


_MEETING = (frozenset({"electricity"}), frozenset({"steps"}), frozenset({"food", "travel", "consumption"}))
"""Categories whose records can tell of one event; of the others none is told twice."""


def kinds_met_by(kinds: Iterable[str]) -> frozenset[str]:
    """The kinds whose records may count instead of records of some kinds, these among them; none where no rule meets them."""
    by_slug = load_kinds().by_slug
    categories = {by_slug[kind].category for kind in kinds}
    meeting = frozenset[str]().union(*(group for group in _MEETING if group & categories))
    return frozenset(slug for slug, kind in by_slug.items() if kind.category in meeting)


class _Named(msgspec.Struct, frozen=True):
    """As much of a record as says its name."""

    id: str = msgspec.field(name="@id")


_decode = msgspec.json.Decoder(_Named).decode


def record_id(raw: bytes) -> str:
    """The `@id` of a canonical record."""
    return _decode(raw).id


def counting_of(host: Host, open_pod: OpenPod, records: Iterable[StoredActivity]) -> Counting:
    """How some records stand.

    Args:
        host: The host.
        open_pod: As the records were read with.
        records: As they stand after corrections: all of the pod's, or of the months in question, two before and one after.
    """
    with host.storage.read() as tx:
        said = {(str(each.grant), each.record_id): each for each in rectifications.said_in(tx, open_pod)}
        counts = rectifications.counting(tx, open_pod)
        members = household.size_of(tx, open_pod)
    left_out: dict[tuple[str, str], LeftOut] = {}
    rest: list[tuple[str, bytes]] = []
    for record in records:
        key = (str(record.grant), record_id(record.raw))
        if counts(*key, record.raw):
            rest.append((record.grant, record.raw))
        else:
            claimed = said[key]
            left_out[key] = LeftOut(f"{REASONS}said-{claimed.claim}", rectification=claimed)
    for key, instead in host.told_twice(rest).items():
        left_out[key] = LeftOut(f"{REASONS}{instead.rule}", instead)
    return Counting(members, left_out, said)
