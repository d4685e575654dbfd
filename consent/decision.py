"""May this be done now? The one decision every delivery, reading and stream asks for (GDPR Art. 5(1)(b), 6(1)(a)).

`decide` answers in full. A bulk delivery asks `decide_grant` once a grant and `decide_record` once a record, which
together are the same decision.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from consent.grant import USUAL_READS_PER_DAY, Grant, GrantState, GrantTerms
from consent.reasons import EXPLANATIONS, Reason

CLOCK_LEEWAY = timedelta(minutes=5)
"""How far a partner's clock may run ahead of ours before its records count as coming from the future."""

_STATE_REASON = {
    GrantState.REQUESTED: Reason.NO_SUCH_GRANT,
    GrantState.REFUSED: Reason.NO_SUCH_GRANT,
    GrantState.PAUSED: Reason.CONSENT_PAUSED,
    GrantState.WITHDRAWN: Reason.CONSENT_WITHDRAWN,
    GrantState.EXPIRED: Reason.CONSENT_EXPIRED,
    GrantState.ERASED: Reason.CONSENT_ERASED,
}


@dataclass(frozen=True)
class Request:
    """What somebody wants to do under a grant.

    Attributes:
        client_id: Who asks.
        operation: `append` or `read`.
        kind: The slug of the activity's kind.
        start: When the activity began; with its zone.
        end: When it ended; with its zone.
        count: How many activities.
    """

    client_id: str
    operation: str
    kind: str
    start: datetime
    end: datetime
    count: int = 1


@dataclass(frozen=True)
class Permitted:
    """Go on. Under which grant, and in which version of its state."""

    grant_id: str
    state_version: int


@dataclass(frozen=True)
class Refused:
    """Do not go on, for every one of these reasons; the first is the one to tell."""

    reasons: tuple[Reason, ...]

    @property
    def reason(self) -> Reason:
        """The first and weightiest reason."""
        return self.reasons[0]

    @property
    def detail(self) -> str:
        """The sentences for all reasons."""
        return " ".join(EXPLANATIONS[reason] for reason in self.reasons)


Decision = Permitted | Refused


def decide_grant(
    grant: Grant | None, client_id: str, operation: str, at: datetime, *, pod_id: int | None = None
) -> Permitted | Refused:
    """Whether the client may do this operation at all under the grant, whatever the record.

    A grant that is not this client's refuses with that alone: nothing about its state is said to a stranger.
    """
    if grant is None:
        return Refused((Reason.NO_SUCH_GRANT,))
    if grant.terms.client_id != client_id or (pod_id is not None and grant.pod_id != pod_id):
        return Refused((Reason.NOT_YOUR_GRANT,))
    reasons: list[Reason] = []
    state = grant.state_at(at)
    if state is not GrantState.ACTIVE:
        reasons.append(_STATE_REASON[state])
    if operation not in grant.terms.operations:
        reasons.append(Reason.OPERATION_NOT_GRANTED)
    return Refused(tuple(reasons)) if reasons else Permitted(grant.id, grant.state_version)


def decide_record(terms: GrantTerms, kind: str, start: datetime, end: datetime, at: datetime) -> Refused | None:
    """Whether one record keeps within the terms: None when it does."""
    if (
        kind in terms.kinds
        and start >= terms.history_from
        and start < (terms.valid_to or terms.expires_at)
        and end <= at + CLOCK_LEEWAY
        and end - start >= terms.shortest[kind]
    ):
        return None
    reasons: list[Reason] = []
    if kind not in terms.kinds:
        reasons.append(Reason.KIND_NOT_GRANTED)
    if end > at + CLOCK_LEEWAY:
        reasons.append(Reason.IN_THE_FUTURE)
    if start < terms.history_from or start >= (terms.valid_to or terms.expires_at):
        reasons.append(Reason.OUTSIDE_WINDOW)
    if kind in terms.kinds and end - start < terms.shortest[kind]:
        reasons.append(Reason.TOO_FINE_GRANULARITY)
    return Refused(tuple(reasons))


def decide_quota(terms: GrantTerms, used_today: int, count: int) -> Refused | None:
    """Whether `count` more activities fit in the day's quota: None when they do."""
    if terms.quota_per_day is not None and used_today + count > terms.quota_per_day:
        return Refused((Reason.QUOTA_EXCEEDED,))
    return None


def decide_reading(terms: GrantTerms, read_today: int) -> Refused | None:
    """Whether the grant may be read once more today: None when it may."""
    if read_today >= (terms.reads_per_day or USUAL_READS_PER_DAY):
        return Refused((Reason.READ_TOO_OFTEN,))
    return None


def decide(request: Request, grant: Grant | None, at: datetime, *, used_today: int = 0) -> Permitted | Refused:
    """Decide one request under one grant at one time.

    Args:
        request: Who wants to do what.
        grant: The grant named in the request as it stands, or None where there is none.
        at: Now, in the city's time.
        used_today: How many activities the grant has taken since midnight UTC.

    Returns:
        Permitted, or Refused with every reason that applies, the weightiest first.
    """
    whole = decide_grant(grant, request.client_id, request.operation, at)
    if grant is None or (isinstance(whole, Refused) and whole.reason is Reason.NOT_YOUR_GRANT):
        return whole
    reasons = list(whole.reasons) if isinstance(whole, Refused) else []
    for refusal in (
        decide_record(grant.terms, request.kind, request.start, request.end, at),
        decide_quota(grant.terms, used_today, request.count),
    ):
        if refusal is not None:
            reasons.extend(refusal.reasons)
    return Refused(tuple(reasons)) if reasons else Permitted(grant.id, grant.state_version)
