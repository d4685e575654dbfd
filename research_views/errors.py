"""What can go wrong with a release, its account or an invitation; queries have errors of their own (pod_server/queries)."""

from __future__ import annotations

from pod_server import problems


class ResearchError(Exception):
    """The root of this folder's errors."""


class PeriodMalformed(ResearchError):
    """Not a month written YYYY-MM."""


class PeriodNotOver(ResearchError):
    """The month has not ended: a release is drawn once, so it waits until the figures are whole."""


class PeriodAlreadyReleased(ResearchError):
    """The month's budget is spent: it was released, or its release was cut short. It is never drawn again."""


class BudgetExhausted(ResearchError):
    """The release would spend more than the year's or the lifetime's budget."""


class AccountBroken(ResearchError):
    """The account of the budget does not agree with itself or with its second copy. Nothing is released."""


class NoiseMechanismWrong(ResearchError):
    """The noise would not keep the promise that the account was charged for. Nothing is released."""


class NoSuchRelease(ResearchError):
    """No release of that month."""


class InvitationMalformed(ResearchError):
    """An invitation without a name or a purpose, or that has ended before it begins."""


class InvitationMissing(ResearchError):
    """A query without a token, or with one that is unknown or has expired."""

    www_authenticate = 'Bearer realm="research"'


problems.declare(PeriodMalformed, "release-period-malformed", "Not a month", 400)
problems.declare(PeriodNotOver, "release-period-not-over", "The month has not ended", 409)
problems.declare(PeriodAlreadyReleased, "release-already-drawn", "The month is released once and never again", 409)
problems.declare(BudgetExhausted, "privacy-budget-exhausted", "The privacy budget does not suffice", 409)
problems.declare(AccountBroken, "privacy-account-broken", "The account of the privacy budget is broken", 500)
problems.declare(NoiseMechanismWrong, "noise-mechanism-wrong", "The noise would not keep its promise", 500)
problems.declare(NoSuchRelease, "no-such-release", "No release of that month", 404)
problems.declare(InvitationMalformed, "invitation-malformed", "The invitation is incomplete", 400)
problems.declare(InvitationMissing, "research-token-missing", "A researcher's token is needed", 401)
