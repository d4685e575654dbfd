"""Why a request is refused: a closed list, each reason with the sentence a partner's developer reads.

The slugs are problem types (docs/problems/<slug>.md).
"""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """One reason for a refusal."""

    NO_SUCH_GRANT = "no-such-grant"
    """Unknown, another citizen's or another partner's: one answer for all three, so that nobody can probe."""
    CONSENT_WITHDRAWN = "consent-withdrawn"
    CONSENT_PAUSED = "consent-paused"
    CONSENT_EXPIRED = "consent-expired"
    CONSENT_ERASED = "consent-erased"
    CONSENT_CHANGED = "consent-changed"
    """Narrowed or renewed between the decision and the writing: sent again, it is decided by what holds now."""
    NOT_YOUR_GRANT = "not-your-grant"
    """The pure law's word for a grant held by somebody else. A door that strangers reach answers `no-such-grant`."""
    OPERATION_NOT_GRANTED = "operation-not-granted"
    KIND_NOT_GRANTED = "kind-not-granted"
    OUTSIDE_WINDOW = "outside-window"
    TOO_FINE_GRANULARITY = "too-fine-granularity"
    QUOTA_EXCEEDED = "quota-exceeded"
    READ_TOO_OFTEN = "read-too-often"
    """The citizen agreed to so many readings a day; the day's are used up."""
    FIGURE_NOT_GRANTED = "figure-not-granted"
    IN_THE_FUTURE = "in-the-future"
    PARTNER_SUSPENDED = "partner-suspended"
    """Stopped by the municipality or by itself between the decision and the writing."""
    KIND_BARRED = "kind-barred"
    ACTING_ENDED = "acting-ended"
    """An integrator's leave to act for the grant's holder was withdrawn, perhaps while its delivery was on the way."""


EXPLANATIONS: dict[Reason, str] = {
    Reason.NO_SUCH_GRANT: "No such grant is held by this client.",
    Reason.CONSENT_WITHDRAWN: "The citizen has withdrawn this consent; nothing more may be delivered or read under it.",
    Reason.CONSENT_PAUSED: "The citizen has paused this consent; try again when it is resumed.",
    Reason.CONSENT_EXPIRED: "The consent has expired; ask the citizen for a new one.",
    Reason.CONSENT_ERASED: "The citizen has had everything under this consent erased.",
    Reason.CONSENT_CHANGED: "The citizen changed this consent at the same moment; send it again, and what holds now decides.",
    Reason.NOT_YOUR_GRANT: "The grant belongs to another client.",
    Reason.OPERATION_NOT_GRANTED: "The consent does not allow this operation.",
    Reason.KIND_NOT_GRANTED: "The consent does not cover this kind of activity.",
    Reason.OUTSIDE_WINDOW: "The activity lies outside the period the consent covers.",
    Reason.TOO_FINE_GRANULARITY: "The activity is more finely divided in time than the consent allows.",
    Reason.QUOTA_EXCEEDED: "The day's quota under this consent is used up.",
    Reason.READ_TOO_OFTEN: "The citizen agreed to so many readings a day, and today's are used up; try again tomorrow (UTC).",
    Reason.FIGURE_NOT_GRANTED: "The consent does not cover this.",
    Reason.IN_THE_FUTURE: "The activity claims to happen later than now.",
    Reason.PARTNER_SUSPENDED: "All that this partner does is stopped for now; its console tells by whom and why.",
    Reason.ACTING_ENDED: "The leave to act for this partner has ended; the partner itself may go on.",
    Reason.KIND_BARRED: "The municipality does not let this partner deliver or read this kind of activity.",
}
"""What each reason means, in words that mend the request and reveal nothing more."""
