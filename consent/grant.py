"""What a citizen agreed to: one partner, one purpose, and the limits of it (GDPR Art. 4(11), 5(1)(b, c, e), 7).

The fields follow ISO/IEC TS 27560 where it names them: purpose, personal data categories (our kinds), processing
(our operations), retention, validity, and the notice that was shown.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from consent.errors import TermsInvalid

if TYPE_CHECKING:
    from collections.abc import Mapping

OPERATIONS = frozenset({"append", "read"})

EVENT = "event"
"""The granularity of things that simply happen: no interval is too short."""

LONGEST_CONSENT = timedelta(days=5 * 366)
"""Every grant expires; one that would outlive five years was surely a slip."""

EARLIEST = datetime(1900, 1, 1, tzinfo=UTC)
LATEST = datetime(2200, 1, 1, tzinfo=UTC)
"""No consent speaks of times outside these; at the calendar's own ends there is no local time to show a citizen."""

MOST_PER_DAY = 1_000_000_000
"""A quota beyond this limits nothing."""

USUAL_READS_PER_DAY = 24
"""How often may be read where no number was agreed: every reading is a line in the citizen's log."""

MOST_READS_PER_DAY = 1440
"""Once a minute; a partner that looks more often than that wants a stream, which no citizen was asked for."""

_DURATION = re.compile(
    r"P(?:(?P<years>\d{1,3})Y)?(?:(?P<months>\d{1,4})M)?(?:(?P<weeks>\d{1,4})W)?(?:(?P<days>\d{1,5})D)?"
    r"(?:T(?:(?P<hours>\d{1,5})H)?(?:(?P<minutes>\d{1,6})M)?(?:(?P<seconds>\d{1,7})S)?)?\Z"
)


def duration_of(text: str) -> timedelta:
    """An ISO 8601 duration as a length of time; a month counts as 28 days and a year as 365 (the shortest they are).

    Raises:
        TermsInvalid: the text is no duration, or its length is zero.
    """
    match = _DURATION.match(text)
    parts = {name: int(number) for name, number in (match.groupdict().items() if match else ()) if number}
    length = timedelta(
        days=parts.get("years", 0) * 365
        + parts.get("months", 0) * 28
        + parts.get("weeks", 0) * 7
        + parts.get("days", 0),
        hours=parts.get("hours", 0),
        minutes=parts.get("minutes", 0),
        seconds=parts.get("seconds", 0),
    )
    if not length:
        raise TermsInvalid("granularity", "an ISO 8601 duration such as PT1H, or the word event, is expected")
    return length


def shortest_interval(granularity: str) -> timedelta:
    """The shortest interval that a granularity lets through; zero for `event`.

    A day on the calendar has 23 hours when clocks go forward: whoever agreed to days agreed to that one too.

    Raises:
        TermsInvalid: neither a duration nor `event`.
    """
    if granularity == EVENT:
        return timedelta(0)
    length = duration_of(granularity)
    return length - timedelta(hours=1) if length >= timedelta(days=1) else length


MOST_DOCUMENTS = 20
_LONGEST_PATH = 300


def is_document_path(path: str) -> bool:
    """Whether a text names a document below a pod's root, in its one spelling: no container, no access rules, no way out.

    >>> is_document_path("private/notes/today.ttl"), is_document_path("private/"), is_document_path("../kari/a")
    (True, False, False)
    """
    segments = path.split("/")
    return (
        0 < len(path) <= _LONGEST_PATH
        and path.isascii()
        and path.isprintable()
        and not any(letter in path for letter in " ?#\\")
        and not any(segment in {"", ".", ".."} for segment in segments)
        and not path.endswith((".acl", ".meta"))
    )


