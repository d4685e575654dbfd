"""What can go wrong between a proposal and its answer."""

from __future__ import annotations

from pod_server import problems


class TwinError(Exception):
    """The root of these errors."""


class NoSuchProposal(TwinError):
    """The pod has no proposal of this id."""

    def __init__(self) -> None:
        super().__init__("There is no such proposal in this pod.")


class ProposalSettled(TwinError):
    """The proposal was answered before, or is no longer on offer."""

    def __init__(self) -> None:
        super().__init__("This proposal has been answered already, or is no longer on offer. An answer counts once.")


class ProposalExpired(TwinError):
    """The time to answer has run out; silence meant no."""

    def __init__(self) -> None:
        super().__init__("The time to answer this proposal has run out. Nothing was sent.")


class PlanChanged(TwinError):
    """What would be sent is not what was shown."""

    def __init__(self) -> None:
        super().__init__(
            "What the proposal builds on has changed since it was shown, so the approval does not cover it. "
            "Nothing was sent. Read the proposal again and decide anew."
        )


class NobodyToSendTo(TwinError):
    """No admitted partner runs the programme."""

    def __init__(self) -> None:
        super().__init__(
            "Nobody on this host runs this programme at present, so there is nobody to send the answer to."
        )


problems.declare(NoSuchProposal, "no-such-proposal", "There is no such proposal", 404)
problems.declare(ProposalSettled, "proposal-settled", "The proposal has been answered", 409)
problems.declare(ProposalExpired, "proposal-expired", "The time to answer has run out", 409)
problems.declare(PlanChanged, "plan-changed", "The plan is not the one that was shown", 409)
problems.declare(NobodyToSendTo, "nobody-to-send-to", "Nobody runs this programme", 409)
