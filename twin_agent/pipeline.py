"""The story of an activity inside the pod, from the feed to the citizen's page.

    1. observe   the pod's news, in one snapshot, under the twin's mandate
    2. compute   quantity × factor, added to the partial sums of grant and month; months put together anew
    3. infer     what follows, by rules that are data
    4. propose   offers kept true, new ones made
    5. commit    sums, figures, events, proposals and the feed's cursor, in one transaction
    6. tell      one signal; the citizen's page moves

A crash at any place between loses nothing and counts nothing twice: until step 5 commits, the cursor stands where it
stood and the same news are read again; after it, they are in the sums. Acting is not here: nothing leaves a pod
without the citizen's own yes (act.py).
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pod_server import feed, figures, rectifications
from pod_server.authorization.errors import MandateMissing
from pod_server.errors import FeedMoved
from pod_server.identifiers import GrantId
from pod_server.opening import custodian_vaults, open_pod
from pod_server.storage.errors import StorageBusy, StorageFull
from pod_server.vault.envelope import OWN
from pod_server.vault.errors import KeyStoreFull
from pod_server.vault.vault import FIGURES
from twin_agent import observe
from twin_agent.compute import ELECTRICITY, encode_sums
from twin_agent.events import (
    POWER_READING_SECONDS,
    RECORDS_TOLD_ONE_BY_ONE,
    event_of,
    is_worth_telling,
    power_watts,
    summary_of,
    write_event,
)
from twin_agent.figures import add_power, bring_up_to_date, write_figures
from twin_agent.infer import CountedPod
from twin_agent.local_time import day_of_hour, first_day, hour_of, month_of, next_month
from twin_agent.mandate import leave_to_observe, still_on
from twin_agent.propose import keep_true, offers, standing_programmes
from vocab.kinds import load_kinds

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from pod_server.activities import Segment
    from pod_server.host import Host
    from pod_server.identifiers import PodId
    from pod_server.opening import OpenPod
    from pod_server.storage.ports import Transaction
    from pod_server.vault.vault import Vault
    from twin_agent.events import TwinEvent
    from twin_agent.observe import Observed
    from twin_agent.propose import Offer, Standing
    from vocab.factors import Factor
    from vocab.kinds import Activity

Step = Literal["observed", "computed", "inferred", "begun", "written", "committed", "told"]
"""The steps in order, for tests that die at each of them."""


EVERYBODYS_TROUBLE = (StorageBusy, StorageFull, KeyStoreFull)
"""What no pod is to blame for, and what trying the next one cannot mend. Damage is not among it: it may be one pod's rows."""


class TogetherFailed(Exception):
    """One pod's trouble undid what was done for all; its word is the kind of the error, never the error's own, which may hold data."""


@dataclass(frozen=True)
class Processed:
    """What one run over a pod did.

    Attributes:
        pod_id: Which pod.
        activities: Records added to the sums (those added anew after a correction are not counted again).
        events: Events written for the citizen's page.
        proposals: Proposals made or changed.
        passes: Transactions it took.
    """

    pod_id: PodId
    activities: int = 0
    events: int = 0
    proposals: int = 0
    passes: int = 0


def process_pod(
    host: Host, pod_id: PodId, *, vault: Vault | None = None, at_step: Callable[[Step], None] | None = None
) -> Processed:
    """Take in everything that is new in a pod.

    Args:
        host: The host.
        pod_id: The pod.
        vault: A locked pod's, from the citizen who opened it; else the custodian slot is tried.
        at_step: Called after each step; for tests of crashes.

    Raises:
        MandateMissing: the citizen has turned the twin off.
        PodLocked: the citizen has locked the pod.
        FeedMoved: another worker, or an erasure, was first; nothing was written in the pass that met it.
    """
    own = open_pod(host, leave_to_observe(host, pod_id), vault=vault)
    processed = Processed(pod_id)
    while True:
        news = observe.observe(host, own)
        if news.cursor >= news.head and not news.from_the_start:
            return processed
        processed = _one_pass(host, own, news, processed, at_step or _ignore)