@dataclass(frozen=True)
class GrantTerms:
    """The terms of one consent.

    Attributes:
        client_id: The partner, or `self` for the citizen's own files.
        purpose: One purpose, a slug of vocab/purposes.ttl.
        kinds: Slugs of the kinds of activity.
        operations: Of `append` and `read`.
        granularity: The finest interval, an ISO 8601 duration or `event`: one for all kinds, or one a kind.
        history_from: No activity that begins earlier.
        valid_to: No activity that begins later, or None where only `expires_at` ends it.
        expires_at: When the consent itself ends.
        retention: How long the partner may keep what it reads, an ISO 8601 duration.
        quota_per_day: The most activities a day (UTC), or None.
        notice_version: Which text the citizen was shown.
        notice_hash: SHA-256 of that text, in hex.
        figures: Slugs of vocab/shared-figures.ttl: what the twin worked out that may be read.
        reads_per_day: The most readings a day (UTC); None for the usual number.
        documents: Paths, below the pod's root, of documents that may be read whole, as they stand when they are read.
    """

    client_id: str
    purpose: str
    kinds: frozenset[str]
    operations: frozenset[str]
    granularity: str | Mapping[str, str]
    history_from: datetime
    expires_at: datetime
    valid_to: datetime | None = None
    retention: str = "P13M"
    quota_per_day: int | None = None
    notice_version: str = ""
    notice_hash: str = ""
    figures: frozenset[str] = frozenset()
    reads_per_day: int | None = None
    documents: frozenset[str] = frozenset()
    shortest: dict[str, timedelta] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Refuse terms that mean nothing, or anything.

        Raises:
            TermsInvalid: the field at fault is named.
        """
        if not self.client_id:
            raise TermsInvalid("client_id", "a consent is given to somebody")
        if not self.purpose:
            raise TermsInvalid("purpose", "a consent has one purpose")
        if not self.kinds and not self.figures and not self.documents:
            raise TermsInvalid("kinds", "a consent covers at least one kind of activity, one figure or one document")
        if not self.operations or not self.operations <= OPERATIONS:
            raise TermsInvalid("operations", "one or both of append and read")
        if self.figures and self.operations != {"read"}:
            raise TermsInvalid("figures", "the twin's figures are read, and nobody delivers them")
        if self.documents and self.operations != {"read"}:
            raise TermsInvalid("documents", "a document is read, and nobody delivers it")
        if wrong := sorted(path for path in self.documents if not is_document_path(path)):
            raise TermsInvalid("documents", f"{wrong[0][:60]!r} is no document's path below the pod's root")
        for name in ("history_from", "expires_at", "valid_to"):
            moment = getattr(self, name)
            if moment is not None and moment.tzinfo is None:
                raise TermsInvalid(name, "a time without its zone")
            if moment is not None and not EARLIEST <= moment < LATEST:
                raise TermsInvalid(name, "a time that nobody lives to see, before 1900 or after 2200")
        if self.valid_to is not None and self.valid_to <= self.history_from:
            raise TermsInvalid("valid_to", "the period ends before it begins")
        if self.expires_at <= self.history_from:
            raise TermsInvalid("expires_at", "the consent ends before the first activity it covers")
        if self.quota_per_day is not None and not 1 <= self.quota_per_day <= MOST_PER_DAY:
            raise TermsInvalid("quota_per_day", f"from one to {MOST_PER_DAY} activities a day")
        if self.reads_per_day is not None and not 1 <= self.reads_per_day <= MOST_READS_PER_DAY:
            raise TermsInvalid("reads_per_day", f"from one to {MOST_READS_PER_DAY} readings a day")
        if not isinstance(self.granularity, str) and not set(self.granularity) >= self.kinds:
            raise TermsInvalid("granularity", "each kind needs one")
        try:
            duration_of(self.retention)
        except TermsInvalid as error:
            raise TermsInvalid("retention", error.reason) from error
        object.__setattr__(
            self, "shortest", {kind: shortest_interval(self.granularity_of(kind)) for kind in self.kinds}
        )

    def granularity_of(self, kind: str) -> str:
        """The finest interval agreed for one kind: an ISO 8601 duration or `event`."""
        return self.granularity if isinstance(self.granularity, str) else self.granularity[kind]


class GrantState(StrEnum):
    """Where a grant stands: the fold of its events (ledger.py). `expired` is a matter of time, not of a row."""

    REQUESTED = "requested"
    REFUSED = "refused"
    ACTIVE = "active"
    PAUSED = "paused"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"
    ERASED = "erased"


@dataclass(frozen=True)
class Grant:
    """One consent as it stands.

    Attributes:
        id: `g-…`, known to the citizen and the one partner.
        pod_id: Whose pod.
        terms: What was agreed.
        state: Where it stands.
        state_version: Counts the changes; a Permit made at another version is checked again.
        epoch: Which of the grant's keys seals what is delivered now; an erasure ends it.
        given_at: When the citizen gave it.
        changed_at: When the state last changed.
    """

    id: str
    pod_id: int
    terms: GrantTerms
    state: GrantState
    state_version: int
    epoch: int
    given_at: datetime
    changed_at: datetime

    def state_at(self, at: datetime) -> GrantState:
        """The state at a time: a grant that nobody ended ends by itself at `expires_at`."""
        if self.state in {GrantState.ACTIVE, GrantState.PAUSED} and at >= self.terms.expires_at:
            return GrantState.EXPIRED
        return self.state


def narrowed(
    terms: GrantTerms,
    *,
    kinds: frozenset[str] | None = None,
    figures: frozenset[str] | None = None,
    documents: frozenset[str] | None = None,
    granularity: str | Mapping[str, str] | None = None,
    history_from: datetime | None = None,
    expires_at: datetime | None = None,
) -> GrantTerms:
    """The same terms, made narrower by the citizen; never wider than what was asked (GDPR Art. 7, recital 32).

    It serves the answer to a question and the change of a standing consent alike: what was asked, or agreed, is the most.

    Raises:
        TermsInvalid: the change would give more than was asked, or leave nothing.
    """
    chosen = terms.kinds if kinds is None else kinds
    if not chosen <= terms.kinds:
        raise TermsInvalid("kinds", "more kinds than were asked for")
    readable = terms.figures if figures is None else figures
    if not readable <= terms.figures:
        raise TermsInvalid("figures", "more figures than were asked for")
    whole = terms.documents if documents is None else documents
    if not whole <= terms.documents:
        raise TermsInvalid("documents", "more documents than were asked for")
    wanted = terms.granularity if granularity is None else granularity
    result = replace(
        terms,
        kinds=chosen,
        figures=readable,
        documents=whole,
        granularity=wanted if isinstance(wanted, str) else {kind: wanted.get(kind, "") or EVENT for kind in chosen},
        history_from=max(terms.history_from, history_from or terms.history_from),
        expires_at=min(terms.expires_at, expires_at or terms.expires_at),
    )
    if any(result.shortest[kind] < terms.shortest[kind] for kind in chosen):
        raise TermsInvalid("granularity", "finer than was asked for")
    return result


def merged(terms: GrantTerms, asked: GrantTerms) -> GrantTerms:
    """Both terms together: what a citizen would have agreed to who said yes to the one and to the other.

    Raises:
        TermsInvalid: they are for two parties or two purposes, which no one consent covers.
    """
    if terms.client_id != asked.client_id:
        raise TermsInvalid("client_id", "a consent is given to one party")
    if terms.purpose != asked.purpose:
        raise TermsInvalid("purpose", "a consent has one purpose")

    def finest(kind: str) -> str:
        held = [each.granularity_of(kind) for each in (terms, asked) if kind in each.kinds]
        return min(held, key=shortest_interval)

    kinds = terms.kinds | asked.kinds
    ends = [each.valid_to for each in (terms, asked)]
    quotas = [each.quota_per_day for each in (terms, asked)]
    reads = [each.reads_per_day for each in (terms, asked) if "read" in each.operations] or [None]
    return replace(
        asked,
        kinds=kinds,
        operations=terms.operations | asked.operations,
        granularity={kind: finest(kind) for kind in kinds},
        history_from=min(terms.history_from, asked.history_from),
        expires_at=max(terms.expires_at, asked.expires_at),
        valid_to=None if None in ends else max(end for end in ends if end is not None),
        quota_per_day=None if None in quotas else max(quota for quota in quotas if quota is not None),
        figures=terms.figures | asked.figures,
        documents=terms.documents | asked.documents,
        reads_per_day=None if None in reads else max(each for each in reads if each is not None),
        retention=max(terms.retention, asked.retention, key=duration_of),
    )
