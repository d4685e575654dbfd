"""A municipality's answer to a claim: granted, declined, or taken in hand; the citizen reads it where the claim was made.

What is said is a word and a reason of closed lists, and a reference that the citizen shows where they get what was granted: the
municipality knows them by a name of its own only. No free text of a partner's reaches a page here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

from partner_bridge.errors import BodyUnreadable
from pod_server import outbox, problems
from pod_server.identifiers import Actor, ClientId
from pod_server.log.event import LogEvent
from pod_server.log.ledger import append as append_to_log
from vocab.plausibility import person_in

if TYPE_CHECKING:
    from pod_server.authorization.enforcement import Client
    from pod_server.host import Host

ANSWERS = ("received", "granted", "declined")
REASONS = ("offer-ended", "already-granted", "not-resident", "used-up", "rule-misread")


class NoSuchClaim(Exception):
    """The partner was sent no claim of this name."""


class ClaimGranted(Exception):
    """A claim that was granted stays granted."""


class Answer(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What is answered.

    Attributes:
        answer: One of `ANSWERS`.
        because: Of a declined claim, one of `REASONS`.
        reference: Of a granted one, what the citizen shows; letters, digits and hyphens.
    """

    answer: Literal["received", "granted", "declined"]
    because: Literal["", "offer-ended", "already-granted", "not-resident", "used-up", "rule-misread"] = ""
    reference: Annotated[str, msgspec.Meta(pattern=r"^(?:[A-Za-z0-9][A-Za-z0-9-]{0,39})?\Z")] = ""


def answer_claim(host: Host, partner: Client, message_id: str, body: bytes) -> dict[str, str]:
    """Take the answer; what stands then. A later one takes its place, unless the claim was granted.

    Args:
        host: This host.
        partner: Who answers, already authenticated.
        message_id: The claim's own name: the `jti` of the message that brought it.
        body: JSON, as `Answer`.

    Raises:
        BodyUnreadable: the body is no answer.
        NoSuchClaim: the partner was sent no claim of this name.
        ClaimGranted: it was granted, and this says otherwise.
    """
    try:
        said = msgspec.json.decode(body, type=Answer)
    except (msgspec.DecodeError, RecursionError):
        raise BodyUnreadable(f"an answer is one of {', '.join(ANSWERS)}, with `because` or `reference`") from None
    if (said.answer == "declined") is not bool(said.because) or (said.reference and said.answer != "granted"):
        raise BodyUnreadable("a declined claim has a reason, and only a granted one a reference")
    if said.reference and person_in(said.reference):
        raise BodyUnreadable("the reference names a person")
    at = host.clock.now()
    with host.storage.write() as tx:
        message = outbox.find(tx, ClientId(partner.client_id), message_id)
        if message is None or message.kind != "claim":
            raise NoSuchClaim
        before = outbox.read_reply(host.host_key, tx, message)
        now = msgspec.to_builtins(said)
        if before != now:
            if before.get("answer") == "granted":
                raise ClaimGranted
            outbox.keep_reply(host, tx, message, now, at)
            if message.pod_id != outbox.NO_POD:
                actor = Actor("partner", partner.client_id, partner.name)
                detail: dict[str, str | int] = {"message": message_id, "answer": said.answer}
                append_to_log(tx, message.pod_id, LogEvent(at, actor, "answer-claim", detail=detail))
    host.signal.notify({message.pod_id})
    return {"claim": message_id, **now}


problems.declare(NoSuchClaim, "no-such-claim", "No such claim", 404)
problems.declare(ClaimGranted, "claim-granted", "The claim was granted already", 409)