def process_pods(host: Host, pod_ids: Sequence[PodId]) -> frozenset[PodId]:
    """Take in what is new in several pods, and commit it together: one turn to write and one sync for all of them.

    Only what is ordinary is done here. A pod that is locked, turned off, changed meanwhile, to be summed anew or long behind is
    left out, and so is one whose news cannot be read or worked out: whoever calls takes it in alone (`process_pod`), where its
    trouble is told of. Writing is all or none.

    Returns:
        The pods that are taken in.

    Raises:
        StorageBusy, StorageFull, KeyStoreFull: it is every pod's trouble; nothing was written.
        TogetherFailed: keys that are asked for together, or what one of the pods would have written, failed; nothing was
            written.
    """
    written = []
    try:
        standing = standing_programmes(host, host.clock.now())
        custodian_vaults(host, dict.fromkeys(pod_ids, (OWN, FIGURES)))
        ready = [work for work in (_ordinary_work(host, pod_id, standing) for pod_id in pod_ids) if work is not None]
        with host.storage.write() as tx:
            for work in ready:
                with suppress(MandateMissing, FeedMoved):  # both are raised before anything of the pod is written
                    _write(tx, work, at_once=True)
                    written.append(work.own.pod_id)
    except EVERYBODYS_TROUBLE:
        raise
    except Exception as error:
        raise TogetherFailed(type(error).__name__) from error
    host.signal.notify(set(written))
    return frozenset(written)


def _ordinary_work(host: Host, pod_id: PodId, standing: Standing) -> _Work | None:
    """One pod's news, worked out; None where it has to be met alone."""
    try:
        own = open_pod(host, leave_to_observe(host, pod_id))
        news = observe.observe(host, own)
        if news.upto == news.head > news.cursor and not news.from_the_start:
            return _work_out(host, own, news, _ignore, standing)
    except EVERYBODYS_TROUBLE:
        raise
    except Exception:  # noqa: BLE001, S110 - this pod's alone; `process_pod` meets it again, and its caller tells of it
        pass
    return None


@dataclass(frozen=True)
class _Work:
    """What one pass over a pod found, before it is written."""

    own: OpenPod
    news: Observed
    told: list[TwinEvent]
    added: int
    found: dict[str, Offer | None] | None
    at: datetime


def _one_pass(
    host: Host, own: OpenPod, news: Observed, so_far: Processed, at_step: Callable[[Step], None]
) -> Processed:
    work = _work_out(host, own, news, at_step)
    with host.storage.write() as tx:
        at_step("begun")
        changed_proposals = _write(tx, work)
        at_step("written")
    at_step("committed")
    host.signal.notify({own.pod_id})
    at_step("told")
    return Processed(
        so_far.pod_id,
        so_far.activities + work.added,
        so_far.events + len(work.told),
        so_far.proposals + changed_proposals,
        so_far.passes + 1,
    )


def _write(tx: Transaction, work: _Work, *, at_once: bool = False) -> int:
    """Step 5, in the caller's transaction; how many proposals it changed.

    Raises:
        MandateMissing, FeedMoved: nothing stands. With `at_once` nothing was written yet; else `FeedMoved` may come
            with the end of the transaction.
    """
    own, news = work.own, work.news
    still_on(tx, own.pod_id)
    # Refuses where another worker was first, or where something was erased that these sums still hold.
    feed.advance(tx, own.pod_id, news.upto, after=news.cursor, at_once=at_once)
    if news.from_the_start:
        figures.drop_partials(tx, own)
    for key in sorted(news.sums.changed):
        figures.save_partial(tx, own, GrantId(key.grant), key.month, encode_sums(news.sums.months[key]))
    figures.save_figures(tx, own, write_figures(news.figures))
    for event in work.told:
        figures.append_event(tx, own, write_event(event), grant=GrantId(event.grant))
    rectifications.note_corrections(tx, own, _corrections(news), work.at)
    return 0 if work.found is None else keep_true(tx, own, work.found, work.at)


