"""Refusals. One class a reason, since a caller may mend one and not another; each is a problem type."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from consent.errors import EventOutOfOrder, TermsInvalid
from consent.reasons import Reason
from pod_server import problems

if TYPE_CHECKING:
    from consent.decision import Refused


class AuthorizationError(Exception):
    """The root of this folder's errors."""


class GrantRefused(AuthorizationError):
    """The law refused a request under a grant.

    Attributes:
        refused: The whole decision.
        reasons: Every reason's slug, the weightiest first.
    """

    def __init__(self, refused: Refused) -> None:
        super().__init__(refused.detail)
        self.refused = refused
        self.reasons = [str(reason) for reason in refused.reasons]


class NoSuchGrant(GrantRefused):
    """Unknown, another citizen's or another partner's."""


class ConsentWithdrawn(GrantRefused):
    """The citizen took the consent back."""


class ConsentPaused(GrantRefused):
    """The citizen paused the consent."""


class ConsentExpired(GrantRefused):
    """The consent's time has run out."""


class ConsentErased(GrantRefused):
    """The citizen had everything under the consent erased."""


class ConsentChanged(GrantRefused):
    """The consent was narrowed or renewed while this was on its way."""


class OperationNotGranted(GrantRefused):
    """Append without append, or read without read."""


class KindNotGranted(GrantRefused):
    """A kind of activity that the consent does not cover."""


class OutsideWindow(GrantRefused):
    """An activity outside the agreed period."""


class TooFineGranularity(GrantRefused):
    """An activity more finely divided in time than agreed."""


class QuotaExceeded(GrantRefused):
    """The day's quota is used up."""


class ReadTooOften(GrantRefused):
    """The day's readings are used up."""


class FigureNotGranted(GrantRefused):
    """A figure, or a kind of answer, that the consent does not cover."""


class InTheFuture(GrantRefused):
    """An activity that has not happened yet."""


class PartnerStopped(GrantRefused):
    """All that the partner does was stopped while this was on its way."""


class KindBarred(GrantRefused):
    """A kind of activity that the municipality does not let the partner deliver."""


class ActingEnded(GrantRefused):
    """Whoever delivers may not act for the grant's holder any more."""


_BY_REASON: dict[Reason, type[GrantRefused]] = {
    Reason.NO_SUCH_GRANT: NoSuchGrant,
    Reason.NOT_YOUR_GRANT: NoSuchGrant,
    Reason.CONSENT_WITHDRAWN: ConsentWithdrawn,
    Reason.CONSENT_PAUSED: ConsentPaused,
    Reason.CONSENT_EXPIRED: ConsentExpired,
    Reason.CONSENT_ERASED: ConsentErased,
    Reason.CONSENT_CHANGED: ConsentChanged,
    Reason.OPERATION_NOT_GRANTED: OperationNotGranted,
    Reason.KIND_NOT_GRANTED: KindNotGranted,
    Reason.OUTSIDE_WINDOW: OutsideWindow,
    Reason.TOO_FINE_GRANULARITY: TooFineGranularity,
    Reason.QUOTA_EXCEEDED: QuotaExceeded,
    Reason.READ_TOO_OFTEN: ReadTooOften,
    Reason.FIGURE_NOT_GRANTED: FigureNotGranted,
    Reason.IN_THE_FUTURE: InTheFuture,
    Reason.PARTNER_SUSPENDED: PartnerStopped,
    Reason.KIND_BARRED: KindBarred,
    Reason.ACTING_ENDED: ActingEnded,
}


def refusal_error(refused: Refused) -> GrantRefused:
    """The exception for a decision, ready to raise or to hand to `problems.problem_details`."""
    return _BY_REASON[refused.reason](refused)


class Unauthenticated(AuthorizationError):
    """The access rules do not let strangers do this; whoever signs in may be let in."""

    www_authenticate: ClassVar[str] = "DPoP"


class AccessDenied(AuthorizationError):
    """The access rules do not let this person do this.

    Attributes:
        required_access: What was missing, as `{"mode", "path"}`; only for what the caller may know of.
    """

    def __init__(self, message: str, required_access: list[dict[str, str]] | None = None) -> None:
        super().__init__(message)
        self.required_access = required_access


class NotTheOwner(AuthorizationError):
    """Something that only the pod's owner may do."""


class MandateMissing(AuthorizationError):
    """The twin has no mandate for this act, or it was used up or has run out."""


class NotConsentedToResearch(AuthorizationError):
    """The citizen has given no consent to research that holds now."""


class SealBroken(AuthorizationError):
    """A text sealed for this host was changed, moved to another place, or sealed by another host."""


problems.declare(NoSuchGrant, "no-such-grant", "No such grant", 404)
problems.declare(ConsentWithdrawn, "consent-withdrawn", "The consent is withdrawn", 403, members=("reasons",))
problems.declare(ConsentPaused, "consent-paused", "The consent is paused", 403, members=("reasons",))
problems.declare(ConsentExpired, "consent-expired", "The consent has expired", 403, members=("reasons",))
problems.declare(ConsentErased, "consent-erased", "The consent and its data are erased", 403, members=("reasons",))
problems.declare(ConsentChanged, "consent-changed", "The consent was changed meanwhile", 409, members=("reasons",))
problems.declare(
    OperationNotGranted, "operation-not-granted", "The operation is not granted", 403, members=("reasons",)
)
problems.declare(KindNotGranted, "kind-not-granted", "The kind is not granted", 403, members=("reasons",))
problems.declare(OutsideWindow, "outside-window", "Outside the agreed period", 403, members=("reasons",))
problems.declare(TooFineGranularity, "too-fine-granularity", "Finer than agreed", 403, members=("reasons",))
problems.declare(QuotaExceeded, "quota-exceeded", "The day's quota is used up", 429, members=("reasons",))
problems.declare(ReadTooOften, "read-too-often", "Read too often today", 429, members=("reasons",))
problems.declare(FigureNotGranted, "figure-not-granted", "Not covered by the consent", 403, members=("reasons",))
problems.declare(InTheFuture, "in-the-future", "The activity has not happened yet", 422, members=("reasons",))
problems.declare(PartnerStopped, "partner-suspended", "The partner is stopped for now", 403, members=("reasons",))
problems.declare(KindBarred, "kind-barred", "The municipality bars this kind", 403, members=("reasons",))
problems.declare(ActingEnded, "acting-ended", "The leave to act has ended", 403, members=("reasons",))
problems.declare(Unauthenticated, "not-signed-in", "Sign in first", 401)
problems.declare(AccessDenied, "access-denied", "Access denied", 403, members=("required_access",))
problems.declare(NotTheOwner, "not-the-owner", "Only the owner may do this", 403)
problems.declare(MandateMissing, "mandate-missing", "The twin has no mandate for this", 403)
problems.declare(NotConsentedToResearch, "no-research-consent", "No consent to research", 403)
problems.declare(TermsInvalid, "terms-invalid", "No consent can have these terms", 400, members=("field",))
problems.declare(EventOutOfOrder, "consent-state", "The consent is not in a state where this can happen", 409)
problems.declare(SealBroken, "sealed-text-broken", "Something the host keeps does not open", 500)
