"""Observe: what has come into a pod since the twin last looked, read in one snapshot."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pod_server import activities, feed, figures, household, partners, rectifications
from pod_server.authorization import grant_rows
from twin_agent.compute import PodSums, SumsKey, decode_sums
from twin_agent.figures import Figures, new_figures, read_figures
from twin_agent.local_time import day_of_hour, hour_of, month_before

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pod_server.activities import Segment
    from pod_server.host import Host
    from pod_server.identifiers import GrantId, PodId
    from pod_server.opening import OpenPod
    from pod_server.storage.ports import Transaction
    from twin_agent.compute import MonthSums
    from vocab.kinds import Activity, Kinds

SEGMENTS_AT_ONCE = 50
"""So many segments (of at most 2000 records) are summed before they are committed."""


@dataclass
class Observed:
    """What the twin starts from.

    Attributes:
        cursor: Up to where the sums hold.
        upto: Up to where they will hold.
        head: The feed's end; more passes follow where it lies further.
        segments: The new ones, in order.
        changes: What else changed: `grant`, `household`, `erasure`.
        sums: The partial sums of every month that the new records touch, and of the two before.
        figures: The document, or a new one.
        anew: True where every month has to be put together anew (an erasure, a changed household, new rules).
        from_the_start: True where every activity has to be summed anew: the rules or factors changed.
        partner_names: Grant → who delivers under it.
        disputed: Grants of whose activities the citizen said something, or took it back.
    """

    cursor: int
    upto: int
    head: int
    segments: list[Segment]
    changes: tuple[str, ...]
    sums: PodSums
    figures: Figures
    anew: bool
    from_the_start: bool
    partner_names: dict[str, str] = field(default_factory=dict)
    disputed: frozenset[str] = frozenset()


def observe(host: Host, open_pod: OpenPod) -> Observed:
    """Read the pod's news and what they will be added to.

    Raises:
        PermitExceeded: the pod is not open under the twin's mandate.
    """
    pod_id = open_pod.pod_id
    with host.storage.read() as tx:
        cursor, head = feed.position(tx, pod_id)
        segments = activities.segments_after(tx, open_pod, after_seq=cursor, limit=SEGMENTS_AT_ONCE)
        upto = segments[-1].seq if len(segments) == SEGMENTS_AT_ONCE else head
        noted = [change for change in feed.changes_after(tx, pod_id, cursor) if change.seq <= upto]
        changes = tuple(change.subject for change in noted)
        disputed = frozenset(change.grant for change in noted if change.subject == "rectification")
        size = household.load(tx, open_pod).household_size
        stored = figures.load_figures(tx, open_pod)
        document = read_figures(stored)
        from_the_start = stored is not None and document is None and cursor > 0
        anew = document is None or document.household_size != size or "erasure" in changes
        document = document or new_figures(size)
        document.household_size = size
        sums = PodSums()
        if not from_the_start:
            has_corrections = any(record.correction for segment in segments for record in segment.records)
            first = "" if anew or has_corrections or disputed else _first_month(segments)
            for partial in figures.load_partials(tx, open_pod, from_month=first) if first is not None else ():
                sums.put(SumsKey(partial.grant, partial.month), decode_sums(partial.content))
        names = partner_names(host, tx, open_pod.pod_id, {segment.grant for segment in segments})
    return Observed(
        cursor, upto, head, segments, changes, sums, document, anew or from_the_start, from_the_start, names, disputed
    )


def all_sums(host: Host, open_pod: OpenPod, sums: PodSums) -> dict[SumsKey, MonthSums]:
    """Every month's partial sums: those in hand, and for the others what is stored."""
    with host.storage.read() as tx:
        stored = figures.load_partials(tx, open_pod)
    every = {SumsKey(each.grant, each.month): each.content for each in stored}
    result = {key: decode_sums(content) for key, content in every.items() if key not in sums.months}
    return result | sums.months


def _first_month(segments: list[Segment]) -> str | None:
    """The month from which on partial sums are needed: two before the earliest new record's; None without records."""
    starts = [record.start for segment in segments for record in segment.records]
    if not starts:
        return None
    return month_before(month_before(day_of_hour(hour_of(min(starts)))[:7]))


def partner_names(host: Host, tx: Transaction, pod_id: PodId, grants: set[GrantId]) -> dict[str, str]:
    """Who delivers under each of some grants, as people know them."""
    names: dict[str, str] = {}
    for grant_id in grants:
        grant = grant_rows.grant_in_pod(tx, host.host_key, pod_id, grant_id)
        if grant is not None:
            partner = partners.find_partner(tx, grant.terms.client_id)
            names[grant_id] = partner.name if partner else grant.terms.client_id
    return names


def standing_records(
    tx: Transaction, open_pod: OpenPod, kinds: Kinds, upto: int, grant: GrantId | None = None
) -> Iterator[tuple[str, Activity]]:
    """Grant and activity of every record as it stands after corrections, up to a place in the feed, if it counts.

    What the citizen said is not theirs, or is wrong, does not.
    """
    latest: dict[tuple[str, str], bytes] = {}
    after = 0
    while after < upto:
        segments = activities.segments_after(tx, open_pod, after_seq=after, limit=SEGMENTS_AT_ONCE, grant=grant)
        for segment in segments:
            if segment.seq <= upto:
                for record in segment.records:
                    latest[segment.grant, record.id] = record.raw
        if len(segments) < SEGMENTS_AT_ONCE:
            break
        after = segments[-1].seq
    counts = rectifications.counting(tx, open_pod)
    for (grant_id, record_id), raw in latest.items():
        if counts(grant_id, record_id, raw):
            yield grant_id, kinds.decode(raw)