def _work_out(
    host: Host, own: OpenPod, news: Observed, at_step: Callable[[Step], None], standing: Standing | None = None
) -> _Work:
    """Steps 2 to 4."""
    at = host.clock.now()
    at_step("observed")

    told, added = _compute(host, own, news)
    figures_of_pod, sums = news.figures, news.sums
    present = month_of(at)
    touched = {key.month for key in (sums.months if news.anew else sums.changed)}
    if news.anew:
        figures_of_pod.months, figures_of_pod.days, figures_of_pod.unknown = {}, {}, {}
        figures_of_pod.twin.inferred_by_month = {}
    for key in list(sums.changed):
        if sums.months[key].long:
            # A long reading may reach into the two months that follow.
            touched |= {next_month(key.month), next_month(next_month(key.month))}
        if sums.months[key].told.payments or sums.months[key].told.receipts or sums.months[key].told.trips:
            # What was bought at a month's end may be paid in the next one.
            touched.add(next_month(key.month))
    bring_up_to_date(figures_of_pod, sums.months, sorted(touched), at)
    at_step("computed")

    found = None
    offered = standing_programmes(host, at) if standing is None else standing
    looked_at = f"{present} {offered.fingerprint}"
    if _asks_for_offers(news, offered, present, looked_at):
        found = offers(offered, CountedPod(observe.all_sums(host, own, sums), figures_of_pod.household_size), at)
        figures_of_pod.twin.offers_looked_at = looked_at
    at_step("inferred")
    return _Work(own, news, told, added, found, at)


def _compute(host: Host, own: OpenPod, news: Observed) -> tuple[list[TwinEvent], int]:
    """Add the new records to the sums; returns events, and how many records were added."""
    kinds = load_kinds()
    sums = news.sums
    corrected: set[str] = {grant for grant, _, _ in _corrections(news)} | news.disputed
    if news.from_the_start or corrected:
        # What a correction replaced cannot be taken out of a sum without loss: that grant's sums are made anew.
        with host.storage.read() as tx:
            for grant in [None] if news.from_the_start else sorted(corrected):
                if grant is not None:
                    sums.forget(grant)
                for grant_id, activity in observe.standing_records(
                    tx, own, kinds, news.upto, None if grant is None else GrantId(grant)
                ):
                    sums.add(grant_id, activity)
    told: list[TwinEvent] = []
    added = 0
    for segment in news.segments:
        is_summed = news.from_the_start or segment.grant in corrected
        pairs: list[tuple[Activity, Factor | None]] = []
        for record in segment.records:
            activity = kinds.decode(record.raw)
            factor = sums.find_factor(activity) if is_summed else sums.add(segment.grant, activity)
            pairs.append((activity, factor))
        added += len(pairs)
        _take_power(news, pairs)
        told.extend(_events(news, segment, pairs))
    return told, added


def _corrections(news: Observed) -> list[tuple[str, str, bytes]]:
    """Grant, id and content of every new record that replaces another."""
    return [
        (segment.grant, record.id, record.raw)
        for segment in news.segments
        for record in segment.records
        if record.correction
    ]


def _take_power(news: Observed, pairs: list[tuple[Activity, Factor | None]]) -> None:
    for activity, factor in pairs[-60:]:
        if activity.kind == ELECTRICITY and factor is not None:
            seconds = (activity.end - activity.start).total_seconds()
            if 0 < seconds <= POWER_READING_SECONDS:
                add_power(news.figures, activity.end, power_watts(activity), factor)


def _events(news: Observed, segment: Segment, pairs: list[tuple[Activity, Factor | None]]) -> list[TwinEvent]:
    grant = segment.grant
    partner = news.partner_names.get(grant, "")
    size = news.figures.household_size
    if len(pairs) > RECORDS_TOLD_ONE_BY_ONE:
        return [summary_of(pairs, grant=grant, partner=partner, household_size=size)]
    return [
        event_of(activity, factor, grant=grant, partner=partner, household_size=size)
        for activity, factor in pairs
        if is_worth_telling(news.figures, grant, activity)
    ]


def _asks_for_offers(news: Observed, offered: Standing, present: str, looked_at: str) -> bool:
    """Whether anything happened that an offer depends on: its kind's records of whole months, the household, an erasure, a new month, an offer."""
    if news.anew or news.disputed or news.figures.twin.offers_looked_at != looked_at:
        return True
    first = first_day(present).isoformat()
    return any(
        record.kind in offered.kinds and day_of_hour(hour_of(record.start)) < first
        for segment in news.segments
        for record in segment.records
    )


def _ignore(_: Step) -> None:
    """Nobody asked to be told."""
