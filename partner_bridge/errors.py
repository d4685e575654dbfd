"""What can be wrong with what a partner sends."""

from __future__ import annotations

from datetime import timedelta

from pod_server import problems
from vocab.errors import Implausible, NotAnActivity, PersonInText


class BridgeError(Exception):
    """The root of this folder's errors."""


class BrokenItem(BridgeError):
    """One item of a delivery is not what an item looks like."""


class BatchRefused(BridgeError):
    """A batch file that does not hold as a whole; nothing of it is taken in."""


class BodyUnreadable(BridgeError):
    """The whole body is not what a delivery looks like, so that no item in it can be answered."""


class BodyTooLarge(BridgeError):
    """More bytes or more items than one delivery may hold."""


class MediaTypeUnknown(BridgeError):
    """A delivery in a form that this door does not read."""


class UnknownConnector(BridgeError):
    """No connector of that name."""


class DeclarationInvalid(BridgeError):
    """What a connector says of itself does not hold."""


class UnusablePayload(BridgeError):
    """A connector could not make an activity of (a part of) a partner's payload."""


class NoSuchReceipt(BridgeError):
    """No such receipt, or another partner's."""


class ReceiptInvalid(BridgeError):
    """A receipt that this issuer did not sign, or that speaks of another delivery."""


class InboxNotTrusted(BridgeError):
    """A statement about an inbox that the citizen's key did not sign; for partners, the host never raises it."""


class SealedDeliveryInvalid(BridgeError):
    """A sealed delivery whose form, signature or count does not hold."""


class SequenceUsed(BridgeError):
    """The sequence or the idempotency key of a sealed delivery was used for another one."""


class InboxKeyOutdated(BridgeError):
    """A delivery was sealed to an inbox key that is not in force any more."""

    def __init__(self) -> None:
        super().__init__(
            "The pod got new keys, and the consent a new inbox with them. Fetch the inbox's statement again, check that "
            "the same key of the citizen's signed it, and seal the delivery anew under a greater sequence."
        )


class NoSuchSealedDelivery(BridgeError):
    """No sealed delivery of this consent has this sequence."""


class KeyUnusable(BridgeError):
    """An Idempotency-Key, or an offset, that no delivery can have."""


class LengthRequired(BridgeError):
    """A delivery that is to be resumed, or a large file, does not say how long it is."""


class KeyReused(BridgeError):
    """The Idempotency-Key was used for another delivery."""


class OffsetMismatch(BridgeError):
    """A delivery is continued elsewhere than where it was cut.

    Attributes:
        headers: Where it was.
    """

    def __init__(self, offset_bytes: int) -> None:
        super().__init__(f"{offset_bytes} bytes of this delivery were taken: go on from there")
        self.headers = {"Upload-Offset": str(offset_bytes)}


class NoSuchDelivery(BridgeError):
    """No delivery of this partner's is kept under this Idempotency-Key."""


class ReadingInvalid(BridgeError):
    """What a partner asks to read cannot be understood."""


class NothingToRead(BridgeError):
    """What the citizen chose to show is not there now."""


class SourceInvalid(BridgeError):
    """What was said of a source cannot stand, or there is no such source."""


class SourceError(BridgeError):
    """A source that is asked for data did not give it; `problem` is the word that the pages put into a sentence."""

    problem = "unreachable"


class SourceUnreachable(SourceError):
    """It does not answer, or not as it should."""


class SourceBusy(SourceError):
    """It wants to be left alone for a while.

    Attributes:
        wait: For how long.
    """

    problem = "busy"

    def __init__(self, wait: timedelta) -> None:
        super().__init__("the source asks for patience")
        self.wait = wait


class SignInAgain(SourceError):
    """The citizen has to sign in there again."""

    problem = "sign-in-again"


class AnswerNotOurs(BridgeError):
    """What a browser brought back from a source answers nothing that was asked."""


