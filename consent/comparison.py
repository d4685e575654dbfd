"""What changes when other terms take a consent's place: said before the citizen answers (GDPR Art. 4(11), 7(2)).

A partner that asks to merge or replace asks for the whole anew. Nobody should have to compare two lists by heart to see
what is new in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from consent.grant import duration_of

if TYPE_CHECKING:
    from datetime import datetime

    from consent.grant import GrantTerms


class Difference(StrEnum):
    """One way in which terms differ from those they replace; `more` says whether the partner may do more by it."""

    KIND_ADDED = "kind-added"
    KIND_REMOVED = "kind-removed"
    FIGURE_ADDED = "figure-added"
    FIGURE_REMOVED = "figure-removed"
    DOCUMENT_ADDED = "document-added"
    DOCUMENT_REMOVED = "document-removed"
    OPERATION_ADDED = "operation-added"
    OPERATION_REMOVED = "operation-removed"
    FINER = "finer"
    COARSER = "coarser"
    LONGER = "longer"
    SHORTER = "shorter"
    FURTHER_BACK = "further-back"
    LESS_FAR_BACK = "less-far-back"
    LATER_ACTIVITIES = "later-activities"
    EARLIER_ACTIVITIES = "earlier-activities"
    KEPT_LONGER = "kept-longer"
    KEPT_SHORTER = "kept-shorter"
    QUOTA_RAISED = "quota-raised"
    QUOTA_LOWERED = "quota-lowered"

    @property
    def more(self) -> bool:
        """Whether it widens the consent."""
        return self in _MORE


_MORE = frozenset(
    {
        Difference.KIND_ADDED,
        Difference.FIGURE_ADDED,
        Difference.DOCUMENT_ADDED,
        Difference.OPERATION_ADDED,
        Difference.FINER,
        Difference.LONGER,
        Difference.FURTHER_BACK,
        Difference.LATER_ACTIVITIES,
        Difference.KEPT_LONGER,
        Difference.QUOTA_RAISED,
    }
)


@dataclass(frozen=True)
class Change:
    """One difference, with what it was and what it would be.

    Attributes:
        what: Which.
        about: The kind, the figure or the operation it concerns, or "".
        before: The value in the terms that stand; None where there was none.
        after: The value in the terms that are asked for.
    """

    what: Difference
    about: str = ""
    before: str | int | datetime | None = None
    after: str | int | datetime | None = None


def changes(present: GrantTerms, asked: GrantTerms) -> tuple[Change, ...]:
    """Every difference between the terms that stand and those that would take their place, what widens first.

    Empty where nothing that a citizen agrees to would change.
    """
    found: list[Change] = [
        *(Change(Difference.KIND_ADDED, kind) for kind in sorted(asked.kinds - present.kinds)),
        *(Change(Difference.KIND_REMOVED, kind) for kind in sorted(present.kinds - asked.kinds)),
        *(Change(Difference.FIGURE_ADDED, each) for each in sorted(asked.figures - present.figures)),
        *(Change(Difference.FIGURE_REMOVED, each) for each in sorted(present.figures - asked.figures)),
        *(Change(Difference.DOCUMENT_ADDED, each) for each in sorted(asked.documents - present.documents)),
        *(Change(Difference.DOCUMENT_REMOVED, each) for each in sorted(present.documents - asked.documents)),
        *(Change(Difference.OPERATION_ADDED, each) for each in sorted(asked.operations - present.operations)),
        *(Change(Difference.OPERATION_REMOVED, each) for each in sorted(present.operations - asked.operations)),
    ]
    for kind in sorted(present.kinds & asked.kinds):
        before, after = present.shortest[kind], asked.shortest[kind]
        if before != after:
            what = Difference.FINER if after < before else Difference.COARSER
            found.append(Change(what, kind, present.granularity_of(kind), asked.granularity_of(kind)))
    if present.expires_at != asked.expires_at:
        what = Difference.LONGER if asked.expires_at > present.expires_at else Difference.SHORTER
        found.append(Change(what, "", present.expires_at, asked.expires_at))
    if present.history_from != asked.history_from:
        what = Difference.FURTHER_BACK if asked.history_from < present.history_from else Difference.LESS_FAR_BACK
        found.append(Change(what, "", present.history_from, asked.history_from))
    last_before, last_after = (each.valid_to or each.expires_at for each in (present, asked))
    if present.valid_to != asked.valid_to and last_before != last_after:
        what = Difference.LATER_ACTIVITIES if last_after > last_before else Difference.EARLIER_ACTIVITIES
        found.append(Change(what, "", last_before, last_after))
    if "read" in asked.operations and duration_of(present.retention) != duration_of(asked.retention):
        longer = duration_of(asked.retention) > duration_of(present.retention)
        what = Difference.KEPT_LONGER if longer else Difference.KEPT_SHORTER
        found.append(Change(what, "", present.retention, asked.retention))
    if present.quota_per_day != asked.quota_per_day:
        raised = asked.quota_per_day is None or (
            present.quota_per_day is not None and asked.quota_per_day > present.quota_per_day
        )
        what = Difference.QUOTA_RAISED if raised else Difference.QUOTA_LOWERED
        found.append(Change(what, "", present.quota_per_day, asked.quota_per_day))
    return tuple(sorted(found, key=lambda change: not change.what.more))