class WebhookNotOurs(BridgeError):
    """A call that claims to be a source's, and is not shown to be."""


class CallbackRefused(BridgeError):
    """A source asks this host to fetch from an address that is not the source's own."""


class NotAsShown(BridgeError):
    """What would be sent to a calculation service is not what its citizen was shown."""


class NothingToCalculate(BridgeError):
    """There is nothing of this month that a calculation service could be shown anew."""


class ConnectionGone(BridgeError):
    """A citizen's connection to a source was ended while it was being read."""


problems.declare(NotAnActivity, "not-an-activity", "Not an activity of a known kind", 422, members=("path", "reason"))
problems.declare(Implausible, "implausible", "More than there can be", 422, members=("path", "reason"))
problems.declare(PersonInText, "person-in-text", "A person named in a free text", 422, members=("path", "reason"))
problems.declare(BrokenItem, "broken-item", "An item that cannot be read", 400)
problems.declare(BodyUnreadable, "body-unreadable", "A delivery that cannot be read", 400)
problems.declare(BodyTooLarge, "delivery-too-large", "The delivery is too large", 413)
problems.declare(MediaTypeUnknown, "media-type-unknown", "A delivery in an unknown form", 415)
problems.declare(UnknownConnector, "unknown-connector", "No such connector", 404)
problems.declare(UnusablePayload, "unusable-payload", "The payload cannot be used", 422)
problems.declare(InboxNotTrusted, "inbox-not-trusted", "The inbox's statement does not hold", 422)
problems.declare(SealedDeliveryInvalid, "sealed-delivery-invalid", "The sealed delivery does not hold", 422)
problems.declare(SequenceUsed, "sequence-used", "The sequence or idempotency key was used before", 409)
problems.declare(InboxKeyOutdated, "inbox-key-outdated", "The inbox has a new key", 409)
problems.declare(NoSuchSealedDelivery, "no-such-sealed-delivery", "No such sealed delivery", 404)
problems.declare(NoSuchReceipt, "no-such-receipt", "No such receipt", 404)
problems.declare(ReceiptInvalid, "receipt-invalid", "The receipt does not hold", 422)
problems.declare(ReadingInvalid, "reading-invalid", "What is to be read cannot be understood", 400)
problems.declare(NothingToRead, "nothing-to-read", "There is nothing to read there now", 404)
problems.declare(SourceInvalid, "source-invalid", "The source cannot be used like this", 400)
problems.declare(SourceUnreachable, "source-unreachable", "The source does not answer as it should", 502)
problems.declare(SourceBusy, "source-busy", "The source asks for patience", 503)
problems.declare(SignInAgain, "source-sign-in-again", "The source wants its citizen to sign in again", 409)
problems.declare(AnswerNotOurs, "source-answer-not-ours", "The source's answer is not for this browser", 403)
problems.declare(WebhookNotOurs, "webhook-not-ours", "The call is not shown to be the source's", 401)
problems.declare(CallbackRefused, "callback-refused", "That address is not the source's own", 422)
problems.declare(NotAsShown, "calculation-not-as-shown", "Not what you were shown", 409)
problems.declare(NothingToCalculate, "nothing-to-calculate", "Nothing to calculate", 409)
problems.declare(ConnectionGone, "source-connection-gone", "The connection to the source has ended", 409)
problems.declare(KeyUnusable, "idempotency-key-unusable", "The Idempotency-Key or the offset cannot be used", 400)
problems.declare(KeyReused, "idempotency-key-reused", "The Idempotency-Key was used for another delivery", 422)
problems.declare(OffsetMismatch, "upload-offset-mismatch", "The delivery is continued elsewhere than it was cut", 409)
problems.declare(NoSuchDelivery, "no-such-delivery", "No such delivery", 404)
problems.declare(LengthRequired, "length-required", "The delivery does not say its length", 411)
problems.declare(BatchRefused, "batch-refused", "The batch file is refused", 422)
